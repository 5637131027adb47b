"""Writing jobs into the caller's transaction: ``task.options(outbox=session)`` and ``SQSEnv(send=Outbox(...))``."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import PendingMessage, Receipt
from sqs_tasks.sending.held_messages import SendsHeld
from sqs_tasks.transactions.on_commit import OnUnsent
from sqs_tasks.transactions.outbox.row import values_of

#: Rows that ``map()`` writes by one statement.
_ROWS = 100


class WritingQueue(SendsHeld, Protocol):
    """What writing asks of what sends the messages of a queue: :class:`~sqs_tasks.sending.outbox.Outbox`."""

    def call_hooks(self, message: OutgoingMessage, /) -> Sequence[str]:
        """Call the pre_send hooks, and see that the message can be sent with what they added."""


class Outbox:
    """Writes each job as a row into the transaction that is open where it is sent; ``sqs-tasks outbox relay`` sends it.

    Args:
        using: The alias of Django's database; its default one unless given.
        session: For SQLAlchemy instead: gives the session or connection that is in use where it is called, or None for
            none: then the job is sent at once.
        on_unsent: Called in the relay with the messages that SQS refuses for good, and the error. Their rows stay.
    """

    #: Jobs that are due later wait in the table, and need no EventBridge Scheduler.
    keeps_until_due = True

    def __init__(
        self,
        using: str = "default",
        *,
        session: Callable[[], Any] | None = None,
        on_unsent: OnUnsent | None = None,
    ) -> None:
        self._using = using
        self._session = session
        self.on_unsent = on_unsent

    def __call__(
        self, outbox: SendsHeld, message: OutgoingMessage, pending: PendingMessage | None = None, /
    ) -> Receipt | None:
        """Write a message; None where there is no session."""
        target = self._using if self._session is None else self._session()
        if target is None:
            return None
        _insert(target, [values_of(message, outbox.now())])
        return pending or _receipt(message)


def write(outbox: WritingQueue, message: OutgoingMessage, target: object) -> Receipt:
    """Write a message into the transaction of a session, a connection or Django's database.

    Args:
        outbox: What sends the queue's messages.
        message: The message.
        target: As for :class:`~sqs_tasks.task.SendOptions`.

    Raises:
        TypeError: The target is none of those.
        ConfigurationError: Django's database has no outbox.
    """
    outbox.call_hooks(message)
    _insert(target, [values_of(message, outbox.now())])
    return _receipt(message)


def write_async(outbox: WritingQueue, message: OutgoingMessage, target: object) -> Coroutine[Any, Any, Receipt]:
    """As :func:`write`, for coroutines: hooks are called at once, and a row of an async connection is awaited."""
    outbox.call_hooks(message)
    return _write_later([message], [values_of(message, outbox.now())], target)


def write_many(outbox: WritingQueue, messages: Iterable[OutgoingMessage], target: object) -> int:
    """Write any number of messages; how many they were."""
    count, messages = 0, iter(messages)
    while chunk := list(islice(messages, _ROWS)):
        for message in chunk:
            outbox.call_hooks(message)
        _insert(target, [values_of(message, outbox.now()) for message in chunk])
        count += len(chunk)
    return count


async def write_many_async(outbox: WritingQueue, messages: AsyncIterator[OutgoingMessage], target: object) -> int:
    """As :func:`write_many`, for coroutines."""
    count = 0
    async for message in messages:
        await write_async(outbox, message, target)
        count += 1
    return count


async def _write_later(messages: Sequence[OutgoingMessage], rows: Sequence[dict[str, Any]], target: object) -> Receipt:
    if "sqlalchemy.ext.asyncio" not in sys.modules:
        _insert(target, rows)
        return _receipt(messages[0])
    from sqs_tasks.transactions.outbox.sqlalchemy_rows import insert_async

    if not await insert_async(target, rows):
        _insert(target, rows)
    return _receipt(messages[0])


def _insert(target: object, rows: Sequence[dict[str, Any]]) -> None:
    if isinstance(target, str) or hasattr(target, "in_atomic_block"):
        from sqs_tasks.transactions.outbox.django_rows import insert
    else:
        from sqs_tasks.transactions.outbox.sqlalchemy_rows import insert
    insert(target, rows)


def _receipt(message: OutgoingMessage) -> Receipt:
    return PendingMessage(message.job_id, run_at=message.run_at)
