"""Queues of other accounts and regions: what can be done from here, and what is refused before it fails there."""

from __future__ import annotations

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.existing_queues import queue_at
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.monitoring import TaskMonitoring
from sqs_tasks_cdk.stack import SqsTasks
from tests.support.manifests import manifest, queue
from tests.support.templates import Resources, warnings

CODE = lambda_.Code.from_inline("def handler(event, context): ...")
HOME = Environment(account="111111111111", region="eu-west-1")


def _registry(app: App, *, region: str = "eu-west-1") -> SqsTasks:
    """Two queues, one of which is in another account."""
    url = f"https://sqs.{region}.amazonaws.com/222222222222/partner"
    return SqsTasks(
        Stack(app, "Shop", env=HOME),
        "Tasks",
        manifest=manifest(queue(), queue("partner", queue_url=url, queue_name="partner")),
        lambda_defaults={"code": CODE},
    )


def test_function_for_a_queue_of_another_region_is_refused(app: App) -> None:
    """Z7: Lambda polls its own region only, and CloudFormation would say so half way through a deploy."""
    with pytest.raises(StackError, match="'partner' is in us-east-1 and its function would be in eu-west-1"):
        _registry(app, region="us-east-1")


def test_queue_of_another_account_has_no_alarms_here(app: App) -> None:
    """Its metrics are in its account: an alarm here would never go off, and that is said."""
    tasks = _registry(app)
    monitoring = tasks.monitor(alarms_declined_because="a test")
    stack = Stack.of(tasks)

    assert {name for name in monitoring.alarms if name.startswith("partner ")} == {
        f"partner {what}" for what in ("errors", "throttles", "duration", "recursion")
    }
    assert any("'partner' is in account 222222222222" in text for text in warnings(stack))
    with pytest.raises(StackError, match=r"'partner' is in account 222222222222.*would never go off"):
        TaskMonitoring(stack, "Other", queues=list(tasks.queues), alarms_declined_because="a test")


def test_service_is_not_scaled_by_metrics_of_another_account(app: App) -> None:
    """The metrics that a service is scaled by must be where the service is."""
    tasks = _registry(app)

    with pytest.raises(StackError, match=r"'partner' is in account 222222222222.*make the service in a stack there"):
        FargateWorker(
            Stack.of(tasks),
            "Service",
            task_queues=[tasks.queues["partner"]],
            app="shop.tasks:env",
            image=ecs.ContainerImage.from_registry("registry.example/shop:1"),
        )


def test_stack_that_may_be_anywhere_refuses_nothing(app: App) -> None:
    """A stack without an account of its own may be deployed to that of the queue."""
    stack = Stack(app, "Anywhere")
    tasks = SqsTasks(
        stack,
        "Tasks",
        manifest=manifest(),
        queue_settings={
            "emails": {"queue": sqs.Queue.from_queue_arn(stack, "Old", "arn:aws:sqs:us-east-1:222222222222:emails")}
        },
        lambda_defaults={"code": CODE},
    )
    tasks.monitor(alarms_declined_because="a test")

    assert len(Resources(stack).of_type("CloudWatch::Alarm")) == 8


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sqs.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("sqs-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("vpce-0a1b-2c3d.sqs.ap-southeast-2.vpce.amazonaws.com", "ap-southeast-2"),
        ("sqs.us-east-1.api.aws", "us-east-1"),
        ("eu-central-1.queue.amazonaws.com", "eu-central-1"),
        ("localhost:4566", "eu-west-1"),
    ],
)
def test_url_says_the_region(stack: Stack, host: str, region: str) -> None:
    """Every partition and kind of endpoint; a host that says none is taken to be where the stack is."""
    home = Stack(stack.node.scope, "Home", env=HOME)

    found = queue_at(home, "Queue", f"https://{host}/222222222222/partner")

    assert (found.env.account, found.env.region) == ("222222222222", region)
