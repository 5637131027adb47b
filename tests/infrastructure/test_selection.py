"""A registry divided between stacks, and queues whose workers run elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk import aws_lambda as lambda_

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.stack import TaskStack
from tests.support.manifests import manifest, queue, schedule, task
from tests.support.templates import Resources, joined, warnings

CODE = lambda_.Code.from_inline("def handler(event, context): ...")

REGISTRY = manifest(
    queue("emails", tasks=[task(enqueues=["images"])]),
    queue("images", tasks=[task(enqueues=None, schedules=[schedule("images.nightly")])]),
    queue("films", runs_on="external", tasks=[task("render", timeout_seconds=7_200)]),
)


def _stack(app: App, construct_id: str, **settings: Any) -> TaskStack:
    return TaskStack(app, construct_id, **{"manifest": REGISTRY, "lambda_defaults": {"code": CODE}, **settings})


@pytest.fixture(scope="module")
def divided() -> tuple[TaskStack, TaskStack]:
    """Emails in one stack, the rest in another."""
    app = App(analytics_reporting=False)
    return _stack(app, "Emails", only=["emails"]), _stack(app, "Rest", only=["images", "films"])


def _names(stack: TaskStack) -> set[str]:
    return {one["Properties"].get("QueueName", "") for one in Resources(stack).of_type("SQS::Queue").values()} - {""}


def test_each_queue_is_in_one_stack(divided: tuple[TaskStack, TaskStack]) -> None:
    """With its dead-letter queue, its worker and its schedules; the two stacks share no export."""
    emails, rest = divided

    assert _names(emails) == {"shop-emails", "shop-emails_dead"}
    assert _names(rest) == {"shop-images", "shop-images_dead", "shop-films", "shop-films_dead"}
    assert [len(Resources(stack).of_type("Scheduler::Schedule")) for stack in divided] == [0, 1]
    assert [len(Resources(stack).of_type("Lambda::Function")) for stack in divided] == [1, 1]
    assert "Fn::ImportValue" not in json.dumps([Resources(stack).template for stack in divided])


def test_jobs_go_to_queues_of_the_other_stack(divided: tuple[TaskStack, TaskStack]) -> None:
    """What tasks enqueue is granted by name, declared or not, and the URL is known."""
    emails, rest = (Resources(stack) for stack in divided)

    (statement,) = [one for one in emails.statements() if "shop-images" in json.dumps(one["Resource"])]
    assert "sqs:SendMessage" in statement["Action"]
    variables = emails.only("Lambda::Function")["Environment"]["Variables"]
    assert json.loads(joined(variables["SQS_TASKS_QUEUE_URLS"]))["images"].endswith("/shop-images")
    (anywhere,) = rest.of_type("IAM::ManagedPolicy").values()
    assert "shop-emails" in json.dumps(anywhere)


def test_external_queue_has_no_worker(divided: tuple[TaskStack, TaskStack]) -> None:
    """The queue is made, with a visibility timeout for one run of its slowest task, and nobody is given it."""
    _, rest = divided

    assert Resources(rest).queue("shop-films")["VisibilityTimeout"] == 7_205
    with pytest.raises(StackError, match="queue 'films' has no worker here: it is worked elsewhere"):
        rest.tasks.workers["films"]
    assert not [text for text in warnings(rest) if "films" in text]


def test_registry_says_that_workers_are_elsewhere() -> None:
    """``runs_on="external"`` of a registration is in the manifest that the stack is made from."""
    env = SQSEnv(MemorySession())
    env.queue("films", runs_on="external").processor("render")(print)

    assert env.manifest()["queues"][0]["runs_on"] == "external"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"only": "emails"}, "only='emails' must be a list of logical names"),
        ({"only": ["email"]}, "did you mean 'emails'"),
        ({"only": []}, "one or more"),
        ({"fargate_settings": {"films": {}}}, "which runs on external; leave them out"),
        (
            {
                "manifest": manifest(
                    queue("a", dead_letter_queue={"name": "dead", "queue_name": "shop-dead"}),
                    queue("b", dead_letter_queue={"name": "dead", "queue_name": "shop-dead"}),
                ),
                "only": ["a"],
            },
            "only= has a and not b, which share the dead-letter queue 'dead'",
        ),
        (
            {"manifest": manifest(*(queue(f"queue-{number}", tasks=[]) for number in range(126)))},
            "126 queues with their dead-letter queues are 504 resources, and a stack holds 500; divide the registry",
        ),
    ],
)
def test_choices_that_cannot_be_are_refused(app: App, settings: dict[str, Any], says: str) -> None:
    """A queue that is not there, a dead-letter queue in two stacks, more queues than a stack holds."""
    with pytest.raises(StackError) as caught:
        _stack(app, "Shop", **settings)

    assert says in str(caught.value)
