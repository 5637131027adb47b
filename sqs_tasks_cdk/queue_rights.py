"""Who may use a queue, and where the queue's URL is put for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.queue_urls import HasEnvironment, QueueUrls, Worker

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
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
)


class QueueRights:
    """The grants of a queue: one half of :class:`~sqs_tasks_cdk.task_queue.TaskQueue`, which sets the attributes."""

    logical_name: str
    fifo: bool
    queue: sqs.IQueue
    explicit_queue_name: str | None
    dead_letter_queue: sqs.IQueue | None
    dead_letter_logical_name: str | None
    explicit_dead_letter_queue_name: str | None

    #: What else a process must have in its environment to find the queue by its name: the stage.
    variables: Mapping[str, str] = MappingProxyType({})

    def grant_send(self, grantee: iam.IGrantable | Worker) -> iam.Grant:
        """Let ``grantee`` add jobs, and tell it the queue's URL if it has an environment."""
        self.tell_url(grantee)
        return _grant(self.queue, grantee, SEND_ACTIONS, SEND_KEY_ACTIONS)

    def grant_consume(self, grantee: iam.IGrantable | Worker) -> iam.Grant:
        """Let ``grantee`` receive, hide and delete messages, and copy rejected ones to the dead-letter queue.

        A job that is put off goes on by a copy in its own queue, but for FIFO queues.
        """
        self.tell_url(grantee)
        if self.fifo:
            grant = _grant(self.queue, grantee, CONSUME_ACTIONS, CONSUME_KEY_ACTIONS)
        else:
            grant = _grant(self.queue, grantee, ("sqs:SendMessage", *CONSUME_ACTIONS), SEND_KEY_ACTIONS)
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

    def _tell_dead_letter_url(self, target: Any) -> None:
        if self.dead_letter_queue is not None and self.dead_letter_logical_name is not None:
            self._tell(
                target, self.dead_letter_logical_name, self.dead_letter_queue, self.explicit_dead_letter_queue_name
            )

    def _tell(self, target: Any, logical_name: str, queue: sqs.IQueue, queue_name: str | None) -> None:
        environment = target.queue_environment if isinstance(target, Worker) else target
        if isinstance(environment, HasEnvironment):
            QueueUrls.of(environment).add(
                environment, logical_name=logical_name, url=queue.queue_url, queue_name=queue_name
            )
            QueueUrls.of(environment).set_variables(environment, self.variables)


def _grant(
    queue: sqs.IQueue, grantee: iam.IGrantable | Worker, actions: Sequence[str], key_actions: Sequence[str]
) -> iam.Grant:
    principal = cast("iam.IGrantable", grantee.role) if isinstance(grantee, Worker) else grantee
    grant = queue.grant(principal, *actions)
    key = queue.encryption_master_key
    return grant if key is None else grant.combine(key.grant(principal, *key_actions))
