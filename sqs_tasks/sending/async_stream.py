"""Sending any number of jobs from a coroutine, read as their requests leave."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextvars import copy_context
from typing import Any, TypeVar

from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import PendingMessage
from sqs_tasks.sending.held_messages import SendsHeld
from sqs_tasks.sending.sender import has_room, unsent_error
from sqs_tasks.sending.sending_threads import REQUESTS_AT_ONCE, sending_threads

T = TypeVar("T")


async def stream_async(
    outbox: SendsHeld, queue_name: str, messages: AsyncIterator[OutgoingMessage], max_in_flight: int
) -> int:
    """Send any number of messages, read as requests leave, and return how many were sent.

    Args:
        outbox: Sends the requests, from threads.
        queue_name: The queue's name in code, for the error.
        messages: The messages, whose hooks were called; after a failure no more are read.
        max_in_flight: Requests under way at once.

    Raises:
        BatchSendError: Some messages of the requests under way were not accepted; it carries them.
    """
    sent = 0
    unsent: list[OutgoingMessage] = []
    failures: list[Any] = []
    under_way: deque[tuple[int, asyncio.Future[tuple[list[OutgoingMessage], list[Any]]]]] = deque()
    failure: Exception | None = None
    chunks = _chunks(messages)

    async def finish_one() -> None:
        nonlocal sent
        count, request = under_way.popleft()
        refused, errors = await request
        sent += count - len(refused)
        unsent.extend(refused)
        failures.extend(errors)

    try:
        async for chunk in chunks:
            # Jobs that EventBridge Scheduler holds take a request each.
            most = max(max_in_flight, REQUESTS_AT_ONCE) if chunk[0].run_at is not None else max_in_flight
            while len(under_way) >= most:
                await finish_one()
            if unsent:
                break
            held = [(message, PendingMessage(message.job_id, run_at=message.run_at)) for message in chunk]
            request = asyncio.get_running_loop().run_in_executor(
                sending_threads(), copy_context().run, outbox.send_held, held
            )
            under_way.append((len(chunk), request))
    except Exception as error:  # noqa: BLE001 - reading failed; what was read before has been sent
        failure = error
    while under_way:
        await finish_one()
    if failure is not None:
        raise failure
    if unsent:
        raise unsent_error(queue_name, unsent, failures)
    return sent


async def _chunks(messages: AsyncIterator[OutgoingMessage]) -> AsyncIterator[list[OutgoingMessage]]:
    """As :func:`~sqs_tasks.sending.sender.chunks`; a message that is scheduled is alone."""
    chunk: list[OutgoingMessage] = []
    size = 0
    failure: Exception | None = None
    try:
        async for message in messages:
            is_alone = message.run_at is not None
            if chunk and (is_alone or not has_room(len(chunk), size, message)):
                yield chunk
                chunk, size = [], 0
            if is_alone:
                yield [message]
                continue
            chunk.append(message)
            size += message.size_bytes
    except Exception as error:  # noqa: BLE001 - the caller's iterable; it is raised below
        failure = error
    if chunk:
        yield chunk
    if failure is not None:
        raise failure


async def each(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """The items of an iterable of either kind."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
