"""The pointer in a message whose body is in S3, as Amazon's extended clients for Java and Python write and read it."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import replace
from typing import Final, NamedTuple

from sqs_tasks.errors import UndecodableMessageError
from sqs_tasks.message import OutgoingMessage

#: The attributes that mark a pointer; their value is the size of the body in bytes. The second is the older one, which
#: is read and not written.
SIZE_ATTRIBUTE: Final = "ExtendedPayloadSize"
LEGACY_SIZE_ATTRIBUTE: Final = "SQSLargePayloadSize"
SIZE_ATTRIBUTES: Final = (SIZE_ATTRIBUTE, LEGACY_SIZE_ATTRIBUTE)

_CLASS = "software.amazon.payloadoffloading.PayloadS3Pointer"
_CLASSES = (_CLASS, "com.amazon.sqs.javamessaging.MessageS3Pointer")


class Pointer(NamedTuple):
    """Where a body is."""

    bucket: str
    key: str

    def as_body(self) -> str:
        """The body of the message that has it."""
        return json.dumps([_CLASS, {"s3BucketName": self.bucket, "s3Key": self.key}])


def inline(message: OutgoingMessage) -> OutgoingMessage:
    """A message whose body is to go to S3 with its body in it: for those who run its job here and now."""
    if message.payload is None:
        return message
    attributes = {name: one for name, one in message.attributes.items() if name not in SIZE_ATTRIBUTES}
    return replace(message, body=message.payload.text, attributes=attributes, payload=None)


def is_pointer(attributes: Container[str]) -> bool:
    """Whether a message with these attributes says that its body is in S3."""
    return SIZE_ATTRIBUTE in attributes or LEGACY_SIZE_ATTRIBUTE in attributes


def pointer_in(body: str) -> Pointer:
    """The pointer in a body.

    Raises:
        UndecodableMessageError: It holds none.
    """
    try:
        kind, place = json.loads(body)
        pointer = Pointer(place["s3BucketName"], place["s3Key"])
    except (ValueError, TypeError, KeyError, RecursionError):
        kind, pointer = None, Pointer("", "")
    if kind not in _CLASSES or not all(isinstance(part, str) and part for part in pointer):
        raise UndecodableMessageError(
            f"the message has the attribute {SIZE_ATTRIBUTE} (or {LEGACY_SIZE_ATTRIBUTE}), and its body is no pointer "
            "to an object in S3"
        )
    return pointer
