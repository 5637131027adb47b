"""Sending: one message, a list in tens, or what a ``with queue.add_batch()`` block collects."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol

from sqs_tasks import limits
from sqs_tasks.errors import BatchSendError
from sqs_tasks.hooks import AroundRequest, made
from sqs_tasks.loggers import kept_logger
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.protocols import SQSClient
from sqs_tasks.receipts import MessageId, PendingMessage, Receipt
from sqs_tasks.sending import blocked_loop
from sqs_tasks.transport.batch_call import Failure, carry_out, doubling

logger = kept_logger(__name__)

#: Times an entry that SQS did not take is sent again, and the wait before the first of them (it doubles).
RETRIES, RETRY_SECONDS = 3, 0.2

#: Seconds for which SQS drops messages with a deduplication id that it has accepted (S31).
DEDUPLICATION_SECONDS = 300

#: Ids of messages of FIFO queues that are remembered at least, to tell duplicates.
_REMEMBERED_IDS = 10_000


class Sender:
    """Sends messages to one queue, or collects them while a batch of this thread or asyncio task is open.

    Args:
        queue_name: The queue's name in code, for error texts.
        client: Gives the client.
        queue_url: Gives the URL.
        on_sent: Called with each message that SQS accepted, once it has.
        around: Gives what makes the context of each request, or None.
        sleep: Waits between tries.
    """

    def __init__(
        self,
        *,
        queue_name: str,
        client: Callable[[], SQSClient],
        queue_url: Callable[[], str],
        on_sent: OnSent,
        around: Callable[[], AroundRequest | None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.queue_name = queue_name
        self._client = client
        self._queue_url = queue_url
        self.on_sent = on_sent
        self._around = around
        self._sleep = sleep
        self._sent: dict[str, float] = {}
        #: The batch that is open where the caller is, or was where the caller was started.
        self.opened: ContextVar[OpenBatch | None] = ContextVar("sqs_tasks_batch", default=None)

    @property
    def is_collecting(self) -> bool:
        """Whether a batch of the caller is open."""
        batch = self.opened.get()
        return batch is not None and batch.is_ours()

    @property
    def takes_scheduled(self) -> bool:
        """Whether a batch of the caller is open that takes jobs for EventBridge Scheduler too."""
        batch = self.opened.get()
        return batch is not None and batch.takes_scheduled and batch.is_ours()

    def send(self, message: OutgoingMessage) -> Receipt:
        """Send a message, or add it to the batch that is open here."""
        batch = self.opened.get()
        if batch is not None and batch.is_ours():
            return batch.add(message)
        self._note_blocked_loop()
        if message.payload is not None:
            message.payload.store()
        with made(self._around(), "send", self.queue_name, lambda: [message]):
            answer = self._client().send_message(QueueUrl=self._queue_url(), **message.as_request())
        message_id = self._message_id(message, answer)
        self.on_sent(message, message_id)
        return message_id

    def send_chunk(self, chunk: Sequence[OutgoingMessage]) -> tuple[list[MessageId | None], list[Any]]:
        """One SendMessageBatch, its failed entries sent again; the id of each message or None, and the last failures.

        Never raises for what SQS or the network does: an exception counts as the failure of all its entries.
        """
        ids, failed = self.send_entries(chunk)
        return ids, list(failed.values())

    def send_entries(self, chunk: Sequence[OutgoingMessage]) -> tuple[list[MessageId | None], dict[int, Failure]]:
        """As :meth:`send_chunk`, with the failures by the indexes of their messages."""
        self._note_blocked_loop()

        def call(indexes: Sequence[int]) -> dict[str, Any]:
            for index in indexes:
                payload = chunk[index].payload
                if payload is not None:
                    payload.store()
            with made(self._around(), "send", self.queue_name, lambda: [chunk[index] for index in indexes]):
                return self._client().send_message_batch(
                    QueueUrl=self._queue_url(),
                    Entries=[{"Id": str(index), **chunk[index].as_request()} for index in indexes],
                )

        answer = carry_out(
            len(chunk),
            call,
            is_final=_is_fault_of_sender,
            pauses=doubling(RETRY_SECONDS, RETRIES),
            sleep=self._sleep,
            on_retry=partial(self._log_retry, len(chunk)),
        )
        ids: list[MessageId | None] = [None] * len(chunk)
        for index, entry in answer.successful.items():
            if "MessageId" in entry:
                ids[index] = self._message_id(chunk[index], entry)
        return ids, answer.failed

    def _note_blocked_loop(self) -> None:
        """Say, once in a process, that a coroutine sends by the plain way; queues in memory answer at once."""
        if (
            not blocked_loop.is_reported
            and "asyncio" in sys.modules
            and not getattr(self._client, "is_in_memory", False)
        ):
            blocked_loop.report_if_blocked(self.queue_name)

    def _message_id(self, message: OutgoingMessage, answer: Mapping[str, Any]) -> MessageId:
        message_id = answer["MessageId"]
        job_id = message.job_id or (message_id if message.job_name else None)
        # One with an id of its own is no duplicate of any.
        is_duplicate = message.job_id is None and message.deduplication_id is not None and self._was_sent(message_id)
        return MessageId(
            message_id, job_id=job_id, sequence_number=answer.get("SequenceNumber"), is_duplicate=is_duplicate
        )

    def _was_sent(self, message_id: str) -> bool:
        """Whether SQS has given this id before; from now on it has."""
        now = time.monotonic()
        if len(self._sent) >= _REMEMBERED_IDS:
            self._sent = {one: at for one, at in self._sent.items() if now - at < DEDUPLICATION_SECONDS}
        before = self._sent.get(message_id)
        self._sent[message_id] = now if before is None else before
        return before is not None

    def _log_retry(self, count: int, waiting: int) -> None:
        logger.warning(
            "%d of %d messages not accepted by queue %s, trying again",
            waiting,
            count,
            self.queue_name,
            extra={"action": "send_retry", "queue_name": self.queue_name},
        )

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Collect what this thread (or asyncio task) sends in the block, and send it in tens.

        A process that is forked in the block has no part in it: what it sends leaves at once.

        Full requests leave at once, the rest when the block ends. When the block ends with an exception, what was
        added before is sent all the same: ``delay()`` had returned, as it does outside a batch. A batch inside a
        batch joins the outer one.

        Raises:
            BatchSendError: At the end of the block: some messages were not accepted after retries.
        """
        outer = self.opened.get()
        if outer is not None and outer.is_ours():
            yield
            return
        batch = _Batch(self.send_chunk, self.on_sent)
        token = self.opened.set(batch)
        try:
            yield
        except BaseException as error:
            batch.close()
            if batch.unsent:
                error.add_note(str(unsent_error(self.queue_name, batch.unsent, batch.errors)))
            raise
        else:
            batch.close()
        finally:
            self.opened.reset(token)
        if batch.unsent:
            raise unsent_error(self.queue_name, batch.unsent, batch.errors)


class OpenBatch(Protocol):
    """What collects the messages of a block."""

    takes_scheduled: bool

    def is_ours(self) -> bool:
        """Whether the caller opened it."""

    def add(self, message: OutgoingMessage, /) -> PendingMessage:
        """Collect a message."""


SendChunk = Callable[[Sequence[OutgoingMessage]], tuple[list[MessageId | None], list[Any]]]
OnSent = Callable[[OutgoingMessage, Receipt], None]


class _Batch:
    """The messages of one open block. Owned by the process, thread and asyncio task that opened it (fault W11)."""

    takes_scheduled = False

    def __init__(self, send_chunk: SendChunk, on_sent: OnSent) -> None:
        self._send_chunk = send_chunk
        self._on_sent = on_sent
        self._owner = current_task()
        self._messages: list[OutgoingMessage] = []
        self._pending: list[PendingMessage] = []
        self._bytes = 0
        self._closed = False
        self.unsent: list[OutgoingMessage] = []
        self.errors: list[Any] = []

    def is_ours(self) -> bool:
        """Whether the caller opened it; threads, tasks and child processes that it started send for themselves."""
        return not self._closed and self._owner == current_task()

    def add(self, message: OutgoingMessage) -> PendingMessage:
        size = message.size_bytes
        if self._bytes + size > limits.MAX_MESSAGE_BYTES:
            self._flush()
        pending = PendingMessage(message.job_id)
        self._messages.append(message)
        self._pending.append(pending)
        self._bytes += size
        if len(self._messages) == limits.MAX_BATCH_ENTRIES:
            self._flush()
        return pending

    def close(self) -> None:
        self._closed = True
        if self._owner[0] == os.getpid():  # a forked child has a copy of what its parent sends
            self._flush()

    def _flush(self) -> None:
        messages, pending = self._messages, self._pending
        self._messages, self._pending, self._bytes = [], [], 0
        if not messages:
            return
        ids, errors = self._send_chunk(messages)
        self.errors.extend(errors)
        for message, handle, message_id in zip(messages, pending, ids, strict=True):
            if message_id is None:
                self.unsent.append(message)
            else:
                handle.resolve(message_id)
                self._on_sent(message, handle)


def has_room(count: int, size_bytes: int, message: OutgoingMessage) -> bool:
    """Whether a request with so many messages and bytes takes one more: ten, and 1 MiB with their attributes (T9)."""
    return count < limits.MAX_BATCH_ENTRIES and size_bytes + message.size_bytes <= limits.MAX_MESSAGE_BYTES


def chunks(messages: Iterable[OutgoingMessage]) -> Iterator[list[OutgoingMessage]]:
    """Messages in requests that SQS takes.

    When reading them fails, what was read before is given all the same, and then the error is raised.
    """
    chunk: list[OutgoingMessage] = []
    size = 0
    failure: Exception | None = None
    try:
        for message in messages:
            if chunk and not has_room(len(chunk), size, message):
                yield chunk
                chunk, size = [], 0
            chunk.append(message)
            size += message.size_bytes
    except Exception as error:  # noqa: BLE001 - the caller's iterable; it is raised below
        failure = error
    if chunk:
        yield chunk
    if failure is not None:
        raise failure


def unsent_error(queue_name: str, unsent: Sequence[OutgoingMessage], errors: Sequence[Any]) -> BatchSendError:
    """The one error for everything a batch could not send."""
    first = errors[-1] if errors else "no answer"
    why = first.get("Code", first) if isinstance(first, dict) else f"{type(first).__name__}: {first}"
    error = BatchSendError(
        f"{len(unsent)} messages were not accepted by queue {queue_name!r} ({why}); "
        "they are in this error's .unsent and can be sent again",
        unsent=unsent,
        errors=errors,
    )
    error.__cause__ = next((one for one in errors if isinstance(one, BaseException)), None)
    return error


def _is_fault_of_sender(why: Any) -> bool:
    """Whether it stays one however often it is sent."""
    return isinstance(why, Mapping) and bool(why.get("SenderFault"))


def current_task() -> tuple[int, int, int]:
    """What tells this process, thread and asyncio task from others; imports no asyncio where nobody else has."""
    asyncio = sys.modules.get("asyncio")
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:  # no running loop in this thread
        task = None
    return os.getpid(), threading.get_ident(), 0 if task is None else id(task)
