"""Event filters: which messages reach the function, and which are deleted without it (S41).

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html and ``with-sqs-filtering.html``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from sqs_tasks.errors import ConfigurationError

#: Filters on one event source mapping; five unless the quota was raised to ten.
MAX_FILTERS = 10

#: Characters of one filter pattern.
MAX_PATTERN_CHARS = 4_096

_NUMERIC_OPERATORS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}

_STRING_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "prefix": str.startswith,
    "suffix": str.endswith,
    "equals-ignore-case": lambda value, wanted: value.casefold() == wanted.casefold(),
}


@dataclass(frozen=True, slots=True)
class _Number:
    """A JSON number as written: Lambda compares text, so that 300, 300.0 and 3.0e2 are three values."""

    text: str


class _Missing:
    """The value of a field that is not there."""


_MISSING = _Missing()


class EventFilter:
    """One filter pattern over the ``body`` of messages.

    Args:
        pattern: ``{"body": {"kind": ["order"]}}`` for JSON bodies, ``{"body": ["ping"]}`` for plain ones; a mapping,
            its JSON text, or an entry of ``FilterCriteria`` (``{"Pattern": "..."}``).

    A JSON pattern never matches a plain body, nor a plain pattern a JSON one. A body counts as JSON if it is an
    object or an array (which bodies AWS takes for plain strings is not documented further).

    Raises:
        ConfigurationError: The pattern is not JSON, too long, has keys other than ``body``, or an unknown operator.
    """

    def __init__(self, pattern: Mapping[str, Any] | str) -> None:
        if isinstance(pattern, Mapping) and set(pattern) == {"Pattern"}:
            pattern = str(pattern["Pattern"])
        text = pattern if isinstance(pattern, str) else json.dumps(pattern)
        if len(text) > MAX_PATTERN_CHARS:
            raise ConfigurationError(f"a filter pattern has {len(text)} characters; the limit is {MAX_PATTERN_CHARS}")
        try:
            parsed = _load(text)
        except ValueError as error:
            raise ConfigurationError(f"the filter pattern {text!r} is not JSON: {error}") from error
        if not isinstance(parsed, dict) or set(parsed) != {"body"}:
            raise ConfigurationError(
                f"the filter pattern {text} must be an object with the one key 'body': "
                "an SQS event source filters on nothing else"
            )
        self.pattern = text
        self._body = parsed["body"]
        _validate(self._body, "body")

    def matches(self, body: str) -> bool:
        """Whether a message with this body reaches the function."""
        if isinstance(self._body, list):
            return not isinstance(_json_or_none(body), dict | list) and _match_field(self._body, body)
        value = _json_or_none(body)
        return isinstance(value, dict) and _match_object(self._body, value)

    def __repr__(self) -> str:
        return f"EventFilter({self.pattern!r})"


def filters_of(patterns: Iterable[EventFilter | Mapping[str, Any] | str]) -> tuple[EventFilter, ...]:
    """The filters for ``patterns``; a message passes if any of them matches, or if there are none.

    Raises:
        ConfigurationError: A pattern cannot work, or there are more than ten.
    """
    filters = tuple(item if isinstance(item, EventFilter) else EventFilter(item) for item in patterns)
    if len(filters) > MAX_FILTERS:
        raise ConfigurationError(f"{len(filters)} filters on one event source; the limit is {MAX_FILTERS}")
    return filters


def _load(text: str) -> Any:
    return json.loads(text, parse_int=_Number, parse_float=_Number)


def _json_or_none(body: str) -> Any:
    try:
        return _load(body)
    except ValueError:
        return None


def _match_object(pattern: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return all(
        any(_match_object(option, value) for option in wanted)
        if name == "$or"
        else _match_named(wanted, value.get(name, _MISSING))
        for name, wanted in pattern.items()
    )


def _match_named(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, list):
        return _match_field(wanted, value)
    if isinstance(value, list):
        return any(isinstance(item, dict) and _match_object(wanted, item) for item in value)
    # A pattern of "exists": false on a leaf holds when the whole branch is missing.
    return _match_object(wanted, value if isinstance(value, dict) else {})


def _match_field(alternatives: Sequence[Any], value: Any) -> bool:
    return any(_match_alternative(wanted, value) for wanted in alternatives)


def _match_alternative(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict):
        (operator, operand), *_ = wanted.items()
        if operator == "exists":
            # Only leaves exist for a filter: an object in that place does not count.
            return operand is (not isinstance(value, _Missing | dict))
        return any(_match_operator(operator, operand, item) for item in _leaves(value))
    return any(_same(wanted, item) for item in _leaves(value))


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, _Missing | dict):
        return []
    return value if isinstance(value, list) else [value]


def _match_operator(operator: str, operand: Any, value: Any) -> bool:
    if operator == "numeric":
        return isinstance(value, _Number) and _in_range(operand, value)
    if operator == "anything-but":
        refused = operand if isinstance(operand, list) else [operand]
        return not _match_field(refused, value)
    return isinstance(value, str) and _STRING_OPERATORS[operator](value, operand)


def _in_range(operand: Sequence[Any], value: _Number) -> bool:
    number = Decimal(value.text)
    return all(
        _NUMERIC_OPERATORS[sign](number, Decimal(bound.text))
        for sign, bound in zip(operand[::2], operand[1::2], strict=True)
    )


def _same(wanted: Any, value: Any) -> bool:
    return type(wanted) is type(value) and bool(wanted == value)


def _validate(pattern: Any, where: str) -> None:
    if isinstance(pattern, list):
        if not pattern:
            raise ConfigurationError(f"the filter pattern has no value at {where!r}; give at least one")
        for alternative in pattern:
            _validate_alternative(alternative, where)
    elif isinstance(pattern, dict) and pattern:
        for name, wanted in pattern.items():
            if name == "$or":
                if not isinstance(wanted, list) or not all(isinstance(option, dict) for option in wanted):
                    raise ConfigurationError(f"the filter pattern at {where!r}: '$or' takes a list of objects")
                for option in wanted:
                    _validate(option, where)
            else:
                _validate(wanted, f"{where}.{name}")
    else:
        raise ConfigurationError(
            f"the filter pattern at {where!r} is neither an object nor a list of values; write for example ['value']"
        )


def _validate_alternative(alternative: Any, where: str) -> None:
    if isinstance(alternative, list):
        raise ConfigurationError(f"the filter pattern at {where!r} has a list within a list")
    if not isinstance(alternative, dict):
        return
    if len(alternative) != 1:
        raise ConfigurationError(f"the filter pattern at {where!r} must have one operator in each object")
    ((operator, operand),) = alternative.items()
    valid = {
        "exists": lambda: isinstance(operand, bool),
        "numeric": lambda: _is_range(operand),
        "anything-but": lambda: _is_refusal(operand),
        **dict.fromkeys(_STRING_OPERATORS, lambda: isinstance(operand, str)),
    }
    if operator not in valid:
        raise ConfigurationError(
            f"the filter pattern at {where!r} has the unknown operator {operator!r}; there are {', '.join(valid)}"
        )
    if not valid[operator]():
        raise ConfigurationError(f"the filter pattern at {where!r}: {operator!r} cannot take that operand")


def _is_range(operand: Any) -> bool:
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        return False
    signs, bounds = operand[::2], operand[1::2]
    try:
        for bound in bounds:
            Decimal(bound.text if isinstance(bound, _Number) else "not a number")
    except InvalidOperation:
        return False
    return all(sign in _NUMERIC_OPERATORS for sign in signs)


def _is_refusal(operand: Any) -> bool:
    operands = operand if isinstance(operand, list) else [operand]
    return bool(operands) and all(
        isinstance(item, str | _Number | bool)
        or (isinstance(item, dict) and len(item) == 1 and next(iter(item)) in _STRING_OPERATORS)
        for item in operands
    )
