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
        job_id: The id of the job that will run; None for raw messages. A job of a FIFO queue that is sent with a
            deduplication id has the message id for its own: that of the first, where SQS drops a duplicate.
        sequence_number: The message's place in its FIFO group; None on standard queues.
        run_at: When EventBridge Scheduler sends the job; None for one that SQS has.
        is_duplicate: Whether SQS dropped the message because this process has sent one with the same deduplication id
            within five minutes. Of those that another process has sent SQS says nothing.
    """

    __slots__ = ("_cancel", "is_duplicate", "job_id", "run_at", "sequence_number")

    job_id: str | None
    sequence_number: str | None
    run_at: datetime | None
    is_duplicate: bool
    _cancel: Cancel | None

    def __new__(
        cls,
        value: str,
        *,
        job_id: str | None = None,
        sequence_number: str | None = None,
        run_at: datetime | None = None,
        is_duplicate: bool = False,
        cancel: Cancel | None = None,
    ) -> Self:
        """Wrap the id."""
        self = str.__new__(cls, value)
        self.job_id = job_id
        self.sequence_number = sequence_number
        self.run_at = run_at
        self.is_duplicate = is_duplicate
        self._cancel = cancel
        return self

    @property
    def message_id(self) -> str | None:
        """The id itself, so that both kinds of receipt are read alike; None for a job without a message."""
        return str(self) if self.run_at is None else None

    def cancel(self) -> bool:
        """Take the job back if EventBridge Scheduler still holds it; whether it did. SQS gives nothing back."""
        return self._cancel is not None and self._cancel()


class PendingMessage(MessageId):
    """A message in an open batch: an empty string, since no id is known before the flush.

    Attributes:
        job_id: The job's own id, known at once; after the flush only, where SQS may drop the job as a duplicate.
        sequence_number: As for :class:`MessageId`, after the flush.
        is_duplicate: The same.
        run_at: When EventBridge Scheduler sends the job; None for one that SQS gets.
    """

    __slots__ = ("_message_id",)

    _message_id: str | None

    def __new__(cls, job_id: str | None, *, run_at: datetime | None = None, cancel: Cancel | None = None) -> Self:
        """A receipt without an id."""
        self = str.__new__(cls)
        self.job_id, self.sequence_number, self.is_duplicate = job_id, None, False
        self.run_at, self._cancel, self._message_id = run_at, cancel, None
        return self

    @property
    def message_id(self) -> str | None:
        """The id SQS gave; None until the batch is flushed, and for good when SQS refused the message.

        None as well for a job that EventBridge Scheduler holds.
        """
        return self._message_id

    def resolve(self, message_id: MessageId) -> None:
        """Fill in what the flush brought."""
        self._message_id = message_id.message_id
        self.job_id = message_id.job_id
        self.sequence_number = message_id.sequence_number
        self.is_duplicate = message_id.is_duplicate

    # Each is itself: as strings all of them would be equal.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self._message_id or ""

    def __repr__(self) -> str:
        return f"PendingMessage(job_id={self.job_id!r}, message_id={self.message_id!r})"


#: What a send returns: a :class:`PendingMessage` in an open batch, which is one too.
Receipt: TypeAlias = MessageId
