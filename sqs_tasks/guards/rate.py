"""A rate over all workers: an item for each key says when the next job is due by the rate (the leaky bucket).

``tat`` is the moment at which the bucket is empty again; a job may begin while that is less than the tolerance away.
``next`` is the moment for which the last job was put off: each gets one of its own, an interval after the one before,
so that they come back evenly and in the order in which they were put off.
"""

from __future__ import annotations

from typing import Final

from sqs_tasks.errors import StoreUnavailableError
from sqs_tasks.store.limits import RateLimit
from sqs_tasks.store.protocol import Condition, Item, Store, Value

#: The longest for which a job is put off: it comes again and is put off again.
LONGEST_SECONDS: Final = 43_200.0

#: Times that a write is made again because another was faster. Only the first job after a pause can lose such a race.
_TRIES = 20


def take(store: Store, key: str, limit: RateLimit, now: float, *, has_waited: bool) -> float | None:
    """Let a job begin now, or say in how many seconds it may.

    Args:
        store: The store.
        key: The key of the limit's item.
        limit: The rate.
        now: The moment.
        has_waited: Whether the job was put off before. Others wait behind those that wait already.

    Returns:
        None if it may begin; it has then taken its part of the rate, and nothing gives that back.

    Raises:
        StoreUnavailableError: The store does not answer.
    """
    kept_until = now + limit.tolerance + 2 * LONGEST_SECONDS
    turn = [] if has_waited else [Condition("next", "<=", now, or_absent=True)]
    latest = now + limit.tolerance - limit.interval
    for _ in range(_TRIES):
        within = [Condition("tat", ">=", now), Condition("tat", "<=", latest)]
        busy = store.update(key, {}, add={"tat": limit.interval}, when=[*within, *turn], expires_at=kept_until)
        if busy.done:
            return None
        there = busy.item or {}
        if _is_later(there, "next", now) and not has_waited:
            return _line_up(store, key, limit, now, there)
        if _is_later(there, "tat", latest):
            return _line_up(store, key, limit, now, there)
        # After a pause: the bucket is empty, and the first to say so begins anew.
        unchanged = _unchanged(there, "tat")
        idle = store.update(key, {"tat": now + limit.interval}, when=[unchanged, *turn], expires_at=kept_until)
        if idle.done:
            return None
    raise _too_busy(key)


def _line_up(store: Store, key: str, limit: RateLimit, now: float, there: Item) -> float:
    """Seconds until the turn of a job that is put off; it is taken by nobody else."""
    kept_until = now + limit.tolerance + 2 * LONGEST_SECONDS
    for _ in range(_TRIES):
        free_at = max(now, _number(there, "tat", now) - limit.tolerance + limit.interval)
        if _number(there, "next", 0.0) - now > LONGEST_SECONDS:
            return LONGEST_SECONDS
        behind = store.update(
            key,
            {},
            add={"next": limit.interval},
            when=[Condition("next", ">=", free_at - limit.interval)],
            expires_at=kept_until,
        )
        if behind.done:
            return _number(behind.item or {}, "next", now) - now
        there = behind.item or {}
        changes: dict[str, Value | None] = {"next": free_at}
        first = store.update(key, changes, when=[_unchanged(there, "next")], expires_at=kept_until)
        if first.done:
            return free_at - now
        there = first.item or {}
    raise _too_busy(key)


def _is_later(item: Item, name: str, moment: float) -> bool:
    return _number(item, name, moment) > moment


def _number(item: Item, name: str, default: float) -> float:
    value = item.get(name, default)
    return float(value) if isinstance(value, (int, float)) else default


def _unchanged(item: Item, name: str) -> Condition:
    seen = item.get(name)
    return Condition(name, "absent") if seen is None else Condition(name, "=", seen)


def _too_busy(key: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the limit {key.split('/')[1]!r} changed {_TRIES} times while it was asked; it is asked again later"
    )
