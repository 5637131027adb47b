"""The agenda: what has to happen at a later moment, soonest first.

Every end of a delay, of a visibility timeout and of a long poll is one alarm here. What drives the model asks for the
next moment and comes back exactly then, so nothing in this package ever polls.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any

#: An alarm is a list so that it sorts by moment, then by order of entry, and can be emptied in place.
Alarm = list[Any]

_LAST = 1 << 62

_WHEN, _ACTION, _ARGUMENT = 0, 2, 3

#: Cancelled alarms are left in the heap until they outnumber the live ones and this many, then swept in one go.
_SWEEP_AT_LEAST = 256


class Agenda:
    """Alarms by moment. Adding and cancelling cost O(log n), amortised."""

    def __init__(self) -> None:
        self._heap: list[Alarm] = []
        self._order = itertools.count()
        self._cancelled = 0

    def at(self, moment: float, action: Callable[[Any], None], argument: Any, *, last: bool = False) -> Alarm:
        """Have ``action(argument)`` called by the first :meth:`run_due` at or after that moment.

        Alarms of one moment ring in the order of entry, those marked ``last`` after all others.
        """
        order = next(self._order)
        alarm: Alarm = [moment, order + _LAST if last else order, action, argument]
        heapq.heappush(self._heap, alarm)
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Forget an alarm; one that has rung or was cancelled before is ignored."""
        if alarm[_ACTION] is None:
            return
        alarm[_ACTION] = alarm[_ARGUMENT] = None
        self._cancelled += 1
        if self._cancelled > _SWEEP_AT_LEAST and self._cancelled * 2 > len(self._heap):
            self._heap = [kept for kept in self._heap if kept[_ACTION] is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_moment(self) -> float | None:
        """The moment of the next alarm, or None when nothing is planned."""
        heap = self._heap
        while heap and heap[0][_ACTION] is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][_WHEN] if heap else None

    def run_due(self, now: float) -> None:
        """Ring every alarm whose moment has come, in order."""
        heap = self._heap
        while heap and heap[0][_WHEN] <= now:
            alarm = heapq.heappop(heap)
            action, argument = alarm[_ACTION], alarm[_ARGUMENT]
            if action is None:
                self._cancelled -= 1
                continue
            alarm[_ACTION] = alarm[_ARGUMENT] = None
            action(argument)
            heap = self._heap
