"""The JSON of a message: plain values as themselves, richer ones as tagged dictionaries that any JSON reader can see.

    {"to": "a@example.com", "at": {"$datetime": "2026-05-01T09:00:00+02:00"}, "price": {"$decimal": "9.90"}}

=============  ===================================================  ==========================================
tag            value on the wire                                    Python
=============  ===================================================  ==========================================
``$datetime``  ``"2026-05-01T09:00:00+02:00"``                      ``datetime``; a zone travels as its offset
``$date``      ``"2026-05-01"``                                     ``date``
``$time``      ``"09:00:00"``                                       ``time``
``$timedelta`` ``"PT93784.5S"``, ISO 8601                           ``timedelta``
``$decimal``   ``"9.90"``                                           ``Decimal``
``$uuid``      ``"12345678-1234-5678-1234-567812345678"``           ``UUID``
``$bytes``     base64                                               ``bytes``
``$float``     ``"NaN"``, ``"Infinity"``, ``"-Infinity"``           ``float``, where JSON has no number
``$tuple``     a list                                               ``tuple``
``$set``       a list, sorted, so that equal sets give equal text   ``set``
``$frozenset`` the same                                             ``frozenset``
``$dict``      a list of ``[key, value]``                           ``dict`` with keys that are not strings
``$enum``      ``["Color", "RED"]``; of a ``Flag`` its number       a member of a registered ``Enum``
``$dataclass`` ``["Point", {"x": 1, "y": 2}]``                      an instance of a registered dataclass, named
                                                                     tuple, attrs class or pydantic model
=============  ===================================================  ==========================================

What a value arrives as is what was sent, or it is refused at send. A value of a sub-class of the types above (a
``defaultdict``, a ``StrEnum`` that is not registered, ``numpy.float64``) travels as the plain value that it equals; one
that equals none is refused, and so is a named tuple that is not registered, since it would lose its names.

A dictionary is a tag only if it has one key, that key is in the table, and its value has the tag's JSON type. Every
other dictionary is itself, a MongoDB ``{"$set": {"a": 1}}`` or ``{"$gt": 5}`` for instance. A user's own dictionary
that does look like a tag is escaped as ``$dict``.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, Final

from sqs_tasks.errors import SerializationError, UndecodableMessageError, nature
from sqs_tasks.wire.registered_types import RegisteredTypes
from sqs_tasks.wire.tags import MAX_DEPTH, TAGS

_ATOMS: Final = frozenset({str, int, bool, type(None)})

# Without separators of our own the text of plain data is, byte for byte, what json.dumps and so sqs-workers writes.
# ASCII only: SQS refuses some characters in a body, and escapes are never among them. The depth check stands in for the
# encoder's own guard against values that contain themselves.
_write = json.JSONEncoder(allow_nan=False, check_circular=False).encode
_read_plain = json.JSONDecoder().decode


def dumps(value: Any, types: RegisteredTypes) -> str:
    """The text of ``value``, ASCII only.

    Raises:
        SerializationError: A part of it cannot travel; the text names where it stands, its type and what is allowed.
    """
    if _is_plain(value, MAX_DEPTH):
        try:
            return _write(value)
        except (ValueError, RecursionError):
            pass  # an int of too many digits: the other way finds where it stands
    from sqs_tasks.wire.tag_encoder import tagged  # most values are plain

    try:
        return _write(tagged(value, types))
    except (ValueError, RecursionError) as error:
        raise SerializationError(f"the arguments cannot be written as JSON: {error}") from error


def loads(text: str, types: RegisteredTypes) -> Any:
    """The value that ``text`` carries.

    Raises:
        UndecodableMessageError: The text is not JSON, or a tag in it cannot be read.
    """
    try:
        # A tag needs a key that begins with "$"; without one in the text there is nothing to look for. The first search
        # is for one character, which is ten times faster than the second and settles most texts.
        if ("$" in text and '"$' in text) or "\\u0024" in text:
            from sqs_tasks.wire.tag_decoder import untagger  # most texts have none

            return json.JSONDecoder(object_hook=untagger(types)).decode(text)
        return _read_plain(text)
    except UndecodableMessageError:
        raise
    except Exception as error:  # RecursionError, whatever a dataclass raises: the message is at fault, not the worker
        raise UndecodableMessageError(f"not readable JSON: {nature(error)}") from error


def _is_plain(value: Any, depth: int) -> bool:
    """Whether json.dumps may have the value as it is: the quick way for what most messages are."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is float:
        return isfinite(value)
    if depth <= 0:
        return False
    if kind is list:
        return all(type(item) in _ATOMS or _is_plain(item, depth - 1) for item in value)
    if kind is not dict:
        return False
    for key, item in value.items():
        if type(key) is not str or (type(item) not in _ATOMS and not _is_plain(item, depth - 1)):
            return False
    return len(value) != 1 or next(iter(value)) not in TAGS
