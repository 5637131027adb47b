"""When a worker makes room for a fresh process because it has grown."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence

from sqs_tasks.outcome import BatchProcessingResult
from sqs_tasks.worker.worked_queue import WorkedQueue

logger = logging.getLogger(__name__)

#: Seconds between two looks at the memory.
LOOK_SECONDS = 1.0


class MaxRSSShutdown:
    """Stops when the process holds more memory than this; as gracefully as any stop, running jobs are finished.

    Args:
        max_bytes: The limit of the resident set in bytes.
        rss: Gives the resident set; for tests.
        clock: The monotonic clock, for tests.
    """

    def __init__(
        self, max_bytes: int, *, rss: Callable[[], int] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_bytes = max_bytes
        self._rss = rss or resident_bytes
        self._clock = clock
        self._looked_at = float("-inf")
        self._over = False

    def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
        """Nothing to note."""

    def need_shutdown(self) -> bool:
        """Whether the process was above the limit at the last look."""
        now = self._clock()
        if not self._over and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._over = self._rss() > self.max_bytes
        return self._over


def warn_of_unlimited(queues: Sequence[WorkedQueue], *, is_isolated: bool) -> None:
    """Warn once of tasks whose ``memory_mib`` nothing enforces in this worker."""
    names = [
        f"{queue.name}.{task.name}"
        for queue in queues
        for task in queue.tasks
        if task.settings.memory_mib is not None and not (is_isolated and resident_bytes_of(os.getpid()))
    ]
    if names:
        logger.warning(
            "memory_mib of %s is not enforced here; %s",
            ", ".join(names),
            "the memory of a process is not to be seen on this system"
            if is_isolated
            else "work their queues with --isolate process, where each job has a process",
            extra={"action": "memory_unenforced", "tasks": names},
        )


def resident_bytes_of(pid: int) -> int:
    """The resident set of another process in bytes; 0 where it cannot be read."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:  # noqa: PTH123 - read many times a second
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def resident_bytes() -> int:
    """The resident set of this process in bytes; where it cannot be read, the largest it ever was."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - read once a second
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Kilobytes, but for macOS, which says bytes.
        return most if sys.platform == "darwin" else most * 1024
