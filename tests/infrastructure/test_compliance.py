"""What others' rules say of the templates: cdk-nag, CloudFormation's own validation, cfn-lint; and that ids stay."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cdk_nag
import pytest
from aws_cdk import App, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns

from examples.stack.app import StudioStack
from sqs_tasks_cdk.bundling import PythonBundle
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.lambda_worker import ProvisionedPollers
from sqs_tasks_cdk.stack import SqsTasks
from sqs_tasks_cdk.task_queues import TaskQueues
from sqs_tasks_cdk.task_workers import TaskWorkers
from tests.support.manifests import manifest, queue, schedule, task
from tests.support.templates import Resources

HERE = Path(__file__).parent
SNAPSHOT = HERE / "logical_ids.json"

REGISTRY = manifest(
    queue("emails", tasks=[task(enqueues=["emails", "orders.fifo"], schedules=[schedule("emails.send_email")])]),
    queue("orders.fifo", tasks=[task("place", enqueues=None, schedules=[schedule("orders.fifo.place.monday")])]),
    queue("films", runs_on="fargate", tasks=[task("render", timeout_seconds=7_200)]),
    queue("shared", dead_letter_queue={"name": "emails_dead", "queue_name": "shop-emails_dead"}),
)
LAMBDA: dict[str, Any] = {"code": lambda_.Code.from_inline("def handler(event, context): ...")}
FARGATE: dict[str, Any] = {"image": ecs.ContainerImage.from_registry("shop")}


def _plain(stack: Stack) -> None:
    SqsTasks(stack, "Tasks", manifest=REGISTRY, lambda_defaults=LAMBDA, fargate_defaults=FARGATE)  # type: ignore[arg-type]


def _watched(stack: Stack) -> None:
    tasks = SqsTasks(
        stack,
        "Tasks",
        manifest=REGISTRY,
        lambda_defaults=LAMBDA,  # type: ignore[arg-type]
        fargate_defaults={**FARGATE, "min_tasks": 0},  # type: ignore[typeddict-item]
    )
    tasks.monitor(alarm_topic=sns.Topic(stack, "Topic", enforce_ssl=True))


def _everything(stack: Stack) -> None:
    """Keys, a network with flow logs, aliases, SnapStart, windows, an image of its own."""
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2, flow_logs={"all": ec2.FlowLogOptions()})
    tasks = SqsTasks(
        stack,
        "Tasks",
        manifest=REGISTRY,
        vpc=vpc,
        delays=True,
        queue_defaults={
            "encryption_master_key": kms.Key(stack, "Key", enable_key_rotation=True),
            "data_key_reuse": Duration.hours(1),
            "removal_policy": RemovalPolicy.RETAIN,
        },
        lambda_defaults={**LAMBDA, "snap_start": True, "vpc": vpc},  # type: ignore[typeddict-item]
        lambda_settings={
            "emails": {"batch_size": 100, "max_batching_window": Duration.seconds(5), "max_concurrency": 10},
            "shared": {"provisioned_pollers": ProvisionedPollers()},
        },
        fargate_defaults={"bundle": PythonBundle(source=HERE.parent / "e2e", packages=["deployed_tasks"])},
    )
    tasks.monitor(alarms_declined_because="nobody is there", combined=True)


STACKS: dict[str, Callable[[Stack], None]] = {"plain": _plain, "watched": _watched, "everything": _everything}


@pytest.mark.parametrize("name", STACKS)
def test_cdk_nag_and_validation_find_nothing(tmp_path: Path, name: str) -> None:
    """C9, C10: AwsSolutions, Serverless and the built-in validation, as errors, without an open finding."""
    app = App(
        outdir=str(tmp_path / "cdk.out"),
        analytics_reporting=False,
        context={"@aws-cdk/core:validateAgainstDefaultRules": True},
    )
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app), cdk_nag.ServerlessChecks(app))
    STACKS[name](Stack(app, "Shop"))

    app.synth()  # raises when there is a finding

    report = json.loads((tmp_path / "cdk.out" / "validation-report.json").read_text())
    plugins = {item["pluginName"]: item for item in report["pluginReports"]}
    assert {"AwsSolutions", "Serverless"} <= set(plugins)
    assert {name for name, item in plugins.items() if item["conclusion"] != "success"} == set()


def test_cdk_nag_finds_what_users_add(tmp_path: Path) -> None:
    """C10: what we acknowledge is ours; a user's statement or plain variable on the same role or task is found."""
    app = App(outdir=str(tmp_path / "cdk.out"), analytics_reporting=False)
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    stack = Stack(app, "Shop")
    tasks = SqsTasks(
        stack,
        "Tasks",
        manifest=REGISTRY,
        lambda_defaults=LAMBDA,  # type: ignore[arg-type]
        fargate_defaults={**FARGATE, "environment": {"DB_PASSWORD": "secret"}},  # type: ignore[typeddict-item]
    )
    films = tasks.workers["films"]
    assert isinstance(films, FargateWorker)
    anything = iam.PolicyStatement(actions=["dynamodb:DeleteTable"], resources=["*"])
    for role in (tasks.workers["emails"].role, films.role, films.task_definition.obtain_execution_role()):
        role.add_to_principal_policy(anything)

    with pytest.raises(RuntimeError) as caught:
        app.synth()

    found = re.findall(
        r"Shop/Tasks/Workers/(\S+) .*\n +Acknowledge with 'AwsSolutions::AwsSolutions-(\w+)", str(caught.value)
    )
    assert set(found) == {
        ("emails/Role/DefaultPolicy/Resource", "IAM5"),
        ("films/Definition/TaskRole/DefaultPolicy/Resource", "IAM5"),
        ("films/Definition/ExecutionRole/DefaultPolicy/Resource", "IAM5"),
        ("films/Definition/Resource", "ECS2"),
    }


@pytest.mark.parametrize("name", STACKS)
def test_cfn_lint_finds_nothing(tmp_path: Path, app: App, name: str) -> None:
    """cfn-lint is content; W3005, a dependency said twice, is the CDK's own way."""
    stack = Stack(app, "Shop")
    STACKS[name](stack)
    template = tmp_path / "template.json"
    template.write_text(json.dumps(Resources(stack).template))

    done = subprocess.run(
        [str(Path(sys.executable).parent / "cfn-lint"), "-i", "W3005", "--", str(template)],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_separate_stacks_have_no_circle(tmp_path: Path) -> None:
    """R9: a stateful and a stateless stack synthesise together, checked for circles and against all rules."""
    app = App(
        outdir=str(tmp_path / "cdk.out"),
        analytics_reporting=False,
        context={"@aws-cdk/core:validateAgainstDefaultRules": True},
    )
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    stateful, stateless = Stack(app, "Queues"), Stack(app, "Workers")
    queues = TaskQueues(stateful, "Tasks", manifest=REGISTRY)
    TaskWorkers(stateless, "Tasks", queues=queues, lambda_defaults=LAMBDA, fargate_defaults=FARGATE)  # type: ignore[arg-type]

    app.synth()

    assert {path.name for path in (tmp_path / "cdk.out").glob("*.template.json")} == {
        "Queues.template.json",
        "Workers.template.json",
    }


def test_logical_ids_are_the_ones_that_are_deployed(stack: Stack) -> None:
    """C7: another logical id is another resource: a queue that loses its messages, a mapping that already exists.

    A change here is a breaking change for everybody who has deployed. ``UPDATE_SNAPSHOTS=1`` writes the file anew.
    """
    _watched(stack)

    actual = {key: value["Type"] for key, value in sorted(Resources(stack).by_id.items())}
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(actual, indent=2) + "\n")

    assert actual == json.loads(SNAPSHOT.read_text())


def test_example_stack_finds_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``examples/stack`` synthesises as it stands, with an image and bundles of its own, and against all rules.

    Its producer is a function like users write them, so the rules for functions are its author's to answer.
    """
    monkeypatch.chdir(HERE.parents[1])
    app = App(
        outdir=str(tmp_path / "cdk.out"),
        analytics_reporting=False,
        context={"@aws-cdk/core:validateAgainstDefaultRules": True, "aws:cdk:bundling-stacks": []},
    )
    stack = StudioStack(app, "Studio")

    resources = Resources(stack)
    assert {value["Properties"]["QueueName"] for value in resources.of_type("SQS::Queue").values()} >= {
        "studio-stills",
        "studio-bookings.fifo",
        "studio-films",
    }
    assert len(resources.of_type("ECS::Service")) == 1
    assert resources.queue("studio-films")["VisibilityTimeout"] == 7_205
