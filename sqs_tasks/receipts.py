"""What a send returns: the id that SQS gave a message, now or once its batch has been flushed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Self, TypeAlias

#: Takes back a job that has not been sent yet.
Cancel: TypeAlias = Callable[[], bool]


class MessageId(str):
    """The id SQS gave a message: a string, with what else is known of the send.

    A job that EventBridge Scheduler holds until it is due has no message yet: then the string is the job's id.

    Attributes:
        job_id: The job's own id, which survives a redrive; None for raw messages.
        sequence_number: The message's place in its FIFO group; None on standard queues.
        run_at: When EventBridge Scheduler sends the job; None for one that SQS has.
    """

    __slots__ = ("_cancel", "job_id", "run_at", "sequence_number")

    job_id: str | None
    sequence_number: str | None
    run_at: datetime | None
    _cancel: Cancel | None

    def __new__(
        cls,
        value: str,
        *,
        job_id: str | None = None,
        sequence_number: str | None = None,
        run_at: datetime | None = None,
        cancel: Cancel | None = None,
    ) -> Self:
        """Wrap the id."""
        self = super().__new__(cls, value)
        self.job_id = job_id
        self.sequence_number = sequence_number
        self.run_at = run_at
        self._cancel = cancel
        return self

    @property
    def message_id(self) -> str | None:
        """The id itself, so that both kinds of receipt are read alike; None for a job without a message."""
        return str(self) if self.run_at is None else None

    def cancel(self) -> bool:
        """Take the job back if EventBridge Scheduler still holds it; whether it did. SQS gives nothing back."""
        return self._cancel is not None and self._cancel()


class PendingMessage:
    """A message in an open batch; its id is known after the flush.

    Attributes:
        job_id: The job's own id, known at once.
        message_id: The id SQS gave; None until the batch is flushed, and for good when SQS refused the message or
            EventBridge Scheduler holds the job.
        sequence_number: The message's place in its FIFO group, after the flush; None on standard queues.
        run_at: When EventBridge Scheduler sends the job; None for one that SQS gets.
    """

    __slots__ = ("_cancel", "job_id", "message_id", "run_at", "sequence_number")

    def __init__(self, job_id: str | None, *, run_at: datetime | None = None, cancel: Cancel | None = None) -> None:
        self.job_id = job_id
        self.message_id: str | None = None
        self.sequence_number: str | None = None
        self.run_at = run_at
        self._cancel = cancel

    def resolve(self, message_id: MessageId) -> None:
        """Fill in what the flush brought."""
        self.message_id = message_id.message_id
        self.sequence_number = message_id.sequence_number

    def cancel(self) -> bool:
        """As that of :class:`MessageId`, once the batch has been flushed."""
        return self._cancel is not None and self._cancel()

    def __repr__(self) -> str:
        return f"PendingMessage(job_id={self.job_id!r}, message_id={self.message_id!r})"


Receipt: TypeAlias = MessageId | PendingMessage
