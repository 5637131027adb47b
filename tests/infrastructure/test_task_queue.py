"""TaskQueue: the queue, its dead-letter queue, who may use them, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs

from sqs_tasks_cdk.dead_letter_queue import DeadLetterQueue
from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.manifest import Manifest, ManifestTask
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, joined, warnings


def _role(stack: Stack, name: str = "Role") -> iam.Role:
    return iam.Role(stack, name, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def _function(stack: Stack, name: str = "Function") -> lambda_.Function:
    return lambda_.Function(
        stack,
        name,
        code=lambda_.Code.from_inline("def handler(event, context): ..."),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )


def test_queue_with_nothing_set(stack: Stack) -> None:
    """Nothing set: a dead-letter queue of 14 days, TLS, SSE-SQS, redrive after 5, visibility in the template."""
    made = TaskQueue(stack, "emails")

    resources = Resources(stack)
    queues = resources.of_type("SQS::Queue")
    (dead_id,) = [key for key in queues if "DeadLetters" in key]
    (source_id,) = [key for key in queues if key != dead_id]
    assert queues[source_id]["Properties"] == {
        "MessageRetentionPeriod": 345_600,
        "VisibilityTimeout": 30,
        "SqsManagedSseEnabled": True,
        "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": [dead_id, "Arn"]}, "maxReceiveCount": 5},
        "RedriveAllowPolicy": {"redrivePermission": "denyAll"},
    }
    assert queues[dead_id]["Properties"] == {
        "MessageRetentionPeriod": 1_209_600,
        "SqsManagedSseEnabled": True,
        "RedriveAllowPolicy": {"redrivePermission": "allowAll"},
    }
    denied = [
        policy["Properties"]["PolicyDocument"]["Statement"][0]
        for policy in resources.of_type("SQS::QueuePolicy").values()
    ]
    assert [(item["Effect"], item["Condition"]) for item in denied] == [
        ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    ] * 2
    # Messages outlive the stack; a first deployment that fails leaves no queues behind that would stop the next.
    assert {queue["DeletionPolicy"] for queue in queues.values()} == {"RetainExceptOnCreate"}
    assert {queue["UpdateReplacePolicy"] for queue in queues.values()} == {"Retain"}
    assert made.logical_name == "emails"
    assert made.max_receive_count == 5


def test_queue_with_everything_set(stack: Stack) -> None:
    """Everything set arrives in the template, on the dead-letter queue too where it belongs there."""
    key = kms.Key(stack, "Key")
    TaskQueue(
        stack,
        "Orders",
        logical_name="orders",
        queue_name="shop-orders.fifo",
        tasks=[ManifestTask(name="place", timeout_seconds=20, max_attempts=4)],
        fifo=True,
        content_based_deduplication=True,
        deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP,
        fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
        visibility_timeout=Duration.minutes(10),
        delivery_delay=Duration.seconds(5),
        retention_period=Duration.days(7),
        max_receive_count=20,
        max_message_size_bytes=65_536,
        dead_letter_queue_name="shop-graves.fifo",
        dead_letter_logical_name="graves.fifo",
        encryption_master_key=key,
        data_key_reuse=Duration.minutes(30),
        removal_policy=RemovalPolicy.RETAIN,
    )

    resources = Resources(stack)
    properties = resources.queue("shop-orders.fifo")
    (dead_id,) = [
        key
        for key, value in resources.of_type("SQS::Queue").items()
        if value["Properties"]["QueueName"] == "shop-graves.fifo"
    ]
    assert {name: value for name, value in properties.items() if name != "KmsMasterKeyId"} == {
        "QueueName": "shop-orders.fifo",
        "FifoQueue": True,
        "ContentBasedDeduplication": True,
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "VisibilityTimeout": 600,
        "DelaySeconds": 5,
        "MessageRetentionPeriod": 604_800,
        "MaximumMessageSize": 65_536,
        "KmsDataKeyReusePeriodSeconds": 1_800,
        "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": [dead_id, "Arn"]}, "maxReceiveCount": 20},
        "RedriveAllowPolicy": {"redrivePermission": "denyAll"},
    }
    dead = resources.queue("shop-graves.fifo")
    assert dead["FifoQueue"] is True
    assert dead["KmsMasterKeyId"] == properties["KmsMasterKeyId"]
    assert {value["DeletionPolicy"] for value in resources.of_type("SQS::Queue").values()} == {"Retain"}


def test_queue_from_manifest(stack: Stack) -> None:
    """A registration gives the names, the numbers and the tasks; settings in code win."""
    registered = Manifest.read(
        manifest(queue(delay_seconds=3, visibility_timeout_seconds=120, message_retention_seconds=86_400))
    ).queue("emails")

    made = TaskQueue.from_manifest(stack, "emails", registered, delivery_delay=Duration.seconds(4))

    properties = Resources(stack).queue("shop-emails")
    assert properties["DelaySeconds"] == 4
    assert properties["VisibilityTimeout"] == 120
    assert properties["MessageRetentionPeriod"] == 86_400
    assert properties["RedrivePolicy"]["maxReceiveCount"] == 8
    assert Resources(stack).queue("shop-emails_dead")
    assert made.dead_letter_logical_name == "emails_dead"
    assert [item.name for item in made.tasks] == ["send_email"]


def test_queue_without_dead_letter_queue(stack: Stack) -> None:
    """A registration that declines a dead-letter queue gets none."""
    registered = Manifest.read(manifest(queue(dead_letter_queue=None))).queue("emails")

    made = TaskQueue.from_manifest(stack, "emails", registered)

    assert "RedrivePolicy" not in Resources(stack).only("SQS::Queue")
    assert made.dead_letter_queue is None
    with pytest.raises(StackError, match="no dead-letter queue to redrive from"):
        made.grant_redrive(_role(stack))
    with pytest.raises(StackError, match="none of its metrics"):
        made.metric_dead_letters()


def test_r3_receive_count_follows_the_attempts(stack: Stack) -> None:
    """R3: without a number of receives the queue leaves every attempt its turn, and three more."""
    TaskQueue(stack, "emails", queue_name="emails", tasks=[ManifestTask(name="send", max_attempts=9)])

    assert Resources(stack).queue("emails")["RedrivePolicy"]["maxReceiveCount"] == 12


def test_r3_receive_count_below_the_attempts_is_refused(stack: Stack) -> None:
    """R3: a number by hand that takes attempts away is refused."""
    with pytest.raises(RuleError, match=r"set max_receive_count to at least 12.*\[R3\]"):
        TaskQueue(stack, "emails", tasks=[ManifestTask(name="send", max_attempts=9)], max_receive_count=8)


def test_r3_dead_letter_queue_that_keeps_less_than_its_source_is_refused(stack: Stack) -> None:
    """S44: on standard queues the clock runs from the first send, so such a queue could delete on arrival."""
    week = Duration.days(7)
    dead = DeadLetterQueue(stack, "dead", logical_name="dead", retention_period=week)
    fifo = DeadLetterQueue(stack, "dead.fifo", logical_name="dead.fifo", fifo=True, retention_period=week)

    TaskQueue(stack, "as-long", dead_letter_queue=dead, retention_period=week)
    TaskQueue(stack, "anew", dead_letter_queue=fifo, fifo=True, retention_period=Duration.days(8))
    with pytest.raises(RuleError, match=r"'dead' keeps messages for 604800 s and queue 'longer' for 691200 s.*\[R3\]"):
        TaskQueue(stack, "longer", dead_letter_queue=dead, retention_period=Duration.days(8))


def test_r7_names_are_checked(stack: Stack) -> None:
    """R7: 80 characters, the suffix included, for the dead-letter queue too."""
    with pytest.raises(RuleError, match=r"has 81 characters; SQS allows 80.*\[R7\]"):
        TaskQueue(stack, "a", queue_name="q" * 81)
    with pytest.raises(RuleError, match=r"qqq_dead' has 85 characters.*\[R7\]"):
        TaskQueue(stack, "b", queue_name="q" * 80)
    with pytest.raises(RuleError, match=r"'orders' must end with '.fifo' for a FIFO queue; try 'orders.fifo'"):
        TaskQueue(stack, "c", queue_name="orders", fifo=True)
    with pytest.raises(RuleError, match=r"must not end with '.fifo' for a standard queue; try 'orders', or set fifo"):
        TaskQueue(stack, "d", queue_name="orders.fifo")


def test_r8_named_queue_is_the_only_source_of_its_dead_letter_queue(stack: Stack) -> None:
    """R8: with a name the dead-letter queue admits its source by name, and no circle arises."""
    TaskQueue(stack, "emails", queue_name="shop-emails")

    policy = Resources(stack).queue("shop-emails_dead")["RedriveAllowPolicy"]
    assert policy["redrivePermission"] == "byQueue"
    assert [joined(arn) for arn in policy["sourceQueueArns"]] == [
        "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:shop-emails"
    ]


def test_r8_shared_dead_letter_queue_names_its_sources(stack: Stack) -> None:
    """R8: up to ten sources are named."""
    dead = DeadLetterQueue(stack, "Dead", logical_name="dead", queue_name="dead")
    for number in range(10):
        TaskQueue(stack, f"q{number}", queue_name=f"q{number}", dead_letter_queue=dead)
    policy = Resources(stack).queue("dead")["RedriveAllowPolicy"]
    assert [joined(arn).rpartition(":")[2] for arn in policy["sourceQueueArns"]] == [f"q{n}" for n in range(10)]


def test_r8_eleventh_source_opens_the_dead_letter_queue(stack: Stack) -> None:
    """R8: SQS takes ten names; with more the queue is open to all."""
    dead = DeadLetterQueue(stack, "Dead", logical_name="dead", queue_name="dead")
    for number in range(12):
        TaskQueue(stack, f"q{number}", queue_name=f"q{number}", dead_letter_queue=dead)

    assert Resources(stack).queue("dead")["RedriveAllowPolicy"] == {"redrivePermission": "allowAll"}


def test_r8_queue_that_is_a_dead_letter_queue_admits_only_its_sources(stack: Stack) -> None:
    """R8: a task queue is nobody's dead-letter queue until it says whose."""
    second = TaskQueue(stack, "second", queue_name="second")
    first = TaskQueue(stack, "first", queue_name="first", dead_letter_queue=second.queue)
    second.allow_redrive_from(first)

    policy = Resources(stack).queue("second")["RedriveAllowPolicy"]
    assert policy["redrivePermission"] == "byQueue"
    assert joined(policy["sourceQueueArns"][0]).endswith(":first")
    with pytest.raises(RuleError, match=r"'nameless' has a generated name.*\[R8\]"):
        second.allow_redrive_from(TaskQueue(stack, "nameless"))


def test_dead_letter_queue_of_the_other_type_is_refused(stack: Stack) -> None:
    """S30: a standard dead-letter queue under a FIFO queue is refused, which the CDK lets pass."""
    dead = DeadLetterQueue(stack, "Dead", logical_name="dead")

    with pytest.raises(StackError, match="'orders' is a FIFO queue and its dead-letter queue 'dead' a standard queue"):
        TaskQueue(stack, "orders", fifo=True, dead_letter_queue=dead)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"content_based_deduplication": True},
            "a standard queue cannot have content_based_deduplication; set fifo=True",
        ),
        ({"deduplication_scope": sqs.DeduplicationScope.QUEUE}, "a standard queue cannot have deduplication_scope"),
        ({"data_key_reuse": Duration.minutes(5)}, "SSE-SQS has no data_key_reuse; give encryption_master_key as well"),
        (
            {"without_dead_letter_queue": True, "dead_letter_queue_name": "dead"},
            "without_dead_letter_queue cannot be given dead_letter_queue_name",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_refused(stack: Stack, settings: dict[str, Any], says: str) -> None:
    """Settings that cannot both be meant are refused with the one to leave out."""
    with pytest.raises(StackError) as caught:
        TaskQueue(stack, "emails", **settings)

    assert says in str(caught.value)


def test_existing_queue_takes_the_place_of_settings(stack: Stack) -> None:
    """An existing queue is used as it is, and no queue is made."""
    existing = sqs.Queue.from_queue_arn(stack, "Existing", "arn:aws:sqs:us-east-1:123456789012:old-emails")
    dead = sqs.Queue.from_queue_arn(stack, "ExistingDead", "arn:aws:sqs:us-east-1:123456789012:old-dead")
    made = TaskQueue(stack, "emails", queue=existing, dead_letter_queue=dead, dead_letter_logical_name="graves")
    function = _function(stack)
    made.grant_consume(function)

    resources = Resources(stack)
    assert resources.of_type("SQS::Queue") == {}
    assert made.explicit_queue_name == "old-emails"
    urls = joined(resources.only("Lambda::Function")["Environment"]["Variables"]["SQS_TASKS_QUEUE_URLS"])
    assert urls == (
        '{"emails":"https://sqs.us-east-1.${AWS::URLSuffix}/123456789012/old-emails",'
        '"graves":"https://sqs.us-east-1.${AWS::URLSuffix}/123456789012/old-dead"}'
    )
    assert "sqs:SendMessage" in resources.actions_on("old-dead")


def test_existing_queue_together_with_settings_is_refused(stack: Stack) -> None:
    """An existing queue or settings, never both: each setting is named."""
    existing = sqs.Queue(stack, "Existing")

    with pytest.raises(StackError, match=r"\(queue=\) cannot be given delivery_delay, removal_policy; leave them out"):
        TaskQueue(
            stack,
            "emails",
            queue=existing,
            delivery_delay=Duration.seconds(30),
            removal_policy=RemovalPolicy.RETAIN,
        )


def test_registration_yields_to_an_existing_queue(stack: Stack) -> None:
    """``queue=`` among the settings of a registration replaces what the registration would make."""
    registered = Manifest.read(manifest()).queue("emails")

    made = TaskQueue.from_manifest(stack, "emails", registered, queue=sqs.Queue(stack, "Existing"))

    assert len(Resources(stack).of_type("SQS::Queue")) == 1
    assert made.tasks[0].name == "send_email"


def test_r2_largest_need_is_emitted(stack: Stack) -> None:
    """R2: of several consumers the one that needs most decides, in any order."""
    made = TaskQueue(stack, "emails", queue_name="emails")
    for recommended in (100, 300, 200):
        made.visibility.require(consumer=stack, name="worker", at_least=10, recommended=recommended)

    assert Resources(stack).queue("emails")["VisibilityTimeout"] == 300
    assert made.visibility.timeout is not None
    assert made.visibility.timeout.to_seconds() == 300


def test_r2_visibility_by_hand_stays_or_is_refused(stack: Stack) -> None:
    """R2: a number by hand is kept while the consumer can work with it, and refused with the number that would do."""
    made = TaskQueue(stack, "emails", queue_name="emails", visibility_timeout=Duration.seconds(40))
    made.visibility.require(consumer=stack, name="the function", at_least=40, recommended=240)

    assert Resources(stack).queue("emails")["VisibilityTimeout"] == 40
    with pytest.raises(
        RuleError, match=r"hides a message for 40 s, but the function may work on it for 41 s.*246 s.*\[R2\]"
    ):
        made.visibility.require(consumer=stack, name="the function", at_least=41, recommended=246)


def test_r2_existing_queue_gets_a_warning(stack: Stack) -> None:
    """R2: the visibility of a queue from elsewhere can neither be set nor read here, and that is said."""
    made = TaskQueue.from_queue_arn(stack, "emails", "arn:aws:sqs:us-east-1:123456789012:old-emails")
    made.visibility.require(consumer=stack, name="the function", at_least=40, recommended=240)

    assert any("the function needs at least 40 s and should have 240 s" in text for text in warnings(stack))
    assert made.visibility.timeout is None


def test_grant_send_is_least_privilege_and_tells_the_url(stack: Stack) -> None:
    """A producer may send and nothing else, and finds the URL in its environment."""
    made = TaskQueue(stack, "emails", queue_name="shop-emails")
    function = _function(stack)

    grant = made.grant_send(function)

    resources = Resources(stack)
    (queue_id,) = [key for key in resources.of_type("SQS::Queue") if "DeadLetters" not in key]
    assert isinstance(grant, iam.Grant)
    assert resources.actions_on(queue_id) == {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
    assert resources.actions_on("DeadLetters") == set()
    variables = resources.only("Lambda::Function")["Environment"]["Variables"]
    assert joined(variables["SQS_TASKS_QUEUE_URLS"]) == f'{{"emails":"${{{queue_id}}}"}}'


def test_grant_consume_reaches_the_dead_letter_queue(stack: Stack) -> None:
    """A consumer may copy rejected messages to the dead-letter queue (S43), and not read it."""
    made = TaskQueue(stack, "emails", queue_name="shop-emails")
    made.grant_consume(_role(stack))

    resources = Resources(stack)
    (queue_id,) = [key for key in resources.of_type("SQS::Queue") if "DeadLetters" not in key]
    assert resources.actions_on(queue_id) == {
        "sqs:SendMessage",
        "sqs:ReceiveMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueUrl",
        "sqs:GetQueueAttributes",
    }
    assert resources.actions_on("DeadLetters") == {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}


def test_grant_redrive_moves_from_the_dead_letter_queue_to_the_queue(stack: Stack) -> None:
    """Who redrives may move, read and delete there, and send here."""
    made = TaskQueue(stack, "emails", queue_name="shop-emails")
    function = _function(stack)
    made.grant_redrive(function)

    resources = Resources(stack)
    assert {
        "sqs:StartMessageMoveTask",
        "sqs:CancelMessageMoveTask",
        "sqs:ListMessageMoveTasks",
        "sqs:ReceiveMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
    } <= resources.actions_on("DeadLetters")
    assert "sqs:SendMessage" not in resources.actions_on("DeadLetters")
    variables = resources.only("Lambda::Function")["Environment"]["Variables"]
    assert '"emails_dead":' in joined(variables["SQS_TASKS_QUEUE_URLS"])


def test_grants_include_the_key(stack: Stack) -> None:
    """With a KMS key, who sends may encrypt and who consumes may decrypt (S47)."""
    key = kms.Key(stack, "Key")
    made = TaskQueue(stack, "emails", queue_name="shop-emails", encryption_master_key=key)
    made.grant_consume(_role(stack, "Consumer"))
    made.grant_redrive(_role(stack, "Operator"))

    assert Resources(stack).actions_on("Key") == {"kms:Decrypt", "kms:GenerateDataKey"}


def test_urls_of_several_queues_gather_in_one_variable(stack: Stack) -> None:
    """Grants on several queues, by several hands, add up in one JSON object."""
    function = _function(stack)
    for name in ("emails", "images", "emails"):
        existing = stack.node.try_find_child(name)
        made = existing if isinstance(existing, TaskQueue) else TaskQueue(stack, name)
        made.grant_send(function)

    variables = Resources(stack).only("Lambda::Function")["Environment"]["Variables"]
    assert joined(variables["SQS_TASKS_QUEUE_URLS"]).count('":"') == 2


def test_container_is_told_urls(stack: Stack) -> None:
    """A producer in a container gets the rights by its role and the URL in its environment."""
    task_definition = ecs.FargateTaskDefinition(stack, "Api")
    container = task_definition.add_container("Main", image=ecs.ContainerImage.from_registry("api"))
    made = TaskQueue(stack, "emails", queue_name="shop-emails")
    made.grant_send(task_definition.task_role)
    made.tell_url(container)

    definition = Resources(stack).only("ECS::TaskDefinition")["ContainerDefinitions"][0]
    assert [item["Name"] for item in definition["Environment"]] == ["SQS_TASKS_QUEUE_URLS"]


def test_r5_urls_beyond_a_functions_environment_are_left_out(stack: Stack) -> None:
    """R5: of a hundred queues a function is told as many as 4 KB hold; the rest is found by name, which is allowed."""
    function = _function(stack)
    for number in range(100):
        TaskQueue(
            stack, f"queue-{number:03}", queue_name=f"shop-queue-{number:03}", without_dead_letter_queue=True
        ).grant_send(function)

    resources = Resources(stack)
    variables = resources.only("Lambda::Function")["Environment"]["Variables"]
    text = joined(variables["SQS_TASKS_QUEUE_URLS"])
    told = text.count('":"')
    assert 20 < told < 100
    deployed = text.replace("${", "https://sqs.ap-southeast-2.amazonaws.com/123456789012/shop-").replace("}", "")
    assert len(deployed) < 4_096
    assert "sqs:GetQueueUrl" in resources.actions_on("queue099")


def test_metrics_read_the_queue(stack: Stack) -> None:
    """Each metric names the queue, and the dead letters are counted by what lies there."""
    made = TaskQueue(stack, "emails", queue_name="shop-emails")

    single = [
        made.metric_age_of_oldest(),
        made.metric_visible(),
        made.metric_in_flight(),
        made.metric_delayed(),
        made.metric_sent(),
        made.metric_received(),
        made.metric_deleted(),
        made.metric_dead_letters(),
    ]

    assert {metric.namespace for metric in single} == {"AWS/SQS"}
    assert {metric.period.to_seconds() for metric in single} == {60}
    assert made.metric_dead_letters().metric_name == "ApproximateNumberOfMessagesVisible"
    assert made.metric_deleted(statistic="Average", period=Duration.minutes(5)).statistic == "Average"
    assert made.metric_noisy_groups().metric_name == "ApproximateNumberOfNoisyGroups"
    assert made.metric_visible_in_quiet_groups().metric_name == "ApproximateNumberOfMessagesVisibleInQuietGroups"
    assert made.metric_age_of_oldest_in_quiet_groups().metric_name == "ApproximateAgeOfOldestMessageInQuietGroups"
    with pytest.raises(
        StackError, match="'orders' is a FIFO queue, and ApproximateNumberOfNoisyGroups is for standard"
    ):
        TaskQueue(stack, "orders", fifo=True).metric_noisy_groups()
    assert set(made.metric_backlog().using_metrics) == {"visible", "in_flight", "held_back"}
    assert set(made.metric_seconds_to_drain().using_metrics) == {"visible", "deleted"}


def test_r9_reference_in_another_stack_is_by_name(stack: Stack) -> None:
    """R9: another stack uses the queue without an export, and its needs still reach the queue."""
    made = TaskQueue(
        stack, "emails", queue_name="shop-emails", tasks=Manifest.read(manifest(queue(tasks=[task()]))).queues[0].tasks
    )
    other = Stack(stack.node.scope, "Other")
    reference = made.reference_in(other, "emails")
    reference.grant_consume(_role(other))
    reference.visibility.require(consumer=other, name="worker", at_least=10, recommended=777)

    home = Resources(stack)
    assert "Outputs" not in home.template
    assert home.queue("shop-emails")["VisibilityTimeout"] == 777
    assert "Fn::ImportValue" not in str(Resources(other).template)
    assert Resources(other).actions_on(":shop-emails_dead") == {
        "sqs:SendMessage",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
    }
    assert [item.name for item in reference.tasks] == ["send_email"]
    with pytest.raises(RuleError, match=r"has a generated name.*\[R9\]"):
        TaskQueue(stack, "nameless").reference_in(other, "nameless")
