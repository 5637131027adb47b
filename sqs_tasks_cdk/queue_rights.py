"""Who may use a queue, and where the queue's URL is put for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.other_accounts import show_other_account
from sqs_tasks_cdk.payload_rights import PayloadRights, allow
from sqs_tasks_cdk.queue_urls import QueueUrls, Worker
from sqs_tasks_cdk.store_rights import StoreRights
from sqs_tasks_cdk.target_variables import HasEnvironment

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

    #: Where its large bodies are; None if they stay in their messages.
    payloads: PayloadRights | None = None

    #: The table in which its tasks are remembered; None if they ask for nothing.
    store: StoreRights | None = None

    def grant_send(self, grantee: iam.IGrantable | Worker) -> iam.Grant:
        """Let ``grantee`` add jobs, and tell it the queue's URL if it has an environment."""
        queue = self.seen_from(grantee)
        queue.tell_url(grantee)
        grant_payloads(queue, grantee)
        return _grant(queue, queue.queue, grantee, SEND_ACTIONS, SEND_KEY_ACTIONS)

    def grant_consume(self, grantee: iam.IGrantable | Worker) -> iam.Grant:
        """Let ``grantee`` receive, hide and delete messages, and copy rejected ones to the dead-letter queue.

        A job that is put off goes on by a copy in its own queue, but for FIFO queues.
        """
        queue = self.seen_from(grantee)
        queue.tell_url(grantee)
        grant_payloads(queue, grantee, works=True)
        if self.fifo:
            grant = _grant(queue, queue.queue, grantee, CONSUME_ACTIONS, CONSUME_KEY_ACTIONS)
        else:
            grant = _grant(queue, queue.queue, grantee, ("sqs:SendMessage", *CONSUME_ACTIONS), SEND_KEY_ACTIONS)
        if queue.dead_letter_queue is None:
            return grant
        # A rejected message is deleted here once it is accepted there; without the right it would never be (S43).
        _tell_dead_letter_url(queue, grantee)
        return grant.combine(_grant(queue, queue.dead_letter_queue, grantee, SEND_ACTIONS, SEND_KEY_ACTIONS))

    def grant_redrive(self, grantee: iam.IGrantable | Worker) -> iam.Grant:
        """Let ``grantee`` move messages from the dead-letter queue back to the queue.

        Raises:
            StackError: The queue has no dead-letter queue.
        """
        queue = self.seen_from(grantee)
        if queue.dead_letter_queue is None:
            raise StackError(
                f"queue {self.logical_name!r} has no dead-letter queue to redrive from; let it have one, or give the "
                "one that belongs to an existing queue with dead_letter_queue="
            )
        queue.tell_url(grantee)
        _tell_dead_letter_url(queue, grantee)
        return _grant(queue, queue.dead_letter_queue, grantee, REDRIVE_ACTIONS, CONSUME_KEY_ACTIONS).combine(
            _grant(queue, queue.queue, grantee, SEND_ACTIONS, SEND_KEY_ACTIONS)
        )

    def tell_url(self, target: Any) -> None:
        """Put the queue's URL into the environment of a function, container or worker; others are left alone."""
        queue = self.seen_from(target)
        _tell(queue, target, queue.logical_name, queue.queue, queue.explicit_queue_name)

    def seen_from(self, _target: Any) -> QueueRights:
        """This queue as a grantee may use it."""
        return self


def grant_payloads(rights: QueueRights, grantee: iam.IGrantable | Worker, *, works: bool = False) -> None:
    """Let ``grantee`` put the large bodies of a queue, or, if it works the queue, get them; and use its store."""
    payloads = rights.payloads
    target: Any = grantee.queue_environment if isinstance(grantee, Worker) else grantee
    principal = cast("iam.IGrantable", grantee.role) if isinstance(grantee, Worker) else grantee
    if rights.store is not None:
        rights.store.allow(principal, target, works=works)
    if payloads is None:
        return
    payloads.tell(target)
    allow(payloads, principal, works=works)


def _tell_dead_letter_url(rights: QueueRights, target: Any) -> None:
    if rights.dead_letter_queue is not None and rights.dead_letter_logical_name is not None:
        name = rights.explicit_dead_letter_queue_name
        _tell(rights, target, rights.dead_letter_logical_name, rights.dead_letter_queue, name)


def _tell(rights: QueueRights, target: Any, logical_name: str, queue: sqs.IQueue, queue_name: str | None) -> None:
    """Put the URL of a queue, and the stage, into the environment of what has one."""
    environment = target.queue_environment if isinstance(target, Worker) else target
    if isinstance(environment, HasEnvironment):
        urls = QueueUrls.of(environment)
        urls.add(environment, logical_name=logical_name, url=queue.queue_url, queue_name=queue_name)
        urls.set_variables(environment, rights.variables)


def _grant(
    rights: QueueRights,
    queue: sqs.IQueue,
    grantee: iam.IGrantable | Worker,
    actions: Sequence[str],
    key_actions: Sequence[str],
) -> iam.Grant:
    """Let ``grantee`` do something with one of the two queues and its key.

    Raises:
        StackError: It would get nothing, and only AWS would say so, when it is first used.
    """
    name = rights.logical_name
    principal = cast("iam.IGrantable", grantee.role) if isinstance(grantee, Worker) else grantee
    grant = queue.grant(principal, *actions)
    if isinstance(principal.grant_principal, iam.PrincipalBase) and not isinstance(queue, sqs.Queue):
        raise StackError(
            f"queue {name!r} exists already, and {_named(grantee)} has no policy of its own, so the queue's policy "
            f"would have to allow {', '.join(actions)}, which cannot be changed here; add the statement where the "
            "queue is made, or grant a role"
        )
    show_other_account(cast("IConstruct", rights), queue, grantee, principal, actions, name=name)
    key = queue.encryption_master_key
    return grant if key is None else grant.combine(grant_key(key, grantee, key_actions, name=name))


def grant_key(key: kms.IKey, grantee: iam.IGrantable | Worker, actions: Sequence[str], *, name: str) -> iam.Grant:
    """Let ``grantee`` use the key of a queue.

    Raises:
        StackError: The grant gives nothing.
    """
    principal = cast("iam.IGrantable", grantee.role) if isinstance(grantee, Worker) else grantee
    grant = key.grant(principal, *actions)
    if not grant.success:
        raise StackError(
            f"the key {key.node.path!r} of queue {name!r} cannot be granted to {_named(grantee)}: a key that is known "
            "by its alias alone gives no rights; give it as kms.Key.from_key_arn(...) or kms.Key.from_lookup(...), or "
            "set the CDK's feature flag @aws-cdk/aws-kms:applyImportedAliasPermissionsToPrincipal"
        )
    return grant


def _named(grantee: Any) -> str:
    return repr(grantee.node.path) if hasattr(grantee, "node") else type(grantee).__name__
