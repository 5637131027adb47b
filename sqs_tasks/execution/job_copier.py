"""Jobs that go on later by a copy in their own queue, since the deliveries of a message are few and short.

SQS hides a message for 12 hours at most, counts each delivery, and moves the message to the dead-letter queue when they
are used up (S20, S27), whether anything ran or not. A copy begins with no delivery at all. It has the same job id, the
attempts that began before it, and the time at which the job was first sent. It is accepted by SQS before the original
is deleted: who dies in between leaves both, and the job may run twice, but never not at all.

A copy is delayed by SQS for 900 s at most (S12). One that is due later says so, and whoever receives it too early hides
it, or copies it again. Imported with the first job that needs it; on FIFO queues a copy would lose its place.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqs_tasks import limits
from sqs_tasks.client import error_code
from sqs_tasks.execution.message_copy import copy_of, kept_attributes
from sqs_tasks.message import ATTEMPT, FIRST_SENT_AT, NOT_BEFORE, ReceivedMessage, string_attribute
from sqs_tasks.protocols import SQSClient

logger = logging.getLogger(__name__)


#: Fifty years: more is a mistake, and no date.
_LONGEST_SECONDS = 50 * 366 * 86_400


class JobCopier:
    """Copies the messages of one standard queue into it.

    Args:
        queue_name: The queue's name in code, for logs.
        client: Gives the client.
        queue_url: Gives the queue's URL.
        now: The wall clock in seconds.
    """

    def __init__(
        self,
        *,
        queue_name: str,
        client: Callable[[], SQSClient],
        queue_url: Callable[[], str],
        now: Callable[[], float],
    ) -> None:
        self._queue_name = queue_name
        self._client = client
        self._queue_url = queue_url
        self._now = now

    def copy(self, message: ReceivedMessage, *, seconds: float, attempts: int) -> bool:
        """Whether SQS has accepted a copy that is due in so many seconds; never raises.

        Args:
            message: The message.
            seconds: Seconds from now; less than one is one, so that nothing turns in circles.
            attempts: The attempts that have begun so far.
        """
        seconds = min(max(math.ceil(seconds), 1), _LONGEST_SECONDS)
        attributes = kept_attributes(message)
        attributes[ATTEMPT] = string_attribute(str(attempts))
        first = message.first_sent_at
        if first is not None:
            attributes[FIRST_SENT_AT] = string_attribute(first.isoformat())
        if seconds > limits.MAX_DELAY_SECONDS:
            due = datetime.fromtimestamp(self._now(), UTC) + timedelta(seconds=seconds)
            attributes[NOT_BEFORE] = string_attribute(due.isoformat())
        extra = message.log_fields(self._queue_name)
        if len(attributes) > limits.MAX_MESSAGE_ATTRIBUTES:
            return self._refused(message, f"it has {len(message.message_attributes)} attributes of its own", extra)
        delay = min(seconds, limits.MAX_DELAY_SECONDS)
        copy = copy_of(message, attributes, fifo=False, delay_seconds=delay)
        try:
            answer = self._client().send_message(QueueUrl=self._queue_url(), **copy.as_request())
        except Exception as error:  # noqa: BLE001 - no copy, no end: the message stays, whatever stood in the way
            return self._refused(message, error_code(error) or type(error).__name__, extra)
        logger.debug(
            "job %s goes on by the copy %s",
            extra["job_name"],
            answer.get("MessageId"),
            extra={"action": "job_copied", "copy_message_id": answer.get("MessageId"), "delay_seconds": delay, **extra},
        )
        return True

    def _refused(self, message: ReceivedMessage, why: str, extra: dict[str, Any]) -> bool:
        logger.warning(
            "job %s (message %s) cannot go on by a copy (%s); its message is hidden instead, and its deliveries count; "
            "a worker needs the right to send to queue %s",
            extra["job_name"],
            message.message_id,
            why,
            self._queue_name,
            extra={"action": "copy_failed", "reason": why, **extra},
        )
        return False
