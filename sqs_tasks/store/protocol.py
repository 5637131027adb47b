"""What a store can do: few operations on flat items, each of them whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, Self, TypeAlias

#: What an attribute may be. A whole number comes back as int, any other as float.
Value: TypeAlias = str | int | float | bool | bytes

#: The attributes of an item by name: flat, so that each of them can be a condition and can change by itself.
Item: TypeAlias = Mapping[str, Value]

#: What an item may be long, with its key and the names of its attributes: DynamoDB's limit, less what is ours.
MAX_ITEM_BYTES: Final = 390_000

#: Says that an attribute must be missing, or, as the only condition, the whole item.
ABSENT: Final = "absent"

Operator: TypeAlias = Literal["=", "<", "<=", ">", ">=", "absent", "present"]


class Condition(NamedTuple):
    """What must hold of one attribute for a write to be made; of a missing attribute nothing holds but ``absent``.

    Attributes:
        name: The attribute.
        operator: How it is compared.
        value: With what; None for ``absent`` and ``present``.
        or_absent: Whether it holds also where the attribute is missing.
    """

    name: str
    operator: Operator
    value: Value | None = None
    or_absent: bool = False


class Written(NamedTuple):
    """The answer to a conditional write.

    Attributes:
        done: Whether it was made.
        item: The item after it, or, where a condition did not hold, the one that stands in the way; None for none.
    """

    done: bool
    item: Item | None


class Store(Protocol):
    """Items by key. Any thread and any process may use one; each operation is atomic, and sees all that ended before.

    An item that has expired counts as absent, whether or not it was deleted already. Failures of the store are
    :class:`~sqs_tasks.errors.StoreUnavailableError`: then it is not known whether a write was made.
    """

    def for_environment(self, of_service: Callable[[str], Any], now: Callable[[], float]) -> Self:
        """The same store as one environment uses it.

        Args:
            of_service: Gives the environment's client of a service.
            now: The wall clock in seconds.
        """

    def get(self, key: str) -> Item | None:
        """The item, or None."""

    def put_if_absent(self, key: str, item: Item, *, expires_at: float | None = None) -> Written:
        """Make an item, unless there is one.

        Args:
            key: Its key.
            item: Its attributes.
            expires_at: When it counts as absent, in seconds since the epoch, rounded up to whole ones.
        """

    def update(
        self,
        key: str,
        changes: Mapping[str, Value | None],
        *,
        add: Mapping[str, float] | None = None,
        when: Sequence[Condition] = (),
        expires_at: float | None = None,
    ) -> Written:
        """Change attributes of an item if all conditions hold; without one an absent item is made.

        Args:
            key: Its key.
            changes: The new values; None removes an attribute.
            add: Numbers that are added to attributes, each of which begins at 0.
            when: The conditions.
            expires_at: The new moment at which it counts as absent; None leaves it as it is.
        """

    def delete(self, key: str, *, when: Sequence[Condition] = ()) -> Written:
        """Delete an item if all conditions hold; one that is absent is deleted already, and no condition asked."""


def holds(condition: Condition, item: Item | None) -> bool:
    """Whether a condition holds of an item."""
    name, operator, value, or_absent = condition
    found = None if item is None else item.get(name)
    if found is None:
        return or_absent or operator == ABSENT
    if operator == ABSENT:
        return False
    if operator == "present":
        return True
    if _kind(found) != _kind(value):
        return False
    left: Any = found
    right: Any = value
    match operator:
        case "=":
            return bool(left == right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case ">=":
            return bool(left >= right)


def whole_seconds(expires_at: float) -> int:
    """The moment at which an item counts as absent: DynamoDB takes whole seconds."""
    return math.ceil(expires_at)


def size_of(key: str, item: Item) -> int:
    """About what DynamoDB counts of an item, in bytes."""
    return len(key.encode()) + sum(len(name.encode()) + _bytes_of(value) for name, value in item.items())


def _bytes_of(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    return len(value) if isinstance(value, bytes) else 21


def _kind(value: object) -> str:
    """Values of two kinds are neither equal nor in an order; whole and other numbers are of one."""
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else type(value).__name__
