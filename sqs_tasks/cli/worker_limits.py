"""When a worker ends by itself: one policy for all its queues, which all stop together."""

from __future__ import annotations

import threading

from sqs_tasks import limits
from sqs_tasks.outcome import BatchProcessingResult
from sqs_tasks.shutdown_policies import (
    IdleShutdown,
    MaxRuntimeShutdown,
    MaxTasksShutdown,
    OrShutdown,
    ShutdownPolicy,
)
from sqs_tasks.worker.memory_limit import MaxRSSShutdown


class WorkerLimits:
    """Ends a worker after some jobs, some time, or some time without jobs, whichever comes first.

    The polling threads of all queues share it: jobs count wherever they ran, a worker is idle when all its queues
    are, and when one queue stops, so do all others.

    Args:
        max_tasks: Jobs, failed ones too.
        max_runtime: Seconds.
        max_rss: Bytes of resident memory.
        idle_seconds: Seconds without a job.
    """

    def __init__(
        self,
        *,
        max_tasks: int | None = None,
        max_runtime: float | None = None,
        max_rss: int | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        policies: list[ShutdownPolicy] = []
        if max_tasks is not None:
            policies.append(MaxTasksShutdown(max_tasks))
        if max_runtime is not None:
            policies.append(MaxRuntimeShutdown(max_runtime))
        if max_rss is not None:
            policies.append(MaxRSSShutdown(max_rss))
        self._used_up = OrShutdown(*policies)
        if idle_seconds is not None:
            policies.append(IdleShutdown(idle_seconds))
        self._any = OrShutdown(*policies)
        self._over = False
        self._lock = threading.Lock()

    def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
        """Count what was settled in any queue."""
        with self._lock:
            self._any.update_state(batch_processing_result)

    def need_shutdown(self) -> bool:
        """Whether a limit has been reached; from then on, for good."""
        with self._lock:
            self._over = self._over or self._any.need_shutdown()
            return self._over

    def wants_fresh_process(self) -> bool:
        """Whether it ended because this process is used up, and not because there is nothing left to do."""
        with self._lock:
            return self._over and self._used_up.need_shutdown()

    def longest_wait_seconds(self) -> float:
        """How long a poll may wait without outlasting a limit."""
        with self._lock:
            return min(self._any.longest_wait_seconds(), limits.MAX_WAIT_SECONDS)
