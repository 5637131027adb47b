"""``async with task.abatch():`` collects what a coroutine sends, and sends it in tens from threads."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any, Protocol

from sqs_tasks import limits
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import PendingMessage
from sqs_tasks.sending.held_messages import SendsHeld
from sqs_tasks.sending.sender import Sender, current_task, unsent_error
from sqs_tasks.sending.sending_threads import REQUESTS_AT_ONCE, sending_threads

Held = tuple[OutgoingMessage, PendingMessage]


class BatchingOutbox(SendsHeld, Protocol):
    """What a batch of a coroutine asks of an outbox."""

    sender: Sender


@asynccontextmanager
async def async_batch(outbox: BatchingOutbox, *, fifo: bool) -> AsyncIterator[None]:
    """As :meth:`~sqs_tasks.sending.outbox.Outbox.batch`, for the asyncio task that opens it; its loop never waits.

    Raises:
        BatchSendError: At the end of the block: some messages were not accepted after retries; it carries them.
    """
    sender = outbox.sender
    if sender.is_collecting:
        yield
        return
    batch = _AsyncBatch(outbox, 1 if fifo else REQUESTS_AT_ONCE)
    token = sender.opened.set(batch)
    try:
        yield
    except BaseException as error:
        await batch.close()
        if batch.unsent:
            error.add_note(str(unsent_error(sender.queue_name, batch.unsent, batch.errors)))
        raise
    else:
        await batch.close()
    finally:
        sender.opened.reset(token)
    if batch.unsent:
        raise unsent_error(sender.queue_name, batch.unsent, batch.errors)


class _AsyncBatch:
    """The messages of one open block. Threads take full requests of them while the block goes on."""

    takes_scheduled = True

    def __init__(self, outbox: BatchingOutbox, most_threads: int) -> None:
        self._outbox = outbox
        self._most_threads = most_threads
        self._owner = current_task()
        self._closed = False
        self._held: list[Held] = []
        self._bytes = 0
        self._lock = threading.Lock()
        self._chunks: deque[list[Held]] = deque()
        self._at_work = 0
        self._work: list[Future[None]] = []
        self.unsent: list[OutgoingMessage] = []
        self.errors: list[Any] = []

    def is_ours(self) -> bool:
        """Whether the caller opened it."""
        return not self._closed and self._owner == current_task()

    def add(self, message: OutgoingMessage) -> PendingMessage:
        """Collect a message; its receipt is resolved when it was sent."""
        pending = PendingMessage(message.job_id, run_at=message.run_at)
        if self._bytes + message.size_bytes > limits.MAX_MESSAGE_BYTES:
            self._flush()
        self._held.append((message, pending))
        self._bytes += message.size_bytes
        if len(self._held) == limits.MAX_BATCH_ENTRIES:
            self._flush()
        return pending

    async def close(self) -> None:
        """Send the rest and wait for all of it. Who is cancelled here sends it nevertheless."""
        self._closed = True
        if self._owner[0] != os.getpid():  # a forked child has a copy of what its parent sends
            return
        self._flush()
        await asyncio.gather(*map(asyncio.wrap_future, self._work))

    def _flush(self) -> None:
        held, self._held, self._bytes = self._held, [], 0
        if not held:
            return
        with self._lock:
            self._chunks.append(held)
            if self._at_work == self._most_threads:
                return
            self._at_work += 1
        self._work.append(sending_threads().submit(copy_context().run, self._send_chunks))

    def _send_chunks(self) -> None:
        while True:
            with self._lock:
                if not self._chunks:
                    self._at_work -= 1
                    return
                held = self._chunks.popleft()
            try:
                unsent, errors = self._outbox.send_held(held)
            except Exception as error:  # noqa: BLE001 - the others are sent all the same
                unsent, errors = [message for message, _ in held], [error]
            with self._lock:
                self.unsent.extend(unsent)
                self.errors.extend(errors)
