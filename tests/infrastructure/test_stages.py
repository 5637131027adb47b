"""Stages of a registry: other names, beside each other, and known to those who call the queues by them."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_lambda as lambda_

import sqs_tasks.settings
from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks_cdk import stages
from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.manifest import Manifest
from sqs_tasks_cdk.stack import TaskStack, TaskStackSettings
from sqs_tasks_cdk.task_queues import TaskQueues
from sqs_tasks_cdk.task_workers import TaskWorkers
from tests.support.manifests import manifest, queue, schedule, task
from tests.support.templates import Resources, warnings

CODE = lambda_.Code.from_inline("def handler(event, context): ...")

#: One registry, with what names queues: dead-letter queues, FIFO, a schedule, a queue that is there already.
REGISTRY = manifest(
    queue("emails", tasks=[task(enqueues=["orders.fifo"], schedules=[schedule()])]),
    queue("orders.fifo"),
    queue("legacy", queue_name="legacy", queue_url="https://sqs.eu-west-1.amazonaws.com/123456789012/legacy", tasks=[]),
)


def _stack(app: App, construct_id: str, **settings: Any) -> TaskStack:
    return TaskStack(app, construct_id, manifest=REGISTRY, lambda_defaults={"code": CODE}, **settings)


def _function(stack: Stack) -> lambda_.Function:
    return lambda_.Function(stack, "Api", code=CODE, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_13)


def _names(stack: Stack) -> set[str]:
    found = (one["Properties"].get("QueueName") for one in Resources(stack).of_type("SQS::Queue").values())
    return {name for name in found if name}


@pytest.fixture(scope="module")
def two_stages() -> tuple[TaskStack, TaskStack]:
    """Two stages of one registry in one account, with a producer in each."""
    place = Environment(account="123456789012", region="eu-west-1")
    app = App(analytics_reporting=False)
    made = (
        _stack(app, "Dev", stage="dev", env=place, tags={"stage": "dev"}),
        _stack(app, "Prod", env=place),
    )
    for stack in made:
        stack.tasks.queues["emails"].grant_send(_function(stack))
    return made


def test_two_stages_have_different_names(two_stages: tuple[TaskStack, TaskStack]) -> None:
    """The stage follows the prefix in the name of every queue that is made; ids are the same in both."""
    dev, prod = two_stages

    assert _names(dev) == {
        "shop-dev-emails",
        "shop-dev-emails_dead",
        "shop-dev-orders.fifo",
        "shop-dev-orders_dead.fifo",
    }
    assert _names(prod) == {name.replace("-dev", "") for name in _names(dev)}
    assert set(Resources(dev).of_type("SQS::Queue")) == set(Resources(prod).of_type("SQS::Queue"))
    assert "shop-dev-emails" in json.dumps(Resources(dev).of_type("SQS::Queue"))
    assert not warnings(dev)


def test_processes_know_their_stage(two_stages: tuple[TaskStack, TaskStack]) -> None:
    """Workers and producers make names as the stack does; without a stage there is no variable."""
    dev, prod = two_stages

    def stages_of(stack: Stack) -> list[str | None]:
        functions = Resources(stack).of_type("Lambda::Function").values()
        return [one["Properties"]["Environment"]["Variables"].get("SQS_TASKS_STAGE") for one in functions]

    assert stages_of(dev) == ["dev"] * 3
    assert stages_of(prod) == [None] * 3


def test_runtime_and_stack_make_the_same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stack names a queue is what a process with the stack's variables calls it."""
    env = SQSEnv(MemorySession(), queue_prefix="shop-")
    env.queue("emails").processor("send_email")(print)
    plain = Manifest.read(env.manifest())
    for settings in ({"stage": "dev"}, {"queue_prefix": "acme-"}, {"stage": "dev", "queue_prefix": "acme-"}):
        made = stages.staged(plain, **{"stage": None, "queue_prefix": None, **settings})  # type: ignore[arg-type]
        with monkeypatch.context() as patch:
            for name, value in stages.stage_variables(made).items():
                patch.setenv(name, value)
            there = SQSEnv(MemorySession(), queue_prefix="shop-")
            there.queue("emails").processor("send_email")(print)

            assert there.get_sqs_queue_name("emails") == made.queue("emails").queue_name
            # A manifest that was written in the stage is that of the stage, and stays it.
            written = Manifest.read(there.manifest())
            assert stages.staged(written, stage=None, queue_prefix=None) == made
            assert stages.staged(written, **{"stage": None, "queue_prefix": None, **settings}) == made  # type: ignore[arg-type]
    assert (stages.STAGE_VARIABLE, stages.PREFIX_VARIABLE) == (
        sqs_tasks.settings.STAGE_VARIABLE,
        sqs_tasks.settings.PREFIX_VARIABLE,
    )


def test_equal_names_in_one_account_are_refused(app: App) -> None:
    """Two stacks of the same registry in one account: refused at synth, with what tells them apart."""
    place = Environment(account="123456789012", region="eu-west-1")
    _stack(app, "Dev", env=place)
    _stack(app, "Prod", env=place)
    _stack(app, "Elsewhere", env=Environment(account="123456789012", region="eu-west-2"))

    with pytest.raises(RuntimeError) as caught:
        app.synth()

    assert (
        "queue 'shop-emails' is made twice, by Dev/Tasks/Queues/emails and by Prod/Tasks/Queues/emails in one account "
        "and region; give one stack a stage= or queue_prefix="
    ) in str(caught.value)
    assert "Elsewhere" not in str(caught.value)


def test_equal_names_in_unknown_accounts_are_warned_of(app: App) -> None:
    """Stacks without an account may go to two: that is said, and allowed."""
    _stack(app, "Dev")
    prod = _stack(app, "Prod")

    assert any("queue 'shop-emails' is made twice, by Dev/Tasks" in text for text in warnings(prod))


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"stage": "a b"}, StackError, "stage 'a b' cannot be part of a queue's name"),
        ({"stage": "x" * 70}, RuleError, "SQS allows 80, '.fifo' included; shorten the stage"),
    ],
)
def test_stages_that_make_no_names_are_refused(
    app: App, settings: dict[str, str], error: type[Exception], says: str
) -> None:
    """R7: a stage is part of names, so it obeys their rules."""
    with pytest.raises(error, match=says):
        _stack(app, "Shop", **settings)


def test_manifest_of_another_stage_is_refused(app: App) -> None:
    """A manifest that was written for one stage cannot be deployed as another."""
    with pytest.raises(StackError, match="stage 'prod' for a manifest that was written for stage 'dev'"):
        TaskStack(app, "Shop", manifest={**REGISTRY, "stage": "dev"}, stage="prod")


def test_environment_cannot_say_another_stage(app: App) -> None:
    """The variable and the names must agree, so the stack alone sets it."""
    queues = TaskQueues(Stack(app, "Shop"), "Tasks", manifest=REGISTRY, stage="dev")

    with pytest.raises(StackError, match=r"environment sets SQS_TASKS_STAGE, .* use stage="):
        TaskWorkers(
            Stack(app, "Workers"),
            "Tasks",
            queues=queues,
            lambda_defaults={"code": CODE, "environment": {"SQS_TASKS_STAGE": "prod"}},
        )


def test_producer_of_two_stages_is_refused(app: App) -> None:
    """A process has one stage, and would call the queues of the other by wrong names."""
    function = _function(Stack(app, "Other"))
    for stage in ("dev", "prod"):
        made = _stack(app, stage, stage=stage)
        if stage == "dev":
            made.tasks.queues["emails"].tell_url(function)
        else:
            with pytest.raises(
                StackError, match="Other/Api gets queues of SQS_TASKS_STAGE=dev and queues of SQS_TASKS_STAGE=prod"
            ):
                made.tasks.queues["emails"].tell_url(function)


def test_workers_in_a_stack_of_their_own_know_the_stage(app: App) -> None:
    """By name is how they find queues, so the names are the stage's."""
    stateful, stateless = Stack(app, "Queues"), Stack(app, "Workers")
    queues = TaskQueues(stateful, "Tasks", manifest=REGISTRY, stage="dev", queue_prefix="acme-")
    TaskWorkers(stateless, "Tasks", queues=queues, lambda_defaults={"code": CODE})

    resources = Resources(stateless)
    for function in resources.of_type("Lambda::Function").values():
        variables = function["Properties"]["Environment"]["Variables"]
        assert (variables["SQS_TASKS_STAGE"], variables["SQS_TASKS_QUEUE_PREFIX"]) == ("dev", "acme-")
        assert variables["POWERTOOLS_SERVICE_NAME"] == "shop-dev"  # so metrics of stages are seen apart
    assert ":acme-dev-emails" in json.dumps(resources.of_type("Lambda::EventSourceMapping"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"stage": "prod"}, "stage='prod' for workers whose queues have stage='dev'"),
        ({"queue_prefix": "other-"}, "queue_prefix='other-' for workers whose queues have queue_prefix=None"),
    ],
)
def test_workers_of_another_stage_than_their_queues_are_refused(app: App, settings: dict[str, Any], says: str) -> None:
    """They would look for queues that are not there; to say the same again is taken."""
    stack = Stack(app, "Shop")
    queues = TaskQueues(stack, "Queues", manifest=REGISTRY, stage="dev")

    with pytest.raises(StackError, match=says):
        TaskWorkers(stack, "Workers", queues=queues, lambda_defaults={"code": CODE}, **settings)
    TaskWorkers(stack, "Same", queues=queues, lambda_defaults={"code": CODE}, stage="dev")


def test_every_argument_of_a_stack_passes_through(app: App) -> None:
    """Whatever ``Stack`` takes, ``TaskStack`` takes; three of them seen in what is synthesised."""
    taken = {name for name in inspect.signature(Stack.__init__).parameters if name not in {"self", "scope", "id"}}

    assert taken <= TaskStackSettings.__annotations__.keys()
    stack = _stack(
        app,
        "Shop",
        tags={"team": "shop"},
        termination_protection=True,
        description="tasks",
    )
    assert stack.tags.tag_values() == {"team": "shop"}
    assert stack.termination_protection is True
    assert Resources(stack).template["Description"] == "tasks"
