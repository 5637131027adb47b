"""The clock of the embedded SQS: real time, or a time that a test moves.

Everything in SQS that waits (visibility, delay, deduplication, retention, long polls) reads this one clock, so a test
that advances it sees an hour of SQS in a microsecond.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the model asks of time."""

    def now(self) -> float:
        """Seconds since the epoch; never goes backwards."""
        ...


class SystemClock:
    """Real time, read once from the wall and then carried by the monotonic clock.

    A step of the wall clock (NTP, a laptop waking up) would otherwise end or extend every visibility timeout at once.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._offset + time.monotonic()


class ManualClock:
    """A time that stands still until it is advanced.

    Args:
        start: Seconds since the epoch at which the clock stands; the real time when left out, so that timestamps in
            messages look like today's.
    """

    def __init__(self, start: float | None = None) -> None:
        self._now = float(int(time.time())) if start is None else float(start)
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> float:
        """Move on by that many seconds and return the new time."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back: advance({seconds}); give a number of seconds >= 0")
        with self._lock:
            self._now += seconds
            return self._now

    def advance_to(self, moment: float) -> float:
        """Move on to that moment, unless it has passed already, and return the time."""
        with self._lock:
            self._now = max(self._now, moment)
            return self._now


def wall_time(clock: Clock) -> float:
    """Seconds since the epoch by the calendar, for what is due at a time of day.

    Of real time it is the wall's, which goes on while a laptop sleeps; a clock that a test moves has only one time.
    """
    return time.time() if isinstance(clock, SystemClock) else clock.now()
