"""Sending what follows a job that is over. Imported with the first job that has a follow-up.

A follow-up is sent before the message of its job is deleted. Who dies in between leaves the message: the job runs
again, and sends a follow-up of the same id. One that SQS does not accept leaves the message too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from sqs_tasks.errors import ConfigurationError, shortened
from sqs_tasks.follow_ups.attribute import Kind, deduplication_id, follow_up_in
from sqs_tasks.message import OutgoingMessage, ReceivedMessage
from sqs_tasks.receipts import PendingMessage

logger = logging.getLogger(__name__)


class FollowingQueue(Protocol):
    """What is asked of the queue of a follow-up."""

    @property
    def fifo(self) -> bool:
        """Whether it is FIFO."""

    @property
    def outbox(self) -> Any:
        """What sends to it."""

    def offloaded(self, message: OutgoingMessage, /) -> OutgoingMessage:
        """The message, with a pointer for a body where that is large."""


def send_follow_up(
    message: ReceivedMessage, kind: Kind, *, queue_name: str, queue_of: Callable[[str], FollowingQueue | None]
) -> bool:
    """Whether what follows a job, if anything does, was accepted by SQS; never raises.

    Args:
        message: The message of the job.
        kind: How the job is over.
        queue_name: The name in code of the job's queue, for logs.
        queue_of: Gives a registered queue by its name; what a message says is sent to no other.
    """
    extra = message.log_fields(queue_name)
    try:
        follower = follow_up_in(message, kind)
        if follower is None:
            return True
        _send(follower, queue_of(follower.queue_name))
    except Exception:  # the job stays, whatever stood in the way
        logger.exception(
            "what follows job %s (%s) could not be sent; its message stays, and the job runs again",
            extra["job_id"],
            kind,
            extra={"action": "follow_up_failed", **extra},
        )
        return False
    logger.info(
        "job %s of task %s follows job %s",
        follower.job_id,
        follower.job_name,
        extra["job_id"],
        extra={"action": "follow_up_sent", "follow_up_job_id": follower.job_id, **extra},
    )
    return True


def _send(follower: OutgoingMessage, queue: FollowingQueue | None) -> None:
    if queue is None:
        raise ConfigurationError(
            f"queue {shortened(repr(follower.queue_name))} is not registered here; register it in all workers before a "
            "job is sent with a follow-up to it"
        )
    if queue.fifo:
        follower = replace(follower, deduplication_id=deduplication_id(follower.job_id or ""))
    follower = queue.offloaded(follower)
    queue.outbox.call_hooks(follower)
    unsent, errors = queue.outbox.send_held([(follower, PendingMessage(follower.job_id))])
    if unsent:
        from sqs_tasks.sending.sender import unsent_error

        raise unsent_error(follower.queue_name, unsent, errors)
