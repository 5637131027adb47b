"""Running jobs where they are sent, without SQS: ``SQSEnv(eager=True)``, or ``sqs_tasks.testing.eager`` for a block."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, Protocol

from sqs_tasks.errors import UnknownTaskError
from sqs_tasks.execution.executor import Executor
from sqs_tasks.execution.nested_loops import run_nested
from sqs_tasks.execution.runtime import CoroutineRunner
from sqs_tasks.message import FOLLOW_UPS, OutgoingMessage, ReceivedMessage
from sqs_tasks.outcome import NotStarted, Outcome, Postponed, Rejected, Retried, Skipped, Succeeded, UnknownTask
from sqs_tasks.receipts import MessageId

#: What the receipt handles of eager jobs begin with.
_HANDLE = "eager-"


class RunnableQueue(Protocol):
    """What eager delivery asks of a queue."""

    @property
    def name(self) -> str:
        """The name in code."""

    def follow_up(self, message: ReceivedMessage, kind: Literal["then", "on_failure"], /) -> bool:
        """Whether what follows a job that is over was sent."""

    def executor(self, *, run_coroutine: CoroutineRunner | None = None) -> Executor:
        """What runs its messages."""


class EagerDelivery:
    """Runs each message's job in the sender's thread, through codec, hooks and middleware, as a worker would.

    There is no second attempt: an exception of the task is the sender's. A delay is not waited for, and a batch
    processor gets a list of one. ``Retry`` and ``Reject`` are raised too.

    Args:
        raise_errors: Let the sender have the task's exception; else it is only logged, and kept in ``outcomes``.
    """

    def __init__(self, *, raise_errors: bool = True) -> None:
        self.raise_errors = raise_errors
        self.outcomes: list[tuple[OutgoingMessage, Outcome]] = []

    def __call__(self, queue: RunnableQueue, message: OutgoingMessage, /) -> MessageId:
        """Run the job of a message.

        Raises:
            UnknownTaskError: Its task is not registered in this process.
            Exception: Whatever the task raised.
        """
        import uuid

        received = received_from(message, message_id=str(uuid.uuid4()))
        executor = queue.executor(run_coroutine=run_nested)
        outcome = executor.execute(received)
        self.outcomes.append((message, outcome))
        if FOLLOW_UPS in message.attributes and not isinstance(outcome, Skipped):
            # There is no further attempt, so whatever is no success is the end.
            queue.follow_up(received, "then" if isinstance(outcome, Succeeded) else "on_failure")
        if self.raise_errors:
            raise_failure(outcome, queue.name)
        return MessageId(
            received.message_id, job_id=message.job_id or (message.job_name and received.message_id) or None
        )


def received_from(
    message: OutgoingMessage, *, message_id: str, receive_count: int = 1, now: Callable[[], float] = time.time
) -> ReceivedMessage:
    """A message as its receiver would see it; a body that is to go to S3 is in it."""
    if message.payload is not None:
        from sqs_tasks.offload.pointer import inline  # most bodies are in their messages

        message = inline(message)
    moment = str(int(now() * 1000))
    attributes = {
        "ApproximateFirstReceiveTimestamp": moment,
        "ApproximateReceiveCount": str(receive_count),
        "SentTimestamp": moment,
    }
    if message.group_id is not None:
        attributes["MessageGroupId"] = message.group_id
    if message.deduplication_id is not None:
        attributes["MessageDeduplicationId"] = message.deduplication_id
    return ReceivedMessage(
        message_id=message_id,
        receipt_handle=f"{_HANDLE}{message_id}",
        body=message.body,
        attributes=attributes,
        message_attributes=dict(message.attributes),
    )


def is_eager(message: ReceivedMessage) -> bool:
    """Whether the job of a message runs in the middle of the code that sent it."""
    return message.receipt_handle.startswith(_HANDLE)


def raise_failure(outcome: Outcome, queue_name: str) -> None:
    """Raise what a job failed with; nothing for one that succeeded.

    Raises:
        UnknownTaskError: The task is not registered in this process.
        Exception: Whatever the task raised.
    """
    match outcome:
        case Retried() | Rejected():
            raise outcome.error or RuntimeError(outcome.reason)
        case UnknownTask():
            raise UnknownTaskError(
                f"task {outcome.job_name!r} is not registered on queue {queue_name!r} in this process; "
                "is the module with your tasks imported?"
            )
        case Postponed() if outcome.error is not None:
            raise outcome.error
        case NotStarted() | Postponed():
            raise RuntimeError(f"the job was not started: {outcome.reason}")
