"""Slots: how many jobs each queue of a process may have in progress. The one place where queues compete."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

#: Seconds between two looks at the stop and the policy while no slot is free.
SLOT_WAIT_SECONDS = 1.0

#: Seconds a poller waits for more slots when it could have some now: short jobs end within it, and a receive of ten
#: costs as much as a receive of one.
GATHER_SECONDS = 0.005


@dataclass(slots=True)
class _Waiter:
    """A polling thread that waits for slots."""

    most: int
    least: int
    woken: threading.Condition


class Slots:
    """Counts the jobs in progress. Polling threads acquire before a receive: nothing is received that cannot start.

    Every queue has one slot that no other can take: a queue whose tasks hang never stops the others. The rest goes,
    while several queues want it, to the one that holds least for its weight; when only one wants it, to that one.
    With ``strict`` a queue gets none as long as one before it had messages at its last receive.

    Args:
        total: Slots of the process; at least one for each queue.
        weights: A weight for each queue, in order of priority.
        strict: Whether that order is absolute.
    """

    def __init__(self, total: int, weights: Sequence[float], *, strict: bool = False) -> None:
        self.total = max(total, len(weights))
        self._weights = tuple(weights)
        self._strict = strict
        self._free = self.total
        self._held = [0] * len(weights)
        # Under a strict order each queue is taken to have messages until a receive has shown that it has none.
        self._hot = [strict] * len(weights)
        self._waiting: dict[int, _Waiter] = {}
        self._lock = threading.Lock()

    def acquire(self, queue: int, most: int, timeout_seconds: float, *, least: int = 1) -> int:
        """Slots for a queue: ``least`` to ``most``, or 0 after waiting this long for them.

        Args:
            queue: The queue's index.
            most: The most it can use.
            timeout_seconds: How long to wait.
            least: Fewer are not worth a receive: what was prefetched keeps the workers busy meanwhile.
        """
        with self._lock:
            granted = self._taken(queue, most, least, timeout_seconds)
            missing = most - granted
            if not granted or missing <= 0 or self._held[queue] == granted:
                return granted
            # Others of this queue are running and may end in a moment.
            more = self._taken(queue, missing, missing, GATHER_SECONDS)
            if not more:
                more = self._grant(queue, missing)
                self._take(queue, more)
            return granted + more

    def take(self, queue: int, count: int) -> None:
        """Take slots that may not be there, for messages that came all the same; until they are back none is given."""
        with self._lock:
            self._take(queue, count)

    def release(self, queue: int, count: int = 1) -> None:
        """Give slots back."""
        if not count:
            return
        with self._lock:
            self._take(queue, -count)
            if self._waiting:
                self._wake()

    def set_hot(self, queue: int, *, hot: bool) -> None:
        """Note whether the last receive of a queue brought messages."""
        if self._hot[queue] is hot:
            return
        with self._lock:
            self._hot[queue] = hot
            self._wake()

    def held(self) -> int:
        """How many are out."""
        with self._lock:
            return self.total - self._free

    def _taken(self, queue: int, most: int, least: int, seconds: float) -> int:
        """Take slots for a queue, at least so many, or 0 after waiting this long. Called with the lock held."""
        waiter = _Waiter(most, least, threading.Condition(self._lock))
        self._waiting[queue] = waiter
        deadline = time.monotonic() + seconds
        try:
            while (granted := self._grant(queue, most)) < least:
                left = deadline - time.monotonic()
                if left <= 0:
                    return 0
                waiter.woken.wait(left)
            self._take(queue, granted)
            return granted
        finally:
            del self._waiting[queue]
            self._wake()  # one that stood behind it, or for whom there is enough left

    def _wake(self) -> None:
        """Wake the one that has what it waits for, if any. To wake all at each job's end would cost more than the jobs.

        Called with the lock held.
        """
        for queue, waiter in self._waiting.items():
            if self._grant(queue, waiter.most) >= waiter.least:
                waiter.woken.notify()
                return

    def _take(self, queue: int, count: int) -> None:
        self._free -= count
        self._held[queue] += count

    def _grant(self, queue: int, most: int) -> int:
        """How many the queue may take now. Called with the lock held."""
        others = [one for one in range(len(self._held)) if one != queue]
        free = self._free - sum(1 for one in others if self._held[one] <= 0)
        if free <= 0:
            return 0
        if self._strict and any(self._hot[one] for one in others if one < queue):
            return 0
        rivals = [one for one in others if one in self._waiting]
        if not rivals:
            return min(free, most)
        if any(self._claim(one) < self._claim(queue) for one in rivals):
            return 0
        weight = self._weights[queue]
        share = int(self.total * weight / (weight + sum(self._weights[one] for one in rivals)))
        return max(1, min(free, most, share - self._held[queue]))

    def _claim(self, queue: int) -> tuple[float, int]:
        """The less, the sooner served: what it holds for its weight, and its place."""
        return (self._held[queue] / self._weights[queue], queue)


class QueueSlots:
    """What one queue takes of the slots of its process: those for plain tasks and those for async ones.

    A receive takes slots of each kind that its messages may need, and gives back what they turn out not to need.

    Args:
        queue: The queue's index.
        plain: The slots for jobs that run in threads.
        on_loop: The slots for jobs that run on the event loop; None when the process has none.
        needs_plain: Whether a message of this queue may need a thread.
        needs_loop: Whether a message of this queue may need the event loop.
        several: Whether other queues want slots too.
        prefetch: How many slots are for messages that cannot start yet.
    """

    def __init__(
        self,
        queue: int,
        plain: Slots,
        on_loop: Slots | None,
        *,
        needs_plain: bool,
        needs_loop: bool,
        several: bool,
        prefetch: int,
    ) -> None:
        self._queue = queue
        self._plain = plain
        self._on_loop = on_loop
        self._needs_plain = needs_plain
        self._needs_loop = needs_loop and on_loop is not None
        self._several = several
        self._prefetch = prefetch

    def acquire(self, most: int) -> int:
        """Slots for a receive of at most so many messages, or 0 after :data:`SLOT_WAIT_SECONDS`."""
        granted = most
        if self._needs_plain:
            granted = self._plain.acquire(self._queue, granted, SLOT_WAIT_SECONDS, least=self._least(most))
        if granted and self._needs_loop and self._on_loop is not None:
            least = 1 if self._needs_plain else self._least(most)
            also = self._on_loop.acquire(self._queue, granted, SLOT_WAIT_SECONDS, least=least)
            if self._needs_plain and also < granted:
                self._plain.release(self._queue, granted - also)
            granted = also
        return granted

    def release(self, count: int) -> None:
        """Give back what a receive took and did not use at all."""
        if self._needs_plain:
            self._plain.release(self._queue, count)
        if self._needs_loop and self._on_loop is not None:
            self._on_loop.release(self._queue, count)

    def adjust(self, granted: int, *, plain: int, on_loop: int) -> None:
        """After a receive that took ``granted``: give back what its lanes do not need, or take what they lack.

        Args:
            granted: What :meth:`acquire` gave; 0 when it was not asked.
            plain: Lanes that run in threads.
            on_loop: Lanes that run on the event loop.
        """
        if self._needs_plain or plain:
            _balance(self._plain, self._queue, granted if self._needs_plain else 0, plain)
        if self._needs_loop and self._on_loop is not None:
            _balance(self._on_loop, self._queue, granted, on_loop)

    def lane_over(self, *, on_loop: bool) -> None:
        """A lane has ended: its slot is free."""
        slots = self._on_loop if on_loop else self._plain
        if slots is not None:
            slots.release(self._queue)

    def set_hot(self, *, hot: bool) -> None:
        """Note whether the last receive brought messages."""
        self._plain.set_hot(self._queue, hot=hot)
        if self._on_loop is not None:
            self._on_loop.set_hot(self._queue, hot=hot)

    def _least(self, most: int) -> int:
        return 1 if self._several else max(min(most, self._prefetch), 1)


def _balance(slots: Slots, queue: int, granted: int, needed: int) -> None:
    if granted > needed:
        slots.release(queue, granted - needed)
    elif needed > granted:
        slots.take(queue, needed - granted)
