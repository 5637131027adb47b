"""Settlement: outcomes to verdicts, and verdicts to calls in tens.

Only a rejected job needs a call to find its verdict: its message may be deleted once the dead-letter queue has accepted
a copy, and not before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from sqs_tasks import limits
from sqs_tasks.backoff_policies import clamp_visibility
from sqs_tasks.client import error_code
from sqs_tasks.errors import shortened
from sqs_tasks.hooks import AroundRequest, Operation, made
from sqs_tasks.loggers import kept_logger
from sqs_tasks.message import FOLLOW_UPS, ReceivedMessage
from sqs_tasks.outcome import (
    DELETE,
    LEAVE,
    ChangeVisibility,
    NotStarted,
    Outcome,
    Postponed,
    Rejected,
    Retried,
    Skipped,
    Succeeded,
    UnknownTask,
    Verdict,
)
from sqs_tasks.protocols import SQSClient
from sqs_tasks.transport.batch_call import Failure, carry_out, doubling

logger = kept_logger(__name__)

#: Times a failed entry is tried again, and the wait before the first of them (it doubles).
RETRIES, RETRY_SECONDS = 3, 0.1

#: Seconds kept clear of the 12-hour limit: SQS refuses what exceeds it instead of cutting it (S20).
VISIBILITY_MARGIN_SECONDS = 30

#: Failures for which trying again cannot help: the handle is too old, or the message is gone or visible already.
FINAL_CODES = frozenset(
    {
        "AWS.SimpleQueueService.MessageNotInflight",
        "InvalidParameterValue",
        "MessageNotInflight",
        "ReceiptHandleIsInvalid",
    }
)

T = TypeVar("T")

#: What the operations do to a message, for people.
_WORDS = {"change_visibility": "change the visibility of", "extend": "extend the lease of"}


class Unsettled(NamedTuple):
    """A message that SQS did not settle, and why."""

    message: ReceivedMessage
    #: AWS's error code, or the name of the exception.
    code: str

    @property
    def is_final(self) -> bool:
        """Whether trying again cannot help."""
        return self.code in FINAL_CODES


class CopiesDeadLetters(Protocol):
    """Copies rejected messages to where they go: :class:`~sqs_tasks.execution.dead_letter_copier.DeadLetters`."""

    def copy(self, message: ReceivedMessage, outcome: Rejected, *, request_id: str | None = None) -> bool:
        """Whether the dead-letter queue has accepted a copy of the message; never raises."""


class CopiesJobs(Protocol):
    """Sends jobs on by copies in their own queue: :class:`~sqs_tasks.execution.job_copier.JobCopier`."""

    def copy(self, message: ReceivedMessage, *, seconds: float, attempts: int) -> bool:
        """Whether SQS has accepted a copy that is due in so many seconds; never raises."""


#: Whether what follows a job that is over was accepted by SQS; never raises.
FollowUp: TypeAlias = Callable[[ReceivedMessage, Literal["then", "on_failure"]], bool]

#: Seconds after which a job comes back whose follow-up SQS did not accept.
FOLLOW_UP_SECONDS = 30

#: Seconds before it is due at which a hidden message is looked at again: then SQS can delay a copy to the second.
EARLY_SECONDS = 300


#: The receive from which on a queue is asked for its limit: hardly one allows less, and most jobs are done before.
_FIRST_ASKED = 2


class Settlement:
    """Settles the messages of one queue; any thread may call it, it keeps nothing between calls.

    Args:
        queue_name: The queue's name in code, for logs.
        client: Gives the client.
        queue_url: Gives the URL.
        dead_letters: Where rejected messages go; None when the queue has no such place.
        copier: Gives what sends jobs on by copies; None for a FIFO queue.
        follow_up: Sends what follows a job that is over; None sends nothing.
        max_receive_count: The receive after which SQS moves a message, if it is known; else the queue is asked, once,
            when a job that can only be hidden is put off again.
        copies_at: Where that probably is; a job that would lose by it goes on by a copy.
        retention_seconds: How long the queue keeps a message.
        around: Gives what makes the context of each request, or None.
        sleep: Waits between tries.
    """

    def __init__(
        self,
        *,
        queue_name: str,
        client: Callable[[], SQSClient],
        queue_url: Callable[[], str],
        dead_letters: CopiesDeadLetters | None,
        copier: Callable[[], CopiesJobs] | None = None,
        follow_up: FollowUp | None = None,
        max_receive_count: int | None = None,
        copies_at: int | None = None,
        retention_seconds: float = limits.MAX_RETENTION_SECONDS,
        around: Callable[[], AroundRequest | None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.queue_name = queue_name
        self._client = client
        self._queue_url = queue_url
        self._dead_letters = dead_letters
        self._copier = copier
        self._follow_up = follow_up
        self._max_receive_count = max_receive_count
        self._is_asked = max_receive_count is not None
        self._copies_at = copies_at
        self._retention_seconds = retention_seconds
        self._around = around
        self._sleep = sleep

    def conclude(self, message: ReceivedMessage, outcome: Outcome, *, request_id: str | None = None) -> Verdict:
        """What becomes of a message. A rejected one is copied to the dead-letter queue here; never raises."""
        match outcome:
            case Succeeded() | Skipped():
                if not _has_then(message, outcome) or self._is_followed(message, "then"):
                    return DELETE
                return self._hide(message, FOLLOW_UP_SECONDS)
            case Rejected():
                if self._is_buried(message, outcome, request_id):
                    return DELETE
                return self._hide(message, outcome.delay_seconds)
            case Retried():
                if outcome.attempts is None:
                    return self._hide(message, outcome.delay_seconds)
                seconds = outcome.delay_seconds or 0
                if self._is_copied(message, seconds, outcome.attempts):
                    return DELETE
                return self._kept_or_dead(message, seconds, outcome.reason, request_id, outcome.error)
            case Postponed():
                return self._postpone(message, outcome, request_id)
            case NotStarted():
                if self._is_at(message, self._copies_at) and self._is_copied(
                    message, outcome.delay_seconds, message.attempt - 1
                ):
                    return DELETE
                return self._kept_or_dead(message, outcome.delay_seconds, outcome.reason, request_id)
            case UnknownTask():
                reason = f"task {shortened(repr(outcome.job_name))} is not registered"
                return self._kept_or_dead(message, outcome.delay_seconds, reason, request_id)

    def may_call(self, message: ReceivedMessage, outcome: Outcome) -> bool:
        """Whether :meth:`conclude` may have to send a copy of the message somewhere, which takes time."""
        if isinstance(outcome, (Succeeded, Skipped)):
            return _has_then(message, outcome)
        if isinstance(outcome, (Rejected, Postponed)):
            return True
        if isinstance(outcome, Retried):
            return outcome.attempts is not None
        is_last = self._is_at(message, self._copies_at) or self._is_at(message, self._max_receive_count)
        return is_last and isinstance(outcome, (NotStarted, UnknownTask))

    def delete(self, messages: Sequence[ReceivedMessage]) -> list[Unsettled]:
        """Delete messages in tens; those that could not be deleted are returned and logged. Never raises."""

        def call(chunk: Sequence[tuple[int, ReceivedMessage]]) -> dict[str, Any]:
            return self._client().delete_message_batch(
                QueueUrl=self._queue_url(),
                Entries=[{"Id": str(index), "ReceiptHandle": message.receipt_handle} for index, message in chunk],
            )

        return self._in_tens("delete", messages, call, lambda message: message)

    def change_visibility(
        self,
        hidden: Sequence[tuple[ReceivedMessage, int]],
        *,
        action: Literal["change_visibility", "extend"] = "change_visibility",
        retries: int = RETRIES,
    ) -> list[Unsettled]:
        """Change the visibility of messages in tens; those that could not be changed are returned and logged.

        Never raises.

        Args:
            hidden: Messages with the seconds each shall stay hidden from now.
            action: What it is for: for whoever watches, and for logs.
            retries: How often a failed entry is tried again; none for a heartbeat, which comes again by itself.
        """

        def call(chunk: Sequence[tuple[int, tuple[ReceivedMessage, int]]]) -> dict[str, Any]:
            return self._client().change_message_visibility_batch(
                QueueUrl=self._queue_url(),
                Entries=[
                    {"Id": str(index), "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": seconds}
                    for index, (message, seconds) in chunk
                ],
            )

        return self._in_tens(action, hidden, call, lambda pair: pair[0], retries=retries)

    def _postpone(self, message: ReceivedMessage, outcome: Postponed, request_id: str | None) -> Verdict:
        """A job that is due later, and has no attempt less for it."""
        seconds = outcome.delay_seconds
        if (
            outcome.is_known
            and seconds > limits.MAX_DELAY_SECONDS
            and (self._copier is None or not self._is_used_up(message, seconds))
        ):
            # Until shortly before, where a copy begins its receives anew; on FIFO queues until it is due.
            early = 0 if self._copier is None else EARLY_SECONDS
            self._ask(message)
            return self._kept_or_dead(message, seconds - early, outcome.reason, request_id)
        if self._is_copied(message, seconds, outcome.attempts):
            return DELETE
        self._ask(message)
        return self._kept_or_dead(message, seconds, outcome.reason, request_id)

    def _is_used_up(self, message: ReceivedMessage, seconds: int) -> bool:
        """Whether a message that is not due had better be copied.

        Its queue may allow fewer receives than we know, or delete it for its age before it is back.
        """
        if message.receive_count > 1 or self._is_at(message, self._copies_at):
            return True
        sent, received = message.sent_at, message.first_received_at
        age = 0.0 if sent is None or received is None else (received - sent).total_seconds()
        return age + min(seconds, limits.MAX_VISIBILITY_SECONDS) >= self._retention_seconds

    def _is_copied(self, message: ReceivedMessage, seconds: float, attempts: int) -> bool:
        return self._copier is not None and self._copier().copy(message, seconds=seconds, attempts=attempts)

    def _kept_or_dead(
        self,
        message: ReceivedMessage,
        seconds: int,
        reason: str,
        request_id: str | None,
        error: BaseException | None = None,
    ) -> Verdict:
        """Hide a message that was not run; at its last receive, where SQS would move it in silence, say why it goes."""
        if self._dead_letters is not None and self._is_at(message, self._max_receive_count):
            what = ", and not run: " if error is None else ": "
            why = f"{self._max_receive_count} receives used up{what}{reason}"
            rejected = Rejected(reason=why, delay_seconds=seconds, error=error)
            if self._is_buried(message, rejected, request_id):
                return DELETE
        return self._hide(message, seconds)

    def _is_followed(self, message: ReceivedMessage, kind: Literal["then", "on_failure"]) -> bool:
        """Whether what follows the job was sent, or nothing does."""
        return self._follow_up is None or self._follow_up(message, kind)

    def _is_buried(self, message: ReceivedMessage, outcome: Rejected, request_id: str | None) -> bool:
        """Whether a message is in the dead-letter queue, and what follows its failure was sent before."""
        if self._dead_letters is None:
            return False
        if message.attribute(FOLLOW_UPS) is not None and not self._is_followed(message, "on_failure"):
            return False
        return self._dead_letters.copy(message, outcome, request_id=request_id)

    def _ask(self, message: ReceivedMessage) -> None:
        """Ask the queue for its limit, where nobody has said it, when a message has come again."""
        if self._is_asked or self._dead_letters is None or message.receive_count < _FIRST_ASKED:
            return
        self._is_asked = True
        try:
            answer = self._client().get_queue_attributes(QueueUrl=self._queue_url(), AttributeNames=["RedrivePolicy"])
            policy = (answer.get("Attributes") or {}).get("RedrivePolicy")
            self._max_receive_count = None if policy is None else int(json.loads(policy)["maxReceiveCount"])
        except Exception as error:  # noqa: BLE001 - without the right the redrive policy decides, as ever
            logger.debug("cannot ask queue %s for its redrive policy: %s", self.queue_name, error)

    @staticmethod
    def _is_at(message: ReceivedMessage, receive: int | None) -> bool:
        return receive is not None and message.receive_count >= receive

    def _hide(self, message: ReceivedMessage, seconds: int | None) -> Verdict:
        if seconds is None:
            return LEAVE
        return ChangeVisibility(clamp_visibility(seconds, longest=longest_visibility(message)))

    def _in_tens(
        self,
        action: Operation,
        items: Sequence[T],
        call: Callable[[Sequence[tuple[int, T]]], dict[str, Any]],
        message_of: Callable[[T], ReceivedMessage],
        *,
        retries: int = RETRIES,
    ) -> list[Unsettled]:
        """Call in tens, read every Failed entry, and try those again that may yet succeed (fault W18)."""
        lost: list[Unsettled] = []
        for chunk in tens(items):
            answer = carry_out(
                len(chunk),
                partial(self._made, action, chunk, call, message_of),
                is_final=lambda why: _code(why) in FINAL_CODES,
                pauses=doubling(RETRY_SECONDS, retries),
                sleep=self._sleep,
            )
            lost += [
                self._unsettled(action, message_of(chunk[index]), _code(why)) for index, why in answer.failed.items()
            ]
        return lost

    def _made(
        self,
        action: Operation,
        chunk: Sequence[T],
        call: Callable[[Sequence[tuple[int, T]]], dict[str, Any]],
        message_of: Callable[[T], ReceivedMessage],
        indexes: Sequence[int],
    ) -> dict[str, Any]:
        with made(self._around(), action, self.queue_name, lambda: [message_of(chunk[index]) for index in indexes]):
            return call([(index, chunk[index]) for index in indexes])

    def _unsettled(self, action: str, message: ReceivedMessage, code: str) -> Unsettled:
        logger.warning(
            "could not %s message %s of queue %s: %s; it comes back when its visibility timeout ends",
            _WORDS.get(action, action),
            message.message_id,
            self.queue_name,
            code,
            extra={"action": f"{action}_failed", "error_code": code, **message.log_fields(self.queue_name)},
        )
        return Unsettled(message, code)


def _has_then(message: ReceivedMessage, outcome: Succeeded | Skipped) -> bool:
    """Whether something may follow a job that is done; one that was done before may have died before it was sent."""
    if message.attribute(FOLLOW_UPS) is None:
        return False
    return isinstance(outcome, Succeeded) or outcome.was_done


def _code(why: Failure) -> str:
    """AWS's error code, or the name of the exception."""
    if isinstance(why, Exception):
        return error_code(why) or type(why).__name__
    return str(why.get("Code"))


def longest_visibility(message: ReceivedMessage) -> int:
    """Seconds for which this receive's visibility may still be extended: 12 hours less what has passed (S20)."""
    elapsed = max(time.monotonic() - message.received_at, 0)
    return max(int(limits.MAX_VISIBILITY_SECONDS - elapsed - (VISIBILITY_MARGIN_SECONDS if elapsed > 1 else 0)), 0)


def tens(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Slices of as many entries as one batch call takes."""
    for start in range(0, len(items), limits.MAX_BATCH_ENTRIES):
        yield items[start : start + limits.MAX_BATCH_ENTRIES]
