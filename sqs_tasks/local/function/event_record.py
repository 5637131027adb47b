"""The records of a Lambda SQS event, in exactly Lambda's shape (S1-S3)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict


class EventMessageAttribute(TypedDict):
    """One message attribute as a Lambda event carries it: lowerCamel, binary in base64 (S3)."""

    stringValue: NotRequired[str]
    binaryValue: NotRequired[str]
    stringListValues: list[str]
    binaryListValues: list[str]
    dataType: str


class EventRecord(TypedDict):
    """One SQS message as a Lambda event carries it (S1)."""

    messageId: str
    receiptHandle: str
    body: str
    attributes: dict[str, str]
    messageAttributes: dict[str, EventMessageAttribute]
    md5OfMessageAttributes: NotRequired[str]
    md5OfBody: str
    eventSource: str
    eventSourceARN: str
    awsRegion: str


def record_from_message(message: Mapping[str, Any], *, queue_arn: str) -> EventRecord:
    """The event record for a message as ``receive_message`` returns it.

    All system attributes are strings, times in milliseconds since the epoch (S2); ``MessageGroupId`` is there on
    standard queues too if the producer gave one. ``md5OfMessageAttributes`` is there only with message attributes.
    """
    record: EventRecord = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {name: str(value) for name, value in message.get("Attributes", {}).items()},
        "messageAttributes": {
            name: _message_attribute(value) for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }
    md5 = message.get("MD5OfMessageAttributes")
    if md5 and record["messageAttributes"]:
        record["md5OfMessageAttributes"] = md5
    return record


def encode_event(records: Sequence[EventRecord]) -> bytes:
    """The event that carries ``records`` to the function, as the JSON that is sent."""
    return _json({"Records": records})


def record_size_bytes(record: EventRecord) -> int:
    """Bytes that a record takes in the event's JSON; they count towards the 6 MB of an invocation (S7)."""
    return len(_json(record))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _message_attribute(value: Mapping[str, Any]) -> EventMessageAttribute:
    attribute: EventMessageAttribute = {
        "stringListValues": list(value.get("StringListValues", ())),
        "binaryListValues": [_base64(item) for item in value.get("BinaryListValues", ())],
        "dataType": value["DataType"],
    }
    if value.get("StringValue") is not None:
        attribute["stringValue"] = value["StringValue"]
    if value.get("BinaryValue") is not None:
        attribute["binaryValue"] = _base64(value["BinaryValue"])
    return attribute


def _base64(value: bytes | str) -> str:
    raw = value.encode() if isinstance(value, str) else bytes(value)
    return base64.b64encode(raw).decode("ascii")
