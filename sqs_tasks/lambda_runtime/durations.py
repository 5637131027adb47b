"""How long tasks without a timeout took here, for the question whether one more fits before the deadline (S51)."""

from __future__ import annotations

from collections import deque

#: Runs that are remembered of each task; the longest of a hundred is their 99th percentile.
REMEMBERED_RUNS = 100


class ObservedDurations:
    """The last runs of each task in this process. Safe to share between threads."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], deque[float]] = {}

    def add(self, queue_name: str, job_name: str, seconds: float) -> None:
        """Remember a run."""
        runs = self._seconds.get((queue_name, job_name))
        if runs is None:
            runs = self._seconds.setdefault((queue_name, job_name), deque(maxlen=REMEMBERED_RUNS))
        runs.append(seconds)

    def p99_seconds(self, queue_name: str, job_name: str) -> float:
        """The 99th percentile of the last hundred runs, in seconds; 0 before the first."""
        runs = self._seconds.get((queue_name, job_name))
        return max(runs.copy()) if runs else 0.0
