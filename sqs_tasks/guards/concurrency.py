"""Slots over all workers: an item for each key names who holds one, and until when.

``n`` is how many are held; ``h.<run id>`` is the end of one's lease. Both change in one write. ``last`` is how long the
last run held its slot; by it those that wait are spread, ``next`` being when the last of them comes.
"""

from __future__ import annotations

from typing import Final

from sqs_tasks.guards.guard import LEASE_SECONDS
from sqs_tasks.store.limits import ConcurrencyLimit
from sqs_tasks.store.protocol import Condition, Item, Store, Value

_HOLDER: Final = "h."

#: The longest and the shortest for which a job is put off that found no slot.
LONGEST_SECONDS, SHORTEST_SECONDS = 900.0, 1.0

#: Seconds that a run is taken to last before one has ended.
_FIRST_SECONDS = 2.0

#: Times that slots of dead workers are taken back for one job.
_TRIES = 5


def take(store: Store, key: str, limit: ConcurrencyLimit, now: float, run_id: str) -> float | None:
    """Take a slot, or say in how many seconds it is worth to try again; None if it was taken.

    Raises:
        StoreUnavailableError: The store does not answer.
    """
    mine, until = _HOLDER + run_id, now + LEASE_SECONDS
    free = [Condition("n", "<", limit.count, or_absent=True), Condition(mine, "absent")]
    there: Item = {}
    for _ in range(_TRIES):
        taken = store.update(key, {mine: until}, add={"n": 1}, when=free, expires_at=until + LONGEST_SECONDS)
        there = taken.item or {}
        if taken.done or mine in there:  # by a request whose answer was lost
            return None
        dead = {name: end for name, end in _holders(there).items() if end <= now}
        if not dead:
            break
        # All of them as they were seen: one that was prolonged, or taken back by another, is left.
        store.update(
            key,
            dict.fromkeys(dead),
            add={"n": -len(dead)},
            when=[Condition(name, "=", end) for name, end in dead.items()],
        )
    return _wait_seconds(store, key, limit, now, there)


def prolong(store: Store, key: str, now: float, run_id: str) -> bool:
    """Hold a slot for longer; whether it was still held."""
    mine, until = _HOLDER + run_id, now + LEASE_SECONDS
    held = [Condition(mine, "present")]
    return store.update(key, {mine: until}, when=held, expires_at=until + LONGEST_SECONDS).done


def give_back(store: Store, key: str, run_id: str, seconds: float | None) -> None:
    """Give a slot back.

    Args:
        store: The store.
        key: The key of the limit's item.
        run_id: Who held it.
        seconds: For how long, where that says something of other runs.
    """
    mine = _HOLDER + run_id
    changes: dict[str, Value | None] = {mine: None}
    if seconds is not None:
        changes["last"] = seconds
    store.update(key, changes, add={"n": -1}, when=[Condition(mine, "present")])


def _wait_seconds(store: Store, key: str, limit: ConcurrencyLimit, now: float, there: Item) -> float:
    """When to try again: after those that wait already, one for each run that is likely to end."""
    step = max(_number(there, "last", _FIRST_SECONDS), SHORTEST_SECONDS / 2) / limit.count
    waiting = _number(there, "next", now)
    if waiting - now > LONGEST_SECONDS:
        return LONGEST_SECONDS
    if waiting <= now:
        store.update(key, {"next": now + step}, when=[Condition("n", "present")])
        due = now + step
    else:
        line = store.update(key, {}, add={"next": step}, when=[Condition("next", ">=", now)])
        due = _number(line.item or {}, "next", now + step) if line.done else now + step
    return min(max(due - now, SHORTEST_SECONDS), LONGEST_SECONDS)


def _holders(item: Item) -> dict[str, float]:
    return {
        name: float(end) for name, end in item.items() if name.startswith(_HOLDER) and isinstance(end, (int, float))
    }


def _number(item: Item, name: str, default: float) -> float:
    value = item.get(name, default)
    return float(value) if isinstance(value, (int, float)) else default
