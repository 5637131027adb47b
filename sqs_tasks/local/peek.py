"""Looking into a queue of a MemorySession without receiving from it, which no real SQS can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqs_tasks.local.clock import Clock
from sqs_tasks.local.memory import MemoryClient, MemorySession
from sqs_tasks.local.model.message import Message, State
from sqs_tasks.message import ReceivedMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message as a queue holds it.

    Attributes:
        message: As a receiver would see it; without a receipt handle, since it was not received.
        state: ``ready``, ``delayed`` or ``in_flight``.
    """

    message: ReceivedMessage
    state: str


def session_of(client: Any) -> MemorySession:
    """The session of a client.

    Raises:
        TypeError: It is the client of something else.
    """
    if not isinstance(client, MemoryClient):
        raise TypeError(
            f"{type(client).__name__} is no client of a MemorySession; make the environment with "
            "SQSEnv(MemorySession(...)), or connect it with sqs_tasks.testing.in_memory(env)"
        )
    return client._session  # noqa: SLF001 - two halves of one package


def clock_of(client: Any) -> Clock:
    """The clock of a client's session."""
    return session_of(client).clock


def stored_messages(client: Any, queue_url: str) -> list[StoredMessage]:
    """All messages of a queue in the order they arrived, whether they can be received or not."""
    session = session_of(client)
    with session._changed:  # noqa: SLF001 - the same
        session._service.run_due()  # noqa: SLF001 - the same
        queue = session._service._account.queues[queue_url.rpartition("/")[2]]  # noqa: SLF001 - the same
        return [_stored(message) for message in queue._messages.values()]  # noqa: SLF001 - the same


def next_moment(client: Any) -> float | None:
    """When the session next has something to do: a delay or a visibility timeout ends, or a schedule is due."""
    session = session_of(client)
    with session._changed:  # noqa: SLF001 - the same
        return session._service.next_moment()  # noqa: SLF001 - the same


def _stored(message: Message) -> StoredMessage:
    attributes = {
        "SentTimestamp": str(int(message.sent_at * 1000)),
        "ApproximateReceiveCount": str(message.receive_count),
        "MessageGroupId": message.group_id,
        "MessageDeduplicationId": message.deduplication_id,
    }
    received = ReceivedMessage(
        message_id=message.message_id,
        receipt_handle="",
        body=message.body,
        attributes={name: value for name, value in attributes.items() if value is not None},
        message_attributes=dict(message.attributes or {}),  # type: ignore[arg-type]  # checked when it was sent
    )
    state = {State.READY: "ready", State.DELAYED: "delayed", State.IN_FLIGHT: "in_flight"}[message.state]
    return StoredMessage(message=received, state=state)
