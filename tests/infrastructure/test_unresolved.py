"""Numbers that are known at the deploy only, in every numeric argument of every construct."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from aws_cdk import App, CfnParameter, Duration, Size, Stack, Token
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk.alarm_options import AlarmOptions
from sqs_tasks_cdk.alarms import Objectives
from sqs_tasks_cdk.dead_letter_queue import DeadLetterQueue
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.fargate_worker import FargateWorker, make_cluster
from sqs_tasks_cdk.lambda_worker import LambdaWorker, ProvisionedPollers
from sqs_tasks_cdk.managed_instances import ManagedInstances
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.monitoring import TaskMonitoring
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.templates import Resources

CODE = lambda_.Code.from_inline("def handler(event, context): ...")
IMAGE = ecs.ContainerImage.from_registry("registry.example/shop:1")
TASK = ManifestTask(name="send", timeout_seconds=30, max_attempts=5, enqueues=())

#: Makes something with a number, and its worker with alarms.
Make = Callable[[Construct, float], Any]


def _queue(stack: Construct, **settings: Any) -> TaskQueue:
    return TaskQueue(stack, "emails", queue_name=f"q{stack.node.addr[-8:]}", tasks=[TASK], **settings)


def _worked(stack: Construct, **settings: Any) -> None:
    LambdaWorker(stack, "Worker", task_queue=_queue(stack, **settings), app="shop.tasks:env", code=CODE)


def _function(stack: Construct, of_queue: dict[str, Any] | None = None, **settings: Any) -> None:
    queue = _queue(stack, **(of_queue or {}))
    worker = LambdaWorker(stack, "Worker", task_queue=queue, app="shop.tasks:env", code=CODE, **settings)
    if "timeout" in settings:  # which alarms and a graph are computed from
        TaskMonitoring(stack, "Watch", queues=[queue], workers=[worker], alarms_declined_because="a test")


def _service(stack: Construct, **settings: Any) -> None:
    cluster = Stack.of(stack).node.try_find_child("Cluster") or make_cluster(Stack.of(stack), vpc=None)
    worker = FargateWorker(
        stack,
        "Worker",
        task_queues=[_queue(stack)],
        app="shop.tasks:env",
        image=IMAGE,
        cluster=cast("ecs.Cluster", cluster),
        **settings,
    )
    if "min_tasks" in settings:
        TaskMonitoring(stack, "Watch", queues=[], workers=[worker], alarms_declined_because="a test")


def _provider(stack: Construct) -> lambda_.ICapacityProvider:
    arn = "arn:aws:lambda:us-east-1:123456789012:capacity-provider:shop"
    return lambda_.CapacityProvider.from_capacity_provider_arn(stack, "Provider", arn)


def _watched(stack: Construct, **settings: Any) -> None:
    fair = ManifestTask(name="send", timeout_seconds=30, fair=True, enqueues=())
    queue = TaskQueue(stack, "emails", tasks=[fair])
    worker = LambdaWorker(stack, "Worker", task_queue=queue, app="shop.tasks:env", code=CODE)
    TaskMonitoring(stack, "Watch", queues=[queue], workers=[worker], alarms_declined_because="a test", **settings)


def _worked_existing(stack: Construct, number: float) -> None:
    seconds = Duration.seconds(number)
    dead = sqs.Queue(stack, "Dead", retention_period=seconds)
    old = sqs.Queue(
        stack,
        "Old",
        visibility_timeout=seconds,
        retention_period=seconds,
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=number),
    )
    queue = TaskQueue(stack, "emails", queue=old, tasks=[TASK])
    LambdaWorker(stack, "Worker", task_queue=queue, app="shop.tasks:env", code=CODE)


def _existing(stack: Construct, of_queue: dict[str, Any] | None = None, **settings: Any) -> None:
    timeout = settings.pop("timeout", Duration.seconds(50))
    function = lambda_.Function(
        stack, "Mine", code=CODE, handler="mine.handler", runtime=lambda_.Runtime.PYTHON_3_13, timeout=timeout
    )
    queue = _queue(stack, **(of_queue or {}))
    LambdaWorker(stack, "Worker", task_queue=queue, app="shop.tasks:env", function=function, **settings)


_PASS: dict[str, Make] = {
    "queue visibility_timeout": lambda stack, n: _worked(stack, visibility_timeout=Duration.seconds(n)),
    "queue delivery_delay": lambda stack, n: _worked(stack, delivery_delay=Duration.seconds(n)),
    "queue retention_period": lambda stack, n: _worked(stack, retention_period=Duration.seconds(n)),
    "queue max_receive_count": lambda stack, n: _worked(stack, max_receive_count=n),
    "queue max_message_size_bytes": lambda stack, n: _worked(stack, max_message_size_bytes=n),
    "queue data_key_reuse": lambda stack, n: _worked(
        stack, encryption_master_key=kms.Key(stack, "Key"), data_key_reuse=Duration.seconds(n)
    ),
    "dead-letter retention_period": lambda stack, n: _worked(
        stack,
        dead_letter_queue=DeadLetterQueue(
            stack, "Dead", logical_name="dead", queue_name="dead", retention_period=Duration.seconds(n)
        ),
    ),
    "function timeout": lambda stack, n: _function(
        stack, {"visibility_timeout": Duration.seconds(900)}, timeout=Duration.seconds(n)
    ),
    "function batch_size": lambda stack, n: _function(stack, batch_size=n, timeout=Duration.seconds(100)),
    "function max_batching_window": lambda stack, n: _function(stack, max_batching_window=Duration.seconds(n)),
    "function max_concurrency": lambda stack, n: _function(stack, max_concurrency=n, reserved_concurrent_executions=2),
    "function reserved_concurrent_executions": lambda stack, n: _function(
        stack, max_concurrency=5, reserved_concurrent_executions=n
    ),
    "function memory_size": lambda stack, n: _function(stack, memory_size=n),
    "function ephemeral_storage_size": lambda stack, n: _function(
        stack, ephemeral_storage_size=Size.mebibytes(n), snap_start=True
    ),
    "function pollers minimum": lambda stack, n: _function(
        stack,
        provisioned_pollers=ProvisionedPollers(minimum=n, maximum=9),  # type: ignore[arg-type]
    ),
    "function pollers maximum": lambda stack, n: _function(
        stack,
        provisioned_pollers=ProvisionedPollers(maximum=n),  # type: ignore[arg-type]
    ),
    "managed memory_size": lambda stack, n: _function(stack, capacity_provider=_provider(stack), memory_size=n),
    "managed concurrency": lambda stack, n: _function(
        stack,
        capacity_provider=ManagedInstances(
            provider=_provider(stack),
            concurrency=n,  # type: ignore[arg-type]
            memory_gib_per_vcpu=n,
            min_environments=n,  # type: ignore[arg-type]
            max_environments=n,  # type: ignore[arg-type]
        ),
    ),
    "alarm options": lambda stack, n: _watched(
        stack,
        log_alarms=True,
        alarm_options={
            name: AlarmOptions(threshold=n, periods=n, datapoints=n)  # type: ignore[arg-type]
            for name in ("age", "rejected")
        },
    ),
    "objectives": lambda stack, n: _watched(
        stack, objectives=Objectives(age=Duration.seconds(n), time_to_drain=Duration.seconds(n))
    ),
    "existing queue": _worked_existing,
    "existing function window": lambda stack, n: _existing(stack, max_batching_window=Duration.seconds(n)),
    "existing function timeout": lambda stack, n: _existing(
        stack, {"visibility_timeout": Duration.seconds(900)}, timeout=Duration.seconds(n)
    ),
    "service cpu": lambda stack, n: _service(stack, cpu=n),
    "service memory_limit_mib": lambda stack, n: _service(stack, memory_limit_mib=n),
    "service health_port": lambda stack, n: _service(stack, health_port=n),
    "service min_tasks": lambda stack, n: _service(stack, min_tasks=n),
    "service max_tasks": lambda stack, n: _service(stack, max_tasks=n),
    "service stop_timeout": lambda stack, n: _service(
        stack, stop_timeout=Duration.seconds(n), grace_period=Duration.seconds(60)
    ),
    "service grace_period": lambda stack, n: _service(stack, grace_period=Duration.seconds(n)),
}

_NEEDED: dict[str, tuple[Make, str]] = {
    "function timeout alone": (
        lambda stack, n: _function(stack, timeout=Duration.seconds(n)),
        "give the queue visibility_timeout= as well",
    ),
    "function batch_size alone": (lambda stack, n: _function(stack, batch_size=n), "give timeout= as well"),
    "service stop_timeout alone": (
        lambda stack, n: _service(stack, stop_timeout=Duration.seconds(n)),
        "give grace_period= as well",
    ),
    "objective of a share of messages": (
        lambda stack, n: _watched(stack, objectives=Objectives(in_flight_share=n)),
        "in_flight_share is known at the deploy only, .* give the alarm itself a threshold, in alarm_options",
    ),
    "objective of a share of the timeout": (
        lambda stack, n: _watched(stack, objectives=Objectives(duration_share=n)),
        "duration_share is known at the deploy only",
    ),
    "service concurrency": (lambda stack, n: _service(stack, concurrency=n), "concurrency is known at the deploy only"),
    "service target_latency": (
        lambda stack, n: _service(stack, target_latency=Duration.seconds(n)),
        "target_latency is known at the deploy only",
    ),
    "service mean_task_duration": (
        lambda stack, n: _service(stack, mean_task_duration=Duration.seconds(n)),
        "mean_task_duration is known at the deploy only",
    ),
}


def _id(name: str) -> str:
    return "".join(filter(str.isalnum, name.title()))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack with a parameter."""
    made = Stack(App(outdir=str(tmp_path_factory.mktemp("unresolved")), analytics_reporting=False), "Test")
    CfnParameter(made, "Number", type="Number")
    return made


@pytest.fixture(scope="module")
def resources(stack: Stack) -> dict[str, Any]:
    """What all of them make of the parameter, each below an id of its own, synthesised once."""
    for name, make in _PASS.items():
        make(Construct(stack, _id(name)), Token.as_number({"Ref": "Number"}))
    return Resources(stack).by_id


@pytest.mark.parametrize("name", _PASS)
def test_number_of_a_parameter_stands_in_the_template(resources: dict[str, Any], name: str) -> None:
    """It passes every check that cannot be made on it, and is nowhere taken for the number that stands for it here."""
    text = json.dumps([one for logical_id, one in resources.items() if logical_id.startswith(_id(name))])

    assert '{"Ref": "Number"}' in text
    assert re.search(r"e\+2\d\d", text) is None


@pytest.mark.parametrize(("make", "says"), _NEEDED.values(), ids=_NEEDED)
def test_number_that_others_are_computed_from_is_asked_for(
    make: Make, says: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What cannot be computed is not made up: the text says what to give besides."""
    stack = Stack(App(outdir=str(tmp_path_factory.mktemp("needed"))), "Test")

    with pytest.raises(StackError, match=says):
        make(stack, Token.as_number({"Ref": "Number"}))
