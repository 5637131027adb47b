"""The end of an invocation, and what is still possible before it (S50, S51)."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

from sqs_tasks.interrupting import main_thread_timeout

#: Seconds kept free at the end of an invocation for settling and for flushing telemetry.
MARGIN_SECONDS = 2.0

#: The share of an invocation's time that is kept free at most: by default, and when a margin was asked for. A function
#: with three seconds could do next to nothing if two of them were kept free.
MARGIN_SHARE, MAX_MARGIN_SHARE = 0.1, 0.5

#: Seconds before the end at which the answer must be on its way, whatever is not settled by then.
ANSWER_SECONDS = 0.25

#: The shortest limit; 0 would mean none.
_LEAST_SECONDS = 0.001


class OutOfTime(BaseException):
    """Settling is given up: the answer has to be on its way."""


class Deadline:
    """When Lambda ends the invocation, after which nothing it did counts.

    Args:
        context: Lambda's context; None, or one without a clock, has no end.
        margin_seconds: What is kept free at the end, at most half of the time there is; None computes it.
    """

    def __init__(self, context: Any, margin_seconds: float | None = None) -> None:
        self._remaining_millis = getattr(context, "get_remaining_time_in_millis", None)
        total = self.seconds_left()
        if margin_seconds is None:
            self.margin_seconds = min(MARGIN_SECONDS, total * MARGIN_SHARE)
        else:
            self.margin_seconds = min(margin_seconds, total * MAX_MARGIN_SHARE)

    def seconds_left(self) -> float:
        """Seconds until the end; infinity when there is none."""
        if self._remaining_millis is None:
            return math.inf
        try:
            return float(self._remaining_millis()) / 1000
        except BaseException:  # noqa: BLE001 - somebody's own context; without a clock there is no deadline
            self._remaining_millis = None
            return math.inf

    def seconds_to_work(self) -> float:
        """Seconds until the margin begins, above 0; infinity when there is no end."""
        return max(self.seconds_left() - self.margin_seconds, _LEAST_SECONDS)

    def covers(self, seconds: float) -> bool:
        """Whether that much work still fits."""
        return self.seconds_left() >= seconds + self.margin_seconds

    def interrupter(self, timeout_seconds: float | None) -> AbstractContextManager[None]:
        """A limit for plain code: its timeout, or the margin where that comes first."""
        left = self.seconds_to_work()
        if timeout_seconds is not None and timeout_seconds <= left:
            return main_thread_timeout(timeout_seconds)
        return main_thread_timeout(None if left == math.inf else left, "the invocation's time was used up after {:g} s")

    def limit_seconds(self, timeout_seconds: float | None) -> float | None:
        """A limit for a coroutine: its timeout, or the margin where that comes first; None for no limit."""
        left = self.seconds_to_work()
        if timeout_seconds is None:
            return None if left == math.inf else left
        return min(timeout_seconds, left)

    def settling(self) -> AbstractContextManager[None]:
        """A limit for settling: an answer that comes too late is none, and then everything is run again (S50).

        It raises OutOfTime.
        """
        left = self.seconds_left()
        limit = None if left == math.inf else max(left - ANSWER_SECONDS, _LEAST_SECONDS)
        return main_thread_timeout(limit, "given up after {:g} s, at the end of the invocation", OutOfTime)
