"""The wire format, version 1 (docs/wire-format.md): a job as an SQS message, and a message as a job.

Body: the codec's output for the keyword arguments. Attributes, all strings: ``JobName``, ``ContentType``,
``JobContext`` and ``JobId``. A reader ignores attributes it does not know. A message from boto3's receive and one
from a Lambda event both become a :class:`ReceivedMessage` (S3).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NotRequired, TypedDict

from sqs_tasks.errors import MAX_QUOTED_CHARS, UndecodableMessageError, one_line
from sqs_tasks.limits import MAX_DELAY_SECONDS
from sqs_tasks.protocols import StoredBody

JOB_NAME = "JobName"
CONTENT_TYPE = "ContentType"
JOB_CONTEXT = "JobContext"
JOB_ID = "JobId"

#: Marks a message as ours where there is no JobId to do it; its value is the version of the format.
WIRE_FORMAT = "WireFormat"

#: The time of the run that a schedule's job is for, as ISO 8601 in UTC; only jobs of schedules have it.
SCHEDULED_FOR = "ScheduledFor"

#: What a copy has by which a job goes on: the attempts that began before it, when the job was first sent, and, where
#: it is due later than SQS can delay it, the moment before which it must not run.
ATTEMPT = "Attempt"
FIRST_SENT_AT = "FirstSentAt"
NOT_BEFORE = "NotBefore"
COPY_ATTRIBUTES = frozenset({ATTEMPT, FIRST_SENT_AT, NOT_BEFORE})

#: The id of the first message of a job that has no JobId, and may not get one: it would look like a message of ours.
FIRST_MESSAGE_ID = "FirstMessageId"

#: What is sent when the job is over; see :mod:`sqs_tasks.follow_ups`.
FOLLOW_UPS = "FollowUps"

#: The type of attributes that this library adds to those of a sender. SQS allows a label behind "String", by which ours
#: are told from a sender's own of the same name.
OWN_DATA_TYPE = "String.sqs_tasks"

#: The system attribute with X-Ray's header; it does not count against the size limit.
TRACE_HEADER = "AWSTraceHeader"


class MessageAttribute(TypedDict):
    """One message attribute in boto3's spelling, wherever the message came from."""

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
    #: When it is to be sent, by EventBridge Scheduler; None for now.
    run_at: datetime | None = None
    #: For error texts and hooks; not sent.
    queue_name: str = ""
    job_name: str = ""
    job_id: str | None = None
    #: The body itself where ``body`` points to an object in S3; it has to be stored before the message is sent.
    payload: StoredBody | None = None

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
        size = _utf8_bytes(self.body)
        for name, attribute in self.attributes.items():
            size += _utf8_bytes(name) + _utf8_bytes(attribute["DataType"])
            value = attribute.get("StringValue")
            if value is not None:
                size += _utf8_bytes(value)
            elif "BinaryValue" in attribute:
                size += len(attribute["BinaryValue"])
        return size


def _utf8_bytes(text: str) -> int:
    # Most is ASCII, which Python knows of a text without looking through it.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _line(text: str) -> str:
    """A text of a message as it may stand in a log; nearly all of them may stand there as they are."""
    return text if len(text) <= MAX_QUOTED_CHARS and text.isprintable() else one_line(text)


def string_attribute(value: str) -> MessageAttribute:
    """A message attribute of type String."""
    return {"DataType": "String", "StringValue": value}


class ReceivedMessage:
    """A message as it was received, the same from a container's receive and from a Lambda event.

    To be read, not changed: all who see it see the same one. There is one for every message, so it is no frozen
    dataclass, and the attributes of a Lambda event are turned into boto3's only for those who ask for all of them.

    Attributes:
        message_id: SQS's id; a redrive gives a new one.
        receipt_handle: The handle of this receive, for delete and visibility.
        body: The text as sent.
        attributes: SQS's own attributes, all strings: SentTimestamp, ApproximateReceiveCount, MessageGroupId …
        queue_arn: Where a Lambda event says it came from; None for a container's receive.
        received_at: ``time.monotonic()`` of the receive, as near as known; the 12-hour limit counts from it (S20).
        is_copy: Whether a job goes on by it that was received before, as another message.
    """

    __slots__ = (
        "_foreign_job_id",
        "_foreign_job_name",
        "_lambda_attributes",
        "_message_attributes",
        "attributes",
        "body",
        "is_copy",
        "message_id",
        "queue_arn",
        "receipt_handle",
        "received_at",
    )

    def __init__(
        self,
        message_id: str,
        receipt_handle: str,
        body: str,
        attributes: Mapping[str, str] | None = None,
        message_attributes: Mapping[str, MessageAttribute] | None = None,
        queue_arn: str | None = None,
        received_at: float | None = None,
        lambda_attributes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.message_id = message_id
        self.receipt_handle = receipt_handle
        self.body = body
        self.attributes: Mapping[str, str] = {} if attributes is None else attributes
        self.queue_arn = queue_arn
        self.received_at = time.monotonic() if received_at is None else received_at
        self._message_attributes = message_attributes
        self._lambda_attributes = lambda_attributes
        given = lambda_attributes or message_attributes
        self.is_copy = given is not None and ATTEMPT in given and _is_ours(given[ATTEMPT])

    @property
    def message_attributes(self) -> Mapping[str, MessageAttribute]:
        """The sender's attributes, as boto3 has them."""
        if self._message_attributes is None:
            given = self._lambda_attributes or {}
            self._message_attributes = {name: _from_lambda_attribute(raw) for name, raw in given.items()}
        return self._message_attributes

    def attribute(self, name: str) -> str | None:
        """The string value of a message attribute, or None."""
        try:
            # Not by the property, which would cost each job four calls more; and a KeyError costs more than a look.
            if (given := self._lambda_attributes) is not None:
                return given[name].get("stringValue") if name in given else None
            return self._message_attributes[name].get("StringValue") if name in self._message_attributes else None  # type: ignore[operator, index]
        except (KeyError, AttributeError, TypeError):  # it is missing, or of a shape that AWS does not make
            return None

    def received(self, at: float) -> ReceivedMessage:
        """The same message with another ``received_at``."""
        twin = copy(self)
        twin.received_at = at
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReceivedMessage):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    __hash__ = None  # type: ignore[assignment]  # it holds mappings

    def __repr__(self) -> str:
        # No body and no attributes: they are personal, and a repr ends up in logs.
        return f"ReceivedMessage(message_id={self.message_id!r}, queue_arn={self.queue_arn!r})"

    @property
    def job_name(self) -> str:
        """The name of the task this message is for; empty when it names none.

        Messages of other libraries name it in their bodies, so it is known once they have been read.
        """
        name = self.attribute(JOB_NAME)
        if name:
            return name
        try:
            return self._foreign_job_name
        except AttributeError:  # nobody has read it yet, or it is for no task
            return ""

    @property
    def job_id(self) -> str:
        """The id of its job, which its producer chose; the message id where there is none.

        Messages of other libraries have it in their bodies, so it is known once they have been read.
        """
        job_id = self.attribute(JOB_ID)
        if job_id:
            return job_id
        try:
            return self._foreign_job_id
        except AttributeError:
            return self.first_message_id

    def named(self, job_name: str, job_id: str) -> None:
        """Remember which task and job a message of another library turned out to be for."""
        self._foreign_job_name, self._foreign_job_id = job_name, job_id

    def log_fields(self, queue_name: str) -> dict[str, Any]:
        """The ``extra`` of log records about a message whose job is not known; what a message says ends no line."""
        return {
            "queue_name": queue_name,
            "job_name": _line(self.job_name),
            "job_id": _line(self.job_id),
            "message_id": _line(self.message_id),
            "attempt": self.attempt,
        }

    @property
    def first_message_id(self) -> str:
        """The message id of its job's first message, which a copy says of a job without a JobId; otherwise its own."""
        is_said = self.is_copy and _is_ours(self.message_attributes.get(FIRST_MESSAGE_ID))
        return (self.attribute(FIRST_MESSAGE_ID) if is_said else None) or self.message_id

    @property
    def attempt(self) -> int:
        """Which attempt at its job this receive is, as far as that is known; 1 for the first.

        A delivery in which nothing ran, such as one that is given back at a stop, counts: SQS does not tell it from
        others. The receives of messages that the job was before, and that were copied, do not; their attempts do.
        """
        return self.receive_count + self.attempts_before if self.is_copy else self.receive_count

    def counted_as(self, attempt: int) -> ReceivedMessage:
        """The same message with an attempt in place of its receives, for a backoff policy."""
        if attempt == self.receive_count:
            return self
        twin = copy(self)
        twin.attributes = {**self.attributes, "ApproximateReceiveCount": str(attempt)}
        return twin

    @property
    def attempts_before(self) -> int:
        """The attempts that began before this message was sent; 0 unless it is a copy."""
        text = self.attribute(ATTEMPT) or ""
        return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else 0

    @property
    def receive_count(self) -> int:
        """How many times SQS has delivered the message, this time included; at least 1."""
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
    def first_sent_at(self) -> datetime | None:
        """When its job was first sent: before this message, if it is a copy. None when nobody says."""
        return (_moment(self.attribute(FIRST_SENT_AT)) if self.is_copy else None) or self.sent_at

    @property
    def not_before(self) -> datetime | None:
        """When its job is due; None where SQS's delay has seen to it."""
        return _moment(self.attribute(NOT_BEFORE)) if self.is_copy else None

    @property
    def first_received_at(self) -> datetime | None:
        """When it was first received, or None when the endpoint does not say."""
        return self._time("ApproximateFirstReceiveTimestamp")

    def _time(self, name: str) -> datetime | None:
        try:
            return datetime.fromtimestamp(int(self.attributes[name]) / 1000, tz=UTC)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None


_COMPARED = ("message_id", "receipt_handle", "body", "attributes", "message_attributes", "queue_arn", "received_at")


def _is_ours(attribute: Any) -> bool:
    """Whether an attribute was added by this library, in boto3's spelling or in that of a Lambda event."""
    return isinstance(attribute, dict) and OWN_DATA_TYPE in (attribute.get("DataType"), attribute.get("dataType"))


#: Digits of a number of attempts that are read; more are nobody's count.
_MAX_DIGITS = 9


def _moment(text: str | None) -> datetime | None:
    """The moment that an attribute names, or None; one without an offset is in UTC."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def from_sqs(raw: Mapping[str, Any]) -> ReceivedMessage:
    """A message of boto3's ``receive_message`` answer."""
    return ReceivedMessage(
        message_id=raw["MessageId"],
        receipt_handle=raw["ReceiptHandle"],
        body=raw.get("Body", ""),
        attributes=raw.get("Attributes") or {},
        message_attributes=raw.get("MessageAttributes") or {},
    )


def _from_lambda_attribute(raw: Mapping[str, Any]) -> MessageAttribute:
    attribute: MessageAttribute = {"DataType": raw.get("dataType", "String")}
    if raw.get("stringValue") is not None:
        attribute["StringValue"] = raw["stringValue"]
    if raw.get("binaryValue") is not None:
        attribute["BinaryValue"] = _decode_binary(raw["binaryValue"])
    return attribute


def _decode_binary(value: Any) -> bytes:
    import base64  # binary attributes are rare, and never ours

    try:
        return base64.b64decode(value)
    except (ValueError, TypeError) as error:
        raise UndecodableMessageError(f"a binary attribute is not base64: {error}") from error


@dataclass(slots=True)  # neither frozen nor by keyword alone: there is one of these for every message, too
class Job:
    """A task's name with its arguments, decoded from a message; what hooks, middleware and processors see.

    To be read, not changed; a copy with changes is ``dataclasses.replace(job, ...)``.
    """

    job_name: str
    kwargs: Mapping[str, Any]
    context: Mapping[str, Any]
    queue_name: str
    message: ReceivedMessage
    #: Chosen by the producer; unlike the message id it survives a redrive. The message id where there is none.
    job_id: str = ""
    args: tuple[Any, ...] = ()
    #: Not to be run before: in messages of other libraries, and in copies by which a job goes on.
    not_before: datetime | None = None
    #: Only in messages of other libraries: not to be run after.
    expires_at: datetime | None = None

    @property
    def attempt(self) -> int:
        """Which attempt this is; 1 for the first. The receive that hid it long before it was due is none."""
        if self.not_before is None or self.message.receive_count == 1:
            return self.message.attempt
        first = self.message.first_received_at or self.not_before
        return self.message.attempt - ((self.not_before - first).total_seconds() > MAX_DELAY_SECONDS)

    @property
    def scheduled_for(self) -> datetime | None:
        """The time of the run that a schedule's job is for; None for all other jobs."""
        return _moment(self.message.attribute(SCHEDULED_FOR))

    @property
    def log_fields(self) -> dict[str, Any]:
        """The ``extra`` of every log record about this job; never an argument, and nothing that ends a line."""
        return {
            "queue_name": self.queue_name,
            "job_name": _line(self.job_name),
            "job_id": _line(self.job_id),
            "message_id": _line(self.message.message_id),
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


def new_job_id() -> str:
    """An id that no other job has."""
    import uuid  # consumers never need it

    return str(uuid.uuid4())
