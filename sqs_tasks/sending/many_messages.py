"""Any number of messages of a queue: those that nothing holds back leave in tens, as they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from sqs_tasks.message import OutgoingMessage
from sqs_tasks.sending.held_messages import SendsHeld
from sqs_tasks.sending.sender import Sender
from sqs_tasks.sending.stream import stream

if TYPE_CHECKING:
    from sqs_tasks.sending.one_shots import OneShots


class SendsMany(SendsHeld, Protocol):
    """What is asked of an outbox."""

    sender: Sender

    @property
    def one_shots(self) -> OneShots:
        """What holds messages that are due later."""

    def is_free(self, message: OutgoingMessage, /) -> bool:
        """Call the hooks, and say whether a message leaves now."""


def send_many(outbox: SendsMany, messages: Iterable[OutgoingMessage], max_in_flight: int) -> int:
    """Send messages, or have them held back, and return how many they were.

    Args:
        outbox: Sends them.
        messages: The messages, read as requests leave.
        max_in_flight: Requests under way at once.

    Raises:
        BatchSendError: Some messages of the requests under way were not accepted; it carries them.
    """
    elsewhere = 0

    def free() -> Iterator[OutgoingMessage]:
        nonlocal elsewhere
        for message in messages:
            if outbox.is_free(message):
                yield message
            else:
                elsewhere += 1

    def to_sqs(free: Iterator[OutgoingMessage]) -> Iterator[OutgoingMessage]:
        nonlocal elsewhere
        for message in free:
            if message.run_at is None:
                yield message
                continue
            # Schedules are made side by side: from here to the next message for SQS, which is all of them mostly.
            made, following = outbox.one_shots.send_all(message, free, before=_nothing)
            elsewhere += made
            if following is not None:
                yield following

    return stream(outbox.sender, to_sqs(free()), max_in_flight, before=_nothing) + elsewhere


async def send_many_async(
    outbox: SendsMany, queue_name: str, messages: AsyncIterator[OutgoingMessage], max_in_flight: int
) -> int:
    """As :func:`send_many`, for coroutines."""
    from sqs_tasks.sending.async_stream import stream_async  # most producers are no coroutines

    held = 0

    async def free() -> AsyncIterator[OutgoingMessage]:
        nonlocal held
        async for message in messages:
            if outbox.is_free(message):
                yield message
            else:
                held += 1

    return await stream_async(outbox, queue_name, free(), max_in_flight) + held


def _nothing(_message: OutgoingMessage) -> None:
    """The hooks were called when the message was read."""
