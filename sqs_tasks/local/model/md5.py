"""The MD5 digests that SQS returns, computed as AWS documents them.

SDKs compare them with their own, so a wrong digest is a failed call.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import md5
from typing import Any

_STRING, _BINARY = b"\x01", b"\x02"


def of_text(text: bytes) -> str:
    """The digest of a message body given as UTF-8."""
    return md5(text, usedforsecurity=False).hexdigest()


def of_attributes(attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """The digest of message attributes: by name, each part led by its length in four big-endian bytes."""
    parts: list[bytes] = []
    add = parts.append
    for name in sorted(attributes):
        attribute = attributes[name]
        encoded = name.encode()
        add(len(encoded).to_bytes(4, "big"))
        add(encoded)
        encoded = attribute["DataType"].encode()
        add(len(encoded).to_bytes(4, "big"))
        add(encoded)
        binary = attribute.get("BinaryValue")
        if binary is None:
            add(_STRING)
            binary = attribute["StringValue"].encode()
        else:
            add(_BINARY)
        add(len(binary).to_bytes(4, "big"))
        add(binary)
    return md5(b"".join(parts), usedforsecurity=False).hexdigest()
