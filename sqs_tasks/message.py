"""The wire format, version 1 (design §5): a job as an SQS message, and a message as a job.

Body: the codec's output for the keyword arguments. Attributes, all strings: ``JobName``, ``ContentType``,
``JobContext`` and ``JobId``. A reader ignores attributes it does not know. Both doors in, boto3's receive and the
Lambda event, come out as one :class:`ReceivedMessage` (S3).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NotRequired, TypedDict

from sqs_tasks.errors import UndecodableMessageError

JOB_NAME = "JobName"
CONTENT_TYPE = "ContentType"
JOB_CONTEXT = "JobContext"
JOB_ID = "JobId"

#: The system attribute with X-Ray's header; it does not count against the size limit.
TRACE_HEADER = "AWSTraceHeader"


class MessageAttribute(TypedDict):
    """One message attribute in boto3's spelling, whichever door it came through."""

    DataType: str
    StringValue: NotRequired[str]
    BinaryValue: NotRequired[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """A message ready to be sent; what SendMessage and one entry of SendMessageBatch have in common."""

    body: str
    attributes: Mapping[str, MessageAttribute] = field(default_factory=dict)
    delay_seconds: int | None = None
    group_id: str | None = None
    deduplication_id: str | None = None
    #: X-Ray's header, which travels as the one system attribute that senders may set.
    trace_header: str | None = None
    #: For error texts and hooks; not sent.
    queue_name: str = ""
    job_name: str = ""
    job_id: str | None = None

    def as_request(self) -> dict[str, Any]:
        """The keyword arguments of ``send_message``, without the queue URL."""
        request: dict[str, Any] = {"MessageBody": self.body}
        if self.attributes:
            request["MessageAttributes"] = self.attributes
        if self.delay_seconds is not None:
            request["DelaySeconds"] = self.delay_seconds
        if self.group_id is not None:
            request["MessageGroupId"] = self.group_id
        if self.deduplication_id is not None:
            request["MessageDeduplicationId"] = self.deduplication_id
        if self.trace_header is not None:
            request["MessageSystemAttributes"] = {TRACE_HEADER: string_attribute(self.trace_header)}
        return request

    @property
    def size_bytes(self) -> int:
        """What SQS counts against its limit: UTF-8 of the body and of attribute names, types and values (S38)."""
        return len(self.body.encode("utf-8", "surrogatepass")) + sum(
            len(name.encode()) + len(attribute["DataType"].encode()) + _value_bytes(attribute)
            for name, attribute in self.attributes.items()
        )


def _value_bytes(attribute: MessageAttribute) -> int:
    if "BinaryValue" in attribute:
        return len(attribute["BinaryValue"])
    return len(attribute.get("StringValue", "").encode("utf-8", "surrogatepass"))


def string_attribute(value: str) -> MessageAttribute:
    """A message attribute of type String."""
    return {"DataType": "String", "StringValue": value}


# Not frozen: that would cost a call for each field, and there is one of these for every message.
@dataclass(slots=True, kw_only=True)
class ReceivedMessage:
    """A message as it was received, the same from a container's receive and from a Lambda event.

    To be read, not changed: the executor, hooks, middleware and settlement all see the same one.

    Attributes:
        message_id: SQS's id; a redrive gives a new one.
        receipt_handle: The handle of this receive, for delete and visibility.
        body: The text as sent.
        attributes: SQS's own attributes, all strings: SentTimestamp, ApproximateReceiveCount, MessageGroupId …
        message_attributes: The sender's attributes.
        queue_arn: Where a Lambda event says it came from; None for a container's receive.
        received_at: ``time.monotonic()`` of the receive, as near as known; the 12-hour limit counts from it (S20).
    """

    message_id: str
    receipt_handle: str
    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    message_attributes: Mapping[str, MessageAttribute] = field(default_factory=dict)
    queue_arn: str | None = None
    received_at: float = field(default_factory=time.monotonic)

    def attribute(self, name: str) -> str | None:
        """The string value of a message attribute, or None."""
        attribute = self.message_attributes.get(name)
        return None if attribute is None else attribute.get("StringValue")

    @property
    def job_name(self) -> str:
        """The name of the task this message is for; empty when it names none."""
        return self.attribute(JOB_NAME) or ""

    @property
    def receive_count(self) -> int:
        """How many times SQS has handed the message out, this time included; at least 1."""
        try:
            return max(int(self.attributes["ApproximateReceiveCount"]), 1)
        except (KeyError, TypeError, ValueError):
            return 1

    @property
    def group_id(self) -> str | None:
        """The message group; also on standard queues, where it means a tenant and not an order (S2, S39)."""
        return self.attributes.get("MessageGroupId")

    @property
    def trace_header(self) -> str | None:
        """X-Ray's header, if the sender was traced."""
        return self.attributes.get(TRACE_HEADER)

    @property
    def sender_id(self) -> str | None:
        """The AWS identity that sent it, or None when the endpoint does not say."""
        return self.attributes.get("SenderId")

    @property
    def sent_at(self) -> datetime | None:
        """When it was sent, or None when the endpoint does not say."""
        return self._time("SentTimestamp")

    @property
    def first_received_at(self) -> datetime | None:
        """When it was first received, or None when the endpoint does not say."""
        return self._time("ApproximateFirstReceiveTimestamp")

    def _time(self, name: str) -> datetime | None:
        try:
            return datetime.fromtimestamp(int(self.attributes[name]) / 1000, tz=UTC)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None


def from_sqs(raw: Mapping[str, Any]) -> ReceivedMessage:
    """A message of boto3's ``receive_message`` answer."""
    return ReceivedMessage(
        message_id=raw["MessageId"],
        receipt_handle=raw["ReceiptHandle"],
        body=raw.get("Body", ""),
        attributes=raw.get("Attributes") or {},
        message_attributes=raw.get("MessageAttributes") or {},
    )


def from_lambda(record: Mapping[str, Any], *, received_at: float) -> ReceivedMessage:
    """A record of a Lambda SQS event (S1, S2, S3): lowerCamel names, binary values in base64.

    Args:
        record: One of the event's ``Records``; unknown keys are passed over.
        received_at: ``time.monotonic()`` of the receive, as near as known: it happened before the invocation (S20).

    Raises:
        UndecodableMessageError: It is not what Lambda makes of a message.
    """
    system_attributes = record.get("attributes") or {}
    if not isinstance(system_attributes, dict):
        raise UndecodableMessageError(f"the attributes are {type(system_attributes).__name__}, not values by name")
    attributes: dict[str, MessageAttribute] = {}
    for name, raw in (record.get("messageAttributes") or {}).items():
        text = raw.get("stringValue")
        if text is not None and "binaryValue" not in raw:
            attributes[name] = {"DataType": raw.get("dataType", "String"), "StringValue": text}
        else:
            attributes[name] = _unusual_attribute(raw, text)
    return ReceivedMessage(
        message_id=record["messageId"],
        receipt_handle=record.get("receiptHandle", ""),
        body=record.get("body") or "",
        attributes=system_attributes,
        message_attributes=attributes,
        queue_arn=record.get("eventSourceARN"),
        received_at=received_at,
    )


def _unusual_attribute(raw: Mapping[str, Any], text: str | None) -> MessageAttribute:
    attribute: MessageAttribute = {"DataType": raw.get("dataType", "String")}
    if text is not None:
        attribute["StringValue"] = text
    if raw.get("binaryValue") is not None:
        attribute["BinaryValue"] = _decode_binary(raw["binaryValue"])
    return attribute


def _decode_binary(value: Any) -> bytes:
    import base64  # binary attributes are rare, and never ours

    try:
        return base64.b64decode(value)
    except (ValueError, TypeError) as error:
        raise UndecodableMessageError(f"a binary attribute is not base64: {error}") from error


@dataclass(slots=True, kw_only=True)  # not frozen, as ReceivedMessage
class Job:
    """A task's name with its arguments, decoded from a message; what hooks, middleware and processors see.

    To be read, not changed; a copy with changes is ``dataclasses.replace(job, ...)``.
    """

    job_name: str
    kwargs: Mapping[str, Any]
    context: Mapping[str, Any]
    queue_name: str
    message: ReceivedMessage
    args: tuple[Any, ...] = ()
    #: Chosen by the producer; unlike the message id it survives a redrive. The message id where there is none.
    job_id: str = ""
    #: Only in messages of other libraries: not to be run before, and not to be run after.
    not_before: datetime | None = None
    expires_at: datetime | None = None

    @property
    def attempt(self) -> int:
        """Which attempt this is; 1 for the first."""
        return self.message.receive_count

    @property
    def log_fields(self) -> dict[str, Any]:
        """The ``extra`` of every log record about this job; never an argument."""
        return {
            "queue_name": self.queue_name,
            "job_name": self.job_name,
            "job_id": self.job_id,
            "message_id": self.message.message_id,
            "attempt": self.attempt,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBatch:
    """The jobs of one call of a batch processor; what middleware sees in place of a :class:`Job`.

    It has no arguments, context or id of its own, so that middleware written for single jobs (an idempotency check
    by job id, say) fails here and cannot take one job for all.
    """

    jobs: tuple[Job, ...]
    job_name: str
    queue_name: str

    @property
    def log_fields(self) -> dict[str, Any]:
        """The ``extra`` of log records about the call."""
        return {"queue_name": self.queue_name, "job_name": self.job_name, "jobs": len(self.jobs)}
