"""Whether a queue's functions get one job at a time or a list of several."""

from __future__ import annotations

from dataclasses import dataclass

from sqs_tasks.limits import check_number

#: More than ten are gathered over several receives; this bounds what a worker holds at once.
MAX_BATCH_SIZE = 10_000


@dataclass(frozen=True)
class NoBatching:
    """One job at a time."""

    @property
    def batch_size(self) -> int:
        """0: functions get single jobs."""
        return 0


@dataclass(frozen=True)
class BatchMessages:
    """A list of jobs at once: at most ``batch_size``, at least one.

    Args:
        batch_size: The longest list, 1 to 10,000.
    """

    batch_size: int

    def __post_init__(self) -> None:
        check_number(self.batch_size, "BatchMessages: batch_size", 1, MAX_BATCH_SIZE)


BatchingPolicy = NoBatching | BatchMessages
