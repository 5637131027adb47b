"""Richer values as tagged dictionaries: the writing half of :mod:`sqs_tasks.wire.json_values`."""

from __future__ import annotations

import binascii
import json
import sys
from enum import Enum
from math import isfinite
from typing import Any, Final, NoReturn

from sqs_tasks.errors import SerializationError, shortened
from sqs_tasks.wire.record_kinds import kind_of_record
from sqs_tasks.wire.registered_types import RegisteredTypes
from sqs_tasks.wire.tags import MAX_DEPTH, is_tag

_ALLOWED: Final = (
    "allowed are None, bool, int, float, str, list, dict, tuple, set, frozenset, bytes, datetime, date, time, "
    "timedelta, Decimal, UUID, and Enums, dataclasses, named tuples, attrs classes and pydantic models that "
    "are registered"
)

_ATOMS: Final = frozenset({str, int, bool, type(None)})

#: An int this long may be longer than what Python prints and parses (4,300 digits unless configured otherwise).
_LONG_INT_BITS: Final = 2_000

_sort_text = json.JSONEncoder(allow_nan=False, check_circular=False).encode


def tagged(value: Any, types: RegisteredTypes) -> Any:
    """The plain JSON data of a value.

    Raises:
        SerializationError: A part of it cannot travel; the text names where it stands, its type and what is allowed.
    """
    return _Encoder(types).encode(value)


class _Encoder:
    """Turns one value into plain JSON data; keeps the way to where it stands, for the error."""

    def __init__(self, types: RegisteredTypes) -> None:
        self._types = types
        self._path: list[str | int | None] = []

    def encode(self, value: Any) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            return self._check_int(value) if kind is int else value
        if kind is float:
            return value if isfinite(value) else {"$float": _float_name(value)}
        if len(self._path) >= MAX_DEPTH:
            self._refuse(f"is nested in more than {MAX_DEPTH} levels, or contains itself")
        if kind is dict:
            return self._dict(value)
        if kind is list:
            return self._items(value)
        if kind is tuple:
            return {"$tuple": self._items(value)}
        if kind is set or kind is frozenset:
            # The order of a set differs between processes; FIFO deduplication by content needs one text for one set.
            return {f"${kind.__name__}": sorted((self._at(None, item) for item in value), key=_sort_text)}
        if kind is bytes:
            return {"$bytes": binascii.b2a_base64(value, newline=False).decode("ascii")}
        if isinstance(value, Enum):
            return self._enum(value)
        record = kind_of_record(kind)
        if record is not None:
            return self._record(value, record)
        return self._scalar(value)

    def _at(self, step: str | int | None, value: Any) -> Any:
        self._path.append(step)
        encoded = self.encode(value)
        self._path.pop()
        return encoded

    def _items(self, items: list[Any] | tuple[Any, ...]) -> list[Any]:
        return [self._at(index, item) for index, item in enumerate(items)]

    def _dict(self, value: dict[Any, Any]) -> dict[str, Any]:
        if all(type(key) is str for key in value):
            encoded = {key: self._at(key, item) for key, item in value.items()}
            if not is_tag(encoded):
                return encoded
        keys = [self._at(None, key) for key in value]
        if all(type(key) is str for key in keys):  # some were of sub-classes
            encoded = {key: self._at(key, item) for key, item in zip(keys, value.values(), strict=True)}
            if not is_tag(encoded):
                return encoded
        pairs = zip(keys, value.values(), strict=True)
        return {"$dict": [[key, self._at(_step(key), item)] for key, item in pairs]}

    def _enum(self, value: Enum) -> Any:
        kind = type(value)
        name = self._types.name_of(kind)
        if name is None:
            if not self._types.is_ambiguous(kind):
                from sqs_tasks.wire.plain_values import plain_base

                base = plain_base(kind)
                if base is not None:  # TextChoices, IntegerChoices, StrEnum for a parameter that is a str or an int
                    return self._plain(value, base)
            name = self._registered_name(kind, "Enum")
        # A combination of flags has no member of its own; its number is what makes it.
        member = value.name if type(value).__members__.get(value.name) is value else value.value
        return {"$enum": [name, member]}

    def _record(self, value: Any, what: str) -> dict[str, Any]:
        from sqs_tasks.wire.records import record_of  # most values are none

        kind = type(value)
        name = self._registered_name(kind, what)
        record = record_of(kind)
        obstacle = record.obstacle(value)
        if obstacle:
            self._refuse(f"{kind.__qualname__} cannot be built again from its fields: {obstacle}")
        return {"$dataclass": [name, record.content(value, self._at)]}

    def _scalar(self, value: Any) -> Any:
        """Recognised by the names of their classes, so that none of these modules is imported before it is needed."""
        kind = type(value)
        origin = f"{kind.__module__}.{kind.__qualname__}"
        if origin == "decimal.Decimal":
            return {"$decimal": str(value)}
        if origin == "uuid.UUID":
            return {"$uuid": str(value)}
        if origin == "datetime.timedelta":
            return {"$timedelta": _duration_text(value)}
        clock = sys.modules.get("datetime")
        # The second comparison is for test clocks (freezegun), which put a class of their own in the place of these.
        if origin == "datetime.date" or (clock and kind is clock.date):
            return {"$date": value.isoformat()}
        if origin in ("datetime.datetime", "datetime.time") or (clock and kind is clock.datetime):
            if value.tzinfo is not None:
                offset = value.utcoffset()
                # fromisoformat takes +00:00:00.000001 for UTC, up to Python 3.13 at least.
                if offset is None or offset.microseconds:
                    self._refuse(
                        f"the UTC offset of this {kind.__name__} is {offset}; it travels as a number of whole seconds"
                    )
            return {"$time" if origin == "datetime.time" else "$datetime": value.isoformat()}
        from sqs_tasks.wire.plain_values import plain_base  # most values are of the types themselves

        base = plain_base(kind)
        if base is None:
            self._refuse(f"{_full_name(kind)} cannot travel in a message; {_ALLOWED}")
        return self._plain(value, base)

    def _plain(self, value: Any, base: type[Any]) -> Any:
        """A value of a sub-class as the base's value that equals it."""
        from sqs_tasks.wire.plain_values import plain_value

        try:
            plain = plain_value(value, base)
        except ValueError as error:
            self._refuse(
                f"{_full_name(type(value))} is a sub-class of {base.__name__} and would arrive as a plain "
                f"{base.__name__}: {error}; convert it first"
            )
        return self.encode(plain)

    def _check_int(self, value: int) -> int:
        if value.bit_length() > _LONG_INT_BITS:
            try:
                str(value)
            except ValueError:
                self._refuse(
                    f"int of about {value.bit_length() * 3 // 10} digits; "
                    f"Python reads at most {sys.get_int_max_str_digits()}"
                )
        return value

    def _registered_name(self, kind: type[Any], base: str) -> str:
        name = self._types.name_of(kind)
        if name is None and base == "named tuple":
            self._refuse(
                f"{_full_name(kind)} is a sub-class of tuple and would arrive as a plain tuple, without its names; "
                f"annotate the task's parameter with it, register it with register_type({kind.__name__}), or convert "
                "it first"
            )
        if name is None:
            self._refuse(
                f"the {base} {kind.__qualname__} is not registered; annotate the task's parameter with it, "
                f"or register it with register_type({kind.__name__})"
            )
        return name

    def _refuse(self, reason: str) -> NoReturn:
        place = f"argument {_path_text(self._path)!r}" if self._path else "the value"
        raise SerializationError(f"{place}: {reason}")


def _full_name(kind: type[Any]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _step(key: Any) -> str | int | None:
    return key if type(key) in (str, int) else None


def _path_text(path: list[str | int | None]) -> str:
    """``items[3].price``: as one would write it in Python, dictionary keys like fields where they can be."""
    text = ""
    for step in path:
        if isinstance(step, str) and (step.isidentifier() or not text):
            text += f".{step}" if text else step
        else:
            text += "[...]" if step is None else f"[{step!r}]"
    return shortened(text)


def _float_name(value: float) -> str:
    if value != value:  # noqa: PLR0124  only NaN differs from itself
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _duration_text(value: Any) -> str:
    microseconds = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    text = f"{seconds}.{fraction:06d}".rstrip("0") if fraction else str(seconds)
    return f"{'-' if microseconds < 0 else ''}PT{text}S"
