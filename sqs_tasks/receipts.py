"""What a send returns: the id that SQS gave a message, now or once its batch has been flushed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, Self, TypeAlias

from sqs_tasks.errors import ConfigurationError

#: Gives what is known of a job by its id: ``env.job``.
Look: TypeAlias = Callable[[str], "LooksAtJob"]


class LooksAtJob(Protocol):
    """What a receipt asks of a job's handle; see :class:`~sqs_tasks.guards.handle.JobHandle`."""

    def status(self) -> str:
        """The job's state."""

    def wait(self, timeout: float | None = None) -> Any:
        """The job's record, once it has ended."""

    def result(self, timeout: float | None = None) -> Any:
        """What its task returned."""

    def cancel(self) -> bool:
        """Ask for its end."""

    async def astatus(self) -> str:
        """As ``status``."""

    async def await_(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - as the plain one has it
        """As ``wait``."""

    async def aresult(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - as the plain one has it
        """As ``result``."""


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

    __slots__ = ("_cancel", "_look", "is_duplicate", "job_id", "run_at", "sequence_number")

    job_id: str | None
    sequence_number: str | None
    run_at: datetime | None
    is_duplicate: bool
    _cancel: Cancel | None
    _look: Look | None

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
        self._look = None
        return self

    @property
    def message_id(self) -> str | None:
        """The id itself, so that both kinds of receipt are read alike; None for a job without a message."""
        return str(self) if self.run_at is None else None

    def cancel(self) -> bool:
        """Take the job back if EventBridge Scheduler still holds it, or ask for its end if it is recorded.

        Whether it did. SQS gives nothing back: a recorded job ends as cancelled when it comes.
        """
        is_taken_back = self._cancel is not None and self._cancel()
        return is_taken_back if self._look is None else self.job.cancel() or is_taken_back

    def seen_by(self, look: Look) -> None:
        """Remember who knows the job; for what records its send."""
        self._look = look

    @property
    def job(self) -> LooksAtJob:
        """The job's handle, for tasks with ``record=True``.

        Raises:
            ConfigurationError: The task keeps no records, or the job is not sent yet: its batch is open.
        """
        if self._look is None or self.job_id is None:
            raise ConfigurationError(
                f"job {self.job_id}: nothing is recorded of it, or its batch is still open; register its task with "
                "record=True, and look after the batch; in other processes ask env.job(job_id)"
            )
        return self._look(self.job_id)

    def status(self) -> str:
        """The job's state: ``queued``, ``running``, ``succeeded`` … ; ``unknown`` where nothing is recorded yet."""
        return self.job.status()

    def wait(self, timeout: float | None = None) -> Any:
        """Wait until the job has ended, and return its record; raises TimeoutError after so many seconds."""
        return self.job.wait(timeout)

    def result(self, timeout: float | None = None) -> Any:
        """Wait until the job has succeeded, and return what its task returned; see ``JobHandle.result``."""
        return self.job.result(timeout)

    async def astatus(self) -> str:
        """As :meth:`status`, while the event loop goes on."""
        return await self.job.astatus()

    async def await_(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - as the plain one has it
        """As :meth:`wait`, while the event loop goes on."""
        return await self.job.await_(timeout)

    async def aresult(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - as the plain one has it
        """As :meth:`result`, while the event loop goes on."""
        return await self.job.aresult(timeout)


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
        self.run_at, self._cancel, self._message_id, self._look = run_at, cancel, None, None
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
        self._look = self._look or message_id._look  # noqa: SLF001 - of its own class

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
