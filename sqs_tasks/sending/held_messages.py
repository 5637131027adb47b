"""Messages that wait for something before they are sent: the end of a block, or the commit of a transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from sqs_tasks.errors import BatchSendError
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import PendingMessage, Receipt


class SendsHeld(Protocol):
    """What sends the messages of one queue: :class:`~sqs_tasks.sending.outbox.Outbox`."""

    def send_held(
        self, held: Sequence[tuple[OutgoingMessage, PendingMessage]], /
    ) -> tuple[list[OutgoingMessage], list[Any]]:
        """Send messages in tens; those that were not accepted, and why. Nothing is raised for what SQS does."""

    def now(self) -> float:
        """The time in seconds."""


class Hold(Protocol):
    """Takes a message that is to be sent later, or leaves it."""

    def __call__(
        self, outbox: SendsHeld, message: OutgoingMessage, pending: PendingMessage | None = None, /
    ) -> Receipt | None:
        """The receipt of a message that is held; None for one that is to be sent now."""


#: Sends the messages that a commit has released.
SendHeld: TypeAlias = Callable[[Sequence["HeldMessage"]], None]


class Failed(NamedTuple):
    """What SQS did not accept, and why."""

    unsent: list[OutgoingMessage]
    errors: list[Any]


class HeldMessage(NamedTuple):
    """A message, its queue, and the receipt that its sender has."""

    outbox: SendsHeld
    message: OutgoingMessage
    pending: PendingMessage


def held_message(outbox: SendsHeld, message: OutgoingMessage, pending: PendingMessage | None) -> HeldMessage:
    """A message that waits; its receipt is resolved when it has been sent."""
    if pending is None:
        pending = PendingMessage(message.job_id, run_at=message.run_at)
    return HeldMessage(outbox, message, pending)


def send_all_held(messages: Sequence[HeldMessage]) -> Failed:
    """Send messages in tens, those of each queue in their order; never raises for what SQS does."""
    by_outbox: dict[int, list[HeldMessage]] = {}
    for one in messages:
        by_outbox.setdefault(id(one.outbox), []).append(one)
    failed = Failed([], [])
    for held in by_outbox.values():
        unsent, errors = held[0].outbox.send_held([(one.message, one.pending) for one in held])
        failed.unsent.extend(unsent)
        failed.errors.extend(errors)
    return failed


def not_accepted(failed: Failed) -> BatchSendError:
    """The one error for all that could not be sent."""
    from sqs_tasks.sending.sender import unsent_error

    names = dict.fromkeys(message.queue_name for message in failed.unsent)
    return unsent_error(", ".join(names), failed.unsent, failed.errors)
