"""A registry that one stack cannot hold: workers and alarms in nested stacks, and queues where they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnResource, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns

from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.stack import SqsTasks, TaskStack
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, warnings

CODE = lambda_.Code.from_inline("def handler(event, context): ...")

#: Alarms that the test can do without: a third of them shows the same, and is made in a third of the time.
_LEFT_OUT = ("age", "in-flight", "nothing-finished", "time-to-drain", "throttles", "duration")

_IMAGE: Any = {"image": ecs.ContainerImage.from_registry("shop")}

Templates = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskStack, Templates]:
    """A hundred queues with functions that may add jobs anywhere, and their alarms as one; and all templates."""
    directory = tmp_path_factory.mktemp("hundred")
    app = App(outdir=str(directory), analytics_reporting=False)
    stack = TaskStack(
        app,
        "Shop",
        manifest=manifest(*(queue(f"queue-{number}", tasks=[task(enqueues=None)]) for number in range(100))),
        lambda_defaults={"code": CODE},
    )
    stack.tasks.monitor(
        alarm_topic=sns.Topic(stack, "Topic"), combined=True, with_dashboard=False, without_alarms=_LEFT_OUT
    )
    app.synth()
    return stack, {path.name: json.loads(path.read_text()) for path in directory.glob("*.template.json")}


def _of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {key: one for key, one in template["Resources"].items() if one["Type"] == f"AWS::{kind}"}


def test_hundred_queues_stay_within_what_cloudformation_takes(hundred: tuple[TaskStack, Templates]) -> None:
    """500 resources, 200 parameters and 1 MB for each template, and nothing is missing."""
    _, templates = hundred

    for name, template in templates.items():
        assert len(template["Resources"]) <= 500, name
        assert len(template.get("Parameters", {})) <= 200, name
        assert len(json.dumps(template)) < 1_000_000, name
    kinds = [one["Type"] for template in templates.values() for one in template["Resources"].values()]
    counts = {kind: kinds.count(f"AWS::{kind}") for kind in ("SQS::Queue", "Lambda::Function", "CloudWatch::Alarm")}
    assert counts == {"SQS::Queue": 200, "Lambda::Function": 100, "CloudWatch::Alarm": 300}


def test_queues_stay_in_the_stack_itself(hundred: tuple[TaskStack, Templates]) -> None:
    """A queue in a nested stack could move to another, which deletes it."""
    _, templates = hundred

    assert len(_of_type(templates["Shop.template.json"], "SQS::Queue")) == 200
    assert not any(_of_type(template, "SQS::Queue") for name, template in templates.items() if "nested" in name)


def test_mappings_wait_for_their_queues(hundred: tuple[TaskStack, Templates]) -> None:
    """A nested stack knows queues by name, so it says which ones it needs; each function's own and no others."""
    stack, templates = hundred
    nested = _of_type(templates["Shop.template.json"], "CloudFormation::Stack")

    waited_for = [queue for one in nested.values() for queue in one.get("DependsOn", ()) if "Queue" in queue]
    assert len(waited_for) == len(set(waited_for)) == 100
    worker = stack.tasks.workers["queue-7"]
    part = Stack.of(worker)
    assert isinstance(part.nested_stack_resource, CfnResource)
    depends = nested[stack.resolve(part.nested_stack_resource.logical_id)]["DependsOn"]
    made = stack.tasks.queues["queue-7"].resource
    assert made is not None
    assert stack.resolve(made.logical_id) in depends


def test_one_alarm_speaks_for_all_parts(hundred: tuple[TaskStack, Templates]) -> None:
    """Three hundred alarms in eight nested stacks notify by a single one."""
    _, templates = hundred

    notifying = [
        one
        for template in templates.values()
        for one in _of_type(template, "CloudWatch::CompositeAlarm").values()
        if one["Properties"].get("AlarmActions")
    ]
    assert len(notifying) == 1


def test_split_is_said_with_what_a_deployed_stack_goes_through(hundred: tuple[TaskStack, Templates]) -> None:
    """Whoever grows past the limit reads what is made anew before it happens."""
    stack, _ = hundred

    (said,) = [text for text in warnings(stack) if "nested stacks" in text]
    assert said.startswith("Workers and queues of this registry are 900 resources, and a stack holds 500")
    assert "makes its functions, services, roles and log groups anew" in said


def _small(app: App, construct_id: str, **settings: Any) -> TaskStack:
    registry = manifest(
        queue("emails", tasks=[task(enqueues=["orders.fifo"])]),
        queue("orders.fifo", tasks=[task(enqueues=None)]),
        queue("films", runs_on="fargate"),
    )
    return TaskStack(app, construct_id, manifest=registry, **settings)


def test_growing_past_the_limit_moves_no_queue(app: App, tmp_path: Path) -> None:
    """Queues have the same ids and properties in a stack that is split; code is uploaded once and used in each part."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "tasks.py").touch()

    def made(construct_id: str, *, split: bool) -> TaskStack:
        code = lambda_.Code.from_asset(str(tmp_path / "code"))
        return _small(app, construct_id, split=split, lambda_defaults={"code": code}, fargate_defaults=_IMAGE)

    whole, parts = made("Whole", split=False), made("Parts", split=True)

    before, after = Resources(whole), Resources(parts)
    assert after.of_type("SQS::Queue") == before.of_type("SQS::Queue")
    assert before.of_type("Lambda::Function")
    assert not after.of_type("Lambda::Function")
    assert not [text for text in warnings(parts) if "nested" in text], "split=True confirms it"
    (key,) = {one["Properties"]["Code"]["S3Key"] for one in before.of_type("Lambda::Function").values()}
    for name in ("emails", "orders.fifo"):
        worker = parts.tasks.workers[name]
        assert isinstance(worker, LambdaWorker)
        function = Resources(Stack.of(worker)).of_type("Lambda::Function").values()
        assert {one["Properties"]["Code"]["S3Key"] for one in function} == {key}
        assert {one["Properties"]["Handler"] for one in function} == {"sqs_tasks.lambda_handler.handler"}


def test_keys_and_unnamed_queues_reach_the_parts(app: App) -> None:
    """A key of the stack is granted in its nested stacks; nothing is exported."""
    stack = Stack(app, "Shop")
    key = kms.Key(stack, "Key")
    tasks = SqsTasks(
        stack,
        "Tasks",
        manifest=manifest(),
        split=True,
        lambda_defaults={"code": CODE},
        queue_defaults={"encryption_master_key": key},
    )

    part = Resources(Stack.of(tasks.workers["emails"]))
    granted = [one for one in part.statements() if "kms:Decrypt" in one["Action"]]
    assert granted
    assert "Outputs" not in Resources(stack).template
