"""Sending any number of jobs, read as their requests leave, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import MessageId
from sqs_tasks.sending.sender import Sender, chunks, unsent_error

T = TypeVar("T")
U = TypeVar("U")


def stream(
    sender: Sender,
    messages: Iterable[OutgoingMessage],
    max_in_flight: int,
    *,
    before: Callable[[OutgoingMessage], object],
) -> int:
    """Send any number of messages, read as requests leave, and return how many were sent.

    Args:
        sender: Sends the requests.
        messages: The messages; after a failure no more are read.
        max_in_flight: Requests under way at once.
        before: Called with each message before its request.

    Raises:
        BatchSendError: Some messages of the requests under way were not accepted; it carries them.
    """
    sent = 0
    unsent: list[OutgoingMessage] = []
    failures: list[Any] = []

    def send(chunk: list[OutgoingMessage]) -> tuple[list[OutgoingMessage], list[MessageId | None], list[Any]]:
        return chunk, *sender.send_chunk(chunk)

    def announced() -> Iterator[OutgoingMessage]:
        # Before requests are packed: what a hook adds to a message, a trace for example, counts against their size.
        for message in messages:
            before(message)
            yield message

    for chunk, ids, errors in in_order(send, chunks(announced()), max_in_flight, stop=lambda: bool(unsent)):
        failures.extend(errors)
        for message, message_id in zip(chunk, ids, strict=True):
            if message_id is None:
                unsent.append(message)
            else:
                sent += 1
                sender.on_sent(message, message_id)
    if unsent:
        raise unsent_error(sender.queue_name, unsent, failures)
    return sent


def in_order(
    call: Callable[[T], U], items: Iterable[T], max_in_flight: int, *, stop: Callable[[], bool]
) -> Iterator[U]:
    """Results in order, with at most so many calls under way; after ``stop()`` nothing new is begun."""
    if max_in_flight == 1:
        for item in items:
            if stop():
                return
            yield call(item)
        return
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor

    with ThreadPoolExecutor(max_in_flight, thread_name_prefix="sqs-tasks-send") as pool:
        waiting: deque[Future[U]] = deque()
        failure: Exception | None = None
        try:
            for item in items:
                if len(waiting) == max_in_flight:
                    yield waiting.popleft().result()
                if stop():
                    break
                waiting.append(pool.submit(call, item))
        except Exception as error:  # noqa: BLE001 - reading failed; what is under way has results to give first
            failure = error
        while waiting:
            yield waiting.popleft().result()
        if failure is not None:
            raise failure
