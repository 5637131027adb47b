"""Receipt handles: which queue, which message, which receive."""

from __future__ import annotations

import os

from sqs_tasks.local.model import faults

#: AWS's handles start so; nobody may rely on it, and it makes logs look familiar.
_PREFIX = "AQEB"

_TAG_CHARS, _NUMBER_CHARS, _RECEIVE_CHARS = 16, 16, 8
_NUMBER_AT = len(_PREFIX) + _TAG_CHARS
_RECEIVE_AT = _NUMBER_AT + _NUMBER_CHARS
_LENGTH = _RECEIVE_AT + _RECEIVE_CHARS


def new_tag() -> str:
    """A queue's mark in its handles, so that handles of another queue, or invented ones, are recognised."""
    return _PREFIX + os.urandom(_TAG_CHARS // 2).hex()


def handle(tag: str, number: int, receive: int) -> str:
    """The handle of one receive of one message."""
    return f"{tag}{number:016x}{receive:08x}"


def parse(tag: str, text: str) -> tuple[int, int]:
    """The message's number and the receive's.

    Raises:
        SQSFault: The queue never issued such a handle.
    """
    if len(text) != _LENGTH or not text.startswith(tag):
        raise faults.receipt_handle_is_invalid(text)
    try:
        return int(text[_NUMBER_AT:_RECEIVE_AT], 16), int(text[_RECEIVE_AT:], 16)
    except ValueError:
        raise faults.receipt_handle_is_invalid(text) from None
