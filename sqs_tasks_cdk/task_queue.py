"""A queue of tasks with its dead-letter queue, and the rights to use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, Unpack, cast

from aws_cdk import Duration, Stack
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.dead_letter_queue import KEPT, DeadLetterQueue
from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.manifest import ManifestQueue
from sqs_tasks_cdk.name_claims import claim_name
from sqs_tasks_cdk.places import place_of
from sqs_tasks_cdk.queue_metrics import QueueMetrics
from sqs_tasks_cdk.queue_names import check_kind, check_name, dead_queue_name, type_of
from sqs_tasks_cdk.queue_properties import QueueProperties, existing_properties
from sqs_tasks_cdk.queue_rights import QueueRights
from sqs_tasks_cdk.queue_sources import QueueSources
from sqs_tasks_cdk.redrive_permission import check_admitted
from sqs_tasks_cdk.settings import given, names_in
from sqs_tasks_cdk.stack_references import are_apart, deploy_after, key_arn_in
from sqs_tasks_cdk.task_queue_settings import (
    OF_EXISTING_QUEUES,
    OF_FIFO_QUEUES,
    ExistingTaskQueueSettings,
    NewTaskQueueSettings,
    TaskQueueSettings,
)
from sqs_tasks_cdk.unresolved import known, known_seconds
from sqs_tasks_cdk.visibility import QueueVisibility

__all__ = ["ExistingTaskQueueSettings", "NewTaskQueueSettings", "TaskQueue", "TaskQueueSettings"]


class TaskQueue(QueueMetrics, QueueRights, QueueSources, Construct):
    """A queue with a dead-letter queue of the same type, redrive, TLS and encryption at rest.

    Its visibility timeout follows from who works it: each worker states what it needs, and the largest is emitted (R2).
    Until one does, it is what one run of the slowest task takes. A ``visibility_timeout`` set by hand stays, and a
    worker that cannot work with it is refused.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``. Part of the logical ids: another id makes another queue.
        settings: See :class:`NewTaskQueueSettings`; all may be left out.

    Attributes:
        queue: The queue.
        dead_letter_queue: Where its failures go, or None.
        logical_name: The name in the registry.
        dead_letter_logical_name: The name of the dead-letter queue in the registry, or None.
        explicit_queue_name: The name in SQS if it is known at synth.
        explicit_dead_letter_queue_name: The name in SQS of the dead-letter queue if it is known at synth.
        tasks: The tasks on it.
        fifo: Whether it is a FIFO queue.
        max_receive_count: Deliveries before a message is dead-lettered; None if that is unknown.
        retention_seconds: How long a message stays that nobody deletes; None if that is unknown.
        visibility: What its consumers agree on.

    Raises:
        StackError: ``queue`` together with a setting of a new queue, or settings that contradict each other.
        RuleError: R2, R3, R7 or R8.
        TypeError: There is no such setting.
    """

    queue: sqs.IQueue
    visibility: QueueVisibility
    max_receive_count: int | None
    retention_seconds: int | None

    def __init__(self, scope: Construct, construct_id: str, **settings: Unpack[NewTaskQueueSettings]) -> None:
        settings = given(settings, NewTaskQueueSettings, construct="TaskQueue")
        super().__init__(scope, construct_id)
        self.logical_name = settings.get("logical_name") or construct_id
        self.tasks = tuple(settings.get("tasks", ()))
        self._redrive_source_arns: list[str] = []
        self._references: dict[str, TaskQueue] = {}
        self._cfn_queue: sqs.CfnQueue | None = None
        existing = settings.get("queue")
        if existing is not None:
            self._take(existing, settings)
        else:
            self._make(settings)

    def _take(self, queue: sqs.IQueue, settings: NewTaskQueueSettings) -> None:
        """Use a queue that exists already."""
        self._refuse(
            "an existing queue (queue=) cannot be given",
            "leave them out, or leave queue= out to have a queue made",
            # A plain fifo=False would be a claim about the queue too.
            [name for name in settings if name not in OF_EXISTING_QUEUES and (name == "fifo" or settings.get(name))],
        )
        self._check_declined(settings)
        found = existing_properties(self, queue, settings, logical_name=self.logical_name)
        self.queue = queue
        self.fifo = queue.fifo
        self.explicit_queue_name = found.queue_name
        self.max_receive_count = found.max_receive_count
        self.retention_seconds = found.retention_seconds
        self._take_dead_letter_queue(found.dead_letter_queue, settings.get("dead_letter_logical_name"))
        check_name(self.explicit_queue_name, fifo=self.fifo)
        self._check_admitted(queue)
        self._check_redrive(dead_letter=self.dead_letter_queue is not None)
        self._check_dead_letter_retention()
        self.visibility = QueueVisibility(
            queue=self.logical_name,
            explicit_seconds=found.visibility_seconds,
            initial_seconds=0,
            cfn_queue=None,
            is_unknown=found.is_made_here and found.visibility_seconds is None,
        )

    def _make(self, settings: NewTaskQueueSettings) -> None:
        """Make the queue, and its dead-letter queue unless one is given or declined."""
        self.fifo = bool(settings.get("fifo"))
        self.explicit_queue_name = settings.get("queue_name")
        self._check_new(settings)
        receives: int = settings.get("max_receive_count") or rules.default_max_receive_count(self.tasks)
        self.max_receive_count = known(receives)
        retention = settings.get("retention_period") or Duration.seconds(limits.DEFAULT_RETENTION_SECONDS)
        self.retention_seconds = known_seconds(retention)
        self._check_redrive(dead_letter=not settings.get("without_dead_letter_queue"))
        dead_letter_queue = settings.get("dead_letter_queue")
        if dead_letter_queue is None and not settings.get("without_dead_letter_queue"):
            dead_letter_queue = self._make_dead_letter_queue(settings)
        self._take_dead_letter_queue(dead_letter_queue, settings.get("dead_letter_logical_name"))
        if isinstance(dead_letter_queue, DeadLetterQueue):
            dead_letter_queue.allow_source(queue_name=self.explicit_queue_name)
        else:
            self._check_admitted(None)
        self._check_dead_letter_retention()

        key = settings.get("encryption_master_key")
        made = sqs.Queue(
            self,
            "Queue",
            queue_name=self.explicit_queue_name,
            fifo=True if self.fifo else None,  # CloudFormation knows no FifoQueue=false
            content_based_deduplication=settings.get("content_based_deduplication") or None,
            deduplication_scope=settings.get("deduplication_scope"),
            fifo_throughput_limit=settings.get("fifo_throughput_limit"),
            delivery_delay=settings.get("delivery_delay"),
            retention_period=retention,
            max_message_size_bytes=settings.get("max_message_size_bytes"),
            dead_letter_queue=None
            if self.dead_letter_queue is None
            else sqs.DeadLetterQueue(queue=self.dead_letter_queue, max_receive_count=receives),
            encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=key,
            data_key_reuse=settings.get("data_key_reuse"),
            enforce_ssl=True,
            removal_policy=settings.get("removal_policy", KEPT),
        )
        self.queue = made
        self._cfn_queue = cast("sqs.CfnQueue", made.node.default_child)
        self._emit_redrive_allow_policy()
        by_hand = settings.get("visibility_timeout")
        self.visibility = QueueVisibility(
            queue=self.logical_name,
            explicit_seconds=known_seconds(by_hand),
            initial_seconds=rules.slowest_task_seconds(self.tasks) if by_hand is None else by_hand.to_seconds(),
            cfn_queue=self._cfn_queue,
            is_unknown=by_hand is not None and by_hand.is_unresolved(),
        )

    def _check_redrive(self, *, dead_letter: bool) -> None:
        rules.check_redrive(
            self.tasks,
            queue=self.logical_name,
            max_receive_count=self.max_receive_count,
            retention_seconds=self.retention_seconds,
            dead_letter=dead_letter,
        )

    def _check_dead_letter_retention(self) -> None:
        letters = None if self.dead_letter_queue is None else QueueProperties.of(self.dead_letter_queue)
        if letters is None or self.fifo:  # the clock of a FIFO dead-letter queue begins anew (S44)
            return
        if letters.retention_seconds is not None and self.retention_seconds is not None:
            rules.check_dead_letter_retention(
                queue=self.logical_name,
                dead_letter_queue=str(self.dead_letter_logical_name),
                source_seconds=self.retention_seconds,
                dead_letter_seconds=letters.retention_seconds,
            )

    def _check_admitted(self, queue: sqs.IQueue | None) -> None:
        letters = self.dead_letter_queue
        # Another queue of a registry admits this one later (allow_redrive_from), when this one has its name.
        if letters is not None and not isinstance(letters.node.scope, TaskQueue):
            check_admitted(letters, queue, source_name=self.explicit_queue_name, queue=self.logical_name)

    def _check_declined(self, settings: NewTaskQueueSettings) -> None:
        if settings.get("without_dead_letter_queue"):
            self._refuse(
                "without_dead_letter_queue cannot be given",
                "leave out one or the other",
                names_in(settings, ("dead_letter_queue", "dead_letter_queue_name", "dead_letter_logical_name")),
            )

    def _check_new(self, settings: NewTaskQueueSettings) -> None:
        """Refuse settings of a new queue that contradict each other."""
        if not self.fifo:
            self._refuse(
                "a standard queue cannot have",
                "set fifo=True, or leave them out",
                names_in(settings, OF_FIFO_QUEUES),
            )
        self._check_declined(settings)
        if "encryption_master_key" not in settings:
            self._refuse("SSE-SQS has no", "give encryption_master_key as well", names_in(settings, ["data_key_reuse"]))
        check_name(self.explicit_queue_name, fifo=self.fifo)
        claim_name(self, "queue", self.explicit_queue_name)

    def _make_dead_letter_queue(self, settings: NewTaskQueueSettings) -> DeadLetterQueue:
        name = settings.get("dead_letter_queue_name") or dead_queue_name(self.explicit_queue_name)
        check_name(name, fifo=self.fifo)
        return DeadLetterQueue(
            self,
            "DeadLetters",
            logical_name=settings.get("dead_letter_logical_name") or f"{self.logical_name}_dead",
            queue_name=name,
            fifo=self.fifo,
            encryption_master_key=settings.get("encryption_master_key"),
            removal_policy=settings.get("removal_policy") or KEPT,
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
        if dead is not None and not settings.get("without_dead_letter_queue"):
            arguments["dead_letter_logical_name"] = dead.name
        if "queue" in settings:
            check_kind(registered, settings["queue"])
            arguments["without_dead_letter_queue"] = dead is None and "dead_letter_queue" not in settings
        else:
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

    @property
    def resource(self) -> sqs.CfnQueue | None:
        """The queue in the template; None for an existing queue."""
        return self._cfn_queue

    @property
    def has_names(self) -> bool:
        """Whether another stack may know the queue and its dead-letter queue by name."""
        has_dead_name = self.dead_letter_queue is None or self.explicit_dead_letter_queue_name is not None
        return self.explicit_queue_name is not None and has_dead_name

    @classmethod
    def from_queue_arn(
        cls, scope: Construct, construct_id: str, queue_arn: str, /, **settings: Unpack[ExistingTaskQueueSettings]
    ) -> Self:
        """A queue that exists elsewhere, by its ARN; ``settings`` say what cannot be read here."""
        return cls.from_queue_attributes(scope, construct_id, queue_arn=queue_arn, **settings)

    @classmethod
    def from_queue_attributes(
        cls,
        scope: Construct,
        construct_id: str,
        /,
        *,
        queue_arn: str,
        queue_url: str | None = None,
        key_arn: str | None = None,
        fifo: bool | None = None,
        **settings: Unpack[ExistingTaskQueueSettings],
    ) -> Self:
        """A queue that exists elsewhere.

        Args:
            scope: The parent.
            construct_id: The id in ``scope``.
            queue_arn: Its ARN.
            queue_url: Its URL; made of the ARN when left out.
            key_arn: Its customer's KMS key, if it has one: workers and producers get rights to it.
            fifo: Whether it is a FIFO queue; what the ARN ends with when left out.
            settings: What cannot be read here.
        """
        queue = sqs.Queue.from_queue_attributes(
            scope, f"{construct_id}Queue", queue_arn=queue_arn, queue_url=queue_url, key_arn=key_arn, fifo=fifo
        )
        return cls(scope, construct_id, queue=queue, **settings)

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
            retention_period=_duration(self.retention_seconds),
            without_dead_letter_queue=dead is None,
            dead_letter_queue=None
            if dead is None
            else self._by_name(scope, f"{construct_id}DeadLetters", dead, self.explicit_dead_letter_queue_name),
            dead_letter_logical_name=self.dead_letter_logical_name,
            queue=imported,
        )
        reference.visibility = self.visibility
        deploy_after(reference, self)
        reference.variables, reference.payloads = self.variables, self.payloads
        reference.store = self.store
        return reference

    def seen_from(self, target: Any) -> TaskQueue:
        """This queue as a grantee may use it: by name if the grantee is in another stack and both names are known."""
        is_made_here = isinstance(self.queue, sqs.Queue)
        if not is_made_here or not self.has_names or not hasattr(target, "node") or not are_apart(self, target):
            return self
        stack = Stack.of(target)
        if stack.node.addr not in self._references:
            self._references[stack.node.addr] = self.reference_in(stack, f"SqsTasks-{self.node.addr}")
        return self._references[stack.node.addr]

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

    def _take_dead_letter_queue(
        self, dead_letter_queue: DeadLetterQueue | sqs.IQueue | None, logical_name: str | None
    ) -> None:
        self.dead_letter_logical_name: str | None = None
        self.explicit_dead_letter_queue_name: str | None = None
        self.dead_letter_queue: sqs.IQueue | None = None
        if dead_letter_queue is None:
            return
        self.dead_letter_logical_name = logical_name or f"{self.logical_name}_dead"
        if isinstance(dead_letter_queue, DeadLetterQueue):
            self.dead_letter_queue = dead_letter_queue.queue
            self.dead_letter_logical_name = dead_letter_queue.logical_name
            self.explicit_dead_letter_queue_name = dead_letter_queue.explicit_queue_name
        else:
            self.dead_letter_queue = dead_letter_queue
            self.explicit_dead_letter_queue_name = QueueProperties.of(dead_letter_queue).queue_name
        if self.dead_letter_queue.fifo != self.fifo:
            # The CDK only warns of this, and CloudFormation fails half way through a deploy (S30).
            raise StackError(
                f"queue {self.logical_name!r} is a {type_of(self.fifo)} queue and its dead-letter queue "
                f"{self.dead_letter_logical_name!r} a {type_of(self.dead_letter_queue.fifo)} queue; SQS needs both of "
                "one type"
            )

    def _emit_redrive_allow_policy(self) -> None:
        if self._cfn_queue is not None:
            self._cfn_queue.redrive_allow_policy = (
                {"redrivePermission": "byQueue", "sourceQueueArns": self._redrive_source_arns}
                if self._redrive_source_arns
                else {"redrivePermission": "denyAll"}
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
            queue_arn=Stack.of(scope).format_arn(service="sqs", resource=name, **place_of(queue)),
            fifo=True if self.fifo else None,
            key_arn=None if key is None else key_arn_in(scope, key, home=self),
        )

    def _refuse(self, what: str, fix: str, names: Sequence[str]) -> None:
        if names:
            raise StackError(f"queue {self.logical_name!r}: {what} {', '.join(names)}; {fix}")


def _arn(scope: Construct, queue_name: str) -> str:
    return Stack.of(scope).format_arn(service="sqs", resource=queue_name)


def _duration(seconds: int | None) -> Duration | None:
    return None if seconds is None else Duration.seconds(seconds)
