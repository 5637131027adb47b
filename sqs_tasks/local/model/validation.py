"""What SQS refuses before it stores anything: names, ids, characters and message attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqs_tasks import limits
from sqs_tasks.local.model import faults

#: Characters outside the XML 1.0 set (S38).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIFO_NAME = re.compile(r"[A-Za-z0-9_-]{1,75}\.fifo")
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,80}")

#: Group, deduplication and receive-request attempt ids: alphanumeric characters and punctuation.
_TOKEN = re.compile(r"[!-~]{1,128}")

_ATTRIBUTE_NAME = re.compile(r"[\w.-]{1,256}")
_RESERVED_NAME = re.compile(r"(?i:aws|amazon)\.")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def queue_name(name: str, *, fifo: bool) -> None:
    """Refuse a name that AWS refuses (R7)."""
    if not (_FIFO_NAME if fifo else _QUEUE_NAME).fullmatch(name):
        if fifo and not name.endswith(".fifo"):
            raise faults.invalid_parameter(
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length."
            )  # noqa: E501
        raise faults.invalid_parameter(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )  # noqa: E501


def entry_ids(entries: Sequence[Mapping[str, Any]], shape: str) -> None:
    """Refuse a batch that is empty or too long, or whose ids are bad or repeat."""
    if not entries:
        raise faults.empty_batch(shape)
    if len(entries) > limits.MAX_BATCH_ENTRIES:
        raise faults.too_many_entries(len(entries))
    seen = set()
    for entry in entries:
        entry_id = entry["Id"]
        if not _ENTRY_ID.fullmatch(entry_id):
            raise faults.invalid_entry_id()
        if entry_id in seen:
            raise faults.entry_ids_not_distinct(entry_id)
        seen.add(entry_id)


def token(parameter: str, value: str) -> None:
    """Refuse a group, deduplication or attempt id with other characters, or longer than 128."""
    if not _TOKEN.fullmatch(value):
        reason = f"{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length."
        raise faults.invalid_value(parameter, value, reason)


def label(value: str) -> None:
    """Refuse a permission's label with other characters, or longer than 80."""
    if not _LABEL.fullmatch(value):
        reason = "Label can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length."
        raise faults.invalid_value("Label", value, reason)


def has_forbidden_characters(text: str) -> bool:
    """Whether the text holds a character that a message must not contain."""
    # One C call settles the usual case; control characters and the non-ASCII need the long way.
    if text.isascii() and text.isprintable():
        return False
    return _FORBIDDEN.search(text) is not None


def number_between(parameter: str, value: int, least: int, greatest: int) -> None:
    """Refuse a number outside the range."""
    if not least <= value <= greatest:
        raise faults.invalid_value(parameter, value, f"Must be between {least} and {greatest}, if provided.")


def message_attributes(attributes: Mapping[str, Mapping[str, Any]]) -> int:
    """The bytes of the attributes: names, types and values (S38).

    Raises:
        SQSFault: More than ten, or one with a bad name, type or value.
    """
    if len(attributes) > limits.MAX_MESSAGE_ATTRIBUTES:
        raise faults.invalid_parameter(
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [{limits.MAX_MESSAGE_ATTRIBUTES}]."
        )
    size = 0
    for name, attribute in attributes.items():
        _attribute_name(name)
        data_type = attribute.get("DataType")
        if not data_type:
            raise faults.invalid_parameter(
                f"The message attribute '{name}' must contain a non-empty message attribute type."
            )
        if attribute.get("StringListValues") or attribute.get("BinaryListValues"):
            raise faults.unsupported_operation("Message attribute list values are not supported.")
        size += len(name.encode()) + len(data_type.encode()) + _attribute_value(name, data_type, attribute)
    return size


def _attribute_name(name: str) -> None:
    if (
        not _ATTRIBUTE_NAME.fullmatch(name)
        or _RESERVED_NAME.match(name)
        or name.startswith(".")
        or name.endswith(".")
        or ".." in name
    ):
        raise faults.invalid_parameter(
            f"The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), "
            "hyphen (-), and period (.) characters; it must not start or end with a period, repeat one, start with "
            "AWS. or Amazon., or exceed 256 characters."
        )


def _attribute_value(name: str, data_type: str, attribute: Mapping[str, Any]) -> int:
    base = data_type.partition(".")[0]
    if base not in ("String", "Number", "Binary") or len(data_type) > 256:  # noqa: PLR2004  characters of a type
        raise faults.invalid_parameter(
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."  # noqa: E501
        )
    text, binary = attribute.get("StringValue"), attribute.get("BinaryValue")
    value = binary if base == "Binary" else text
    if not value or (text is not None and binary is not None):
        raise faults.invalid_parameter(
            f"Message (user) attribute '{name}' must contain a non-empty value of type '{base if base != 'Number' else 'String'}'."  # noqa: E501
        )
    if base == "Binary":
        return len(value)
    if has_forbidden_characters(value):
        raise faults.invalid_parameter(
            f"Invalid binary character was found in the message attribute '{name}' value, the set of allowed characters is #x9 | #xA | #xD | [#x20 to #xD7FF] | [#xE000 to #xFFFD] | [#x10000 to #x10FFFF]"
        )  # noqa: E501
    if base == "Number" and not _NUMBER.fullmatch(value):
        raise faults.invalid_parameter(f"Can't cast the value of message (user) attribute '{name}' to a number.")
    return len(value.encode())
