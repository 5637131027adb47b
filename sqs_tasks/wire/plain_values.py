"""Values of sub-classes of the types that travel, as their plain value: what ORMs and frameworks hand out.

``asyncpg``'s UUID, Django's ``SafeString`` and choices, a ``StrEnum``, a ``defaultdict``, ``numpy.float64``. Imported
when the first such value is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

#: The base's own methods where there are some, since a sub-class may override what a call of its type would ask.
#: Containers are asked for what they show: one that shows other values than it holds does not equal them.
_PLAIN_BY_BASE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "builtins.str": lambda _, value: str.__str__(value),
    "builtins.int": lambda base, value: base.__index__(value),
    "builtins.float": lambda base, value: base.__float__(value),
    "builtins.bytes": lambda base, value: base(memoryview(value)),
    "builtins.list": lambda base, value: base(value),
    "builtins.tuple": lambda base, value: base(value),
    "builtins.set": lambda base, value: base(value),
    "builtins.frozenset": lambda base, value: base(value),
    "builtins.dict": lambda base, value: base(value.items()),
    "datetime.datetime": lambda base, value: base.fromisoformat(base.isoformat(value)),
    "datetime.date": lambda base, value: base.fromisoformat(base.isoformat(value)),
    "datetime.time": lambda base, value: base.fromisoformat(base.isoformat(value)),
    "datetime.timedelta": lambda base, value: base(value.days, value.seconds, value.microseconds),
    "decimal.Decimal": lambda base, value: base(vars(base)["__str__"](value)),
    "uuid.UUID": lambda base, value: base(int=value.int),
}


def plain_base(kind: type[Any]) -> type[Any] | None:
    """The type that travels and that this one is a sub-class of, or None."""
    return next((base for base in kind.__mro__[1:] if f"{base.__module__}.{base.__qualname__}" in _PLAIN_BY_BASE), None)


def plain_value(value: Any, base: type[Any]) -> Any:
    """The value of the base that equals this one.

    Raises:
        ValueError: There is none: it would arrive changed.
    """
    try:
        plain = _PLAIN_BY_BASE[f"{base.__module__}.{base.__qualname__}"](base, value)
        is_equal = bool(plain == value) or (base is float and plain != plain and bool(value != value))  # noqa: PLR0124
    except Exception as error:
        raise ValueError("it has no plain value") from error
    if not is_equal or type(plain) is not base:
        raise ValueError("it does not equal its plain value")
    return plain
