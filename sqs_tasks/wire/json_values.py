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
``$dataclass`` ``["Point", {"x": 1, "y": 2}]``                      an instance of a registered dataclass
=============  ===================================================  ==========================================

What a value arrives as is exactly what was sent, or it is refused at send. So sub-classes of the types above
(``OrderedDict``, named tuples, ``numpy.float64``) are refused: they would arrive as their base.

A dictionary is a tag only if it has one key, that key is in the table, and its value has the tag's JSON type. Every
other dictionary is itself, a MongoDB ``{"$set": {"a": 1}}`` or ``{"$gt": 5}`` for instance. A user's own dictionary
that does look like a tag is escaped as ``$dict``.
"""

from __future__ import annotations

import binascii
import json
import re
import sys
from collections.abc import Callable
from enum import Enum, Flag
from math import inf, isfinite, nan
from typing import Any, Final, NoReturn

from sqs_tasks.errors import SerializationError, UndecodableMessageError, brief, nature, shortened
from sqs_tasks.wire.registered_types import RegisteredTypes

#: Levels of lists, dictionaries and other containers within one value. A value that contains itself ends here too.
MAX_DEPTH: Final = 100

_ATOMS: Final = frozenset({str, int, bool, type(None)})

_ALLOWED: Final = (
    "allowed are None, bool, int, float, str, list, dict, tuple, set, frozenset, bytes, datetime, date, time, "
    "timedelta, Decimal, UUID, and Enums and dataclasses that are registered"
)

_BUILTINS: Final = (str, int, float, bytes, list, dict, tuple, set, frozenset)
_PLAIN_MODULES: Final = frozenset({"builtins", "datetime", "decimal", "uuid"})
_PLAIN_NAMES: Final = frozenset(
    {kind.__name__ for kind in _BUILTINS} | {"datetime", "date", "time", "timedelta", "Decimal", "UUID"}
)

#: An int this long may be longer than what Python prints and parses (4,300 digits unless configured otherwise).
_LONG_INT_BITS: Final = 2_000

_FLOATS: Final = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}

_DURATION: Final = (  # compiled when the first is read
    r"([+-]?)P(?=.)(?:([0-9]+)D)?(?:T(?=.)(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)(?:\.([0-9]{1,6}))?S)?)?"
)

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
    try:
        return _write(_Encoder(types).encode(value))
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
            return json.JSONDecoder(object_hook=_Decoder(types).untag).decode(text)
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
    return len(value) != 1 or next(iter(value)) not in _DECODERS


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
            return {f"${kind.__name__}": sorted((self._at(None, item) for item in value), key=_write)}
        if kind is bytes:
            return {"$bytes": binascii.b2a_base64(value, newline=False).decode("ascii")}
        if isinstance(value, Enum):
            return self._enum(value)
        if "__dataclass_fields__" in vars(kind):
            return self._dataclass(value)
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
            if not _is_tag(encoded):
                return encoded
        return {"$dict": [[self._at(None, key), self._at(_step(key), item)] for key, item in value.items()]}

    def _enum(self, value: Enum) -> dict[str, Any]:
        name = self._registered_name(type(value), "Enum")
        # A combination of flags has no member of its own; its number is what makes it.
        member = value.name if type(value).__members__.get(value.name) is value else value.value
        return {"$enum": [name, member]}

    def _dataclass(self, value: Any) -> dict[str, Any]:
        kind = type(value)
        name = self._registered_name(kind, "dataclass")
        accepted, rest, obstacle = _fields(kind)
        if obstacle:
            self._refuse(f"{kind.__qualname__} cannot be built again from its fields: {obstacle}")
        return {"$dataclass": [name, {field: self._at(field, getattr(value, field)) for field in accepted + rest}]}

    def _scalar(self, value: Any) -> dict[str, Any]:
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
        return self._refuse_type(kind)

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
        if name is None:
            self._refuse(
                f"the {base} {kind.__qualname__} is not registered; annotate the task's parameter with it, "
                f"or register it with register_type({kind.__name__})"
            )
        return name

    def _refuse_type(self, kind: type[Any]) -> NoReturn:
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        for base in kind.__mro__[1:]:
            if base.__name__ in _PLAIN_NAMES and base.__module__ in _PLAIN_MODULES:
                self._refuse(
                    f"{name} is a sub-class of {base.__name__} and would arrive as a plain {base.__name__}; "
                    "convert it first"
                )
        self._refuse(f"{name} cannot travel in a message; {_ALLOWED}")

    def _refuse(self, reason: str) -> NoReturn:
        place = f"argument {_path_text(self._path)!r}" if self._path else "the value"
        raise SerializationError(f"{place}: {reason}")


class _Decoder:
    """Turns tagged dictionaries back; called by the JSON reader for each dictionary, the inner ones first."""

    def __init__(self, types: RegisteredTypes) -> None:
        self._types = types

    def untag(self, value: dict[str, Any]) -> Any:
        if not _is_tag(value):
            return value
        ((tag, content),) = value.items()
        try:
            return _DECODERS[tag][1](self, content)
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
            raise ValueError(f"{content[:40]!r} is not a duration such as 'PT90.5S'")
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
        return set(content)

    def frozenset(self, content: list[Any]) -> Any:
        return frozenset(content)

    def dict(self, content: list[Any]) -> Any:
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
        if issubclass(cls, Enum) or type(values) is not dict:
            raise UndecodableMessageError(f"{name!r} is not a dataclass, or its fields are not a dictionary")
        accepted, rest, _ = _fields(cls)
        unknown = values.keys() - {*accepted, *rest}
        if unknown:
            raise UndecodableMessageError(
                f"the dataclass {name!r} has no field {', '.join(map(repr, sorted(unknown)))}"
            )
        # Its own constructor, so that its defaults and its __post_init__ hold for a message as for everybody else.
        instance = cls(**{field: values[field] for field in accepted if field in values})
        for field in rest:
            if field in values:
                object.__setattr__(instance, field, values[field])
        return instance


#: By tag: the JSON type of its content, and what reads it.
_DECODERS: Final[dict[str, tuple[type[Any], Callable[[_Decoder, Any], Any]]]] = {
    "$datetime": (str, _Decoder.datetime),
    "$date": (str, _Decoder.date),
    "$time": (str, _Decoder.time),
    "$timedelta": (str, _Decoder.timedelta),
    "$decimal": (str, _Decoder.decimal),
    "$uuid": (str, _Decoder.uuid),
    "$bytes": (str, _Decoder.bytes),
    "$float": (str, _Decoder.float),
    "$tuple": (list, _Decoder.tuple),
    "$set": (list, _Decoder.set),
    "$frozenset": (list, _Decoder.frozenset),
    "$dict": (list, _Decoder.dict),
    "$enum": (list, _Decoder.enum),
    "$dataclass": (list, _Decoder.dataclass),
}


def _is_tag(value: dict[str, Any]) -> bool:
    """Whether this JSON dictionary is read as a tag; asked of what is written and of what is read, so they agree.

    The inner tags of a dictionary being read are values by now. None of them is exactly a list or a str, so the answer
    is that for its JSON.
    """
    if len(value) != 1:
        return False
    ((key, content),) = value.items()
    known = _DECODERS.get(key)
    return known is not None and type(content) is known[0]


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


_field_cache: dict[type[Any], tuple[tuple[str, ...], tuple[str, ...], str]] = {}


def _fields(cls: type[Any]) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """A dataclass's fields that its constructor takes, its other fields, and what stands in the way of building one."""
    known = _field_cache.get(cls)
    if known is None:
        import dataclasses
        import inspect

        fields = dataclasses.fields(cls)
        accepted = tuple(field.name for field in fields if field.init)
        rest = tuple(field.name for field in fields if not field.init)
        try:
            inspect.signature(cls).bind(**dict.fromkeys(accepted))
            obstacle = f"it is a {cls.__mro__[-2].__name__} too" if issubclass(cls, _BUILTINS) else ""
        except (TypeError, ValueError) as error:
            obstacle = f"its constructor has {error}"
        known = _field_cache[cls] = accepted, rest, obstacle
    return known
