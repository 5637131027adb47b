"""Moving what cannot be done to the dead-letter queue: by copy, and the original goes once SQS has the copy (S43)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqs_tasks import limits
from sqs_tasks.client import size_limit_in
from sqs_tasks.errors import type_name_of
from sqs_tasks.execution.failure_details import details_text, failure_details
from sqs_tasks.execution.message_copy import copy_of, kept_attributes, own_attribute
from sqs_tasks.loggers import kept_logger
from sqs_tasks.message import OWN_DATA_TYPE, MessageAttribute, OutgoingMessage, ReceivedMessage
from sqs_tasks.outcome import Rejected
from sqs_tasks.protocols import SQSClient

logger = kept_logger(__name__)

#: What a dead letter says of its end; each is left out rather than exceed SQS's ten attributes or the size limit.
FAILURE_REASON = "FailureReason"
FAILURE_TYPE = "FailureType"
FAILURE_ATTEMPTS = "FailureAttempts"
FAILURE_REQUEST_ID = "FailureRequestId"
FAILURE_DETAILS = "FailureDetails"
FAILURE_ATTRIBUTES = (FAILURE_REASON, FAILURE_TYPE, FAILURE_ATTEMPTS, FAILURE_REQUEST_ID, FAILURE_DETAILS)

#: Characters of a reason that are kept.
MAX_REASON_CHARS = 512


class DeadLetters:
    """Copies messages to one dead-letter queue.

    Args:
        queue_name: The name in code of the queue that the messages come from, for logs.
        client: Gives the client.
        queue_url: Gives the URL of the dead-letter queue.
        fifo: Whether that queue is FIFO, as its source.
        now: The wall clock in seconds.
    """

    def __init__(
        self,
        *,
        queue_name: str,
        client: Callable[[], SQSClient],
        queue_url: Callable[[], str],
        fifo: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._queue_name = queue_name
        self._client = client
        self._queue_url = queue_url
        self._fifo = fifo
        self._now = now

    def copy(self, message: ReceivedMessage, outcome: Rejected, *, request_id: str | None = None) -> bool:
        """Whether the dead-letter queue has accepted a copy of the message; never raises.

        Args:
            message: The rejected message.
            outcome: Why.
            request_id: The id of the Lambda invocation, if any.
        """
        extra = {**message.log_fields(self._queue_name), "reason": outcome.reason}
        try:
            details = failure_details(message, outcome.error, queue_name=self._queue_name, now=self._now())
            letter = dead_letter(message, outcome, fifo=self._fifo, request_id=request_id, details=details)
            answer = self._send(letter, extra)
        except Exception:  # no copy, no end: the message comes back, whatever stood in the way
            logger.exception(
                "the dead-letter queue did not accept job %s (message %s); it stays in its queue",
                extra["job_name"],
                extra["message_id"],
                extra={"action": "dead_letter_failed", **extra},
            )
            return False
        logger.warning(
            "job %s (message %s) moved to the dead-letter queue: %s",
            extra["job_name"],
            extra["message_id"],
            outcome.reason,
            extra={"action": "dead_lettered", "dead_letter_message_id": answer.get("MessageId"), **extra},
        )
        return True

    def _send(self, letter: OutgoingMessage, extra: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._client().send_message(QueueUrl=self._queue_url(), **letter.as_request())
        except Exception as error:
            limit = size_limit_in(error)
            bare = replace(letter, attributes=without_failure(letter.attributes))
            if limit is None or len(bare.attributes) == len(letter.attributes):
                raise
            logger.warning(
                "the dead-letter queue takes at most %d bytes; the copy goes without its failure attributes",
                limit,
                extra={"action": "failure_attributes_left_out", **extra},
            )
            return self._client().send_message(QueueUrl=self._queue_url(), **bare.as_request())


def without_failure(attributes: Mapping[str, MessageAttribute]) -> dict[str, MessageAttribute]:
    """The attributes without those that say how a job ended; a sender's own of the same names stay."""
    return {name: attribute for name, attribute in attributes.items() if not _is_failure(name, attribute)}


def _is_failure(name: str, attribute: MessageAttribute) -> bool:
    return name in FAILURE_ATTRIBUTES and attribute["DataType"] == OWN_DATA_TYPE


def dead_letter(
    message: ReceivedMessage,
    outcome: Rejected,
    *,
    fifo: bool,
    request_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> OutgoingMessage:
    """The copy of a message that goes to the dead-letter queue, with as much about its end as fits.

    Where there are fewer attributes left than there is to say, the details have what the others would.
    """
    error_type = type_name_of(outcome.error) if outcome.error is not None else ""
    failure = {
        FAILURE_REASON: _sqs_text(outcome.reason)[:MAX_REASON_CHARS],
        FAILURE_TYPE: error_type,
        FAILURE_ATTEMPTS: str(message.attempt),
        FAILURE_REQUEST_ID: request_id or "",
    }
    # Without what it was before: a letter that is moved back begins anew.
    attributes = without_failure(kept_attributes(message))
    letter = copy_of(message, attributes, fifo=fifo)
    room = limits.MAX_MESSAGE_BYTES - letter.size_bytes
    failure = {name: value for name, value in failure.items() if value}
    slots = limits.MAX_MESSAGE_ATTRIBUTES - len(attributes)
    if details is not None and slots > 0:
        known = dict(details)
        if len(failure) + 1 > slots or failure.keys() & attributes.keys():
            known.update((_DETAIL_NAMES[name], value) for name, value in failure.items())
        # It gives way to the others where bytes are short: they are what everybody reads.
        others = sum(_cost(name, value) for name, value in failure.items())
        text = details_text(known, room - others - _cost(FAILURE_DETAILS, ""))
        failure = {**dict(list(failure.items())[: slots - 1]), FAILURE_DETAILS: text} if text else failure
    left_out: list[str] = []
    for name, value in failure.items():
        cost = _cost(name, value)
        if name in attributes or len(attributes) >= limits.MAX_MESSAGE_ATTRIBUTES or cost > room:
            left_out.append(name)
            continue
        attributes[name] = own_attribute(value)
        room -= cost
    if left_out:
        logger.info(
            "the copy of message %s for the dead-letter queue goes without %s: there is no room, or the name is taken",
            message.message_id,
            ", ".join(left_out),
            extra={"action": "failure_attributes_left_out", "message_id": message.message_id},
        )
    return letter


#: The names in the details of what has attributes of its own where there is room.
_DETAIL_NAMES = {
    FAILURE_REASON: "reason",
    FAILURE_TYPE: "type",
    FAILURE_ATTEMPTS: "attempts",
    FAILURE_REQUEST_ID: "request_id",
}


def _cost(name: str, value: str) -> int:
    """The bytes that SQS counts for an attribute of ours (S38)."""
    return len(name) + len(OWN_DATA_TYPE) + len(value.encode())


def _sqs_text(text: str) -> str:
    """Text without the characters that SQS refuses (S38)."""
    return "".join(
        char if char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff" else "?"
        for char in text
    )
