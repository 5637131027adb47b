"""Sending for coroutines: each waits for its own message, and what they send together leaves in tens."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import MessageId, Receipt
from sqs_tasks.sending.sender import OnSent, SendChunk, has_room, unsent_error
from sqs_tasks.sending.sending_threads import REQUESTS_AT_ONCE, sending_threads

logger = logging.getLogger(__name__)

#: The answer to each message of a request: its receipt, or why it was not sent.
Answers: TypeAlias = Sequence[Receipt | Exception]


@dataclass(slots=True)
class _Waiting:
    """A message whose sender waits for it."""

    message: OutgoingMessage
    added: Sequence[str]
    future: asyncio.Future[Receipt]
    context: Context


@dataclass(slots=True)
class _Line:
    """What the coroutines of one event loop wait for."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    under_way: int = 0
    is_planned: bool = False


class AsyncSender:
    """Sends the messages of coroutines to one queue, from threads.

    A message leaves at the end of the event loop's current turn, with all that were added in it. While as many requests
    are under way as may be, further messages gather, and leave in tens.

    Args:
        queue_name: The queue's name in code, for error texts.
        fifo: Whether requests must not overtake each other.
        send_one: Sends one message, given what ``pre_send`` hooks added to it, and calls the ``post_send`` hooks.
        send_chunk: Sends a request of several.
        on_sent: Called with each message of several that SQS accepted, in the context of its sender.
    """

    def __init__(
        self,
        queue_name: str,
        *,
        fifo: bool,
        send_one: Callable[[OutgoingMessage, Sequence[str]], Receipt],
        send_chunk: SendChunk,
        on_sent: OnSent,
    ) -> None:
        self._queue_name = queue_name
        self._most = 1 if fifo else REQUESTS_AT_ONCE
        self._send_one = send_one
        self._send_chunk = send_chunk
        self._on_sent = on_sent
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()
        self._lock = threading.Lock()

    async def send(self, message: OutgoingMessage, added: Sequence[str]) -> Receipt:
        """Send a message, and return when SQS has it.

        A caller that is cancelled before its request began sends nothing; later, the message may be sent nevertheless.

        Raises:
            BatchSendError: It left with others, and was not accepted after retries.
            Exception: It left alone: what SQS or the network answered.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            line = self._lines.setdefault(loop, _Line())
        future: asyncio.Future[Receipt] = loop.create_future()
        line.waiting.append(_Waiting(message, added, future, copy_context()))
        if not line.is_planned:
            line.is_planned = True
            loop.call_soon(self._start, loop, line)
        return await future

    def _start(self, loop: asyncio.AbstractEventLoop, line: _Line) -> None:
        line.is_planned = False
        while line.under_way < self._most:
            chunk = _next_chunk(line.waiting)
            if not chunk:
                return
            line.under_way += 1
            try:
                request = loop.run_in_executor(sending_threads(), self._request, chunk)
            except RuntimeError as error:  # the process ends, and starts no more threads
                self._finish(loop, line, chunk, [error] * len(chunk))
            else:
                request.add_done_callback(partial(self._answered, loop, line, chunk))

    def _request(self, chunk: Sequence[_Waiting]) -> Answers:
        """Make one request, in the context of its first sender."""
        if len(chunk) == 1:
            try:
                return [chunk[0].context.run(self._send_one, chunk[0].message, chunk[0].added)]
            except Exception as error:  # noqa: BLE001 - it is its sender's
                return [error]
        ids, errors = chunk[0].context.copy().run(self._send_chunk, [one.message for one in chunk])
        return [self._answer(one, message_id, errors) for one, message_id in zip(chunk, ids, strict=True)]

    def _answer(self, one: _Waiting, message_id: MessageId | None, errors: Sequence[Any]) -> Receipt | Exception:
        if message_id is None:
            return unsent_error(self._queue_name, [one.message], errors)
        one.context.run(self._on_sent, one.message, message_id)
        return message_id

    def _answered(
        self, loop: asyncio.AbstractEventLoop, line: _Line, chunk: Sequence[_Waiting], request: asyncio.Future[Answers]
    ) -> None:
        error = asyncio.CancelledError() if request.cancelled() else request.exception()
        answers: Sequence[Any] = request.result() if error is None else [error] * len(chunk)
        self._finish(loop, line, chunk, answers)

    def _finish(
        self, loop: asyncio.AbstractEventLoop, line: _Line, chunk: Sequence[_Waiting], answers: Sequence[Any]
    ) -> None:
        line.under_way -= 1
        for one, answer in zip(chunk, answers, strict=True):
            if one.future.done():
                if isinstance(answer, BaseException):
                    logger.warning(
                        "job %s was not sent to queue %s (%s: %s); its caller was cancelled, and learns nothing of it",
                        one.message.job_name,
                        self._queue_name,
                        type(answer).__name__,
                        answer,
                        extra={"action": "send_failed", "queue_name": self._queue_name},
                    )
            elif isinstance(answer, BaseException):
                one.future.set_exception(answer)
            else:
                one.future.set_result(answer)
        if line.waiting and not line.is_planned:
            self._start(loop, line)


def _next_chunk(waiting: deque[_Waiting]) -> list[_Waiting]:
    """The next messages that one request takes, without those whose senders were cancelled."""
    chunk: list[_Waiting] = []
    size = 0
    while waiting:
        if waiting[0].future.cancelled():
            waiting.popleft()
            continue
        message = waiting[0].message
        if chunk and not has_room(len(chunk), size, message):
            break
        chunk.append(waiting.popleft())
        size += message.size_bytes
    return chunk
