"""A job's arguments from words on a command line: ``order_id=17 total=12.50``, or an object of JSON."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union
from uuid import UUID

from sqs_tasks.codecs import Codec
from sqs_tasks.errors import UndecodableMessageError


class ArgumentReader:
    """Reads the arguments of one task.

    ``KEY=VALUE`` is read by the annotation of the parameter: text for ``str``, ISO for dates, and so on; without an
    annotation it is JSON if it can be, and text otherwise. An object is what the body of a message would be, so tagged
    values (a Decimal, a datetime) are read as a worker reads them; plain ones are made what the parameter wants, as far
    as JSON's own type allows it: text becomes a date or a number, and a number a Decimal.

    Args:
        function: The task's function.
        codec: The codec of JSON bodies.
    """

    def __init__(self, function: Callable[..., Any], codec: Codec) -> None:
        self._annotations = _annotations(function)
        self._codec = codec

    def read(self, words: Sequence[str]) -> dict[str, Any]:
        """The arguments that the words give; a later one wins over an earlier one.

        Raises:
            ValueError: A word is neither ``KEY=VALUE`` nor an object, or a value is not what its parameter wants.
        """
        arguments: dict[str, Any] = {}
        for word in words:
            if word.lstrip().startswith("{"):
                arguments.update(self.read_object(word))
                continue
            name, equals, text = word.partition("=")
            if not equals or not name.isidentifier():
                # The value may be a secret that lacks its name, so it is not repeated.
                raise ValueError("an argument must be KEY=VALUE, or an object such as '{\"order_id\": 17}'")
            arguments[name] = self._value(name, text)
        return arguments

    def read_object(self, text: str) -> dict[str, Any]:
        """The arguments in an object of JSON.

        Raises:
            ValueError: It is none, or a value is not what its parameter wants.
        """
        try:
            found = self._codec.deserialize(text)
        except UndecodableMessageError as error:
            raise ValueError(f"not an object of JSON: {error}") from error
        if not isinstance(found, Mapping):
            raise ValueError(f"the arguments must be an object of JSON, not {type(found).__name__}")  # noqa: TRY004
        return {name: self._fitted(name, value) for name, value in found.items()}

    def _value(self, name: str, text: str) -> Any:
        reason: Exception | None = None
        for wanted in _alternatives(self._annotations.get(name, Any)):
            try:
                return self._converted(wanted, text)
            except (ValueError, ArithmeticError, KeyError) as error:
                reason = error
        raise self._not_wanted(name) from reason

    def _fitted(self, name: str, value: Any) -> Any:
        """A value of an object as its parameter wants it; types that are not known here take what there is."""
        alternatives = _alternatives(self._annotations.get(name, Any))
        if any(_is_one(value, wanted) for wanted in alternatives):
            return value
        reason: Exception | None = None
        for wanted in alternatives:
            try:
                return self._converted(wanted, value) if isinstance(value, str) else _converted_number(wanted, value)
            except (ValueError, ArithmeticError, KeyError) as error:
                reason = error
        raise self._not_wanted(name) from reason

    def _not_wanted(self, name: str) -> ValueError:
        annotation = self._annotations[name]
        # Not the value: it may be a secret, and error texts end in logs.
        examples = " or ".join(filter(None, map(_example, _alternatives(annotation))))
        such_as = f", for example {examples}" if examples else ""
        return ValueError(f"{name}: not the {_name_of(annotation)} that the task wants{such_as}")

    def _converted(self, wanted: Any, text: str) -> Any:
        """The text as one type wants it.

        Raises:
            ValueError, ArithmeticError, KeyError: It cannot be that.
        """
        if wanted is str:
            return text
        if isinstance(wanted, type) and issubclass(wanted, Enum):
            return wanted[text]
        if wanted in _READERS:
            return _READERS[wanted](text)
        try:
            return self._codec.deserialize(text)
        except UndecodableMessageError:
            return text


def _is_one(value: Any, wanted: Any) -> bool:
    """Whether a value needs no conversion."""
    if wanted is not str and wanted not in _READERS and not (isinstance(wanted, type) and issubclass(wanted, Enum)):
        return True
    # Exactly: a bool is no number here, and a moment no date.
    return type(value) is wanted


def _converted_number(wanted: Any, value: Any) -> Any:
    """A number of JSON as one type wants it.

    Raises:
        ValueError: It is no number, or the type takes none.
    """
    if type(value) is int and wanted is float:
        return float(value)
    if type(value) in (int, float) and wanted is Decimal:
        return Decimal(str(value))
    raise ValueError(type(value).__name__)


def _none(text: str) -> None:
    if text != "null":
        raise ValueError(text)


def _bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


#: What text becomes for a parameter of each type.
_READERS: Mapping[Any, Callable[[str], Any]] = {
    NoneType: _none,
    bool: _bool,
    int: int,
    float: float,
    Decimal: Decimal,
    UUID: UUID,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
}


#: How a value of each type is written.
_EXAMPLES: Mapping[Any, str] = {
    NoneType: "null",
    bool: "true",
    int: "17",
    float: "0.5",
    Decimal: "12.50",
    UUID: "00000000-0000-4000-8000-000000000001",
    datetime: "2026-01-31T12:00:00+00:00",
    date: "2026-01-31",
    time: "12:30",
}


def _example(wanted: Any) -> str | None:
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return next(iter(wanted.__members__), None)
    return _EXAMPLES.get(wanted)


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of the parameters, as far as they can be resolved."""
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except Exception:  # noqa: BLE001 - names that exist for the type checker alone; the values are then JSON or text
        return {}


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types an annotation allows; text last, because everything is text."""
    if typing.get_origin(annotation) not in (Union, UnionType):
        return (annotation,)
    types = typing.get_args(annotation)
    return tuple(sorted(types, key=lambda one: one is str))


def _name_of(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
