"""Jobs that run beyond the ``timeout`` of their task, where nothing can end them: they are reported and counted.

Python code in a thread other than the main one cannot be interrupted, and a coroutine can catch each cancellation. Such
a job keeps its slot until it returns.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from weakref import WeakSet

from sqs_tasks.message import Job, JobBatch
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.worker.looking import looking
from sqs_tasks.worker.worked_queue import WorkedQueue

logger = logging.getLogger(__name__)

#: Seconds between two looks.
LOOK_SECONDS = 1.0

#: Seconds beyond the timeout that are none of our business yet: a cancelled coroutine may clean up.
SLACK_SECONDS = 2.0

#: Those of this process, for telemetry.
WATCHES: WeakSet[OverrunWatch] = WeakSet()

_UNWATCHED: AbstractContextManager[None] = nullcontext()


@dataclass(slots=True)
class _Run:
    call: Job | JobBatch
    timeout: float
    started: float
    is_reported: bool = False


class OverrunWatch:
    """Knows the jobs in progress whose tasks have a timeout. Any thread may call it.

    Args:
        clock: The monotonic clock, for tests.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._runs: dict[int, _Run] = {}
        self._lock = threading.Lock()
        WATCHES.add(self)

    def watching(self) -> AbstractContextManager[None]:
        """Look now and then, in a thread, while the block runs."""
        return looking(self.look, every_seconds=LOOK_SECONDS, name="sqs-tasks-overruns")

    def watch(self, call: Job | JobBatch, task: RegisteredTask) -> AbstractContextManager[None]:
        """The context of one run."""
        timeout = task.settings.timeout
        return _UNWATCHED if timeout is None else self._watch(_Run(call, timeout, self._clock()))

    @contextmanager
    def _watch(self, run: _Run) -> Iterator[None]:
        with self._lock:
            self._runs[id(run)] = run
        try:
            yield
        finally:
            with self._lock:
                del self._runs[id(run)]
            if run.is_reported:
                logger.warning(
                    "job %s has ended, %.0f s after its timeout of %g s",
                    run.call.job_name,
                    self._clock() - run.started - run.timeout,
                    run.timeout,
                    extra={"action": "job_overrun_ended", **run.call.log_fields},
                )

    def look(self) -> None:
        """Report each job once that is beyond its timeout."""
        for run in self._over():
            if not run.is_reported:
                run.is_reported = True
                logger.warning(
                    "job %s still runs %.0f s after its timeout of %g s, and cannot be ended; it keeps its slot",
                    run.call.job_name,
                    self._clock() - run.started - run.timeout,
                    run.timeout,
                    extra={"action": "job_overrun", **run.call.log_fields},
                )

    def over(self, queue_name: str) -> int:
        """How many runs of a queue are beyond their timeout."""
        return sum(run.call.queue_name == queue_name for run in self._over())

    def longest_seconds(self) -> float:
        """How long the longest of them is beyond it; 0 when none is."""
        now = self._clock()
        return max((now - run.started - run.timeout for run in self._over()), default=0.0)

    def _over(self) -> list[_Run]:
        now = self._clock()
        with self._lock:
            return [run for run in self._runs.values() if now - run.started > run.timeout + SLACK_SECONDS]


def warn_of_unenforced(queues: Sequence[WorkedQueue]) -> None:
    """Warn once of plain tasks whose timeout nothing can enforce in this worker, since they run in threads."""
    names = [
        f"{queue.name}.{task.name}"
        for queue in queues
        for task in queue.tasks
        if task.settings.timeout is not None and (not task.is_async or task.batch_size)
    ]
    if names:
        logger.warning(
            "the timeout of %s cannot be enforced here: they run in threads, which Python cannot interrupt; a job that "
            "takes longer is reported and keeps its slot; use --isolate process, work a queue with -c 1 "
            "(in processes: -p), make the task async, or run it in Lambda",
            ", ".join(names),
            extra={"action": "timeout_unenforced", "tasks": names},
        )
