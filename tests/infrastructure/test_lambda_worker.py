"""LambdaWorker: the function, its mapping and its rights, right without settings and refused when wrong."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aws_cdk import CfnElement, Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs

from sqs_tasks.deployment.drift import tasks_hash
from sqs_tasks_cdk.bundling import PythonBundle
from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.lambda_worker import LambdaWorker, ProvisionedPollers
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.templates import Resources, infos, joined, warnings

#: Code that needs no bundling.
CODE = lambda_.Code.from_inline("def handler(event, context): ...")


def _task(**changes: Any) -> ManifestTask:
    return ManifestTask(**{"name": "send_email", "timeout_seconds": 30, "max_attempts": 5, "enqueues": (), **changes})


def _queue(stack: Stack, name: str = "emails", *tasks: ManifestTask, **settings: Any) -> TaskQueue:
    return TaskQueue(stack, name, queue_name=f"shop-{name}", tasks=tasks or (_task(),), **settings)


def _worker(stack: Stack, queue: TaskQueue | None = None, **settings: Any) -> LambdaWorker:
    return LambdaWorker(
        stack,
        "Worker",
        task_queue=queue if queue is not None else _queue(stack),
        app="shop.tasks:env",
        **{"code": CODE, **settings},
    )


def _feeds(mapping: dict[str, Any], *, alias: str) -> bool:
    """Whether a mapping's target is an alias of that name."""
    name, argument = next(iter(mapping["FunctionName"].items()))
    return name == "Fn::Join" and argument[1][-1] == f":{alias}"


def test_worker_with_nothing_set(stack: Stack) -> None:
    """Nothing set: arm64, Python 3.13, own logs for a month, a batch of ten that fits, visibility of six timeouts."""
    worker = _worker(stack)

    resources = Resources(stack)
    (queue_id,) = [key for key in resources.of_type("SQS::Queue") if "DeadLetters" not in key]
    (dead_id,) = [key for key in resources.of_type("SQS::Queue") if "DeadLetters" in key]
    (log_group_id,) = resources.of_type("Logs::LogGroup")
    (function_id,) = resources.of_type("Lambda::Function")
    properties = resources.only("Lambda::Function")
    assert {name: properties[name] for name in ("Architectures", "Runtime", "Handler", "MemorySize", "Timeout")} == {
        "Architectures": ["arm64"],
        "Runtime": "python3.13",
        "Handler": "sqs_tasks.lambda_handler.handler",
        "MemorySize": 512,
        "Timeout": 305,
    }
    assert properties["LoggingConfig"] == {"LogGroup": {"Ref": log_group_id}}
    assert properties["TracingConfig"] == {"Mode": "Active"}
    assert resources.only("Logs::LogGroup") == {"RetentionInDays": 30}
    variables = properties["Environment"]["Variables"]
    assert joined(variables.pop("SQS_TASKS_QUEUE_URLS")) == (
        f'{{"emails":"${{{queue_id}}}","emails_dead":"${{{dead_id}}}"}}'
    )
    assert variables == {
        "SQS_TASKS_APP": "shop.tasks:env",
        "POWERTOOLS_SERVICE_NAME": "shop",
        "POWERTOOLS_METRICS_NAMESPACE": "SqsTasks",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "SQS_TASKS_TASKS_HASH": tasks_hash([{"name": "send_email", "aliases": []}]),
    }
    assert resources.only("Lambda::EventSourceMapping") == {
        "EventSourceArn": {"Fn::GetAtt": [queue_id, "Arn"]},
        "FunctionName": {"Ref": function_id},
        "BatchSize": 10,
        "Enabled": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    assert resources.queue("shop-emails")["VisibilityTimeout"] == 6 * 305
    assert worker.batch_size == 10
    assert worker.timeout.to_seconds() == 305
    assert warnings(stack) == []


def test_worker_with_everything_set(stack: Stack) -> None:
    """Everything set arrives in the template."""
    layer = lambda_.LayerVersion.from_layer_version_arn(
        stack, "Layer", "arn:aws:lambda:us-east-1:123456789012:layer:x:1"
    )
    _worker(
        stack,
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_12,
        architecture=lambda_.Architecture.X86_64,
        timeout=Duration.seconds(100),
        memory_size=1_024,
        environment={"MODE": "live", "POWERTOOLS_SERVICE_NAME": "mail"},
        log_level="DEBUG",
        batch_size=3,
        max_batching_window=Duration.seconds(20),
        max_concurrency=7,
        alias="stable",
        recursive_loop=lambda_.RecursiveLoop.TERMINATE,
        filters=[{"pattern": '{"body":{"kind":["mail"]}}'}],
        filtered_messages_are_deleted=True,
        enabled=False,
        tracing=lambda_.Tracing.DISABLED,
        log_retention=logs.RetentionDays.ONE_WEEK,
        log_removal_policy=RemovalPolicy.RETAIN,
        function_name="mailer",
        description="Sends mail",
        layers=[layer],
        ephemeral_storage_size=Size.gibibytes(1),
    )

    resources = Resources(stack)
    function = resources.only("Lambda::Function")
    assert {
        name: function[name]
        for name in ("Architectures", "Description", "FunctionName", "Handler", "Layers", "MemorySize", "Runtime")
    } == {
        "Architectures": ["x86_64"],
        "Description": "Sends mail",
        "FunctionName": "mailer",
        "Handler": "index.handler",
        "Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:x:1"],
        "MemorySize": 1_024,
        "Runtime": "python3.12",
    }
    assert function["Timeout"] == 100
    assert function["EphemeralStorage"] == {"Size": 1_024}
    assert function["RecursiveLoop"] == "Terminate"
    assert "TracingConfig" not in function
    variables = function["Environment"]["Variables"]
    assert (variables["MODE"], variables["POWERTOOLS_SERVICE_NAME"], variables["POWERTOOLS_LOG_LEVEL"]) == (
        "live",
        "mail",
        "DEBUG",
    )
    assert variables["SQS_TASKS_BATCHING_WINDOW_SECONDS"] == "20"
    (log_group,) = resources.of_type("Logs::LogGroup").values()
    assert log_group["Properties"] == {"RetentionInDays": 7}
    assert log_group["DeletionPolicy"] == "Retain"
    mapping = resources.only("Lambda::EventSourceMapping")
    assert mapping["BatchSize"] == 3
    assert mapping["MaximumBatchingWindowInSeconds"] == 20
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 7}
    assert mapping["Enabled"] is False
    assert mapping["FilterCriteria"]["Filters"][0]["Pattern"] == '{"body":{"kind":["mail"]}}'
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert resources.only("Lambda::Alias")["Name"] == "stable"
    assert _feeds(mapping, alias="stable")
    assert resources.queue("shop-emails")["VisibilityTimeout"] == 6 * 100 + 20


def test_partial_batch_failures_cannot_be_turned_off(stack: Stack) -> None:
    """S9: there is no argument for it, and the settings that tests can reach keep it on."""
    with pytest.raises(TypeError, match="report_batch_item_failures"):
        _worker(stack, report_batch_item_failures=False)


def test_role_is_least_privilege(stack: Stack) -> None:
    """The role consumes its queue, sends to its dead-letter queue, writes its own logs, traces, and no more."""
    _worker(stack)

    resources = Resources(stack)
    role = resources.only("IAM::Role")
    assert "ManagedPolicyArns" not in role
    assert resources.actions_on("LogGroup") | resources.actions_on("Logs") == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }
    assert resources.actions_on("DeadLetters") == {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
    anywhere = {
        action for statement in resources.statements() if statement["Resource"] == "*" for action in statement["Action"]
    }
    assert anywhere == {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}


def test_mapping_waits_for_the_rights(stack: Stack) -> None:
    """Lambda tries the rights when the mapping is made, so the policy comes first."""
    _worker(stack)

    resources = Resources(stack)
    (policy_id,) = resources.of_type("IAM::Policy")
    (mapping,) = resources.of_type("Lambda::EventSourceMapping").values()
    assert policy_id in mapping["DependsOn"]


def test_c7_mapping_keeps_its_id_whatever_is_set(stack: Stack) -> None:
    """C7: a mapping is unique by queue and function, so no setting may give it another logical id."""
    plain = _worker(stack)
    other = LambdaWorker(
        Stack(stack.node.scope, "Test2"),
        "Worker",
        task_queue=_queue(Stack(stack.node.scope, "Queues")),
        app="shop.tasks:env",
        code=CODE,
        alias="live",
        max_concurrency=5,
    )

    ids = {
        Stack.of(worker).resolve(cast("CfnElement", worker.event_source_mapping.node.default_child).logical_id)
        for worker in (plain, other)
    }
    assert ids == {"WorkerMappingFDD776F0"}


@pytest.mark.parametrize(
    ("timeout_seconds", "batch_size", "function_seconds"),
    [(1, 10, 15), (30, 10, 305), (100, 3, 305), (120, 2, 245), (400, 1, 405), (895, 1, 900)],
)
def test_r1_timeout_and_batch_follow_the_slowest_task(
    stack: Stack, timeout_seconds: int, batch_size: int, function_seconds: int
) -> None:
    """R1: a whole batch at its slowest fits in one invocation, by taking fewer messages if need be."""
    _worker(stack, _queue(stack, "emails", _task(timeout_seconds=timeout_seconds), _task(name="b", timeout_seconds=1)))

    resources = Resources(stack)
    assert resources.only("Lambda::EventSourceMapping")["BatchSize"] == batch_size
    assert resources.only("Lambda::Function")["Timeout"] == function_seconds


def test_r1_slow_task_does_not_make_a_crash_dear(stack: Stack) -> None:
    """R1, R2: a task of two minutes makes small batches, and what is hidden after a crash is said in numbers."""
    _worker(stack, _queue(stack, "emails", _task(name="render", timeout_seconds=120), _task(name="b")))

    assert Resources(stack).queue("shop-emails")["VisibilityTimeout"] == 6 * 245
    assert warnings(stack) == []
    (said,) = infos(stack)
    assert said.startswith(
        "Task 'render' may run 120 s, so queue 'emails' is worked in batches of 2, and hides messages for 1470 s (24 "
        "minutes) when its function crashes."
    )


def test_r2_crash_that_hides_messages_for_long_is_warned_of(stack: Stack) -> None:
    """R2: one task of ten minutes costs an hour, whatever the batch; with a timeout set by hand that is decided."""
    _worker(stack, _queue(stack, "emails", _task(name="render", timeout_seconds=600)))
    by_hand = Stack(stack.node.scope, "ByHand")
    _worker(by_hand, _queue(by_hand, "films", _task(timeout_seconds=600)), timeout=Duration.seconds(900))

    assert warnings(by_hand) == []
    (warning,) = warnings(stack)
    assert "hides messages for 3630 s (60 minutes) when its function crashes" in warning
    assert "lower the task's timeout, register it on a queue of its own" in warning


def test_r1_task_too_long_for_lambda_is_refused(stack: Stack) -> None:
    """R1: a task of half an hour is named, and Fargate with it."""
    with pytest.raises(RuleError, match=r"task 'send_email' on queue 'emails' needs 1805 s .*'fargate'.*\[R1\]"):
        _worker(stack, _queue(stack, "emails", _task(timeout_seconds=1_800)))


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(34, "task 'send_email' may take 30 s and settling 5 s; set it to 35 s or more"), (1_801, "runs for 1 to 1800 s")],
)
def test_r1_timeout_by_hand_is_checked(stack: Stack, seconds: int, says: str) -> None:
    """R1: a function timeout that is too short for a task, or longer than Lambda's, is refused."""
    with pytest.raises(RuleError) as caught:
        _worker(stack, timeout=Duration.seconds(seconds))

    assert caught.value.rule == "R1"
    assert says in str(caught.value)


def test_r1_batch_that_outlasts_the_function_is_warned_of(stack: Stack) -> None:
    """R1, S23: a batch by hand that does not fit is allowed, with what it costs."""
    _worker(stack, batch_size=1_000, max_batching_window=Duration.seconds(5))

    assert any("1000 messages of up to 30 s each do not fit in the 900 s" in text for text in warnings(stack))


def test_r2_worker_within_a_visibility_by_hand(stack: Stack) -> None:
    """R2: with a visibility by hand the computed function fits in a sixth of it."""
    _worker(stack, _queue(stack, visibility_timeout=Duration.seconds(600)))

    resources = Resources(stack)
    assert resources.queue("shop-emails")["VisibilityTimeout"] == 600
    assert resources.only("Lambda::EventSourceMapping")["BatchSize"] == 3
    assert resources.only("Lambda::Function")["Timeout"] == 95


def test_r2_visibility_below_the_function_timeout_is_refused(stack: Stack) -> None:
    """R2, S18: Lambda refuses such a mapping half way through a deploy; here it is refused at once."""
    queue = _queue(stack, visibility_timeout=Duration.seconds(60))

    with pytest.raises(
        RuleError, match=r"hides a message for 60 s, but the function of .* 61 s.*raise.*to 366 s.*\[R2\]"
    ):
        _worker(stack, queue, timeout=Duration.seconds(61))


def test_fifo_worker(stack: Stack) -> None:
    """A FIFO queue is worked one message at a time unless told otherwise (S23)."""
    queue = TaskQueue(stack, "orders.fifo", queue_name="shop-orders.fifo", tasks=[_task()], fifo=True)
    _worker(stack, queue)

    resources = Resources(stack)
    assert resources.only("Lambda::EventSourceMapping")["BatchSize"] == 1
    assert resources.only("Lambda::Function")["Timeout"] == 35
    assert resources.queue("shop-orders.fifo")["VisibilityTimeout"] == 210


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"batch_size": 11}, "needs a batching window"),
        ({"max_concurrency": 1}, "Lambda allows 2 to 1000"),
        (
            {"max_concurrency": 5, "reserved_concurrent_executions": 4},
            "reserved_concurrent_executions of 4 for a function with a max_concurrency of 5",
        ),
        (
            {"reserved_concurrent_executions": 50, "provisioned_pollers": ProvisionedPollers()},
            "provisioned_pollers and reserved_concurrent_executions together on queue 'emails'",
        ),
        (
            {"max_concurrency": 5, "provisioned_pollers": ProvisionedPollers()},
            "max_concurrency and provisioned_pollers together on queue 'emails'",
        ),
        ({"provisioned_pollers": ProvisionedPollers(minimum=1)}, "a minimum of 1"),
        ({"provisioned_pollers": ProvisionedPollers(maximum=10_001)}, "a maximum of 10001"),
    ],
)
def test_r4_wrong_mapping_is_refused(stack: Stack, settings: dict[str, Any], says: str) -> None:
    """R4: what Lambda refuses, or what dead-letters healthy messages, is refused at synth."""
    with pytest.raises(RuleError) as caught:
        _worker(stack, **settings)

    assert caught.value.rule == "R4"
    assert says in str(caught.value)


def test_r4_window_on_fifo_is_refused(stack: Stack) -> None:
    """R4: Lambda has no batching window for FIFO queues."""
    queue = TaskQueue(stack, "orders.fifo", tasks=[_task()], fifo=True)

    with pytest.raises(RuleError, match=r"no batching window for FIFO.*\[R4\]"):
        _worker(stack, queue, max_batching_window=Duration.seconds(1))


def test_provisioned_pollers(stack: Stack) -> None:
    """S35: pollers are kept ready in the number asked for, which may be above what the CDK's own construct takes."""
    _worker(stack, provisioned_pollers=ProvisionedPollers(minimum=5, maximum=2_500))

    assert Resources(stack).only("Lambda::EventSourceMapping")["ProvisionedPollerConfig"] == {
        "MinimumPollers": 5,
        "MaximumPollers": 2_500,
    }


def test_reserved_concurrency_above_the_maximum(stack: Stack) -> None:
    """Z3: what a function has reserved may be as much as its queue may start, or more."""
    _worker(stack, reserved_concurrent_executions=5, max_concurrency=5)

    assert Resources(stack).only("Lambda::Function")["ReservedConcurrentExecutions"] == 5
    assert warnings(stack) == []


@pytest.mark.parametrize(
    ("fifo", "reserved", "says"),
    [
        (False, 1, "for one at a time, use a FIFO queue with one message group"),
        (False, 7, "give max_concurrency=7 as well"),
        (True, 1, None),
    ],
)
def test_reserved_concurrency_that_throttles_is_warned_of(
    stack: Stack, fifo: bool, reserved: int, says: str | None
) -> None:
    """S34: on a standard queue Lambda receives more than a small reserve runs, and receives are counted."""
    queue = TaskQueue(stack, "q.fifo" if fifo else "q", tasks=[_task()], fifo=fifo)
    _worker(stack, queue, reserved_concurrent_executions=reserved)

    assert Resources(stack).only("Lambda::Function")["ReservedConcurrentExecutions"] == reserved
    assert [says in text for text in warnings(stack)] == ([True] if says is not None else [])


def test_snap_start_feeds_a_published_version(stack: Stack) -> None:
    """C8, P7: a snapshot exists of a version only, so the mapping feeds an alias."""
    worker = _worker(stack, snap_start=True)

    resources = Resources(stack)
    assert resources.only("Lambda::Function")["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert resources.only("Lambda::Alias")["Name"] == "live"
    assert _feeds(resources.only("Lambda::EventSourceMapping"), alias="live")
    assert worker.alias is not None


def test_snap_start_with_much_storage_is_refused(stack: Stack) -> None:
    """P7: SnapStart takes no more than 512 MiB of ephemeral storage."""
    with pytest.raises(StackError, match="snap_start with 1024 MiB of ephemeral storage; SnapStart allows 512 MiB"):
        _worker(stack, snap_start=True, ephemeral_storage_size=Size.gibibytes(1))


def test_r6_loop_is_allowed_only_where_a_task_makes_one(stack: Stack) -> None:
    """R6: the guard goes off for a task that enqueues, and not for one that says it does not."""
    with pytest.raises(RuleError, match=r"none of its tasks enqueues anything.*\[R6\]"):
        _worker(stack, recursive_loop=lambda_.RecursiveLoop.ALLOW)

    looping = Stack(stack.node.scope, "Looping")
    _worker(looping, _queue(looping, "a", _task(enqueues=("a",))), recursive_loop=lambda_.RecursiveLoop.ALLOW)
    assert Resources(looping).only("Lambda::Function")["RecursiveLoop"] == "Allow"


def test_r7_function_name_is_checked(stack: Stack) -> None:
    """R7: 64 characters for a function."""
    with pytest.raises(RuleError, match=r"has 65 characters; Lambda allows 64.*\[R7\]"):
        _worker(stack, function_name="f" * 65)


def test_filters_need_a_word(stack: Stack) -> None:
    """S41: Lambda deletes what a filter does not match, so the word is asked for."""
    with pytest.raises(StackError, match="filtered_messages_are_deleted=True"):
        _worker(stack, filters=[{"pattern": "{}"}])


@pytest.mark.parametrize("name", ["SQS_TASKS_APP", "SQS_TASKS_QUEUE_URLS", "SQS_TASKS_BATCHING_WINDOW_SECONDS"])
def test_our_variables_are_not_set_by_hand(stack: Stack, name: str) -> None:
    """A variable that has an argument of its own is refused in ``environment``."""
    with pytest.raises(StackError, match=f"environment sets {name}"):
        _worker(stack, environment={name: "x"})


def test_code_and_bundle_exclude_each_other(stack: Stack) -> None:
    """Code is ready made or described, not both."""
    with pytest.raises(StackError, match="give one of them"):
        _worker(stack, bundle=PythonBundle(packages=["shop"]))


def test_few_receives_are_warned_of(stack: Stack) -> None:
    """S42: below five deliveries, throttles dead-letter healthy messages."""
    _worker(stack, _queue(stack, "emails", _task(max_attempts=2), max_receive_count=2))

    assert any("dead-letters after 2 deliveries" in text for text in warnings(stack))


@pytest.mark.parametrize(("batch_size", "warned"), [(None, False), (1, False), (5, True)])
def test_s23_fifo_batches_are_warned_of(stack: Stack, batch_size: int | None, warned: bool) -> None:
    """S23: those behind a failing job are received with it and never run."""
    _worker(stack, TaskQueue(stack, "orders.fifo", tasks=[_task()], fifo=True), batch_size=batch_size)

    assert any("worked in batches of 5" in text for text in warnings(stack)) is warned


def test_worker_may_be_granted_other_queues(stack: Stack) -> None:
    """R5: ``grant_send(worker)`` gives the right to the role and the URL to the function."""
    worker = _worker(stack)
    images = TaskQueue(stack, "images", queue_name="shop-images")
    images.grant_send(worker)

    resources = Resources(stack)
    assert "sqs:SendMessage" in resources.actions_on("imagesQueue")
    assert '"images":' in joined(resources.only("Lambda::Function")["Environment"]["Variables"]["SQS_TASKS_QUEUE_URLS"])


def test_function_in_a_vpc(stack: Stack) -> None:
    """In a VPC the function may make its network interfaces, without a managed policy."""
    vpc = ec2.Vpc(stack, "Vpc", max_azs=1)
    _worker(stack, vpc=vpc, vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS))

    resources = Resources(stack)
    assert len(resources.only("Lambda::Function")["VpcConfig"]["SubnetIds"]) == 1
    assert any("ec2:CreateNetworkInterface" in statement["Action"] for statement in resources.statements())


def _existing(stack: Stack, **settings: Any) -> lambda_.Function:
    return lambda_.Function(
        stack,
        "Existing",
        **{
            "code": CODE,
            "handler": "mine.handler",
            "runtime": lambda_.Runtime.PYTHON_3_13,
            "timeout": Duration.seconds(50),
            **settings,
        },
    )


def test_existing_function_takes_the_place_of_settings(stack: Stack) -> None:
    """C2: a function of the app gets the mapping, the rights, the URLs; its own timeout decides the visibility."""
    function = _existing(stack)

    worker = _worker(stack, code=None, function=function, max_batching_window=Duration.seconds(7), max_concurrency=3)

    resources = Resources(stack)
    (function_id,) = resources.of_type("Lambda::Function")
    variables = resources.only("Lambda::Function")["Environment"]["Variables"]
    mapping = resources.only("Lambda::EventSourceMapping")
    assert worker.function is function
    assert (worker.log_group, worker.alias) == (None, None)
    assert resources.of_type("Logs::LogGroup") == {}
    assert set(variables) == {"SQS_TASKS_APP", "SQS_TASKS_BATCHING_WINDOW_SECONDS", "SQS_TASKS_QUEUE_URLS"}
    assert mapping["FunctionName"] == {"Ref": function_id}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 3}
    assert mapping["BatchSize"] == 1, "(50 s - 5 s) / 30 s"
    assert resources.queue("shop-emails")["VisibilityTimeout"] == 6 * 50 + 7
    assert "sqs:ReceiveMessage" in resources.actions_on("emails")


def test_existing_function_may_work_two_queues(stack: Stack) -> None:
    """S4: one function with a mapping for each queue, and the URLs of both."""
    function = _existing(stack)
    for name in ("emails", "letters"):
        LambdaWorker(stack, f"{name}-worker", task_queue=_queue(stack, name), app="shop.tasks:env", function=function)

    resources = Resources(stack)
    assert len(resources.of_type("Lambda::EventSourceMapping")) == 2
    urls = joined(resources.only("Lambda::Function")["Environment"]["Variables"]["SQS_TASKS_QUEUE_URLS"])
    assert '"emails":' in urls
    assert '"letters":' in urls


def test_function_from_elsewhere_needs_its_timeout_and_role(stack: Stack) -> None:
    """An imported function: what cannot be read of it must be said."""
    arn = "arn:aws:lambda:us-east-1:123456789012:function:mailer"
    role = iam.Role.from_role_arn(stack, "Role", "arn:aws:iam::123456789012:role/mailer")
    imported = lambda_.Function.from_function_attributes(stack, "Mailer", function_arn=arn, role=role)
    bare = lambda_.Function.from_function_arn(stack, "Bare", arn)

    with pytest.raises(StackError, match=r"timeout of an imported function .* give timeout="):
        LambdaWorker(stack, "A", task_queue=_queue(stack, "a"), app="shop.tasks:env", function=imported)
    with pytest.raises(StackError, match=r"no role here .*from_function_attributes"):
        LambdaWorker(
            stack,
            "B",
            task_queue=_queue(stack, "b"),
            app="shop.tasks:env",
            function=bare,
            timeout=Duration.seconds(50),
        )
    _worker(stack, code=None, function=imported, timeout=Duration.seconds(50))

    resources = Resources(stack)
    assert resources.queue("shop-emails")["VisibilityTimeout"] == 300
    assert "sqs:ReceiveMessage" in resources.actions_on("emails")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"code": CODE}, "cannot be given code"),
        ({"memory_size": 1_024, "alias": "live"}, "cannot be given memory_size, alias"),
        ({"environment": {"MODE": "live"}, "snap_start": True}, "cannot be given environment, snap_start"),
        ({"timeout": Duration.seconds(60)}, "timeout of 60 s for an existing function that has 50 s"),
    ],
)
def test_existing_function_together_with_settings_is_refused(stack: Stack, settings: dict[str, Any], says: str) -> None:
    """C2: an existing function or settings of a new one, never both."""
    function = _existing(stack)

    with pytest.raises(StackError, match=says):
        _worker(stack, **{"code": None, "function": function, **settings})


def test_r1_existing_function_with_too_little_time_is_refused(stack: Stack) -> None:
    """R1: Lambda's three seconds, which a function has that does not say, are not enough."""
    with pytest.raises(RuleError, match=r"timeout of 3 s .* 'send_email' may take 30 s"):
        _worker(stack, code=None, function=_existing(stack, timeout=None))
