"""The table of the store: its key, its time to live, and who may use its items."""

from __future__ import annotations

import json
from typing import Any

import cdk_nag
import jsonschema
import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from sqs_tasks import ConcurrencyLimit, SQSEnv
from sqs_tasks.deployment.iam_policy import iam_policy
from sqs_tasks.deployment.plan import plan
from sqs_tasks.store import DynamoDBStore, SQLiteStore, dynamodb
from sqs_tasks_cdk import store_names
from sqs_tasks_cdk.manifest import SCHEMA_PATH
from sqs_tasks_cdk.task_queues import TaskQueues
from sqs_tasks_cdk.task_workers import TaskWorkers
from tests.support.templates import Resources, joined

CODE = {"code": lambda_.Code.from_inline("def handler(event, context): ...")}
OWN = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/shop-store"
USE = {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}


def registry(store: Any = None) -> dict[str, Any]:
    """A queue with recorded jobs, one with limits that adds such jobs, and one that asks for nothing."""
    env = SQSEnv(queue_prefix="shop-", region_name="us-east-1", store=store or DynamoDBStore())
    env.queue("reports").processor("write", record=True, enqueues=[])(print)
    env.queue("crm").processor("push", limits=[ConcurrencyLimit(3)], enqueues=["reports"])(print)
    env.queue("emails").processor("send", enqueues=[])(print)
    return env.manifest(app="shop.tasks:env")


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stack, Stack]:
    """Queues and workers in stacks of their own, synthesised against the rules of others."""
    out = tmp_path_factory.mktemp("store") / "cdk.out"
    app = App(outdir=str(out), analytics_reporting=False, context={"@aws-cdk/core:validateAgainstDefaultRules": True})
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    stateful, stateless = Stack(app, "Queues"), Stack(app, "Workers")
    queues = TaskQueues(stateful, "Tasks", manifest=registry())
    TaskWorkers(stateless, "Tasks", queues=queues, lambda_defaults=CODE)  # type: ignore[arg-type]
    for name in ("reports", "crm"):
        role = iam.Role(stateful, f"Web-{name}", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
        queues[name].grant_send(role)
    app.synth()
    return stateful, stateless


def rights(stack: Stack, role: str) -> dict[str, set[str]]:
    """What a role may do in DynamoDB: actions by resource."""
    found: dict[str, set[str]] = {}
    for key, policy in Resources(stack).of_type("IAM::Policy").items():
        for one in policy["Properties"]["PolicyDocument"]["Statement"] if role in key else ():
            actions = {one["Action"]} if isinstance(one["Action"], str) else set(one["Action"])
            if any(action.startswith("dynamodb:") for action in actions):
                found.setdefault(joined(one["Resource"]), set()).update(actions)
    return found


def test_table_is_on_demand_kept_and_forgets_by_itself(stacks: tuple[Stack, Stack]) -> None:
    """One for the registry, in the stack of the queues, as DynamoDBStore reads and writes it."""
    (table,) = Resources(stacks[0]).of_type("DynamoDB::Table").values()
    properties = table["Properties"]

    assert properties["TableName"] == "shop-store"
    assert properties["KeySchema"] == [{"AttributeName": dynamodb.KEY, "KeyType": "HASH"}]
    assert properties["AttributeDefinitions"] == [{"AttributeName": "pk", "AttributeType": "S"}]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["TimeToLiveSpecification"] == {"AttributeName": dynamodb.EXPIRES, "Enabled": True}
    assert table["DeletionPolicy"].startswith("Retain")
    assert Resources(stacks[1]).of_type("DynamoDB::Table") == {}


def test_those_may_use_it_whose_tasks_ask_for_something(stacks: tuple[Stack, Stack]) -> None:
    """Workers read and write, producers of recorded jobs make records; all others get nothing."""
    assert rights(stacks[1], "reports") == {OWN: USE}
    assert rights(stacks[1], "crm") == {OWN: USE}
    assert rights(stacks[1], "emails") == {}
    assert rights(stacks[0], "Webreports") == {OWN: USE - {"dynamodb:DeleteItem"}}
    assert rights(stacks[0], "Webcrm") == {}


def test_functions_learn_the_name_of_the_table(stacks: tuple[Stack, Stack]) -> None:
    """By the variable that DynamoDBStore() reads; those that need none have none."""
    variables = {
        key: one["Properties"]["Environment"]["Variables"].get(store_names.TABLE_VARIABLE)
        for key, one in Resources(stacks[1]).of_type("Lambda::Function").items()
    }

    assert sorted(str(name) for name in variables.values()) == ["None", "shop-store", "shop-store"]
    assert store_names.TABLE_VARIABLE == dynamodb.TABLE_VARIABLE
    assert (store_names.KEY, store_names.EXPIRES) == (dynamodb.KEY, dynamodb.EXPIRES)


def test_table_by_its_name_is_another_ones() -> None:
    """A table that is named is not made here, and its rights name it; SQLite needs none."""
    app = App(analytics_reporting=False)
    stack = Stack(app, "Queues")
    queues = TaskQueues(stack, "Tasks", manifest=registry(DynamoDBStore("jobs")))
    assert queues.store is None
    assert queues["crm"].store is not None
    assert queues["crm"].store.arn.endswith(":table/jobs")
    assert not [one for one in registry(SQLiteStore(":memory:"))["queues"] if "store" in one]


def test_manifest_plan_and_policy_say_the_same() -> None:
    """For those without CDK: the schema takes it, `iam` prints the rights, the plan sets the variable."""
    made = registry()
    jsonschema.validate(made, json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))
    assert [one.get("store") for one in made["queues"]] == [
        {"table": None, "records": True},
        {"table": None, "records": False},
        None,
    ]
    place = {"partition": "aws", "region": "eu-west-1", "account": "123456789012"}
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/shop-store"

    def allowed(role: str, queue: str) -> dict[str, set[str]]:
        document = iam_policy(made, role=role, queues=[queue], **place)  # type: ignore[arg-type]
        found = [one for one in document["Statement"] if one["Action"][0].startswith("dynamodb")]
        return {resource: set(one["Action"]) for one in found for resource in one["Resource"]}

    assert allowed("worker", "reports") == {arn: USE}
    assert allowed("producer", "reports") == {arn: USE - {"dynamodb:DeleteItem"}}
    assert allowed("producer", "crm") == allowed("worker", "emails") == {}
    text = json.dumps(plan(made))
    assert text.count(f'"{store_names.TABLE_VARIABLE}": "shop-store"') == 2
