"""Functions that exist already: by alias or version, with several queues, and what these must agree on."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match

from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.templates import Resources, joined, warnings

CODE = lambda_.Code.from_inline("def handler(event, context): ...")


def _function(stack: Stack, **settings: Any) -> lambda_.Function:
    return lambda_.Function(
        stack,
        "Mine",
        **{
            "code": CODE,
            "handler": "mine.handler",
            "runtime": lambda_.Runtime.PYTHON_3_13,
            "timeout": Duration.seconds(50),
            **settings,
        },
    )


def _worker(stack: Stack, name: str, function: lambda_.IFunction, **settings: Any) -> LambdaWorker:
    task = ManifestTask(name="send", timeout_seconds=30, enqueues=())
    queue = TaskQueue(stack, name, queue_name=f"shop-{name}", tasks=[task], fifo=name.endswith(".fifo"))
    return LambdaWorker(
        stack, f"{name}-worker", task_queue=queue, app="shop.tasks:env", **{"function": function, **settings}
    )


def _variables(stack: Stack) -> dict[str, Any]:
    variables: dict[str, Any] = Resources(stack).only("Lambda::Function")["Environment"]["Variables"]
    return variables


def test_alias_is_fed_and_its_function_read(stack: Stack) -> None:
    """The queue feeds the alias; timeout, variables and rights are those of the function behind it."""
    function = _function(stack)
    alias = lambda_.Alias(stack, "Live", alias_name="live", version=function.current_version)

    worker = _worker(stack, "emails", alias)

    resources = Resources(stack)
    (alias_id,) = resources.of_type("Lambda::Alias")
    assert (worker.function, worker.alias) == (function, alias)
    fed = resources.only("Lambda::EventSourceMapping")["FunctionName"]["Fn::Join"][1]
    assert (alias_id in str(fed), fed[-1]) == (True, ":live")
    assert resources.queue("shop-emails")["VisibilityTimeout"] == 300
    assert _variables(stack)["SQS_TASKS_APP"] == "shop.tasks:env"
    assert '"emails"' in joined(_variables(stack)["SQS_TASKS_QUEUE_URLS"])
    assert "sqs:ReceiveMessage" in resources.actions_on("emails")


def test_version_is_fed_and_its_function_read(stack: Stack) -> None:
    """A version is fed as it is."""
    function = _function(stack)

    worker = _worker(stack, "emails", function.current_version)

    resources = Resources(stack)
    (version_id,) = resources.of_type("Lambda::Version")
    assert (worker.function, worker.alias, worker.timeout.to_seconds()) == (function, None, 50)
    assert version_id in str(resources.only("Lambda::EventSourceMapping")["FunctionName"])


def test_function_of_several_queues_has_what_suits_all(stack: Stack) -> None:
    """The longest window, one app and one service name, and a reserve for the sum of the maxima."""
    function = _function(stack, reserved_concurrent_executions=12)
    _worker(stack, "a", function, max_batching_window=Duration.seconds(20), max_concurrency=5, service_name="mail")
    _worker(stack, "b", function, max_batching_window=Duration.seconds(5), max_concurrency=7)

    variables = _variables(stack)
    assert variables["SQS_TASKS_BATCHING_WINDOW_SECONDS"] == "20"
    assert variables["POWERTOOLS_SERVICE_NAME"] == "mail"
    assert warnings(stack) == []
    with pytest.raises(
        RuleError, match=r"of 12 for a function with a max_concurrency of 14 \(queue 'a', 'b', 'c'\).*\[R4\]"
    ):
        _worker(stack, "c", function, max_concurrency=2)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"app": "other.tasks:env"}, "app='other.tasks:env' for a function that works 'a' with app='shop.tasks:env'"),
        ({"service_name": "post"}, "service_name='post' for a function that works 'a' with service_name='mail'"),
    ],
)
def test_queues_of_a_function_cannot_disagree(stack: Stack, settings: dict[str, Any], says: str) -> None:
    """The second worker would silently overwrite the variables of the first."""
    function = _function(stack)
    _worker(stack, "a", function, service_name="mail")
    task_queue = TaskQueue(stack, "b")

    with pytest.raises(StackError, match=says):
        LambdaWorker(
            stack, "Other", **{"task_queue": task_queue, "app": "shop.tasks:env", "function": function, **settings}
        )


def test_reserve_without_a_maximum_is_warned_of(stack: Stack) -> None:
    """S34: as for a function that the stack makes."""
    _worker(stack, "emails", _function(stack, reserved_concurrent_executions=3))

    assert ["give max_concurrency=3 as well" in text for text in warnings(stack)] == [True]


def test_name_of_the_metrics_is_asked_for(stack: Stack) -> None:
    """Without a service name nobody knows by which name its metrics are found, and that is said."""
    _worker(stack, "emails", _function(stack))

    notes = [str(one.entry.data) for one in Annotations.from_stack(stack).find_info("*", Match.any_value())]
    assert "POWERTOOLS_SERVICE_NAME" not in _variables(stack)
    assert any("give service_name= with the POWERTOOLS_SERVICE_NAME that it has" in text for text in notes)


def test_name_of_the_metrics_is_read(stack: Stack) -> None:
    """A service name that the function has stays, and its metrics are looked for by it."""
    worker = _worker(stack, "emails", _function(stack, environment={"POWERTOOLS_SERVICE_NAME": "theirs"}))

    notes = [str(one.entry.data) for one in Annotations.from_stack(stack).find_info("*", Match.any_value())]
    assert (worker.service_name, _variables(stack)["POWERTOOLS_SERVICE_NAME"]) == ("theirs", "theirs")
    assert [text for text in notes if "service_name=" in text] == []


@pytest.mark.parametrize(
    ("variable", "settings"),
    [
        ("SQS_TASKS_APP", {}),
        ("SQS_TASKS_QUEUE_URLS", {}),
        ("SQS_TASKS_BATCHING_WINDOW_SECONDS", {"max_batching_window": Duration.seconds(9)}),
        ("SQS_TASKS_METRICS", {"metrics": "queue"}),
        ("POWERTOOLS_SERVICE_NAME", {"service_name": "mail"}),
    ],
)
def test_variables_of_the_function_are_not_replaced(stack: Stack, variable: str, settings: dict[str, Any]) -> None:
    """A variable that the author has set to something else is refused, with both values."""
    function = _function(stack, environment={variable: "mine"})

    with pytest.raises(StackError, match=rf"^'Test/Mine' has the variable {variable} with 'mine', and its queues need"):
        _worker(stack, "emails", function, **settings)


def test_equal_variables_of_the_function_are_left(stack: Stack) -> None:
    """Who sets what the queue needs anyway is not bothered."""
    _worker(stack, "emails", _function(stack, environment={"SQS_TASKS_APP": "shop.tasks:env", "OWN": "1"}))

    assert {**_variables(stack), "SQS_TASKS_QUEUE_URLS": ""} == {
        "SQS_TASKS_APP": "shop.tasks:env",
        "SQS_TASKS_QUEUE_URLS": "",
        "OWN": "1",
    }


def test_variables_that_are_replaced_later_are_refused(app: App, stack: Stack) -> None:
    """What the author sets after the queue is refused by the synth: of functions that exist, and of those made here."""
    function = _function(stack)
    _worker(stack, "emails", function)
    function.add_environment("SQS_TASKS_APP", "other:env")

    with pytest.raises(RuntimeError, match=r"'Test/Mine' has the variable SQS_TASKS_APP with 'other:env', and its que"):
        app.synth()


def test_variables_of_a_producers_container_are_not_replaced(stack: Stack) -> None:
    """A container that is granted a queue keeps what its author set, too."""
    definition = ecs.FargateTaskDefinition(stack, "Api")
    image = ecs.ContainerImage.from_registry("shop")
    container = definition.add_container("Main", image=image, environment={"SQS_TASKS_QUEUE_URLS": "{}"})

    with pytest.raises(StackError, match=r"'Test/Api/Main' has the variable SQS_TASKS_QUEUE_URLS with '{}'"):
        TaskQueue(stack, "emails", queue_name="shop-emails").tell_url(container)
