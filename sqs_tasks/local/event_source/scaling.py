"""How many batches at a time: Lambda begins with a few, and adds more as long as there are messages (S33, S35).

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
"""

from __future__ import annotations

from typing import Self

#: Batches at a time when a standard queue becomes active, and how many more each minute (S33).
FIRST_BATCHES, MORE_BATCHES_A_MINUTE = 5, 300.0

#: Batches at a time of one provisioned poller, and how many more each minute all of them get (S35).
BATCHES_OF_A_POLLER, MORE_PROVISIONED_BATCHES_A_MINUTE = 10, 1_000.0


class Scaling:
    """The number of batches that may be in flight at this moment.

    It grows while polls find messages, and is back at the first number after a poll that found none. Each failure that
    Lambda slows down for halves it, and each success gives one back; how fast Lambda itself does that is not published.

    Not safe for threads: the event source asks under its lock.

    Args:
        first: Batches at a time in the beginning.
        most: Batches at a time, at most.
        more_a_minute: By how many the number grows.
    """

    def __init__(self, *, first: int, most: int, more_a_minute: float) -> None:
        self._first = min(first, most)
        self._most = self._limit = most
        self._more_a_second = more_a_minute / 60
        self._busy_since: float | None = None

    @classmethod
    def of(cls, *, most: int, fifo: bool, provisioned_pollers: tuple[int, int] | None) -> Self:
        """The scaling of a queue; a FIFO queue has as many batches as active groups from the start (S30)."""
        if fifo:
            return cls(first=most, most=most, more_a_minute=0)
        if provisioned_pollers is not None:
            first = provisioned_pollers[0] * BATCHES_OF_A_POLLER
            return cls(first=first, most=most, more_a_minute=MORE_PROVISIONED_BATCHES_A_MINUTE)
        return cls(first=FIRST_BATCHES, most=most, more_a_minute=MORE_BATCHES_A_MINUTE)

    def allowed(self, now: float) -> int:
        """Batches at a time."""
        busy_seconds = 0.0 if self._busy_since is None else now - self._busy_since
        return max(1, min(self._first + int(busy_seconds * self._more_a_second), self._limit))

    def polled(self, *, found: bool, now: float) -> None:
        """A poll brought messages, or none."""
        if not found:
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = now

    def failed(self, now: float) -> None:
        """An invocation failed in a way that Lambda slows down for."""
        self._limit = max(1, self.allowed(now) // 2)

    def succeeded(self) -> None:
        """Any other invocation ended."""
        self._limit = min(self._most, self._limit + 1)
