"""Whether a queue's functions get one job at a time or a list of several."""

from __future__ import annotations

from dataclasses import dataclass

from sqs_tasks.errors import ConfigurationError

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
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int):
            raise ConfigurationError(f"BatchMessages({self.batch_size!r}): must be a whole number")
        if not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            raise ConfigurationError(f"BatchMessages({self.batch_size}): must be 1 to {MAX_BATCH_SIZE}")


BatchingPolicy = NoBatching | BatchMessages
