"""The plan of a registry: what it needs when it is deployed.

That the CDK stack makes functions of the same size is held by ``tests/infrastructure/test_twins.py``.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.deployment.plan import SCHEMA_PATH, plan
from sqs_tasks.errors import ConfigurationError


def registry() -> SQSEnv:
    """A function, a FIFO queue, a container worker, a queue that is there already, one without tasks."""
    env = SQSEnv(region_name="us-east-1", queue_prefix="shop-")
    env.queue("emails", message_retention_seconds=1_000).processor(
        "send", timeout=20, max_attempts=9, enqueues=["emails"]
    )(print)
    env.queue("orders.fifo").processor("place", timeout=10, enqueues=[])(print)
    env.queue("films", runs_on="fargate").processor("cut", timeout=7_200, enqueues=[])(print)
    env.queue("old", queue_url="https://sqs.eu-west-1.amazonaws.com/210987654321/old").processor("x")(print)
    env.queue("bare", dead_letter_queue=None)
    return env


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return plan(registry().manifest(app="shop.tasks:env"))


def test_a_plan_is_what_its_schema_says(made: dict[str, Any]) -> None:
    """Others generate code from the schema."""
    schema = json.loads(SCHEMA_PATH.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.validate(made, schema)


def test_numbers_follow_from_the_tasks(made: dict[str, Any]) -> None:
    """Batches, time limits, receives and retention of each queue."""
    queues = {
        one["name"]: (one["visibility_timeout_seconds"], one["max_receive_count"], one["message_retention_seconds"])
        for one in made["queues"]
    }
    functions = {
        one["queue"]: (one["event_source"]["batch_size"], one["timeout_seconds"], one["allow_recursive_loop"])
        for one in made["workers"]
        if one["runs_on"] == "lambda"
    }

    assert queues["emails"] == (6 * 205, 12, 1_000)
    assert queues["orders.fifo"] == (6 * 15, 5, 345_600)
    assert queues["films"][0] == 7_205
    assert queues["bare"] == (30, None, 345_600)
    assert functions["emails"] == (10, 205, True)
    assert functions["orders.fifo"] == (1, 15, False)
    assert [one["command"][-1] for one in made["workers"] if one["runs_on"] == "fargate"] == ["films"]


def test_variables_name_the_queues_that_a_worker_uses(made: dict[str, Any]) -> None:
    """Its own, its dead letters', those that its tasks declare; one entry stands for all where they declare none."""
    urls = {one["queue"]: json.loads(one["environment"]["SQS_TASKS_QUEUE_URLS"]) for one in made["workers"]}
    here = "https://sqs.${region}.${url_suffix}/${account}/"
    there = "https://sqs.eu-west-1.amazonaws.com/210987654321/"

    assert urls["emails"] == {"emails": f"{here}shop-emails", "emails_dead": f"{here}shop-emails_dead"}
    assert urls["old"] == {"old": f"{there}old", "old_dead": f"{there}shop-old_dead", "*": f"{here}shop-*"}
    assert {one["environment"]["SQS_TASKS_APP"] for one in made["workers"]} == {"shop.tasks:env"}


def test_rights_are_placeholders_for_an_account(made: dict[str, Any]) -> None:
    """A queue of another account keeps its own."""
    by_queue = {one["queue"]: one["policy"]["Statement"][0]["Resource"] for one in made["workers"]}

    assert by_queue["emails"] == ["arn:${partition}:sqs:${region}:${account}:shop-emails"]
    assert by_queue["old"][0].startswith("arn:${partition}:sqs:eu-west-1:210987654321:")


def test_what_the_stack_would_refuse_has_no_plan() -> None:
    """A retention in which the backoffs do not fit, a task without an end, a registry that is nowhere."""
    env = SQSEnv(region_name="us-east-1")
    env.queue("emails", message_retention_seconds=60).processor("send", timeout=5, max_attempts=20)(print)

    with pytest.raises(ConfigurationError, match="add up to"):
        plan(env.manifest(app="shop.tasks:env"))
    with pytest.raises(ConfigurationError, match="where its environment is"):
        plan(env.manifest())
