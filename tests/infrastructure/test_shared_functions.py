"""One function for several queues of a registry."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk.errors import ManifestError, StackError
from sqs_tasks_cdk.stack import TaskStack
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, joined

REGISTRY = manifest(
    queue("emails", tasks=[task(timeout_seconds=2)]),
    queue("letters", tasks=[task(timeout_seconds=120, enqueues=["letters"])]),
    queue("orders.fifo"),
    queue("films", runs_on="fargate"),
)


def _stack(app: App, **settings: Any) -> TaskStack:
    code = lambda_.Code.from_inline("def handler(event, context): ...")
    return TaskStack(app, "Shop", manifest=REGISTRY, lambda_defaults={"code": code}, **settings)


@pytest.fixture(scope="module")
def shared() -> Resources:
    """Three queues and one function."""
    return Resources(
        _stack(
            App(analytics_reporting=False),
            only=["emails", "letters", "orders.fifo"],
            shared_functions={"mail": ["letters", "emails", "orders.fifo"]},
        )
    )


def test_queues_share_a_function(shared: Resources) -> None:
    """One function and three mappings, each with the batch size of its own tasks within the common timeout."""
    function = shared.only("Lambda::Function")
    mappings = shared.of_type("Lambda::EventSourceMapping").values()

    assert function["Timeout"] == 245
    assert sorted(one["Properties"]["BatchSize"] for one in mappings) == [1, 2, 10]
    assert len({json.dumps(one["Properties"]["FunctionName"]) for one in mappings}) == 1
    assert function["RecursiveLoop"] == "Allow", "one of the queues feeds itself"


def test_every_queue_hides_messages_for_the_common_timeout(shared: Resources) -> None:
    """R2: six timeouts of the function, whichever queue its batch is from."""
    for name in ("shop-emails", "shop-letters", "shop-orders.fifo"):
        assert shared.queue(name)["VisibilityTimeout"] == 6 * 245


def test_shared_function_knows_and_may_use_all(shared: Resources) -> None:
    """The URLs of all queues, the rights to them, and no claim for which tasks of one queue it was deployed."""
    variables = shared.only("Lambda::Function")["Environment"]["Variables"]

    assert {"emails", "letters", "orders.fifo"} <= set(json.loads(joined(variables["SQS_TASKS_QUEUE_URLS"])))
    assert "SQS_TASKS_TASKS_HASH" not in variables
    for part in ("emailsQueue", "lettersQueue", "ordersfifoQueue"):
        assert {"sqs:ReceiveMessage", "sqs:DeleteMessage"} <= shared.actions_on(part)


@pytest.mark.parametrize(
    ("groups", "error", "says"),
    [
        ({"mail": ["emails", "films"]}, StackError, "has queue 'films', which no function works here"),
        ({"mail": ["emails", "letters"], "post": ["letters", "orders.fifo"]}, StackError, "is in another group too"),
        ({"mail": ["emails"]}, StackError, "has queue 'emails' alone"),
        ({"mail": ["emails", "leters"]}, ManifestError, "did you mean 'letters'"),
    ],
)
def test_groups_that_cannot_be_are_refused(
    app: App, groups: dict[str, list[str]], error: type[Exception], says: str
) -> None:
    """A queue of a service, in two groups, alone, or misspelt."""
    with pytest.raises(error, match=says):
        _stack(app, shared_functions=groups)


def test_alias_of_a_shared_function_is_refused(app: App) -> None:
    """A mapping of the other queues would feed another version."""
    with pytest.raises(StackError, match="shares its function, which has an alias"):
        _stack(
            app,
            only=["emails", "letters"],
            shared_functions={"mail": ["emails", "letters"]},
            lambda_settings={"emails": {"alias": "live"}},
        )
