"""What sending gives back: the id SQS gave a message, now or once its batch has been flushed."""

from __future__ import annotations

from typing import Self, TypeAlias


class MessageId(str):
    """The id SQS gave a message: a string, with what else is known of the send.

    Attributes:
        job_id: The job's own id, which survives a redrive; None for raw messages.
        sequence_number: The message's place in its FIFO group; None on standard queues.
    """

    __slots__ = ("job_id", "sequence_number")

    job_id: str | None
    sequence_number: str | None

    def __new__(cls, value: str, *, job_id: str | None = None, sequence_number: str | None = None) -> Self:
        """Wrap the id."""
        self = super().__new__(cls, value)
        self.job_id = job_id
        self.sequence_number = sequence_number
        return self

    @property
    def message_id(self) -> str:
        """The id itself, so that both kinds of receipt are read alike."""
        return str(self)


class PendingMessage:
    """A message in an open batch; its id is known after the flush.

    Attributes:
        job_id: The job's own id, known at once.
        message_id: The id SQS gave; None until the batch is flushed, and for good when SQS refused the message.
        sequence_number: The message's place in its FIFO group, after the flush; None on standard queues.
    """

    __slots__ = ("job_id", "message_id", "sequence_number")

    def __init__(self, job_id: str | None) -> None:
        self.job_id = job_id
        self.message_id: str | None = None
        self.sequence_number: str | None = None

    def resolve(self, message_id: MessageId) -> None:
        """Fill in what the flush brought."""
        self.message_id = str(message_id)
        self.sequence_number = message_id.sequence_number

    def __repr__(self) -> str:
        return f"PendingMessage(job_id={self.job_id!r}, message_id={self.message_id!r})"


Receipt: TypeAlias = MessageId | PendingMessage
