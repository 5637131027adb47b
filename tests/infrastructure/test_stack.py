"""A whole registry as a stack: everything connected, ids pinned, and separable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, RemovalPolicy, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.backoff_policies import ConstantBackoff
from sqs_tasks_cdk.errors import ManifestError, RuleError, StackError
from sqs_tasks_cdk.stack import SqsTasks, TaskStack
from sqs_tasks_cdk.task_queues import TaskQueues
from sqs_tasks_cdk.task_workers import TaskWorkers
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, joined, warnings

CODE = lambda_.Code.from_inline("def handler(event, context): ...")


def _urls(resources: Resources, function_part: str) -> set[str]:
    """The logical names of the queues that a function is told the URLs of."""
    (properties,) = [
        value["Properties"] for key, value in resources.of_type("Lambda::Function").items() if function_part in key
    ]
    return set(json.loads(joined(properties["Environment"]["Variables"]["SQS_TASKS_QUEUE_URLS"])))


def _send_rights(resources: Resources, role_part: str) -> set[str]:
    """The logical ids of the queues that a role may send to, by its own policies and by those it shares."""
    found: set[str] = set()
    (role,) = [value["Properties"] for key, value in resources.of_type("IAM::Role").items() if role_part in key]
    shared = {policy["Ref"] for policy in role.get("ManagedPolicyArns", ())}
    policies = {**resources.of_type("IAM::Policy"), **resources.of_type("IAM::ManagedPolicy")}
    for key, policy in policies.items():
        if role_part in key or key in shared:
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                if "sqs:SendMessage" in statement["Action"]:
                    given = (
                        statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
                    )
                    found.update(item["Fn::GetAtt"][0] for item in given)
    return found


def test_registry_becomes_a_stack(app: App) -> None:
    """Every queue, dead-letter queue and function of the registry is there, connected."""
    stack = TaskStack(
        app,
        "Shop",
        manifest=manifest(queue(), queue("orders.fifo"), queue("unworked", tasks=[])),
        lambda_defaults={"code": CODE},
    )

    resources = Resources(stack)
    assert {value["Properties"]["QueueName"] for value in resources.of_type("SQS::Queue").values()} == {
        "shop-emails",
        "shop-emails_dead",
        "shop-orders.fifo",
        "shop-orders_dead.fifo",
        "shop-unworked",
        "shop-unworked_dead",
    }
    assert len(resources.of_type("Lambda::Function")) == 2
    assert {
        value["Properties"]["FunctionResponseTypes"][0]
        for value in resources.of_type("Lambda::EventSourceMapping").values()
    } == {"ReportBatchItemFailures"}
    assert resources.queue("shop-orders.fifo")["VisibilityTimeout"] == 210
    assert resources.queue("shop-unworked")["VisibilityTimeout"] == 30
    assert stack.tasks.workers["emails"].task_queue is stack.tasks.queues["emails"]
    with pytest.raises(StackError, match="'unworked' has no tasks, and so no worker"):
        stack.tasks.workers["unworked"]
    with pytest.raises(ManifestError, match="did you mean 'emails'"):
        stack.tasks.queues["email"]


def test_manifest_file_becomes_a_stack(app: App, tmp_path: Path) -> None:
    """What ``sqs-tasks manifest`` printed into a file is enough."""
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(manifest()))

    stack = TaskStack(app, "Shop", manifest=path, lambda_defaults={"code": CODE})

    assert Resources(stack).queue("shop-emails")


def test_settings_in_code_win(app: App) -> None:
    """Defaults for all, then settings by queue, and the existing resources among them."""
    stack = TaskStack(
        app,
        "Shop",
        manifest=manifest(queue(), queue("images")),
        app="other.tasks:env",
        queue_defaults={"removal_policy": RemovalPolicy.RETAIN},
        queue_settings={"images": {"visibility_timeout": Duration.seconds(4_000)}},
        lambda_defaults={"code": CODE, "memory_size": 256},
        lambda_settings={"images": {"memory_size": 2_048, "app": "images.tasks:env"}},
    )

    resources = Resources(stack)
    assert {value["DeletionPolicy"] for value in resources.of_type("SQS::Queue").values()} == {"Retain"}
    assert resources.queue("shop-images")["VisibilityTimeout"] == 4_000
    functions = [value["Properties"] for value in resources.of_type("Lambda::Function").values()]
    assert sorted((item["MemorySize"], item["Environment"]["Variables"]["SQS_TASKS_APP"]) for item in functions) == [
        (256, "other.tasks:env"),
        (2_048, "images.tasks:env"),
    ]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"queue_settings": {"email": {}}}, "queue settings for 'email': manifest: no queue is named 'email', did you"),
        ({"lambda_settings": {"image": {}}}, "lambda_settings for 'image'"),
    ],
)
def test_settings_for_unknown_queues_are_refused(stack: Stack, settings: dict[str, Any], says: str) -> None:
    """A misspelt queue name in the settings does not pass unseen."""
    with pytest.raises(StackError) as caught:
        SqsTasks(stack, "Tasks", manifest=manifest(), lambda_defaults={"code": CODE}, **settings)

    assert says in str(caught.value)


def test_manifest_without_an_app_needs_one(stack: Stack) -> None:
    """Workers must find the registry: from the manifest, or from the caller."""
    with pytest.raises(StackError, match=r"give app='module:env'"):
        SqsTasks(stack, "Tasks", manifest=manifest(app=None), lambda_defaults={"code": CODE})

    assert SqsTasks(stack, "Mine", manifest=manifest(app=None), app="a:b", lambda_defaults={"code": CODE}).workers


def test_r5_worker_may_send_where_its_tasks_enqueue(app: App) -> None:
    """R5: a task that declares its targets gets those; one that does not gets all. Its own queue is for copies."""
    stack = TaskStack(
        app,
        "Shop",
        manifest=manifest(
            queue("declared", tasks=[task(enqueues=["silent"])]),
            queue("silent", tasks=[task(enqueues=None)]),
            queue("mute", tasks=[task(enqueues=[])]),
        ),
        lambda_defaults={"code": CODE},
    )

    resources = Resources(stack)
    names = {value["Properties"]["QueueName"]: key for key, value in resources.of_type("SQS::Queue").items()}
    declared, mute = (_send_rights(resources, f"Workers{name}") for name in ("declared", "mute"))
    assert declared == {names[f"shop-{name}"] for name in ("declared", "declared_dead", "silent")}
    assert mute == {names["shop-mute"], names["shop-mute_dead"]}
    assert _send_rights(resources, "Workerssilent") == {
        names[f"shop-{name}"] for name in ("declared", "silent", "mute", "silent_dead")
    }
    assert _urls(resources, "Workersdeclared") == {"declared", "declared_dead", "silent"}
    assert _urls(resources, "Workersmute") == {"mute", "mute_dead"}


def test_r6_only_loops_are_allowed(app: App) -> None:
    """R6: the guard against loops is off for the queues that feed themselves, and nowhere else."""
    stack = TaskStack(
        app,
        "Shop",
        manifest=manifest(
            queue("ping", tasks=[task(enqueues=["pong"])]),
            queue("pong", tasks=[task(enqueues=["ping"])]),
            queue("quiet", tasks=[task(enqueues=["ping"])]),
            queue("silent", tasks=[task(enqueues=None)]),
        ),
        lambda_defaults={"code": CODE},
    )

    loops = {
        key: value["Properties"].get("RecursiveLoop")
        for key, value in Resources(stack).of_type("Lambda::Function").items()
    }
    assert {("ping" in key or "pong" in key): loop for key, loop in loops.items()} == {True: "Allow", False: None}


def test_shared_dead_letter_queue_is_made_once(app: App) -> None:
    """R8: queues that name the same dead-letter queue share it, and it admits each of them."""
    dead = {"name": "dead", "queue_name": "shop-dead"}
    stack = TaskStack(
        app,
        "Shop",
        manifest=manifest(queue("a", dead_letter_queue=dead), queue("b", dead_letter_queue=dead)),
        lambda_defaults={"code": CODE},
    )

    resources = Resources(stack)
    sources = resources.queue("shop-dead")["RedriveAllowPolicy"]["sourceQueueArns"]
    assert [joined(arn).rpartition(":")[2] for arn in sources] == ["shop-a", "shop-b"]
    assert len(resources.of_type("SQS::Queue")) == 3


def test_second_source_does_not_move_a_dead_letter_queue(app: App) -> None:
    """A dead-letter queue keeps its logical id when another queue starts to share it: a move would be a new queue."""
    dead = {"name": "dead", "queue_name": "shop-dead"}
    one = TaskStack(
        app, "One", manifest=manifest(queue("a", dead_letter_queue=dead), queue("b")), lambda_defaults={"code": CODE}
    )
    two = TaskStack(
        app,
        "Two",
        manifest=manifest(queue("b", dead_letter_queue=dead), queue("a", dead_letter_queue=dead)),
        lambda_defaults={"code": CODE},
    )

    def dead_id(stack: Stack) -> str:
        queues = Resources(stack).of_type("SQS::Queue")
        return next(key for key, value in queues.items() if value["Properties"]["QueueName"] == "shop-dead")

    assert dead_id(one) == dead_id(two)


def test_dead_letter_queue_of_the_registry_is_used(app: App) -> None:
    """R8: a dead-letter queue that has a registration, and so a worker, is that queue, in whatever order they stand."""
    stack = TaskStack(
        app,
        "Shop",
        manifest=manifest(
            queue("emails", dead_letter_queue={"name": "graves", "queue_name": "shop-graves"}),
            queue("graves", kind="raw", dead_letter_queue=None),
        ),
        lambda_defaults={"code": CODE},
    )

    resources = Resources(stack)
    assert len(resources.of_type("SQS::Queue")) == 2
    policy = resources.queue("shop-graves")["RedriveAllowPolicy"]
    assert joined(policy["sourceQueueArns"][0]).endswith(":shop-emails")
    assert resources.queue("shop-graves")["VisibilityTimeout"] == 1_830


def test_existing_queue_in_a_registry(app: App) -> None:
    """A queue that exists already is worked without being made again."""
    stack = Stack(app, "Shop")
    existing = sqs.Queue.from_queue_arn(stack, "Old", "arn:aws:sqs:us-east-1:123456789012:shop-emails")
    SqsTasks(
        stack,
        "Tasks",
        manifest=manifest(),
        queue_settings={"emails": {"queue": existing}},
        lambda_defaults={"code": CODE},
    )

    resources = Resources(stack)
    assert resources.of_type("SQS::Queue") == {}
    assert resources.only("Lambda::EventSourceMapping")["EventSourceArn"].endswith(":shop-emails")


def test_queue_registered_by_its_url_is_used_where_it_is(app: App) -> None:
    """Code that says where a queue is and a stack that makes another one would drift apart on the first deploy."""
    env = SQSEnv(MemorySession(), queue_prefix="shop-")
    legacy = env.queue("mail", queue_url="https://sqs.eu-west-1.amazonaws.com/123456789012/legacy")
    legacy.processor("send_email", timeout=30)(print)
    own = env.queue("orders", dead_letter_queue="https://sqs.eu-west-1.amazonaws.com/123456789012/all_dead")
    own.processor("ship", timeout=30)(print)

    stack = TaskStack(
        app,
        "Shop",
        manifest=env.manifest(app="shop.tasks:env"),
        lambda_defaults={"code": CODE},
        queue_defaults={"removal_policy": RemovalPolicy.RETAIN, "max_receive_count": 9},
    )

    resources = Resources(stack)
    (made,) = resources.of_type("SQS::Queue").values()
    assert made["Properties"]["QueueName"] == "shop-orders"
    redrive = made["Properties"]["RedrivePolicy"]
    assert joined(redrive["deadLetterTargetArn"]).endswith(":sqs:eu-west-1:123456789012:all_dead")
    assert any(
        joined(mapping["Properties"]["EventSourceArn"]).endswith(":sqs:eu-west-1:123456789012:legacy")
        for mapping in resources.of_type("Lambda::EventSourceMapping").values()
    )
    policies = json.dumps(list(resources.of_type("IAM::Policy").values()))
    # The dead-letter queue of a queue that is there already is taken to be there too, beside it.
    assert ":sqs:eu-west-1:123456789012:shop-mail_dead" in policies
    assert ":sqs:eu-west-1:123456789012:all_dead" in policies


def test_r9_queue_of_another_account_is_that_in_a_stack_of_workers_too(app: App) -> None:
    """R9: a reference by name must not lose where the queue is."""
    stateful, stateless = Stack(app, "Queues"), Stack(app, "Workers")
    data = manifest(queue(queue_url="https://sqs.eu-west-1.amazonaws.com/123456789012/legacy", queue_name="legacy"))
    queues = TaskQueues(stateful, "Tasks", manifest=data)
    TaskWorkers(stateless, "Tasks", queues=queues, lambda_defaults={"code": CODE})

    mapping = Resources(stateless).only("Lambda::EventSourceMapping")

    assert joined(mapping["EventSourceArn"]).endswith(":sqs:eu-west-1:123456789012:legacy")


def test_url_that_is_not_a_queues_is_refused(app: App) -> None:
    """At synth, with what to write instead."""
    data = manifest(queue(queue_url="https://example.com/emails"))

    with pytest.raises(StackError, match=r"'https://example.com/emails' is not the URL of a queue, like https://sqs"):
        TaskStack(app, "Shop", manifest=data, lambda_defaults={"code": CODE})


def test_r9_stateful_and_stateless_stacks_share_no_export(app: App) -> None:
    """R9: queues in one stack and workers in another are tied by names alone, and deployed in that order."""
    stateful, stateless = Stack(app, "Queues"), Stack(app, "Workers")
    queues = TaskQueues(
        stateful, "Tasks", manifest=manifest(queue(tasks=[task(enqueues=None)]), queue("orders.fifo", tasks=[task()]))
    )
    TaskWorkers(stateless, "Tasks", queues=queues, lambda_defaults={"code": CODE})

    home, away = Resources(stateful), Resources(stateless)
    assert "Outputs" not in home.template
    assert "Fn::ImportValue" not in json.dumps(away.template)
    assert set(home.of_type("Lambda::Function")) == set()
    assert set(away.of_type("SQS::Queue")) == set()
    assert home.queue("shop-emails")["VisibilityTimeout"] == 1_830
    assert {
        joined(value["Properties"]["EventSourceArn"]).rpartition(":")[2]
        for value in away.of_type("Lambda::EventSourceMapping").values()
    } == {"shop-emails", "shop-orders.fifo"}
    assert stateful in stateless.dependencies


def test_r9_generated_name_cannot_leave_its_stack(app: App) -> None:
    """R9: a queue whose name nobody knows at synth is refused in another stack."""
    stateful, stateless = Stack(app, "Queues"), Stack(app, "Workers")
    nameless = sqs.Queue(stateful, "Nameless")
    queues = TaskQueues(stateful, "Tasks", manifest=manifest(), settings={"emails": {"queue": nameless}})

    with pytest.raises(RuleError, match=r"keep its worker in the same stack \[R9\]"):
        TaskWorkers(stateless, "Tasks", queues=queues, lambda_defaults={"code": CODE})


def test_rule_numbers_reach_the_author_of_a_registry(app: App) -> None:
    """A registry that Lambda cannot run is refused with the queue and the task."""
    with pytest.raises(RuleError, match=r"task 'render' on queue 'films' needs 3605 s.*runs_on='fargate'.*\[R1\]"):
        TaskStack(
            app,
            "Shop",
            manifest=manifest(queue("films", tasks=[task("render", timeout_seconds=3_600)])),
            lambda_defaults={"code": CODE},
        )


def test_r3_backoffs_of_a_registry_are_held_against_the_retention(app: App) -> None:
    """R3: from the policies in code to the refusal, by the manifest alone."""
    env = SQSEnv(MemorySession())
    emails = env.queue("emails", message_retention_seconds=3_600, backoff_policy=ConstantBackoff(1_000))
    emails.processor("send_email", max_attempts=5)(lambda: None)

    with pytest.raises(RuleError, match=r"backoffs of task 'send_email' .* add up to 4000 s, .* 3600 s.*\[R3\]"):
        TaskStack(app, "Shop", manifest=env.manifest(app="shop.tasks:env"), lambda_defaults={"code": CODE})


def test_existing_function_in_a_registry(app: App) -> None:
    """C2: one queue has a function already; what is said of new functions is for the others."""
    stack = Stack(app, "Shop")
    function = lambda_.Function(
        stack,
        "Mine",
        code=CODE,
        handler="mine.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
        timeout=Duration.seconds(100),
    )
    tasks = SqsTasks(
        stack,
        "Tasks",
        manifest=manifest(queue("emails", tasks=[task(enqueues=["letters"])]), queue("letters")),
        lambda_defaults={"code": CODE, "memory_size": 1_024, "max_concurrency": 5},
        lambda_settings={"emails": {"function": function}},
    )

    resources = Resources(stack)
    assert tasks.workers["emails"].function is function  # type: ignore[union-attr]
    assert len(resources.of_type("Lambda::Function")) == 2
    assert _urls(resources, "Mine") == {"emails", "emails_dead", "letters"}
    assert {
        item["Properties"]["ScalingConfig"]["MaximumConcurrency"]
        for item in resources.of_type("Lambda::EventSourceMapping").values()
    } == {5}


def test_registry_without_tasks_is_refused(app: App) -> None:
    """Such a template would take every worker from a deployed stack, whoever wrote the manifest."""
    idle = manifest(queue(tasks=[]), queue("orders.fifo", tasks=[]))
    with pytest.raises(StackError, match=r"has no task on any queue.*without_tasks=True"):
        TaskStack(app, "Shop", manifest=idle, lambda_defaults={"code": CODE})

    wanted = TaskStack(app, "Queues", manifest=idle, without_tasks=True)

    assert len(Resources(wanted).of_type("SQS::Queue")) == 4
    assert sum("a deploy removes the workers" in text for text in warnings(wanted)) == 1


def test_registry_without_queues_is_refused(app: App) -> None:
    """A manifest written by hand, or for the wrong environment, may be empty."""
    with pytest.raises(StackError, match="the registry has no queue, so this stack would be empty"):
        TaskStack(app, "Shop", manifest={**manifest(), "queues": []}, without_tasks=True)


def test_queue_that_lost_its_tasks_is_named(app: App) -> None:
    """The function of one queue leaves a deployed stack as silently as all of them; so its queue is named."""
    stack = TaskStack(app, "Shop", manifest=manifest(queue(), queue("idle", tasks=[])), lambda_defaults={"code": CODE})

    notes = [str(one.entry.data) for one in Annotations.from_stack(stack).find_info("*", Match.any_value())]
    assert any("No task is registered on 'idle'" in text for text in notes)
