"""What SQS refuses before it stores anything: names, ids, characters and numbers out of range."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqs_tasks import limits
from sqs_tasks.local.model import faults

#: Characters outside the XML 1.0 set (S38).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: Characters of a batch entry's id, and of a permission's label.
MAX_ENTRY_ID_CHARS = MAX_LABEL_CHARS = 80

_WORD = "[A-Za-z0-9_-]"
_QUEUE_NAME = re.compile(f"{_WORD}{{1,{limits.MAX_QUEUE_NAME_CHARS}}}")
_FIFO_NAME = re.compile(f"{_WORD}{{1,{limits.MAX_QUEUE_NAME_CHARS - len('.fifo')}}}\\.fifo")
_ENTRY_ID = re.compile(f"{_WORD}{{1,{MAX_ENTRY_ID_CHARS}}}")
_LABEL = re.compile(f"{_WORD}{{1,{MAX_LABEL_CHARS}}}")

#: Group, deduplication and receive-request attempt ids: alphanumeric characters and punctuation.
_TOKEN = re.compile(f"[!-~]{{1,{limits.MAX_GROUP_ID_CHARS}}}")


#: Ids of entries are mostly those of the batch before: a count from 0 to 9.
_REMEMBERED_IDS = 256


def queue_name(name: str, *, fifo: bool) -> None:
    """Refuse a name that AWS refuses (R7)."""
    if fifo and not _FIFO_NAME.fullmatch(name):
        raise faults.invalid_parameter(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
            "must end with .fifo suffix and be 1 to 80 in length."
        )
    if not fifo and not _QUEUE_NAME.fullmatch(name):
        raise faults.invalid_parameter(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )


def entry_ids(entries: Sequence[Mapping[str, Any]], shape: str) -> None:
    """Refuse a batch that is empty or too long, or whose ids are bad or repeat."""
    if not entries:
        raise faults.empty_batch(shape)
    if len(entries) > limits.MAX_BATCH_ENTRIES:
        raise faults.too_many_entries(len(entries))
    seen = set()
    for entry in entries:
        entry_id = entry["Id"]
        if not _is_entry_id(entry_id):
            raise faults.invalid_entry_id()
        if entry_id in seen:
            raise faults.entry_ids_not_distinct(entry_id)
        seen.add(entry_id)


@lru_cache(_REMEMBERED_IDS)
def _is_entry_id(text: str) -> bool:
    return _ENTRY_ID.fullmatch(text) is not None


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


def replace_forbidden_characters(text: str) -> str:
    """The text with a mark in the place of each character that neither a message nor XML can hold."""
    return _FORBIDDEN.sub("\ufffd", text)


def number_between(parameter: str, value: int, least: int, greatest: int) -> None:
    """Refuse a number outside the range."""
    if not least <= value <= greatest:
        raise faults.invalid_value(parameter, value, f"Must be between {least} and {greatest}, if provided.")
