"""What a queue says of itself that exists already: one that is made in this app says all, another one nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from aws_cdk import Annotations, Stack, Token
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk import limits
from sqs_tasks_cdk.dead_letter_queue import DeadLetterQueue
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.task_queue_settings import TaskQueueSettings
from sqs_tasks_cdk.unresolved import known, known_seconds

#: Seconds that SQS hides a message when a queue does not say.
DEFAULT_VISIBILITY_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueProperties:
    """What is known of an existing queue.

    Attributes:
        is_made_here: Whether the queue is made in this app, so that what it leaves out has SQS's default.
        queue_name: Its name in SQS; None if it is generated or unknown.
        visibility_seconds: How long it hides a message; None if that is unknown.
        retention_seconds: How long it keeps a message; None if that is unknown.
        max_receive_count: Deliveries before it dead-letters a message; None if that is unknown, or if it does not.
        dead_letter_queue: Where it sends them; None if that is unknown, or if it does not.
    """

    is_made_here: bool = False
    queue_name: str | None = None
    visibility_seconds: int | None = None
    retention_seconds: int | None = None
    max_receive_count: int | None = None
    dead_letter_queue: sqs.IQueue | None = None

    @classmethod
    def of(cls, queue: sqs.IQueue) -> Self:
        """Read them from the resource, where there is one in this app, as it is now."""
        resource = queue.node.default_child
        if not isinstance(queue, sqs.Queue) or not isinstance(resource, sqs.CfnQueue):
            return cls(queue_name=_literal(queue.queue_name))
        visibility, retention = resource.visibility_timeout, resource.message_retention_period
        redrive: Any = Stack.of(queue).resolve(resource.redrive_policy)
        receives = redrive.get("maxReceiveCount") if isinstance(redrive, Mapping) else None
        letters = queue.dead_letter_queue
        return cls(
            is_made_here=True,
            queue_name=_literal(resource.queue_name),
            visibility_seconds=DEFAULT_VISIBILITY_SECONDS if visibility is None else _whole(visibility),
            retention_seconds=limits.DEFAULT_RETENTION_SECONDS if retention is None else _whole(retention),
            max_receive_count=int(receives) if isinstance(receives, int | float) else None,
            dead_letter_queue=None if letters is None else letters.queue,
        )


def _literal(name: str | None) -> str | None:
    return None if name is None or Token.is_unresolved(name) else name


def _whole(value: float) -> int | None:
    found = known(value)
    return None if found is None else int(found)


def existing_properties(
    scope: Construct, queue: sqs.IQueue, settings: TaskQueueSettings, *, logical_name: str
) -> QueueProperties:
    """What is known of an existing queue: by itself, or by what ``settings`` say. What stays unknown is shown.

    Args:
        scope: Where it is shown.
        queue: The queue.
        settings: What was said of it.
        logical_name: Its name in the registry, for texts.

    Raises:
        StackError: The settings contradict a queue that is made in this app.
    """
    found = QueueProperties.of(queue)
    letters = settings.get("dead_letter_queue")
    said: dict[str, int | None] = {
        "visibility_timeout": known_seconds(settings.get("visibility_timeout")),
        "retention_period": known_seconds(settings.get("retention_period")),
        "max_receive_count": known(settings.get("max_receive_count")),
    }
    own = {
        "visibility_timeout": found.visibility_seconds,
        "retention_period": found.retention_seconds,
        "max_receive_count": found.max_receive_count,
    }
    for name, value in said.items():
        if value is not None and found.is_made_here and own[name] not in (None, value):
            raise StackError(
                f"queue {logical_name!r}: {name} of {value} for an existing queue of this app that has {own[name]}; "
                f"leave {name}= out, and set it where the queue is made"
            )
    made = {name: own[name] if own[name] is not None else value for name, value in said.items()}
    target = found.dead_letter_queue
    if target is None and letters is not None:
        target = letters.queue if isinstance(letters, DeadLetterQueue) else letters
    elif target is not None and letters is not None:
        _check_same(target, letters, logical_name=logical_name)
    if not found.is_made_here:
        _show_unknown(scope, made, settings, logical_name=logical_name)
    if target is None and not settings.get("without_dead_letter_queue"):
        Annotations.of(scope).add_warning_v2(
            "sqs-tasks:existing-queue-dead-letters",
            f"Queue {logical_name!r} exists already, and no dead-letter queue of it is known here: workers cannot copy "
            "rejected jobs to it, so these come back until the queue's own redrive policy moves them, or until they "
            "expire, and no alarm watches it. Give dead_letter_queue=, or without_dead_letter_queue=True if it has "
            "none.",
        )
    return replace(
        found,
        visibility_seconds=made["visibility_timeout"],
        retention_seconds=made["retention_period"],
        max_receive_count=made["max_receive_count"],
        dead_letter_queue=target,
    )


def _check_same(target: sqs.IQueue, letters: DeadLetterQueue | sqs.IQueue, *, logical_name: str) -> None:
    given = letters.queue if isinstance(letters, DeadLetterQueue) else letters
    if Stack.of(target).resolve(target.queue_arn) != Stack.of(given).resolve(given.queue_arn):
        raise StackError(
            f"queue {logical_name!r}: dead_letter_queue= is {given.node.path!r}, but the redrive policy of the "
            f"existing queue names {target.node.path!r}; leave dead_letter_queue= out"
        )


def _show_unknown(
    scope: Construct, made: Mapping[str, int | None], settings: TaskQueueSettings, *, logical_name: str
) -> None:
    # The visibility timeout is asked for by who needs it, with the number.
    unknown = [name for name, value in made.items() if value is None and name != "visibility_timeout"]
    if settings.get("without_dead_letter_queue") and "max_receive_count" in unknown:
        unknown.remove("max_receive_count")
    if unknown:
        arguments = " and ".join(f"{name}=" for name in unknown)
        Annotations.of(scope).add_info(
            f"Queue {logical_name!r} exists already and cannot be read here, so nothing is checked against its "
            f"{' and '.join(name.replace('_', ' ') for name in unknown)}. Give {arguments} with what it "
            "has."
        )
