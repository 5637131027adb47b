"""A queue of tasks with its dead-letter queue, and the rights to use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self, TypedDict, Unpack, cast

from aws_cdk import Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.dead_letter_queue import DeadLetterQueue
from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.manifest import ManifestQueue, ManifestTask
from sqs_tasks_cdk.queue_urls import HasEnvironment, QueueUrls, Worker
from sqs_tasks_cdk.visibility import QueueVisibility

#: What a producer does, and what a consumer does.
SEND_ACTIONS: Final = ("sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl")
CONSUME_ACTIONS: Final = (
    "sqs:ReceiveMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
)

#: What SQS does with a KMS key in the name of a producer, and of a consumer. The CDK's own grants have wildcards here.
SEND_KEY_ACTIONS: Final = ("kms:GenerateDataKey", "kms:Decrypt")
CONSUME_KEY_ACTIONS: Final = ("kms:Decrypt",)

#: What starts a redrive, watches it and stops it, on the dead-letter queue; SendMessage on the source comes besides.
REDRIVE_ACTIONS: Final = (
    "sqs:StartMessageMoveTask",
    "sqs:CancelMessageMoveTask",
    "sqs:ListMessageMoveTasks",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
)

#: How fine SQS's own metrics are.
METRIC_PERIOD: Final = Duration.minutes(1)


class TaskQueueSettings(TypedDict, total=False):
    """What code may decide about a queue of the registry: arguments of :class:`TaskQueue`."""

    visibility_timeout: Duration
    delivery_delay: Duration
    retention_period: Duration
    max_receive_count: int
    max_message_size_bytes: int
    deduplication_scope: sqs.DeduplicationScope
    fifo_throughput_limit: sqs.FifoThroughputLimit
    dead_letter_queue: DeadLetterQueue | sqs.IQueue
    encryption_master_key: kms.IKey
    data_key_reuse: Duration
    removal_policy: RemovalPolicy
    queue: sqs.IQueue


class MetricSettings(TypedDict, total=False):
    """How a metric is read and shown; what ``aws_cloudwatch.Metric`` takes."""

    account: str
    color: str
    label: str
    period: Duration
    region: str
    statistic: str


class TaskQueue(Construct):
    """A queue with a dead-letter queue of the same type, redrive, TLS and encryption at rest.

    Its visibility timeout follows from who works it: each worker states what it needs, and the largest is emitted (R2).
    Until one does, it is what one run of the slowest task takes. A ``visibility_timeout`` set by hand stays, and a
    worker that cannot work with it is refused.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``. Part of the logical ids: another id makes another queue.
        logical_name: The name in the registry, as in ``env.queue(name)``; ``construct_id`` when left out.
        queue_name: The name in SQS, by which producers anywhere find it; generated when left out.
        tasks: The tasks on it, whose timeouts and attempts decide the defaults.
        fifo: Whether it is a FIFO queue.
        content_based_deduplication: Whether SQS makes deduplication ids from bodies; FIFO only.
        deduplication_scope: Over the queue or each message group; FIFO only.
        fifo_throughput_limit: For the queue or each message group; FIFO only.
        visibility_timeout: How long a received message is hidden, up to 12 hours; computed when left out.
        delivery_delay: How long a new message is held back, up to 15 minutes.
        retention_period: How long a message stays that nobody deletes, 1 minute to 14 days; 4 days when left out.
        max_receive_count: Deliveries before a message is dead-lettered, 1 to 1,000; ``max(5, attempts + 3)`` when left
            out (R3).
        max_message_size_bytes: The largest message, 1,024 to 1,048,576; what SQS gives new queues when left out.
        dead_letter_queue: One to share, in place of one of its own.
        dead_letter_queue_name: The name in SQS of its own one; ``queue_name`` with ``_dead`` when left out.
        dead_letter_logical_name: The logical name of its own one; ``logical_name`` with ``_dead`` when left out.
        without_dead_letter_queue: Have none. A message that fails for ever then comes back until it expires.
        encryption_master_key: A KMS key in place of SSE-SQS, for its own dead-letter queue too.
        data_key_reuse: How long SQS may reuse a data key of ``encryption_master_key``, 1 minute to 24 hours.
        removal_policy: What happens to the queues and their messages when they leave the stack; DESTROY when left out.
        queue: An existing queue, in place of every setting above that would make one.

    Attributes:
        queue: The queue.
        dead_letter_queue: Where its failures go, or None.
        logical_name: The name in the registry.
        dead_letter_logical_name: The name of the dead-letter queue in the registry, or None.
        explicit_queue_name: The name in SQS if it is known at synth.
        tasks: The tasks on it.
        fifo: Whether it is a FIFO queue.
        max_receive_count: Deliveries before a message is dead-lettered; None for an existing queue that does not say.
        visibility: What its consumers agree on.

    Raises:
        StackError: ``queue`` together with a setting of a new queue, or settings that contradict each other.
        RuleError: R2, R3, R7 or R8.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        logical_name: str | None = None,
        queue_name: str | None = None,
        tasks: Sequence[ManifestTask] = (),
        fifo: bool | None = None,
        content_based_deduplication: bool | None = None,
        deduplication_scope: sqs.DeduplicationScope | None = None,
        fifo_throughput_limit: sqs.FifoThroughputLimit | None = None,
        visibility_timeout: Duration | None = None,
        delivery_delay: Duration | None = None,
        retention_period: Duration | None = None,
        max_receive_count: int | None = None,
        max_message_size_bytes: int | None = None,
        dead_letter_queue: DeadLetterQueue | sqs.IQueue | None = None,
        dead_letter_queue_name: str | None = None,
        dead_letter_logical_name: str | None = None,
        without_dead_letter_queue: bool = False,
        encryption_master_key: kms.IKey | None = None,
        data_key_reuse: Duration | None = None,
        removal_policy: RemovalPolicy | None = None,
        queue: sqs.IQueue | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.logical_name = logical_name if logical_name is not None else construct_id
        self.tasks = tuple(tasks)
        self._redrive_source_arns: list[str] = []

        if queue is not None:
            self._refuse(
                "an existing queue (queue=) cannot be given",
                "leave them out, or leave queue= out to have a queue made",
                queue_name=queue_name,
                fifo=fifo,
                content_based_deduplication=content_based_deduplication,
                deduplication_scope=deduplication_scope,
                fifo_throughput_limit=fifo_throughput_limit,
                visibility_timeout=visibility_timeout,
                delivery_delay=delivery_delay,
                retention_period=retention_period,
                max_message_size_bytes=max_message_size_bytes,
                dead_letter_queue_name=dead_letter_queue_name,
                without_dead_letter_queue=without_dead_letter_queue or None,
                encryption_master_key=encryption_master_key,
                data_key_reuse=data_key_reuse,
                removal_policy=removal_policy,
            )
            self.queue = queue
            self.fifo = queue.fifo
            self.explicit_queue_name = None if Token.is_unresolved(queue.queue_name) else queue.queue_name
            self.max_receive_count = max_receive_count
            self._take_dead_letter_queue(dead_letter_queue, dead_letter_logical_name)
            self._cfn_queue: sqs.CfnQueue | None = None
            self.visibility = QueueVisibility(
                queue=self.logical_name, explicit_seconds=None, initial_seconds=0, cfn_queue=None
            )
            return

        self.fifo = bool(fifo)
        self.explicit_queue_name = queue_name
        if not self.fifo:
            self._refuse(
                "a standard queue cannot have",
                "set fifo=True, or leave them out",
                content_based_deduplication=content_based_deduplication or None,
                deduplication_scope=deduplication_scope,
                fifo_throughput_limit=fifo_throughput_limit,
            )
        if without_dead_letter_queue:
            self._refuse(
                "without_dead_letter_queue cannot be given",
                "leave out one or the other",
                dead_letter_queue=dead_letter_queue,
                dead_letter_queue_name=dead_letter_queue_name,
                dead_letter_logical_name=dead_letter_logical_name,
            )
        if encryption_master_key is None:
            self._refuse("SSE-SQS has no", "give encryption_master_key as well", data_key_reuse=data_key_reuse)
        self._check_name(queue_name)
        self.max_receive_count = (
            max_receive_count if max_receive_count is not None else rules.default_max_receive_count(self.tasks)
        )
        retention = retention_period or Duration.seconds(limits.DEFAULT_RETENTION_SECONDS)
        rules.check_redrive(
            self.tasks,
            queue=self.logical_name,
            max_receive_count=self.max_receive_count,
            retention_seconds=int(retention.to_seconds()),
            dead_letter=not without_dead_letter_queue,
        )

        removal_policy = removal_policy if removal_policy is not None else RemovalPolicy.DESTROY
        if dead_letter_queue is None and not without_dead_letter_queue:
            dead_name = dead_letter_queue_name or _dead_queue_name(queue_name)
            self._check_name(dead_name)
            dead_letter_queue = DeadLetterQueue(
                self,
                "DeadLetters",
                logical_name=dead_letter_logical_name or f"{self.logical_name}_dead",
                queue_name=dead_name,
                fifo=self.fifo,
                encryption_master_key=encryption_master_key,
                removal_policy=removal_policy,
            )
        self._take_dead_letter_queue(dead_letter_queue, dead_letter_logical_name)
        if isinstance(dead_letter_queue, DeadLetterQueue):
            dead_letter_queue.allow_source(queue_name=queue_name)

        made = sqs.Queue(
            self,
            "Queue",
            queue_name=queue_name,
            fifo=True if self.fifo else None,  # CloudFormation knows no FifoQueue=false
            content_based_deduplication=content_based_deduplication or None,
            deduplication_scope=deduplication_scope,
            fifo_throughput_limit=fifo_throughput_limit,
            delivery_delay=delivery_delay,
            retention_period=retention,
            max_message_size_bytes=max_message_size_bytes,
            dead_letter_queue=None
            if self.dead_letter_queue is None
            else sqs.DeadLetterQueue(queue=self.dead_letter_queue, max_receive_count=self.max_receive_count),
            encryption=sqs.QueueEncryption.KMS if encryption_master_key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=encryption_master_key,
            data_key_reuse=data_key_reuse,
            enforce_ssl=True,
            removal_policy=removal_policy,
        )
        self.queue = made
        self._cfn_queue = cast("sqs.CfnQueue", made.node.default_child)
        self._emit_redrive_allow_policy()
        self.visibility = QueueVisibility(
            queue=self.logical_name,
            explicit_seconds=None if visibility_timeout is None else int(visibility_timeout.to_seconds()),
            initial_seconds=rules.slowest_task_seconds(self.tasks),
            cfn_queue=self._cfn_queue,
        )

    @classmethod
    def from_manifest(
        cls, scope: Construct, construct_id: str, registered: ManifestQueue, /, **settings: Unpack[TaskQueueSettings]
    ) -> Self:
        """Make the queue of a registration; ``settings`` win over what the registration says.

        With ``queue=`` among the settings that existing queue takes the registration's place.
        """
        arguments: dict[str, Any] = {"logical_name": registered.name, "tasks": registered.tasks}
        dead = registered.dead_letter_queue
        if dead is not None:
            arguments["dead_letter_logical_name"] = dead.name
        if "queue" not in settings:
            arguments |= {
                "queue_name": registered.queue_name,
                "fifo": registered.fifo,
                "content_based_deduplication": registered.content_based_deduplication,
                "visibility_timeout": _duration(registered.visibility_timeout_seconds),
                "delivery_delay": _duration(registered.delay_seconds or None),
                "retention_period": _duration(registered.message_retention_seconds),
                "max_receive_count": registered.max_receive_count,
                "without_dead_letter_queue": dead is None and "dead_letter_queue" not in settings,
            }
            if dead is not None and "dead_letter_queue" not in settings:
                arguments["dead_letter_queue_name"] = dead.queue_name
        return cls(scope, construct_id, **{**arguments, **settings})

    def reference_in(self, scope: Construct, construct_id: str) -> TaskQueue:
        """This queue as another stack of the app may use it: by name.

        A reference across stacks becomes an export, and CloudFormation changes nothing that is exported and in use
        (R9). A name needs none. Workers of the reference still decide the visibility timeout here.

        Raises:
            RuleError: R9; the queue or its dead-letter queue has no name of its own.
        """
        imported = self._by_name(scope, f"{construct_id}Queue", self.queue, self.explicit_queue_name)
        dead = self.dead_letter_queue
        reference = TaskQueue(
            scope,
            construct_id,
            logical_name=self.logical_name,
            tasks=self.tasks,
            max_receive_count=self.max_receive_count,
            dead_letter_queue=None
            if dead is None
            else self._by_name(scope, f"{construct_id}DeadLetters", dead, self._dead_queue_name),
            dead_letter_logical_name=self.dead_letter_logical_name,
            queue=imported,
        )
        reference.visibility = self.visibility
        return reference

    # Rights

    def grant_send(self, grantee: iam.IGrantable | Worker) -> iam.Grant:
        """Let ``grantee`` add jobs, and tell it the queue's URL if it has an environment."""
        self.tell_url(grantee)
        return _grant(self.queue, grantee, SEND_ACTIONS, SEND_KEY_ACTIONS)

    def grant_consume(self, grantee: iam.IGrantable | Worker) -> iam.Grant:
        """Let ``grantee`` receive, hide and delete messages, and copy rejected ones to the dead-letter queue."""
        self.tell_url(grantee)
        grant = _grant(self.queue, grantee, CONSUME_ACTIONS, CONSUME_KEY_ACTIONS)
        if self.dead_letter_queue is None:
            return grant
        # A rejected message is deleted here once it is accepted there; without the right it would never be (S43).
        self._tell_dead_letter_url(grantee)
        return grant.combine(_grant(self.dead_letter_queue, grantee, SEND_ACTIONS, SEND_KEY_ACTIONS))

    def grant_redrive(self, grantee: iam.IGrantable | Worker) -> iam.Grant:
        """Let ``grantee`` move messages from the dead-letter queue back to the queue.

        Raises:
            StackError: The queue has no dead-letter queue.
        """
        if self.dead_letter_queue is None:
            raise StackError(
                f"queue {self.logical_name!r} has no dead-letter queue to redrive from; let it have one, or give the "
                "one that belongs to an existing queue with dead_letter_queue="
            )
        self.tell_url(grantee)
        self._tell_dead_letter_url(grantee)
        return _grant(self.dead_letter_queue, grantee, REDRIVE_ACTIONS, CONSUME_KEY_ACTIONS).combine(
            _grant(self.queue, grantee, SEND_ACTIONS, SEND_KEY_ACTIONS)
        )

    def tell_url(self, target: Any) -> None:
        """Put the queue's URL into the environment of a function, container or worker; others are left alone."""
        self._tell(target, self.logical_name, self.queue, self.explicit_queue_name)

    def allow_redrive_from(self, source: TaskQueue) -> None:
        """Let another queue use this one as its dead-letter queue, which nobody may otherwise (R8).

        Raises:
            RuleError: R8; the other queue's name is generated.
        """
        if source.explicit_queue_name is None:
            raise RuleError(
                "R8",
                f"queue {source.logical_name!r} has a generated name, so {self.logical_name!r} cannot name it as a "
                "source without a circle between them; give it a queue_name",
            )
        self._redrive_source_arns.append(_arn(self, source.explicit_queue_name))
        self._emit_redrive_allow_policy()

    # Metrics

    def metric_age_of_oldest(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Seconds that the oldest message has waited.

        On a standard queue messages that were received three times no longer count (S25).
        """
        return self._metric("ApproximateAgeOfOldestMessage", "Maximum", settings)

    def metric_visible(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages ready to be received."""
        return self._metric("ApproximateNumberOfMessagesVisible", "Maximum", settings)

    def metric_in_flight(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages being worked on or waiting for their next attempt; SQS allows 120,000 (S37)."""
        return self._metric("ApproximateNumberOfMessagesNotVisible", "Maximum", settings)

    def metric_delayed(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages that SQS holds back."""
        return self._metric("ApproximateNumberOfMessagesDelayed", "Maximum", settings)

    def metric_sent(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages added."""
        return self._metric("NumberOfMessagesSent", "Sum", settings)

    def metric_received(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages delivered, again and again ones included."""
        return self._metric("NumberOfMessagesReceived", "Sum", settings)

    def metric_deleted(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages done. None while messages are received means that the worker's answer is wrong (S14)."""
        return self._metric("NumberOfMessagesDeleted", "Sum", settings)

    def metric_noisy_groups(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Tenants of a fair queue that take so much that others are served before them (S39).

        Raises:
            StackError: The queue is FIFO, where groups are kept in order and not fair.
        """
        return self._fair_metric("ApproximateNumberOfNoisyGroups", settings)

    def metric_visible_in_quiet_groups(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages of a fair queue that are ready, without those of noisy tenants.

        Raises:
            StackError: The queue is FIFO.
        """
        return self._fair_metric("ApproximateNumberOfMessagesVisibleInQuietGroups", settings)

    def metric_age_of_oldest_in_quiet_groups(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Seconds that the oldest message has waited in a fair queue, without those of noisy tenants.

        Raises:
            StackError: The queue is FIFO.
        """
        return self._fair_metric("ApproximateAgeOfOldestMessageInQuietGroups", settings)

    def metric_backlog(self, *, period: Duration = METRIC_PERIOD, label: str = "Backlog") -> cloudwatch.MathExpression:
        """Messages that are not done: ready, in flight and held back."""
        return cloudwatch.MathExpression(
            expression="FILL(visible, 0) + FILL(in_flight, 0) + FILL(held_back, 0)",
            using_metrics={
                "visible": self.metric_visible(period=period),
                "in_flight": self.metric_in_flight(period=period),
                "held_back": self.metric_delayed(period=period),
            },
            period=period,
            label=label,
        )

    def metric_seconds_to_drain(
        self, *, period: Duration = METRIC_PERIOD, label: str = "Seconds to drain"
    ) -> cloudwatch.MathExpression:
        """Seconds until the queue is empty at its present speed; the whole retention when nothing is being done."""
        return cloudwatch.MathExpression(
            expression=(
                f"IF(FILL(visible, 0) == 0, 0, IF(FILL(deleted, 0) == 0, {limits.DEFAULT_RETENTION_SECONDS}, "
                "visible / (deleted / PERIOD(deleted))))"
            ),
            using_metrics={
                "visible": self.metric_visible(period=period),
                "deleted": self.metric_deleted(period=period),
            },
            period=period,
            label=label,
        )

    def metric_dead_letters(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages in the dead-letter queue.

        Not those that were sent to it: what SQS itself moves there does not count as sent.

        Raises:
            StackError: The queue has no dead-letter queue.
        """
        if self.dead_letter_queue is None:
            raise StackError(f"queue {self.logical_name!r} has no dead-letter queue, so none of its metrics")
        return _metric(
            self._dead_queue_name or self.dead_letter_queue.queue_name,
            "ApproximateNumberOfMessagesVisible",
            "Maximum",
            settings,
        )

    def _metric(self, name: str, statistic: str, settings: MetricSettings) -> cloudwatch.Metric:
        return _metric(self.explicit_queue_name or self.queue.queue_name, name, statistic, settings)

    def _fair_metric(self, name: str, settings: MetricSettings) -> cloudwatch.Metric:
        if self.fifo:
            raise StackError(f"queue {self.logical_name!r} is a FIFO queue, and {name} is for standard queues")
        return self._metric(name, "Maximum", settings)

    # Inside

    def _take_dead_letter_queue(
        self, dead_letter_queue: DeadLetterQueue | sqs.IQueue | None, logical_name: str | None
    ) -> None:
        self.dead_letter_logical_name: str | None = None
        self._dead_queue_name: str | None = None
        self.dead_letter_queue: sqs.IQueue | None = None
        if dead_letter_queue is None:
            return
        self.dead_letter_logical_name = logical_name or f"{self.logical_name}_dead"
        if isinstance(dead_letter_queue, DeadLetterQueue):
            self.dead_letter_queue = dead_letter_queue.queue
            self.dead_letter_logical_name = dead_letter_queue.logical_name
            self._dead_queue_name = dead_letter_queue.explicit_queue_name
        else:
            self.dead_letter_queue = dead_letter_queue
            name = dead_letter_queue.queue_name
            self._dead_queue_name = None if Token.is_unresolved(name) else name
        if self.dead_letter_queue.fifo != self.fifo:
            # The CDK only warns of this, and CloudFormation fails half way through a deploy (S30).
            raise StackError(
                f"queue {self.logical_name!r} is a {_type(self.fifo)} queue and its dead-letter queue "
                f"{self.dead_letter_logical_name!r} a {_type(self.dead_letter_queue.fifo)} queue; SQS needs both of "
                "one type"
            )

    def _emit_redrive_allow_policy(self) -> None:
        if self._cfn_queue is not None:
            self._cfn_queue.redrive_allow_policy = (
                {"redrivePermission": "byQueue", "sourceQueueArns": self._redrive_source_arns}
                if self._redrive_source_arns
                else {"redrivePermission": "denyAll"}
            )

    def _tell_dead_letter_url(self, target: Any) -> None:
        if self.dead_letter_queue is not None and self.dead_letter_logical_name is not None:
            self._tell(target, self.dead_letter_logical_name, self.dead_letter_queue, self._dead_queue_name)

    @staticmethod
    def _tell(target: Any, logical_name: str, queue: sqs.IQueue, queue_name: str | None) -> None:
        environment = target.queue_environment if isinstance(target, Worker) else target
        if isinstance(environment, HasEnvironment):
            QueueUrls.of(environment).add(
                environment, logical_name=logical_name, url=queue.queue_url, queue_name=queue_name
            )

    def _by_name(self, scope: Construct, construct_id: str, queue: sqs.IQueue, name: str | None) -> sqs.IQueue:
        if name is None:
            raise RuleError(
                "R9",
                f"queue {self.logical_name!r} or its dead-letter queue has a generated name, which another stack could "
                "only learn by an export that then locks it; give it a queue_name, or keep its worker in the same "
                "stack",
            )
        key = queue.encryption_master_key
        # A queue that is there already may be elsewhere; one that is made here is where the other stack is.
        return sqs.Queue.from_queue_attributes(
            scope,
            construct_id,
            queue_arn=Stack.of(scope).format_arn(service="sqs", resource=name, **_place_of(queue)),
            fifo=True if self.fifo else None,
            key_arn=None if key is None else key.key_arn,
        )

    def _check_name(self, name: str | None) -> None:
        if name is None or Token.is_unresolved(name):
            return
        if len(name) > limits.MAX_QUEUE_NAME_CHARS:
            raise RuleError(
                "R7",
                f"queue name {name!r} has {len(name)} characters; SQS allows {limits.MAX_QUEUE_NAME_CHARS}, '.fifo' "
                "included; shorten it",
            )
        if self.fifo != name.endswith(".fifo"):
            fix = f"'{name}.fifo'" if self.fifo else f"{name.removesuffix('.fifo')!r}, or set fifo=True"
            raise RuleError(
                "R7",
                f"queue name {name!r} {'must' if self.fifo else 'must not'} end with '.fifo' for a {_type(self.fifo)} "
                f"queue; try {fix}",
            )

    def _refuse(self, what: str, fix: str, **settings: Any) -> None:
        given = [name for name, value in settings.items() if value is not None]
        if given:
            raise StackError(f"queue {self.logical_name!r}: {what} {', '.join(given)}; {fix}")


def _grant(
    queue: sqs.IQueue, grantee: iam.IGrantable | Worker, actions: Sequence[str], key_actions: Sequence[str]
) -> iam.Grant:
    principal = cast("iam.IGrantable", grantee.role) if isinstance(grantee, Worker) else grantee
    grant = queue.grant(principal, *actions)
    key = queue.encryption_master_key
    return grant if key is None else grant.combine(key.grant(principal, *key_actions))


def _metric(queue_name: str, name: str, statistic: str, settings: MetricSettings) -> cloudwatch.Metric:
    # By the name itself where it is known: a dashboard or alarm in another stack then needs no export (R9).
    options: dict[str, Any] = {"period": METRIC_PERIOD, "statistic": statistic, **settings}
    return cloudwatch.Metric(namespace="AWS/SQS", metric_name=name, dimensions_map={"QueueName": queue_name}, **options)


def _arn(scope: Construct, queue_name: str) -> str:
    return Stack.of(scope).format_arn(service="sqs", resource=queue_name)


class _Place(TypedDict, total=False):
    """Where an ARN says it is, as far as that is another place than the stack's."""

    account: str
    region: str


def _place_of(queue: sqs.IQueue) -> _Place:
    place: _Place = {}
    if not Token.is_unresolved(queue.env.account):
        place["account"] = queue.env.account
    if not Token.is_unresolved(queue.env.region):
        place["region"] = queue.env.region
    return place


def _dead_queue_name(queue_name: str | None) -> str | None:
    if queue_name is None:
        return None
    stem = queue_name.removesuffix(".fifo")
    return f"{stem}_dead{queue_name.removeprefix(stem)}"


def _duration(seconds: int | None) -> Duration | None:
    return None if seconds is None else Duration.seconds(seconds)


def _type(fifo: bool) -> str:
    return "FIFO" if fifo else "standard"
