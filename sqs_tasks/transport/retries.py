"""When a request is sent again: botocore's standard mode (AWS SDKs and Tools guide, "Retry behavior")."""

from __future__ import annotations

import random
from collections.abc import Mapping

_THROTTLED_CODES = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "RequestThrottled",
        "SlowDown",
    }
)
_PASSING_CODES = frozenset({"RequestTimeout", "RequestTimeoutException"})
_PASSING_STATUSES = frozenset({500, 502, 503, 504})
_TOO_MANY_REQUESTS = 429

_LONGEST_WAIT_SECONDS = 20
#: How much longer than its own wait a client heeds the endpoint's.
_MOST_ADDED_SECONDS = 5


class RetryQuota:
    """How many more failures are met with another try; shared by threads, so that an outage costs few requests.

    Without a lock, which a fork could leave held for ever: a number that two threads change at once is off by a few.
    """

    _CAPACITY = 500
    _COST = 14
    _COST_OF_THROTTLE = 5

    def __init__(self) -> None:
        self._left = self._CAPACITY

    def takes(self, *, throttled: bool) -> int | None:
        """What another try costs; None when nothing is left for it."""
        cost = self._COST_OF_THROTTLE if throttled else self._COST
        if cost > self._left:
            return None
        self._left -= cost
        return cost

    def gives(self, amount: int) -> None:
        """Put back what a try cost that was answered; 1 for a request that needed none."""
        if self._left < self._CAPACITY:
            self._left = min(self._left + amount, self._CAPACITY)


def is_throttled(status: int, code: str) -> bool:
    """Whether an answer says that there were too many requests."""
    return code in _THROTTLED_CODES or status == _TOO_MANY_REQUESTS


def may_pass(status: int, code: str) -> bool:
    """Whether the same request may well be answered a moment later."""
    return status in _PASSING_STATUSES or code in _PASSING_CODES or is_throttled(status, code)


def wait_seconds(attempt: int, *, throttled: bool, headers: Mapping[str, str] | None = None) -> float:
    """How long to wait before the next try.

    Args:
        attempt: How many tries there were, from 1.
        throttled: Whether there were too many requests: then it begins with up to a second, otherwise with up to 50 ms.
        headers: Those of the answer, in which the endpoint may ask for longer.
    """
    scale = 1.0 if throttled else 0.05
    wait: float = random.random() * min(scale * 2 ** (attempt - 1), _LONGEST_WAIT_SECONDS)  # noqa: S311 - no secret
    asked = (headers or {}).get("x-amz-retry-after", "")
    return max(wait, min(int(asked) / 1000, wait + _MOST_ADDED_SECONDS)) if asked.isdecimal() else wait
