"""Reading the fields of a manifest one by one, with errors that name the path of the field."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqs_tasks_cdk.errors import ManifestError


class Fields:
    """One object of the document. Each method reads one field and checks its type and range.

    Args:
        data: The object.
        path: Where the object is in the document, as in ``queues[2]``; empty for the document itself.

    Raises:
        ManifestError: From every method, when the field is missing or its value is wrong.
    """

    def __init__(self, data: Mapping[str, Any], *, path: str) -> None:
        self.path = path
        self._data = data
        self._read: set[str] = set()

    def close(self) -> None:
        """Refuse fields that no method has read: a misspelt name would otherwise count as the default."""
        for name in self._data:
            if name not in self._read:
                raise ManifestError(
                    f"there is no field {name!r}{nearest(str(name), sorted(self._read))}; "
                    "a newer sqs_tasks may have written it: install the same release",
                    path=self._path(str(name)),
                )

    def text(self, name: str, *, empty: bool = False) -> str:
        """A text; an empty one only if ``empty`` allows it."""
        return self._text(self._value(name), self._path(name), empty=empty)

    def optional_text(self, name: str, *, absent: bool = False) -> str | None:
        """A text or None; with ``absent`` the field may be missing."""
        return None if self._value(name, absent=absent) is None else self.text(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        path = self._path(name)
        return tuple(
            self._text(item, f"{path}[{index}]", empty=False)
            for index, item in enumerate(self._list(self._value(name), path))
        )

    def optional_texts(self, name: str) -> tuple[str, ...] | None:
        """A list of texts, or None."""
        return None if self._value(name) is None else self.texts(name)

    def boolean(self, name: str, *, absent: bool = False) -> bool:
        """True or False; with ``absent`` the field may be missing, which is False."""
        value = self._value(name, absent=absent)
        if absent and value is None and name not in self._data:
            return False
        if not isinstance(value, bool):
            raise ManifestError(f"{value!r} is {type_name(value)}; write true or false", path=self._path(name))
        return value

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """One of the allowed texts."""
        value = self.text(name)
        if value not in allowed:
            raise ManifestError(f"{value!r} is not one of {', '.join(map(repr, allowed))}", path=self._path(name))
        return value

    def integer(self, name: str, *, low: int, high: int | None = None) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self._value(name)
        path = self._path(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ManifestError(f"{value!r} is {type_name(value)}; write a whole number", path=path)
        if value < low or (high is not None and value > high):
            allowed = f"at least {low}" if high is None else f"{low} to {high}"
            raise ManifestError(f"{value} is out of range; allowed is {allowed}", path=path)
        return value

    def optional_integer(self, name: str, *, low: int, high: int | None = None) -> int | None:
        """A whole number from ``low`` to ``high``, or None."""
        return None if self._value(name) is None else self.integer(name, low=low, high=high)

    def optional_seconds(self, name: str, *, zero: bool = False, absent: bool = False) -> int | float | None:
        """A number of seconds above 0, or None; 0 only if ``zero`` allows it."""
        value = self._value(name, absent=absent)
        path = self._path(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ManifestError(f"{value!r} is {type_name(value)}; write a number of seconds or null", path=path)
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
            allowed = "0 or more seconds" if zero else "more than 0 seconds"
            raise ManifestError(f"{value} is out of range; allowed is {allowed}, or null", path=path)
        return value

    def positive_number(self, name: str, *, absent: float) -> int | float:
        """A number above 0; the given one where the field is missing."""
        if name not in self._data:
            return absent
        value, path = self._value(name), self._path(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ManifestError(f"{value!r} is {type_name(value)}; write a number above 0", path=path)
        if not math.isfinite(value) or value <= 0:
            raise ManifestError(f"{value} is out of range; allowed is any number above 0", path=path)
        return value

    def optional_object(self, name: str, *, absent: bool = False) -> Fields | None:
        """The fields of an object, or None; with ``absent`` the field may be missing."""
        value = self._value(name, absent=absent)
        return None if value is None else self._object(value, self._path(name))

    def mapping(self, name: str) -> Mapping[str, Any]:
        """An object as it is, whatever its fields."""
        value = self._value(name)
        self._object(value, self._path(name))
        return dict(value)

    def items(self, name: str, *, absent: bool = False) -> list[Fields]:
        """The fields of each object in a list; with ``absent`` the field may be missing, which is an empty list."""
        path = self._path(name)
        value = self._value(name, absent=absent)
        listed = [] if value is None and name not in self._data else self._list(value, path)
        return [self._object(item, f"{path}[{index}]") for index, item in enumerate(listed)]

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _value(self, name: str, *, absent: bool = False) -> Any:
        self._read.add(name)
        if name not in self._data and not absent:
            raise ManifestError(
                f"the field is missing{nearest(name, [str(key) for key in self._data])}; "
                "write the manifest with 'sqs-tasks manifest'",
                path=self._path(name),
            )
        return self._data.get(name)

    @staticmethod
    def _text(value: Any, path: str, *, empty: bool) -> str:
        if not isinstance(value, str):
            raise ManifestError(f"{value!r} is {type_name(value)}; write a text", path=path)
        if not value and not empty:
            raise ManifestError("the text is empty", path=path)
        return value

    @staticmethod
    def _list(value: Any, path: str) -> Sequence[Any]:
        if not isinstance(value, list | tuple):
            raise ManifestError(f"{value!r} is {type_name(value)}; write a list", path=path)
        return value

    @staticmethod
    def _object(value: Any, path: str) -> Fields:
        if not isinstance(value, Mapping):
            raise ManifestError(f"{value!r} is {type_name(value)}; write an object", path=path)
        return Fields(value, path=path)


def nearest(name: str, known: Iterable[str]) -> str:
    """``, did you mean 'x'?`` for the known name that is most like this one; empty when none is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def type_name(value: Any) -> str:
    """What JSON calls the type of a value, with its article."""
    if isinstance(value, Mapping):
        return "an object"
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), f"a {type(value).__name__}")
