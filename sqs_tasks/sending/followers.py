"""What ``options(then=..., on_failure=...)`` of a send come to: messages that travel in the job's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.follow_ups.attribute import Kind, follow_ups_attribute
from sqs_tasks.message import FOLLOW_UPS, MessageAttribute, OutgoingMessage
from sqs_tasks.offload.pointer import inline
from sqs_tasks.sending.send_options import Follower, SendOptions
from sqs_tasks.settings import TaskSettings


class ParentQueue(Protocol):
    """What is asked of the queue of the job that is followed."""

    @property
    def name(self) -> str:
        """The name in code."""

    @property
    def settings(self) -> Any:
        """What the registration says."""


def with_followers(
    attributes: Mapping[str, str | MessageAttribute],
    options: SendOptions,
    settings: TaskSettings | None,
    queue: ParentQueue,
    registered: Callable[[str], Any],
) -> dict[str, str | MessageAttribute]:
    """The attributes of a job with those that carry its follow-ups.

    Args:
        attributes: The sender's own.
        options: The options of the send.
        settings: Those of the job's task; None where it is not registered.
        queue: The job's queue.
        registered: Gives the queue of a name in the job's environment, or None.

    Raises:
        ConfigurationError: One is no baked task of this registry, or has an option that a follow-up cannot have.
    """
    label = f"queue {queue.name!r}"
    if FOLLOW_UPS in attributes:
        raise ConfigurationError(
            f"{label}: the message attribute {FOLLOW_UPS!r} is written by the library; give yours another name"
        )
    if options.on_failure is not None and queue.settings.dead_letter_queue is None:
        raise ConfigurationError(
            f"{label}: on_failure= is sent when a job goes to the dead-letter queue, and this queue has none; register "
            "it with dead_letter_queue=, or leave on_failure= out"
        )
    given: dict[Kind, Follower | None] = {"then": options.then, "on_failure": options.on_failure}
    enqueues = None if settings is None else settings.enqueues
    for kind, one in given.items():
        if one is not None and enqueues is not None and hasattr(one, "queue") and one.queue.name not in enqueues:
            raise ConfigurationError(
                f"{label}: {kind}={one!r} goes to queue {one.queue.name!r}, and the task says enqueues="
                f"{list(enqueues)!r}, from which its worker's rights are made; add {one.queue.name!r} there"
            )
    followers = {
        kind: _message(one, f"{label}: {kind}={one!r}", registered) for kind, one in given.items() if one is not None
    }
    return {**attributes, FOLLOW_UPS: follow_ups_attribute(followers)}


def _message(follower: Follower, label: str, registered: Callable[[str], Any]) -> OutgoingMessage:
    if not hasattr(follower, "message") or not hasattr(follower, "options"):
        raise ConfigurationError(f"{label} must be a task with its arguments; try then=notify.bake(...)")
    queue = follower.queue
    if registered(queue.name) is not queue:
        raise ConfigurationError(
            f"{label} is for queue {queue.name!r} of another environment; a follow-up goes to a queue of the same one"
        )
    options = follower.options
    if options.deduplication_id is not None:
        raise ConfigurationError(
            f"{label} has deduplication_id={options.deduplication_id!r}; a follow-up is deduplicated by the id of the "
            "job that it follows; leave it out"
        )
    if options.outbox is not None:
        raise ConfigurationError(
            f"{label} has outbox={type(options.outbox).__name__}; a follow-up travels in the job that it follows; "
            "leave it out, and give outbox= to that job"
        )
    message = inline(follower.message())
    if message.run_at is not None:
        raise ConfigurationError(
            f"{label} is due at {message.run_at.isoformat()}; a follow-up can be delayed by what SQS can delay, 900 s "
            "on standard queues; for a later time raise Postpone in it"
        )
    find = getattr(queue, "get_processor", None)
    if find is None or find(message.job_name) is None:
        raise ConfigurationError(f"{label}: queue {queue.name!r} has no task {message.job_name!r}; register it there")
    return message
