"""R9: stacks that use one another's queues, and what ties them together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from aws_cdk import App, Environment, NestedStack, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk.errors import RuleError
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.task_queues import TaskQueues
from sqs_tasks_cdk.task_workers import TaskWorkers
from tests.support.manifests import manifest, queue
from tests.support.templates import Resources, joined

CODE = lambda_.Code.from_inline("def handler(event, context): ...")


@dataclass
class Stacks:
    """Queues with a customer's key, workers, and a producer, each in a stack of its own."""

    queues: Stack
    workers: Stack
    producer: Stack
    read: dict[str, Resources]


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    """The three, synthesised once."""
    directory: Path = tmp_path_factory.mktemp("stacks")
    app = App(outdir=str(directory), analytics_reporting=False)
    stateful, stateless, third = Stack(app, "Queues"), Stack(app, "Workers"), Stack(app, "Api")
    queues = TaskQueues(
        stateful,
        "Tasks",
        manifest=manifest(queue(), queue("orders.fifo")),
        defaults={"encryption_master_key": kms.Key(stateful, "Key")},
    )
    TaskWorkers(stateless, "Tasks", queues=queues, lambda_defaults={"code": CODE})
    function = lambda_.Function(
        third, "Producer", code=CODE, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_13
    )
    for name in ("emails", "orders.fifo"):
        queues[name].grant_send(function)
    app.synth()
    return Stacks(
        queues=stateful,
        workers=stateless,
        producer=third,
        read={stack.stack_name: Resources(stack) for stack in (stateful, stateless, third)},
    )


def test_r9_no_export_even_with_a_customers_key(stacks: Stacks) -> None:
    """R9: a key that is exported and in use can be neither changed nor dropped."""
    assert "Outputs" not in stacks.read["Queues"].template
    for name in ("Workers", "Api"):
        assert "Fn::ImportValue" not in json.dumps(stacks.read[name].template)


def test_r9_key_is_looked_up_at_each_deploy(stacks: Stacks) -> None:
    """R9: one parameter of Parameter Store carries the key's ARN, and workers and producers have their rights to it."""
    parameter = stacks.read["Queues"].only("SSM::Parameter")
    (key_id,) = stacks.read["Queues"].of_type("KMS::Key")
    assert joined(parameter["Value"]) == f"${{{key_id}.Arn}}"
    for name, actions in {
        "Workers": {"kms:Decrypt", "kms:GenerateDataKey"},
        "Api": {"kms:Decrypt", "kms:GenerateDataKey"},
    }.items():
        (looked_up,) = [
            (logical_id, one)
            for logical_id, one in stacks.read[name].template["Parameters"].items()
            if one["Type"] == "AWS::SSM::Parameter::Value<String>" and one["Default"] == parameter["Name"]
        ]
        assert stacks.read[name].actions_on(looked_up[0]) == actions


def test_r9_producer_of_a_third_stack_knows_the_queue_by_name(stacks: Stacks) -> None:
    """R9: the permission, the URL and the order of deploys, and nothing that locks the queue."""
    producer = stacks.read["Api"]
    assert producer.actions_on(":shop-emails") >= {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
    urls = joined(producer.only("Lambda::Function")["Environment"]["Variables"]["SQS_TASKS_QUEUE_URLS"])
    assert set(json.loads(urls)) == {"emails", "orders.fifo"}
    assert urls.count("/shop-emails") == 1
    assert stacks.queues in stacks.producer.dependencies
    assert stacks.queues in stacks.workers.dependencies


def test_producer_in_a_stack_that_the_queues_need_makes_no_circle(app: App) -> None:
    """The queues may already wait for the stack of the producer, which has their key for example."""
    base, stateful = Stack(app, "Base"), Stack(app, "Queues")
    made = TaskQueue(stateful, "emails", queue_name="shop-emails", encryption_master_key=kms.Key(base, "Key"))
    stateful.add_stack_dependency(base)
    role = iam.Role(base, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))

    made.grant_send(role)

    assert Resources(base).actions_on(":shop-emails") == {
        "sqs:SendMessage",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
    }
    assert base.dependencies == []


def test_nested_stack_is_deployed_with_its_parent(app: App) -> None:
    """Between a stack and one nested in it references are parameters, and lock nothing."""
    stack = Stack(app, "Shop")
    made = TaskQueue(stack, "emails", queue_name="shop-emails")
    nested = NestedStack(stack, "Nested")
    role = iam.Role(nested, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))

    made.grant_send(role)

    assert Resources(nested).actions_on("referenceto")


def test_r9_key_of_another_region_needs_its_arn(app: App) -> None:
    """Parameter Store reaches no other region."""
    here = Stack(app, "Here", env=Environment(account="111111111111", region="eu-west-1"))
    there = Stack(app, "There", env=Environment(account="111111111111", region="us-east-1"))
    made = TaskQueue(here, "emails", queue_name="shop-emails", encryption_master_key=kms.Key(here, "Key"))

    with pytest.raises(RuleError, match=r"'Here/Key' is made in this app.*kms\.Key\.from_key_arn.*\[R9\]"):
        made.grant_send(iam.Role(there, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")))
