"""What both packages say, which never import each other: the same numbers, names and rules, and those of AWS."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

import sqs_tasks.limits
import sqs_tasks_cdk.limits
from sqs_tasks import SQSEnv, app_path, aws_lambda, client, readers
from sqs_tasks.deployment import drift, iam_policy
from sqs_tasks.deployment.lambda_function import QueueFunction, queue_functions
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.outcome import UNKNOWN_TASK_NAME
from sqs_tasks.scheduling import eventbridge
from sqs_tasks_cdk import environment, job_metrics, queue_rights, rules, schedules, url_entries
from sqs_tasks_cdk.errors import RuleError
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.manifest import Manifest
from sqs_tasks_cdk.stack import SqsTasks


def numbers(module: Any) -> dict[str, Any]:
    """The constants of a module by their names."""
    return {name: value for name, value in vars(module).items() if name.isupper()}


def botocore_range(service: str, operation: str, *members: str) -> dict[str, int]:
    """The range of a number in a request, as AWS's own service model has it."""
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    for member in members:
        shape = shape.members[member]
    return {name: shape.metadata[name] for name in ("min", "max")}


def test_what_belongs_to_no_task_counts_under_one_name() -> None:
    """The workers count it under a name that the dashboard asks for."""
    assert job_metrics.UNKNOWN_TASK == UNKNOWN_TASK_NAME


def test_numbers_with_one_name_are_one_number() -> None:
    """A limit that AWS raises must not be raised in one package alone."""
    library, stack = numbers(sqs_tasks.limits), numbers(sqs_tasks_cdk.limits)
    shared = library.keys() & stack.keys()

    assert {name: library[name] for name in shared} == {name: stack[name] for name in shared}
    assert {"MAX_POLLERS", "MAX_VISIBILITY_SECONDS", "RECEIVE_HEADROOM", "MAX_WINDOWED_BATCH"} <= shared


@pytest.mark.parametrize("limits", [sqs_tasks.limits, sqs_tasks_cdk.limits])
def test_the_numbers_of_event_source_mappings_are_those_of_the_service_model(limits: Any) -> None:
    """The model comes from AWS, and is newer than most pages."""

    def mapping(*members: str) -> dict[str, int]:
        return botocore_range("lambda", "CreateEventSourceMapping", *members)

    assert mapping("BatchSize")["max"] == limits.MAX_WINDOWED_BATCH
    assert mapping("MaximumBatchingWindowInSeconds")["max"] == limits.MAX_BATCHING_WINDOW_SECONDS
    assert mapping("ScalingConfig", "MaximumConcurrency") == {
        "min": limits.MIN_MAPPING_CONCURRENCY,
        "max": limits.MAX_MAPPING_CONCURRENCY,
    }
    assert mapping("ProvisionedPollerConfig", "MinimumPollers")["max"] == limits.MAX_MINIMUM_POLLERS
    assert mapping("ProvisionedPollerConfig", "MaximumPollers")["max"] == limits.MAX_POLLERS


def test_the_numbers_of_queues_are_those_of_the_service_model() -> None:
    """SQS's model has its ranges in its texts."""
    model = botocore.session.get_session().get_service_model("sqs")
    text = model.operation_model("SetQueueAttributes").input_shape.members["Attributes"].documentation

    for number in (
        sqs_tasks.limits.MAX_DELAY_SECONDS,
        sqs_tasks.limits.MAX_MESSAGE_BYTES,
        sqs_tasks.limits.MIN_RETENTION_SECONDS,
        sqs_tasks.limits.MAX_RETENTION_SECONDS,
        sqs_tasks.limits.DEFAULT_RETENTION_SECONDS,
        sqs_tasks.limits.MAX_VISIBILITY_SECONDS,
        sqs_tasks.limits.MAX_WAIT_SECONDS,
    ):
        assert f"{number:,}" in text


def test_the_visibility_timeout_is_the_same_multiple_everywhere() -> None:
    """Six times the function's timeout (S19): in the stack, in ``sqs-tasks diff``, in the simulator and in dev."""
    assert sqs_tasks.limits.VISIBILITY_FACTOR == rules.VISIBILITY_FACTOR


def test_environment_variables_have_one_name() -> None:
    """What the stack sets is what the library reads."""
    assert environment.APP_VARIABLE == app_path.APP_VARIABLE
    assert environment.BATCHING_WINDOW_VARIABLE == aws_lambda.BATCHING_WINDOW_VARIABLE
    assert environment.TASKS_VARIABLE == drift.TASKS_VARIABLE
    assert url_entries.QUEUE_URLS_VARIABLE == client.QUEUE_URLS_VARIABLE
    assert url_entries.ANY_QUEUE == client.ANY_QUEUE
    for name in ("GROUP_VARIABLE", "ROLE_VARIABLE", "DEAD_LETTER_VARIABLE"):
        assert getattr(schedules, name) == getattr(eventbridge, name)


def test_rights_are_those_of_the_policy_for_others() -> None:
    """What ``sqs-tasks iam`` prints is what the constructs grant."""
    assert queue_rights.SEND_ACTIONS == iam_policy.SEND_ACTIONS
    assert queue_rights.CONSUME_ACTIONS == iam_policy.CONSUME_ACTIONS
    assert queue_rights.REDRIVE_ACTIONS == iam_policy.REDRIVE_ACTIONS


def test_the_hash_of_a_queues_tasks_is_one() -> None:
    """``sqs-tasks diff`` compares its own with that of the stack."""
    env = SQSEnv(region_name="us-east-1")
    queue = env.queue("emails")
    queue.processor("b", aliases=["z", "c"])(print)
    queue.processor("a")(print)
    manifest = env.manifest()

    assert drift.tasks_hash(manifest["queues"][0]["tasks"]) == environment.tasks_hash(
        Manifest.from_dict(manifest).queues[0].tasks
    )


def registry(*timeouts: float | None, name: str = "emails", enqueues: list[str] | None = None, **options: Any) -> Any:
    """The manifest of one queue with tasks of these timeouts."""
    env = SQSEnv(region_name="us-east-1")
    queue = env.queue(name, **options)
    for number, timeout in enumerate(timeouts):
        queue.processor(f"task-{number}", timeout=timeout, enqueues=enqueues, max_attempts=7)(print)
    return env.manifest(app="shop.tasks:env")


@pytest.mark.parametrize(
    "manifest",
    [
        registry(None),
        registry(0.4, 3),
        registry(10, 40, enqueues=["emails"]),
        registry(100, enqueues=[]),
        registry(100, enqueues=[], readers=[readers.celery]),
        registry(120, 1),
        registry(440),
        registry(895),
        registry(None, name="ledger.fifo"),
        registry(10, name="ledger.fifo", enqueues=["ledger.fifo"]),
        registry(10, visibility_timeout_seconds=43_200),
        registry(10, visibility_timeout_seconds=600),
        registry(10, visibility_timeout_seconds=61),
        registry(None, visibility_timeout_seconds=40),
        registry(10, visibility_timeout_seconds=15),
    ],
)
def test_dev_runs_the_function_that_the_stack_makes(manifest: dict[str, Any]) -> None:
    """Batch size, timeouts, memory and loops of ``dev --as lambda`` are those of a deploy with nothing set by hand."""
    (name,) = [queue["name"] for queue in manifest["queues"]]
    stack = Stack(App(), "S")
    tasks = SqsTasks(
        stack,
        "T",
        manifest=manifest,
        lambda_defaults={"code": lambda_.Code.from_inline("x"), "handler": "index.h"},
    )
    worker = tasks.workers[name]
    assert isinstance(worker, LambdaWorker)
    template = Template.from_stack(stack).to_json()["Resources"].values()
    (function,) = [one["Properties"] for one in template if one["Type"] == "AWS::Lambda::Function"]
    (queue,) = [
        one["Properties"]
        for one in template
        if one["Type"] == "AWS::SQS::Queue" and one["Properties"]["QueueName"] == name
    ]

    assert queue_functions(manifest)[name] == QueueFunction(
        batch_size=worker.batch_size,
        timeout_seconds=function["Timeout"],
        visibility_timeout_seconds=queue["VisibilityTimeout"],
        allow_recursive_loop=function.get("RecursiveLoop") == "Allow",
        memory_mb=function["MemorySize"],
    )


@pytest.mark.parametrize(
    "manifest",
    [
        registry(10, enqueues=[]),
        registry(896, enqueues=[]),
        registry(5_395, enqueues=[]),
        registry(10, name="ledger.fifo"),
    ],
)
def test_dev_runs_the_function_that_the_stack_makes_on_managed_instances(manifest: dict[str, Any]) -> None:
    """With a capacity provider there is more time and more memory, in both."""
    (name,) = [queue["name"] for queue in manifest["queues"]]
    stack = Stack(App(), "S")
    arn = "arn:aws:lambda:us-east-1:123456789012:capacity-provider:p"
    provider = lambda_.CapacityProvider.from_capacity_provider_arn(stack, "P", arn)
    tasks = SqsTasks(
        stack,
        "T",
        manifest=manifest,
        lambda_defaults={"code": lambda_.Code.from_inline("x"), "handler": "index.h", "capacity_provider": provider},
    )
    resources = Template.from_stack(stack).to_json()["Resources"].values()
    (function,) = [one["Properties"] for one in resources if one["Type"] == "AWS::Lambda::Function"]
    made = queue_functions(manifest, managed=[name])[name]

    assert (made.timeout_seconds, made.memory_mb) == (function["Timeout"], function["MemorySize"])
    assert made.batch_size == getattr(tasks.workers[name], "batch_size", None)
    (visibility,) = [
        one["Properties"]["VisibilityTimeout"]
        for one in resources
        if one["Type"] == "AWS::SQS::Queue" and one["Properties"]["QueueName"] == name
    ]
    assert made.visibility_timeout_seconds == visibility


@pytest.mark.parametrize("manifest", [registry(896), registry(10, visibility_timeout_seconds=14)])
def test_dev_refuses_the_queues_that_the_stack_refuses(manifest: dict[str, Any]) -> None:
    """A task that is too long for a function, and a visibility timeout that is too short for it."""
    with pytest.raises(RuleError):
        SqsTasks(
            Stack(App(), "S"),
            "T",
            manifest=manifest,
            lambda_defaults={"code": lambda_.Code.from_inline("x"), "handler": "index.h"},
        )
    with pytest.raises(ConfigurationError):
        queue_functions(manifest)
