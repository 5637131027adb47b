"""Queues that exist already: what they say of themselves is held to the rules, and what they do not say is shown."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Fn, RemovalPolicy, Stack, Token
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match

from sqs_tasks_cdk.dead_letter_queue import DeadLetterQueue
from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.stack import SqsTasks
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.task_queues import TaskQueues
from tests.support.manifests import manifest, queue, schedule, task
from tests.support.templates import Resources, joined, warnings

CODE = lambda_.Code.from_inline("def handler(event, context): ...")
ARN = "arn:aws:sqs:us-east-1:123456789012:old"


def _task(**changes: Any) -> ManifestTask:
    return ManifestTask(**{"name": "render", "timeout_seconds": 100, "max_attempts": 5, "enqueues": (), **changes})


def _worker(stack: Stack, task_queue: TaskQueue) -> LambdaWorker:
    return LambdaWorker(stack, "Worker", task_queue=task_queue, app="shop.tasks:env", code=CODE)


def _notes(stack: Stack) -> list[str]:
    return [str(one.entry.data) for one in Annotations.from_stack(stack).find_info("*", Match.any_value())]


def test_r2_queue_with_the_default_visibility_is_refused(stack: Stack) -> None:
    """R2, S18: 30 s under a function of 105 s is an error here, as it is in Lambda, and no warning."""
    existing = TaskQueue(stack, "films", queue=sqs.Queue(stack, "Old"), tasks=[_task()])

    with pytest.raises(
        RuleError,
        match=r"'films' hides a message for 30 s, but .* 105 s.*raise the visibility timeout of the existing queue to "
        r"630 s where it is made \[R2\]",
    ):
        _worker(stack, existing)


def test_queue_of_this_app_is_read(stack: Stack) -> None:
    """Its visibility bounds the function, its dead letters are granted, and its receives and names are known."""
    dead = sqs.Queue(stack, "Dead", queue_name="old-dead", retention_period=Duration.days(14))
    old = sqs.Queue(
        stack,
        "Old",
        queue_name="old-films",
        visibility_timeout=Duration.seconds(660),
        retention_period=Duration.days(2),
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=8),
    )
    films = TaskQueue(stack, "films", queue=old, tasks=[_task()])
    worker = _worker(stack, films)

    resources = Resources(stack)
    assert worker.timeout.to_seconds() == 105  # a sixth of the visibility is 110
    assert films.visibility.timeout is not None
    assert films.visibility.timeout.to_seconds() == 660
    assert (films.max_receive_count, films.retention_seconds) == (8, 2 * 86_400)
    assert (films.explicit_queue_name, films.dead_letter_logical_name) == ("old-films", "films_dead")
    assert resources.actions_on("Dead") == {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
    urls = joined(resources.only("Lambda::Function")["Environment"]["Variables"]["SQS_TASKS_QUEUE_URLS"])
    assert '"films_dead"' in urls
    assert films.metric_dead_letters().dimensions == {"QueueName": "old-dead"}
    assert (warnings(stack), resources.queue("old-films")["VisibilityTimeout"]) == ([], 660)


@pytest.mark.parametrize(
    ("made", "tasks", "says"),
    [
        ({"receives": 3}, [_task()], r"dead-letters after 3 receives, but task 'render' has 5 attempts.*\[R3\]"),
        (
            {"retention_period": Duration.hours(1)},
            [_task(total_backoff_seconds=4_000)],
            r"add up to 4000 s, but the queue keeps a message for 3600 s.*\[R3\]",
        ),
        (
            {"retention_period": Duration.days(9)},
            [_task()],
            r"'films_dead' keeps messages for 691200 s and queue 'films' for 777600 s.*\[R3\]",
        ),
    ],
)
def test_r3_queue_of_this_app_is_held_to_the_tasks(
    stack: Stack, made: dict[str, Any], tasks: list[ManifestTask], says: str
) -> None:
    """R3: what is checked of a queue that is made is checked of one that was made beside it."""
    dead = sqs.Queue(stack, "Dead", retention_period=Duration.days(8))
    receives = made.pop("receives", 9)
    old = sqs.Queue(stack, "Old", dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=receives), **made)

    with pytest.raises(RuleError, match=says):
        TaskQueue(stack, "films", queue=old, tasks=tasks)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"visibility_timeout": Duration.seconds(60)}, "visibility_timeout of 60 for an existing queue .* that has 30"),
        ({"retention_period": Duration.days(1)}, "retention_period of 86400 for an existing queue .* that has 345600"),
        ({"max_receive_count": 9}, "max_receive_count of 9 for an existing queue .* that has 4"),
        ({"without_dead_letter_queue": True, "dead_letter_logical_name": "x"}, "leave out one or the other"),
    ],
)
def test_claims_that_are_wrong_are_refused(stack: Stack, settings: dict[str, Any], says: str) -> None:
    """What a queue of this app has is set where it is made."""
    dead = sqs.Queue(stack, "Dead")
    old = sqs.Queue(stack, "Old", dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=4))

    with pytest.raises(StackError, match=says):
        TaskQueue(stack, "films", queue=old, **settings)


def test_another_dead_letter_queue_than_the_redrive_policys_is_refused(stack: Stack) -> None:
    """Rejected jobs would go to one queue, and those that SQS gives up to another."""
    dead, other = sqs.Queue(stack, "Dead"), DeadLetterQueue(stack, "Other", logical_name="other")
    old = sqs.Queue(stack, "Old", dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=4))

    with pytest.raises(StackError, match=r"dead_letter_queue= is .*Other.*names 'Test/Dead'"):
        TaskQueue(stack, "films", queue=old, dead_letter_queue=other)
    assert TaskQueue(stack, "same", queue=old, dead_letter_queue=dead).dead_letter_queue is dead


def test_queue_from_elsewhere_is_as_it_is_said_to_be(stack: Stack) -> None:
    """By its ARN, with what it has: the function fits into its visibility, and nothing is unknown."""
    films = TaskQueue.from_queue_arn(
        stack,
        "films",
        ARN,
        tasks=[_task()],
        visibility_timeout=Duration.seconds(630),
        retention_period=Duration.days(4),
        max_receive_count=8,
        dead_letter_queue=sqs.Queue.from_queue_arn(stack, "Dead", f"{ARN}-dead"),
    )
    worker = _worker(stack, films)

    resources = Resources(stack)
    assert worker.timeout.to_seconds() == 105
    assert films.logical_name == "films"
    assert "sqs:SendMessage" in resources.actions_on("old-dead")
    assert warnings(stack) == []
    with pytest.raises(RuleError, match=r"hides a message for 104 s.*\[R2\]"):
        LambdaWorker(
            stack,
            "Other",
            task_queue=TaskQueue.from_queue_arn(
                stack, "short", ARN, tasks=[_task()], visibility_timeout=Duration.seconds(104)
            ),
            app="shop.tasks:env",
            code=CODE,
        )


def test_queue_by_attributes_has_its_url_and_its_key(stack: Stack) -> None:
    """The rights to the key come with the queue's."""
    films = TaskQueue.from_queue_attributes(
        stack,
        "films.fifo",
        queue_arn=f"{ARN}.fifo",
        queue_url="https://sqs.example/123456789012/old.fifo",
        key_arn="arn:aws:kms:us-east-1:123456789012:key/1",
        without_dead_letter_queue=True,
    )
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    films.grant_send(role)

    assert films.fifo
    assert films.queue.queue_url == "https://sqs.example/123456789012/old.fifo"
    assert Resources(stack).actions_on("key/1") == {"kms:GenerateDataKey", "kms:Decrypt"}


def test_what_is_unknown_is_shown(stack: Stack) -> None:
    """No number of a queue from elsewhere is made up, and no worker silently cannot dead-letter."""
    _worker(stack, TaskQueue.from_queue_arn(stack, "films", ARN, tasks=[_task()]))

    shown = warnings(stack)
    assert sum("needs at least" in text and "Give visibility_timeout=" in text for text in shown) == 1
    assert sum("workers cannot copy rejected jobs" in text for text in shown) == 1
    assert any("Give retention_period= and max_receive_count=" in text for text in _notes(stack))


def test_settings_of_all_queues_are_not_for_those_that_exist(stack: Stack) -> None:
    """A registry with one existing queue keeps its ``queue_defaults`` for the others."""
    old = sqs.Queue.from_queue_arn(stack, "Old", ARN)
    SqsTasks(
        stack,
        "Tasks",
        manifest=manifest(queue("films", tasks=[task(timeout_seconds=5)]), queue()),
        queue_defaults={"removal_policy": RemovalPolicy.DESTROY, "retention_period": Duration.days(7)},
        queue_settings={"films": {"queue": old, "visibility_timeout": Duration.seconds(90)}},
        lambda_defaults={"code": CODE},
    )

    resources = Resources(stack)
    assert resources.queue("shop-emails")["MessageRetentionPeriod"] == 7 * 86_400
    assert {value["DeletionPolicy"] for value in resources.of_type("SQS::Queue").values()} == {"Delete"}
    assert any("dead-letter queue of it is known" in text for text in warnings(stack))


def test_key_by_alias_is_refused_where_it_gives_no_rights(stack: Stack) -> None:
    """The CDK drops such a grant without a word; the first message would be an AccessDenied."""
    made = TaskQueue(stack, "emails", encryption_master_key=kms.Alias.from_alias_name(stack, "Key", "alias/shop"))
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))

    with pytest.raises(StackError, match=r"the key 'Test/Key' of queue 'emails' cannot be granted to 'Test/Role'"):
        made.grant_send(role)


def test_key_by_alias_is_refused_for_sources_and_schedules(stack: Stack) -> None:
    """An API and a schedule would be refused by KMS at each message, and nobody would see it."""
    key = kms.Alias.from_alias_name(stack, "Key", "alias/shop")
    uploads = TaskQueue(stack, "uploads", encryption_master_key=key)
    registry = manifest(
        queue("emails", runs_on="external", tasks=[task("send", schedules=[schedule("emails.send")])]),
        queue("films", tasks=[task("render")]),
    )

    with pytest.raises(StackError, match=r"the key .* of queue 'uploads' cannot be granted"):
        uploads.from_api(apigateway.HttpApi(stack, "Api"), "/hooks")
    with pytest.raises(StackError, match=r"the key .* of queue 'emails' cannot be granted"):
        SqsTasks(
            stack,
            "Tasks",
            manifest=registry,
            queue_settings={"emails": {"encryption_master_key": key}},
            lambda_defaults={"code": CODE},
        )


def test_service_cannot_be_granted_a_queue_from_elsewhere(stack: Stack) -> None:
    """A service has no policy, and the policy of the queue is not here."""
    films = TaskQueue.from_queue_arn(stack, "films", ARN)

    with pytest.raises(StackError, match="add the statement where the queue is made"):
        films.grant_send(iam.ServicePrincipal("events.amazonaws.com"))


def test_other_account_is_told_its_statement(app: App) -> None:
    """Half of a grant across accounts is not ours to give: the other half is shown as it must be written."""
    stack = Stack(app, "Home", env=Environment(account="111111111111", region="us-east-1"))
    films = TaskQueue.from_queue_arn(stack, "films", ARN)
    role = iam.Role(stack, "Role", role_name="worker", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    films.grant_send(role)
    anywhere = Stack(app, "Anywhere")
    TaskQueue.from_queue_arn(anywhere, "films", ARN).grant_send(
        iam.Role(anywhere, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    )

    (shown,) = [text for text in warnings(stack) if "is in account 123456789012" in text]
    assert '"Action": ["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]' in shown
    assert f'"Resource": "{ARN}"' in shown
    assert '"AWS": "arn:aws:iam::111111111111:role/' in shown
    assert any(text.startswith("If this stack is deployed to another account") for text in _notes(anywhere))


def test_number_that_is_known_at_the_deploy_passes(stack: Stack) -> None:
    """A parameter cannot be checked, so it is neither refused nor taken for a number."""
    number = Token.as_number({"Ref": "Visibility"})
    old = sqs.Queue(stack, "Old", visibility_timeout=Duration.seconds(number))

    worker = _worker(stack, TaskQueue(stack, "films", queue=old, tasks=[_task()], without_dead_letter_queue=True))

    assert worker.batch_size > 1
    assert warnings(stack) == []


@pytest.mark.parametrize(
    ("policy", "is_refused"),
    [
        ({"redrivePermission": "denyAll"}, True),
        ({"redrivePermission": "allowAll"}, False),
        ({"redrivePermission": "byQueue", "sourceQueueArns": ["arn:aws:sqs:us-east-1:123456789012:other"]}, True),
        ({"redrivePermission": "byQueue", "sourceQueueArns": ["arn:aws:sqs:us-east-1:123456789012:films"]}, False),
        ({"redrivePermission": "byQueue", "sourceQueueArns": [Fn.import_value("Films")]}, False),
        (None, False),
    ],
)
@pytest.mark.parametrize("is_made_here", [True, False])
def test_r8_dead_letter_queue_that_does_not_admit_the_queue_is_refused(
    stack: Stack, policy: dict[str, Any] | None, is_refused: bool, is_made_here: bool
) -> None:
    """SQS would refuse it halfway through the deploy, for a queue that exists and for one that is made."""
    dead = sqs.Queue(stack, "Dead", retention_period=Duration.days(14))
    assert isinstance(dead.node.default_child, sqs.CfnQueue)
    dead.node.default_child.redrive_allow_policy = policy
    settings: dict[str, Any] = {"queue_name": "films", "dead_letter_queue": dead}
    if not is_made_here:
        letters = sqs.DeadLetterQueue(queue=dead, max_receive_count=8)
        settings = {"queue": sqs.Queue(stack, "Old", queue_name="films", dead_letter_queue=letters)}

    with (
        pytest.raises(RuleError, match=r"'films' has the dead-letter queue 'Test/Dead', .* does not admit it.*\[R8\]")
        if is_refused
        else nullcontext()
    ):
        TaskQueue(stack, "films", **settings)


def test_r8_dead_letter_queue_that_names_the_queue_admits_it(stack: Stack) -> None:
    """By a reference to the queue itself, whatever its name will be."""
    dead = sqs.Queue(stack, "Dead", retention_period=Duration.days(14))
    old = sqs.Queue(stack, "Old", dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=8))
    assert isinstance(dead.node.default_child, sqs.CfnQueue)
    dead.node.default_child.redrive_allow_policy = {"redrivePermission": "byQueue", "sourceQueueArns": [old.queue_arn]}

    assert TaskQueue(stack, "films", queue=old).dead_letter_queue is dead


@pytest.mark.parametrize("is_made_here", [True, False])
def test_r7_existing_queue_of_the_other_type_is_refused(stack: Stack, is_made_here: bool) -> None:
    """A registry that orders its jobs gets no standard queue, and the other way round."""
    old = sqs.Queue(stack, "Old") if is_made_here else sqs.Queue.from_queue_arn(stack, "Old", ARN)
    registry = manifest(queue("orders.fifo", tasks=[task()]))

    with pytest.raises(RuleError, match=r"'orders.fifo' is a FIFO queue in the registry, and queue= is the standard"):
        TaskQueues(stack, "Tasks", manifest=registry, settings={"orders.fifo": {"queue": old}})


def test_r7_name_of_an_existing_queue_is_checked(stack: Stack) -> None:
    """A name that SQS refuses is refused wherever the queue is made."""
    old = sqs.Queue(stack, "Old", queue_name="x" * 80)
    assert isinstance(old.node.default_child, sqs.CfnQueue)
    old.node.default_child.queue_name = "x" * 81

    with pytest.raises(RuleError, match=r"has 81 characters; SQS allows 80.*\[R7\]"):
        TaskQueue(stack, "films", queue=old)
