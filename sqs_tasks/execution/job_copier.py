"""Jobs that go on later by a copy in their own queue, since the deliveries of a message are few and short.

SQS hides a message for 12 hours at most, counts each delivery, and moves the message to the dead-letter queue when they
are used up (S20, S27), whether anything ran or not. A copy begins with no delivery at all. It has the same job id, the
attempts that began before it, and the time at which the job was first sent. It is accepted by SQS before the original
is deleted: who dies in between leaves both, and the job may run twice, but never not at all.

A copy is delayed by SQS for 900 s at most (S12). One that is due later says so, and whoever receives it too early hides
it, or copies it again. Imported with the first job that needs it; on FIFO queues a copy would lose its place.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqs_tasks import limits
from sqs_tasks.client import error_code
from sqs_tasks.errors import one_line
from sqs_tasks.execution.dead_letter_copier import without_failure
from sqs_tasks.execution.message_copy import copy_of, kept_attributes, own_attribute
from sqs_tasks.loggers import kept_logger
from sqs_tasks.message import (
    ATTEMPT,
    COPY_ATTRIBUTES,
    FIRST_MESSAGE_ID,
    FIRST_SENT_AT,
    JOB_ID,
    NOT_BEFORE,
    OutgoingMessage,
    ReceivedMessage,
)
from sqs_tasks.protocols import SQSClient

logger = kept_logger(__name__)

#: How Lambda's runtime client says which chain of requests has led to an invocation, and what begins its counts there.
_TRACE_VARIABLE, _LINEAGE = "_X_AMZN_TRACE_ID", "Lineage="

#: Rounds after which no copy is sent where no loop is meant: Lambda ends the chain after about 16 (S36).
MOST_ROUNDS = 14

#: Fifty years: more is a mistake, and no date.
_LONGEST_SECONDS = 50 * 366 * 86_400


class _NoCopyError(Exception):
    """There can be no copy of a message; the text says why."""


class JobCopier:
    """Copies the messages of one standard queue into it.

    Args:
        queue_name: The queue's name in code, for logs.
        client: Gives the client.
        queue_url: Gives the queue's URL.
        now: The wall clock in seconds.
        max_bytes: The most that the queue takes, attributes counted.
        may_loop: Whether the registration says that jobs come back: its function then goes round without an end.
    """

    def __init__(
        self,
        *,
        queue_name: str,
        client: Callable[[], SQSClient],
        queue_url: Callable[[], str],
        now: Callable[[], float],
        max_bytes: int = limits.MAX_MESSAGE_BYTES,
        may_loop: bool = False,
    ) -> None:
        self._queue_name = queue_name
        self._client = client
        self._queue_url = queue_url
        self._now = now
        self._max_bytes = max_bytes
        self._may_loop = may_loop

    def copy(self, message: ReceivedMessage, *, seconds: float, attempts: int) -> bool:
        """Whether SQS has accepted a copy that is due in so many seconds; never raises.

        Args:
            message: The message.
            seconds: Seconds from now; less than one is one, so that nothing turns in circles.
            attempts: The attempts that have begun so far.
        """
        seconds = min(max(math.ceil(seconds), 1), _LONGEST_SECONDS)
        delay = min(seconds, limits.MAX_DELAY_SECONDS)
        extra = message.log_fields(self._queue_name)
        try:
            copy = self._copy(message, seconds, delay, attempts)
            answer = self._client().send_message(QueueUrl=self._queue_url(), **copy.as_request())
        except Exception as error:  # noqa: BLE001 - no copy, no end: the message stays, whatever stood in the way
            return self._refused(error, extra, seconds)
        logger.debug(
            "job %s goes on by the copy %s",
            extra["job_name"],
            answer.get("MessageId"),
            extra={"action": "job_copied", "copy_message_id": answer.get("MessageId"), "delay_seconds": delay, **extra},
        )
        return True

    def _copy(self, message: ReceivedMessage, seconds: int, delay: int, attempts: int) -> OutgoingMessage:
        """The copy of a message.

        Raises:
            _NoCopyError: There can be none; the text says why.
        """
        trace_header = self._trace_header(message)
        first = message.first_sent_at
        said = {ATTEMPT: str(attempts)}
        if first is not None:
            said[FIRST_SENT_AT] = first.isoformat()
        if seconds > delay:
            due = datetime.fromtimestamp(self._now(), UTC) + timedelta(seconds=seconds)
            said[NOT_BEFORE] = due.isoformat()
        attributes = kept_attributes(message)
        if JOB_ID not in attributes and FIRST_MESSAGE_ID not in attributes and message.job_id == message.message_id:
            said[FIRST_MESSAGE_ID] = message.message_id
        taken = COPY_ATTRIBUTES & attributes.keys() or said.keys() & attributes.keys()
        if taken:
            raise _NoCopyError(f"its sender has set an attribute {min(taken)!r} of its own")
        attributes.update((name, own_attribute(value)) for name, value in said.items())
        copy = copy_of(message, attributes, fifo=False, delay_seconds=delay, trace_header=trace_header)
        if not self._has_room(copy):  # what a dead letter said of its end is over
            bare = without_failure(attributes)
            copy = copy_of(message, bare, fifo=False, delay_seconds=delay, trace_header=trace_header)
        if not self._has_room(copy):
            raise _NoCopyError(
                f"it would have {len(copy.attributes)} attributes and {copy.size_bytes} bytes with {', '.join(said)}, "
                f"and its queue takes {limits.MAX_MESSAGE_ATTRIBUTES} and {self._max_bytes}"
            )
        return copy

    def _has_room(self, copy: OutgoingMessage) -> bool:
        return len(copy.attributes) <= limits.MAX_MESSAGE_ATTRIBUTES and copy.size_bytes <= self._max_bytes

    def _trace_header(self, message: ReceivedMessage) -> str | None:
        """The message's trace with the rounds of the invocation that copies it; None outside Lambda.

        Lambda finds functions that feed themselves by these rounds, which the SDK passes on in the headers of its
        requests: a trace of the message's own would hide them.

        Raises:
            _NoCopyError: Lambda would end the chain, and the job with it (S36).
        """
        header = os.environ.get(_TRACE_VARIABLE) or ""
        lineage = next((one for one in header.split(";") if one.startswith(_LINEAGE)), None)
        if lineage is None:
            return None
        counts = [one.rpartition(":")[2] for one in lineage.removeprefix(_LINEAGE).split("|")]
        rounds = max((int(one) for one in counts if one.isdecimal() and len(one) < len(header)), default=0)
        if rounds >= MOST_ROUNDS and not self._may_loop:
            raise _NoCopyError(
                f"it has gone round {rounds} times, and Lambda ends such a chain; register its task with "
                "postpones=True, so that the stack allows it"
            )
        fields = [one for one in (message.trace_header or "").split(";") if one and not one.startswith(_LINEAGE)]
        return ";".join([*fields, lineage]) if fields else header

    def _refused(self, error: Exception, extra: dict[str, Any], seconds: int) -> bool:
        if isinstance(error, _NoCopyError):
            why = one_line(str(error))
        else:
            why = error_code(error) or type(error).__name__
            if "AccessDenied" in why:
                why += f"; a worker needs the right to send to queue {self._queue_name}"
        most = limits.MAX_VISIBILITY_SECONDS
        how_long = "" if seconds <= most else f" for {most} s at most in place of {seconds} s"
        logger.warning(
            "job %s (message %s) cannot go on by a copy: %s; its message is hidden instead%s, and its deliveries count",
            extra["job_name"],
            extra["message_id"],
            why,
            how_long,
            extra={"action": "copy_failed", "reason": why, **extra},
        )
        return False
