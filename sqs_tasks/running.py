"""The job that runs here, for the code that a task calls."""

from __future__ import annotations

import math
from datetime import datetime
from time import perf_counter
from typing import TYPE_CHECKING

from sqs_tasks.execution.running_job import RUNNING, RunningJob
from sqs_tasks.message import Job, JobBatch

if TYPE_CHECKING:
    from sqs_tasks.guards.guard import GuardedRun
    from sqs_tasks.worker.lease import Lease


class CurrentJob:
    """What a task may want to know of the job that it runs for.

    In a batch processor it stands for the whole call: ``jobs`` has all of them, ``job_id`` is empty, ``attempt`` is the
    highest of them, ``is_last_attempt`` says whether it is one's last, and the times are those of the oldest.
    """

    def __init__(self, running: RunningJob) -> None:
        self._executor, self._call, self._task, self._started = running

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs of this call: one, or several in a batch processor."""
        return self._call.jobs if isinstance(self._call, JobBatch) else (self._call,)

    @property
    def job_id(self) -> str:
        """The id that ``delay()`` returned; it stays the same over all attempts and redrives."""
        return "" if isinstance(self._call, JobBatch) else self._call.job_id

    @property
    def task(self) -> str:
        """The name of the task."""
        return self._task.name

    @property
    def queue_name(self) -> str:
        """The name of the queue in code."""
        return self._call.queue_name

    @property
    def attempt(self) -> int:
        """Which attempt this is; 1 for the first."""
        return max(job.attempt for job in self.jobs)

    @property
    def is_last_attempt(self) -> bool:
        """Whether the job goes to the dead-letter queue if it fails now, as far as that is known."""
        return any(self._executor.intake.is_last_attempt(job.message, self._task) for job in self.jobs)

    @property
    def max_attempts(self) -> int | None:
        """How many attempts the job has: those of its task, or the receives of its queue; None if neither is known."""
        intake = self._executor.intake
        return self._task.settings.max_attempts or intake.last_receive or intake.max_receive_count

    @property
    def sent_at(self) -> datetime | None:
        """When the message was sent; None when the endpoint does not say."""
        return min((at for job in self.jobs if (at := job.message.sent_at) is not None), default=None)

    @property
    def first_sent_at(self) -> datetime | None:
        """When the job was first sent: before its message, if it went on by copies; None when nobody says."""
        return min((at for job in self.jobs if (at := job.message.first_sent_at) is not None), default=None)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the job is interrupted: by its task's ``timeout``, or by the end of the Lambda invocation.

        None where neither limits it. It can be negative where the runtime cannot interrupt the task.
        """
        timeout, of_runtime = self._task.settings.timeout, self._executor.seconds_left
        lefts: list[float] = [] if timeout is None else [timeout - (perf_counter() - self._started)]
        if of_runtime is not None:
            lefts.append(of_runtime())
        left = min(lefts, default=math.inf)
        return None if left == math.inf else left

    @property
    def cancelled(self) -> bool:
        """Whether somebody has called ``cancel()`` for the job; always False for tasks without ``record=True``.

        It becomes true within some seconds: the record is looked at with each write of progress, and every 15 seconds.
        """
        run = self._guarded
        return run is not None and run.cancelled

    def raise_if_cancelled(self) -> None:
        """End the job as cancelled if somebody has called ``cancel()`` for it.

        Raises:
            Cancelled: The job ends by it, without a dead letter; let it pass.
        """
        if self.cancelled:
            from sqs_tasks.outcome import Cancelled  # few jobs are

            raise Cancelled

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far the job is, for those who look at its record; nothing for tasks without ``record=True``.

        It can be called as often as wanted: it is written once a second at most, and the last word with the end.

        Args:
            done: How much is done.
            total: Of how much, if that is known.
            note: A few words.
        """
        run = self._guarded
        if run is not None and run.note_progress is not None:
            run.progress = (done, total, note)
            run.note_progress(run)

    @property
    def _guarded(self) -> GuardedRun | None:
        if not self._task.guards or isinstance(self._call, JobBatch):
            return None
        from sqs_tasks.guards.guard import GUARDED  # few tasks have some

        run = GUARDED.get()
        return run if run is not None and run.job is self._call else None

    @property
    def lease(self) -> Lease | None:
        """The hold of a container worker on the message; None in Lambda, in tests and in batch processors."""
        from sqs_tasks.worker.lease import current_lease  # not in Lambda

        return current_lease()

    def __repr__(self) -> str:
        return f"CurrentJob(task={self.task!r}, queue_name={self.queue_name!r}, job_id={self.job_id!r})"


def current_job() -> CurrentJob | None:
    """The job that runs in this thread or asyncio task; None outside of jobs.

    It is there in plain, async and batch tasks, in middleware and hooks, in asyncio tasks that a task starts, and in
    threads that it starts by ``contextvars.copy_context().run``, as ``asyncio.to_thread`` does.
    """
    running = RUNNING.get()
    return None if running is None else CurrentJob(running)
