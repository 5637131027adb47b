"""Tagged dictionaries as values: the reading half of :mod:`sqs_tasks.wire.json_values`."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Container, Iterable
from enum import Enum, Flag
from math import inf, nan
from typing import Any, Final

from sqs_tasks.errors import UndecodableMessageError, brief, nature
from sqs_tasks.wire.registered_types import RegisteredTypes
from sqs_tasks.wire.tags import TAGS, is_tag

#: Values of a set or keys of a dictionary that may have one hash. Python looks at all of them for each that comes; with
#: tens of thousands, which fit into a message, that is minutes.
MAX_EQUAL_HASHES: Final = 64

_FLOATS: Final = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}

_DURATION: Final = (  # compiled when the first is read
    r"([+-]?)P(?=.)(?:([0-9]+)D)?(?:T(?=.)(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)(?:\.([0-9]{1,6}))?S)?)?"
)


def untagger(types: RegisteredTypes, allowed: Container[str] = TAGS) -> Callable[[dict[str, Any]], Any]:
    """What gives the value of a tagged dictionary, and any other dictionary as it is; inner ones come first.

    Args:
        types: The Enums and dataclasses that may travel.
        allowed: The tags that are read.
    """
    return _Decoder(types, allowed).untag


class _Decoder:
    """Turns tagged dictionaries back; called by the JSON reader for each dictionary, the inner ones first."""

    def __init__(self, types: RegisteredTypes, allowed: Container[str]) -> None:
        self._types = types
        self._allowed = allowed

    def untag(self, value: dict[str, Any]) -> Any:
        if not is_tag(value):
            return value
        ((tag, content),) = value.items()
        if tag not in self._allowed:
            return value
        try:
            return _READERS[tag](self, content)
        except UndecodableMessageError:
            raise
        except Exception as error:
            # What the constructor of a dataclass says is its author's; the standard library quotes the value.
            why = brief(error) if tag == "$dataclass" else nature(error)
            raise UndecodableMessageError(f"the value tagged {tag!r} cannot be read: {why}") from error

    def datetime(self, content: str) -> Any:
        import datetime as dt

        return dt.datetime.fromisoformat(content)

    def date(self, content: str) -> Any:
        import datetime as dt

        return dt.date.fromisoformat(content)

    def time(self, content: str) -> Any:
        import datetime as dt

        return dt.time.fromisoformat(content)

    def timedelta(self, content: str) -> Any:
        from datetime import timedelta

        found = re.fullmatch(_DURATION, content)
        if found is None:
            raise ValueError("no duration such as 'PT90.5S'")
        sign, days, hours, minutes, seconds, fraction = found.groups()
        microseconds = int((fraction or "0").ljust(6, "0"))
        parts = [int(part or 0) for part in (days, hours, minutes, seconds)]
        total = (((parts[0] * 24 + parts[1]) * 60 + parts[2]) * 60 + parts[3]) * 1_000_000 + microseconds
        return timedelta(microseconds=-total if sign == "-" else total)

    def decimal(self, content: str) -> Any:
        from decimal import Decimal

        return Decimal(content)

    def uuid(self, content: str) -> Any:
        from uuid import UUID

        return UUID(content)

    def bytes(self, content: str) -> Any:
        return binascii.a2b_base64(content, strict_mode=True)

    def float(self, content: str) -> Any:
        return _FLOATS[content]

    def tuple(self, content: list[Any]) -> Any:
        return tuple(content)

    def set(self, content: list[Any]) -> Any:
        _check_hashes(content)
        return set(content)

    def frozenset(self, content: list[Any]) -> Any:
        _check_hashes(content)
        return frozenset(content)

    def dict(self, content: list[Any]) -> Any:
        _check_hashes(key for key, _ in content)
        return {key: item for key, item in content}  # noqa: C416  dict() takes strings of two letters for pairs too

    def enum(self, content: list[Any]) -> Any:
        name, member = content
        cls = self._types.resolve(name, "Enum")
        if not issubclass(cls, Enum):
            raise UndecodableMessageError(f"{name!r} is not an Enum")
        if issubclass(cls, Flag) and type(member) is int:
            return cls(member)
        return cls.__members__[member]

    def dataclass(self, content: list[Any]) -> Any:
        name, values = content
        cls = self._types.resolve(name, "dataclass")
        if issubclass(cls, Enum):
            raise UndecodableMessageError(f"{name!r} is not a dataclass, or its fields are not a dictionary")
        from sqs_tasks.wire.records import record_of  # most messages have none

        return record_of(cls).build(name, values)


_READERS: Final[dict[str, Callable[[_Decoder, Any], Any]]] = {
    "$datetime": _Decoder.datetime,
    "$date": _Decoder.date,
    "$time": _Decoder.time,
    "$timedelta": _Decoder.timedelta,
    "$decimal": _Decoder.decimal,
    "$uuid": _Decoder.uuid,
    "$bytes": _Decoder.bytes,
    "$float": _Decoder.float,
    "$tuple": _Decoder.tuple,
    "$set": _Decoder.set,
    "$frozenset": _Decoder.frozenset,
    "$dict": _Decoder.dict,
    "$enum": _Decoder.enum,
    "$dataclass": _Decoder.dataclass,
}


def _check_hashes(values: Iterable[Any]) -> None:
    """Refuse values that were chosen to have one hash: a set of them would take time that grows with its square.

    Texts, bytes and times have other hashes in each process. Numbers, and what is made of them, have not.
    """
    counts: dict[int, int] = {}
    for value in values:
        found = hash(value)
        counts[found] = count = counts.get(found, 0) + 1
        if count > MAX_EQUAL_HASHES:
            raise UndecodableMessageError(
                f"the message holds a set or a dictionary of more than {MAX_EQUAL_HASHES} values with one hash"
            )
