"""What others' rules say of what is asked for: stages, nested stacks, new compute, sources, what exists already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cdk_nag
import pytest
from aws_cdk import Acknowledgment, App, Duration, Stack, Validations
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

from sqs_tasks_cdk.gradual_deployment import GradualDeployment
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.manifest import Manifest, ManifestTask
from sqs_tasks_cdk.stack import TaskStack
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.cfn_lint import findings
from tests.support.manifests import manifest, queue, task

CODE = lambda_.Code.from_inline("def handler(event, context): ...")
REGISTRY = manifest(
    queue("emails", tasks=[task("send", fair=True)]),
    queue("letters", tasks=[task("post")]),
    queue("reports", tasks=[task("report", timeout_seconds=3_600)]),
    queue("films", runs_on="fargate", tasks=[task("render", timeout_seconds=7_200)]),
)
PROVIDER = "arn:aws:lambda:us-east-1:123456789012:capacity-provider:shop"


def _registry(app: App) -> None:
    """A stage whose workers are in nested stacks, deployed step by step, on managed instances, and fully watched."""

    def configure(stack: Stack, _manifest: Manifest) -> dict[str, Any]:
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2, flow_logs={"all": ec2.FlowLogOptions()})
        provider = lambda_.CapacityProvider.from_capacity_provider_arn(stack, "Provider", PROVIDER)
        return {
            "lambda_settings": {
                "emails": {"deployment": GradualDeployment()},
                "reports": {"capacity_provider": provider},
            },
            "cluster": ecs.Cluster(stack, "Cluster", vpc=vpc, container_insights_v2=ecs.ContainerInsights.ENABLED),
        }

    shop = TaskStack(
        app,
        "Shop",
        manifest=REGISTRY,
        stage="dev",
        split=True,
        lambda_defaults={"code": CODE, "handler": "index.handler"},
        configure=configure,
        fargate_defaults={
            "image": ecs.ContainerImage.from_registry("shop:1"),
            "hardened": True,
            "deployment_alarms": [],
        },
    )
    topic = sns.Topic(shop, "Topic", enforce_ssl=True)
    shop.tasks.monitor(alarm_topic=topic, log_alarms=True, combined=True)
    shop.tasks.add_outputs()


def _sources(app: App) -> None:
    """A topic, a rule and an API that feed queues. How a bucket is configured is the CDK's own to answer."""
    stack = Stack(app, "Sources")
    uploads = TaskQueue(stack, "uploads", queue_name="shop-uploads")
    uploads.from_topic(sns.Topic(stack, "Topic", enforce_ssl=True))
    uploads.from_rule(
        events.Rule(stack, "Rule", event_pattern=events.EventPattern(source=["shop"])),
        dead_letter_queue=uploads.dead_letter_queue,
    )
    api = apigateway.HttpApi(stack, "Api")
    uploads.from_api(api, "/hooks")
    _answer_as_a_user(
        api,
        "AwsSolutions::AwsSolutions-APIG1",
        "AwsSolutions::AwsSolutions-APIG4",
        "Serverless::Serverless-APIGWAccessLogging",
        "Serverless::Serverless-APIGWDefaultThrottling",
    )


def _existing(app: App) -> None:
    """A queue, a function with an alias, a role and a log group that were there before."""
    stack = Stack(app, "Existing")
    dead = sqs.Queue(stack, "Dead", enforce_ssl=True, retention_period=Duration.days(14))
    old = sqs.Queue(
        stack,
        "Old",
        enforce_ssl=True,
        visibility_timeout=Duration.seconds(300),
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=8),
    )
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    function = lambda_.Function(
        stack,
        "Mine",
        code=CODE,
        handler="mine.handler",
        runtime=lambda_.Runtime.PYTHON_3_14,
        timeout=Duration.seconds(50),
        role=role,
        memory_size=512,
        tracing=lambda_.Tracing.DISABLED,
    )
    tasks = [ManifestTask(name="send", timeout_seconds=30, enqueues=())]
    alias = lambda_.Alias(stack, "Live", alias_name="live", version=function.current_version)
    LambdaWorker(
        stack,
        "Worker",
        task_queue=TaskQueue(stack, "emails", queue=old, tasks=tasks),
        app="shop.tasks:env",
        function=alias,
    )
    _answer_as_a_user(dead, "Serverless::Serverless-SQSRedrivePolicy")
    _answer_as_a_user(function, "Serverless::Serverless-LambdaDLQ", "Serverless::Serverless-LambdaTracing")


def _answer_as_a_user(construct: IConstruct, *rules: str) -> None:
    """What is wrong with what the user made is not ours to answer."""
    answers = [Acknowledgment(id=rule, reason="of the test") for rule in rules]
    Validations.of(construct).acknowledge(*answers)


class Checked:
    """One app with a stack for each of them, synthesised once and looked at by the plugins meanwhile."""

    def __init__(self, directory: Path) -> None:
        app = App(
            outdir=str(directory),
            analytics_reporting=False,
            context={"@aws-cdk/core:validateAgainstDefaultRules": True},
        )
        Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app), cdk_nag.ServerlessChecks(app))
        for make in (_registry, _sources, _existing):
            make(app)
        try:
            app.synth()
        except RuntimeError as error:
            self.error = str(error)
        else:
            self.error = ""
        self.templates = sorted(directory.glob("*.template.json"))


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    return Checked(tmp_path_factory.mktemp("cdk") / "cdk.out")


def test_cdk_nag_and_validation_find_nothing_in_options(checked: Checked) -> None:
    """C10: every finding is acknowledged in the constructs with its reason, or there is none."""
    assert checked.error.splitlines() == []


def test_cfn_lint_finds_nothing_in_options(checked: Checked) -> None:
    """Each template, the nested ones among them, is valid."""
    nested = [path for path in checked.templates if path.name.startswith("ShopTasks")]

    assert len(nested) >= 2
    assert findings(*(json.loads(path.read_text()) for path in checked.templates)) == ""
