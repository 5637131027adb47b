"""How many jobs may run, by time or at once, over all workers and functions: ``limits=[RateLimit(…), …]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sqs_tasks import limits
from sqs_tasks.store.coalescing import check_by

#: Seconds whose jobs may begin at once where a rate says nothing of a burst: jobs that were put off come by whole
#: seconds, and with less the rate would not be used.
BURST_SECONDS = 2.0


@dataclass(frozen=True)
class RateLimit:
    """So many jobs begin in so many seconds, evenly: 100 in 60 seconds is one every 0.6 seconds.

    Attributes:
        count: How many.
        per_seconds: In how many seconds.
        by: The argument by whose values jobs are counted apart, a tenant's id, say; None for all together.
        burst: How many may begin at once after a pause. In any stretch of time at most this many more begin than the
            rate says. None for those of two seconds; for one job, where a rate is slower, which may then come two
            seconds before its time, so that what is late does not lower the rate.
    """

    count: int
    per_seconds: float = 1.0
    by: str | None = None
    burst: int | None = None

    def __post_init__(self) -> None:
        limits.check_number(self.count, "RateLimit: count", 1)
        limits.check_number(
            self.per_seconds, "RateLimit: per_seconds", 0, 86_400, unit="seconds", whole=False, above=True
        )
        if self.burst is not None:
            limits.check_number(self.burst, "RateLimit: burst", 1)
        check_by(self.by, "RateLimit")

    @property
    def interval(self) -> float:
        """Seconds between two jobs."""
        return self.per_seconds / self.count

    @property
    def tolerance(self) -> float:
        """Seconds of jobs that may begin at once."""
        if self.burst is not None:
            return self.burst * self.interval
        return max(BURST_SECONDS, self.interval + min(BURST_SECONDS, self.interval / 2))


@dataclass(frozen=True)
class ConcurrencyLimit:
    """So many jobs run at once.

    Attributes:
        count: How many.
        by: The argument by whose values jobs are counted apart; None for all together.
    """

    count: int
    by: str | None = None

    def __post_init__(self) -> None:
        limits.check_number(self.count, "ConcurrencyLimit: count", 1, 1_000)
        check_by(self.by, "ConcurrencyLimit")


Limit: TypeAlias = RateLimit | ConcurrencyLimit


class SharedLimit(Protocol):
    """A limit with a name, which several tasks may have: what ``env.limit`` gives."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def limit(self) -> Limit:
        """The limit."""
