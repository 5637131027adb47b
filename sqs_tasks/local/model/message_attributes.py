"""Message attributes: what SQS refuses about them, their size and their digest, in one pass.

The digest is the one SDKs compute for themselves and compare, so a wrong one is a failed call: attributes by name, each
as name, data type, a byte for the kind of value, and value, every part led by its length in four big-endian bytes.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import md5
from typing import Any

from sqs_tasks import limits
from sqs_tasks.local.model import faults, validation

#: Characters of an attribute's name, and of its data type with its custom label.
MAX_NAME_CHARS = MAX_TYPE_CHARS = 256

_NAME = re.compile(rf"[\w.-]{{1,{MAX_NAME_CHARS}}}")
_RESERVED_NAME = re.compile(r"(?i:aws|amazon)\.")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_STRING, _BINARY = b"\x01", b"\x02"

#: Names and types repeat from message to message; so many pairs are kept with what was found out about them.
_REMEMBERED = 4_096

#: Characters of a text that is likely to come again, such as a job's name or a content type; ids are longer.
_SHORT = 32

Attribute = Mapping[str, Any]
Attributes = Mapping[str, Attribute]

#: The attributes as they are to be kept, the bytes that count against the limits (S38), and the digest.
Examined = tuple[Attributes, int, str]


def examine(attributes: Attributes) -> Examined:
    """What there is to know about the attributes of a message.

    Attributes whose values are all short and came before are kept once, so that a full queue does not hold the same job
    name 200,000 times.

    Raises:
        SQSFault: More than ten, or one with a bad name, type or value.
    """
    count = len(attributes)
    if count > limits.MAX_MESSAGE_ATTRIBUTES:
        raise faults.invalid_parameter(
            f"Number of message attributes [{count}] exceeds the allowed maximum [{limits.MAX_MESSAGE_ATTRIBUTES}]."
        )
    texts: list[Any] = []
    for name, attribute in attributes.items():
        text = attribute.get("StringValue")
        if text is None or len(attribute) != 2 or len(text) > _SHORT:  # noqa: PLR2004  text and type, no more
            return attributes, *_examine_all(attributes)
        texts += (name, attribute.get("DataType"), text)
    return _examine_texts(*texts)


def digest(attributes: Attributes) -> str:
    """The digest of attributes that were examined before, for a receive that asked for some of them."""
    parts: list[bytes] = []
    for name in sorted(attributes):
        attribute = attributes[name]
        binary = attribute.get("BinaryValue")
        value = attribute["StringValue"].encode() if binary is None else binary
        parts += (_prefix(name, attribute["DataType"]), len(value).to_bytes(4, "big"), value)
    return md5(b"".join(parts), usedforsecurity=False).hexdigest()


def size_of(attributes: Attributes) -> int:
    """The bytes of attributes that may be invalid."""
    size = 0
    for name, attribute in attributes.items():
        value = attribute.get("BinaryValue") or _encoded(attribute.get("StringValue") or "")
        size += len(_encoded(name)) + len(_encoded(attribute.get("DataType") or "")) + len(value)
    return size


@lru_cache(_REMEMBERED)
def _examine_texts(*texts: str) -> Examined:
    """As :func:`examine`, for names, types and values in a row."""
    attributes: Attributes = {
        name: {"DataType": data_type, "StringValue": text}
        for name, data_type, text in zip(texts[::3], texts[1::3], texts[2::3], strict=True)
    }
    return attributes, *_examine_all(attributes)


def _examine_all(attributes: Attributes) -> tuple[int, str]:
    size = 0
    parts: list[bytes] = []
    for name in sorted(attributes):
        attribute = attributes[name]
        prefix, base, bytes_of_name_and_type = _examine_type(name, attribute.get("DataType"))
        value = _value(name, base, attribute)
        length = len(value)
        size += bytes_of_name_and_type + length
        parts += (prefix, length.to_bytes(4, "big"), value)
    return size, md5(b"".join(parts), usedforsecurity=False).hexdigest()


@lru_cache(_REMEMBERED)
def _examine_type(name: str, data_type: str | None) -> tuple[bytes, str, int]:
    """What the digest of such an attribute begins with, the type without its label, and the bytes of both names."""
    if (
        not _NAME.fullmatch(name)
        or _RESERVED_NAME.match(name)
        or name.startswith(".")
        or name.endswith(".")
        or ".." in name
    ):
        raise faults.invalid_parameter(
            f"The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, "
            "underscore (_), hyphen (-), and period (.) characters."
        )
    if not data_type:
        text = f"The message attribute '{name}' must contain a non-empty message attribute type."
        raise faults.invalid_parameter(text)
    base = data_type.partition(".")[0]
    if base not in ("String", "Number", "Binary") or len(data_type) > MAX_TYPE_CHARS:
        raise faults.invalid_parameter(
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes "
            "is Binary, Number, and String."
        )
    return _prefix(name, data_type), base, len(name.encode()) + len(data_type.encode())


def _prefix(name: str, data_type: str) -> bytes:
    encoded_name, encoded_type = name.encode(), data_type.encode()
    kind = _BINARY if data_type.startswith("Binary") else _STRING
    return b"".join(
        (len(encoded_name).to_bytes(4, "big"), encoded_name, len(encoded_type).to_bytes(4, "big"), encoded_type, kind)
    )


def _value(name: str, base: str, attribute: Attribute) -> bytes:
    """The bytes of an attribute's value."""
    text, binary = attribute.get("StringValue"), attribute.get("BinaryValue")
    if len(attribute) > 2 and (attribute.get("StringListValues") or attribute.get("BinaryListValues")):  # noqa: PLR2004
        raise faults.unsupported_operation("Message attribute list values are not supported.")
    given, other = (binary, text) if base == "Binary" else (text, binary)
    if not given or other is not None:
        kind = "Binary" if base == "Binary" else "String"
        raise faults.invalid_parameter(
            f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'."
        )
    if binary is not None:
        return bytes(binary)
    value: str = given
    if validation.has_forbidden_characters(value):
        raise faults.invalid_parameter(
            f"Invalid binary character was found in the message attribute '{name}' value, "
            f"the set of allowed characters is {faults.ALLOWED_CHARACTERS}"
        )
    if base == "Number" and not _NUMBER.fullmatch(value):
        raise faults.invalid_parameter(f"Can't cast the value of message (user) attribute '{name}' to a number.")
    return value.encode()


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
