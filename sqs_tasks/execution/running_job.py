"""The job that runs here: the executor notes it, ``current_job()`` and log records read it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol, TypeAlias

from sqs_tasks.execution.intake import Intake
from sqs_tasks.message import Job, JobBatch
from sqs_tasks.registry import RegisteredTask


class Runs(Protocol):
    """What is asked of the executor that runs a job."""

    @property
    def intake(self) -> Intake:
        """The rules by which jobs come back."""

    @property
    def seconds_left(self) -> Callable[[], float] | None:
        """Gives the seconds until the runtime interrupts whatever runs, where that is known."""


#: Who runs it, the job or the batch of jobs, its task, and ``time.perf_counter()`` of its start. A plain tuple, since
#: one is made for each job.
RunningJob: TypeAlias = tuple[Runs, Job | JobBatch, RegisteredTask, float]

#: What runs in this thread or asyncio task. A job has a context of its own, which ends with it.
RUNNING: ContextVar[RunningJob | None] = ContextVar("sqs_tasks_running_job", default=None)

#: Records that have one of these say themselves what they are about. An attempt alone may be one at something else.
_NAMES = ("queue_name", "job_name", "job_id", "message_id")


class JobFields(logging.Filter):
    """Puts the fields of the running job on each record that has none of them; it lets all records through.

    So the lines of the application and of other libraries can be found by the job, too.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields."""
        running = RUNNING.get()
        if running is not None and not any(name in record.__dict__ for name in _NAMES):
            for name, value in _fields(running).items():
                record.__dict__.setdefault(name, value)
        return True


def add_job_fields(handlers: Iterable[logging.Handler]) -> None:
    """Have these handlers put the fields of the running job on their records."""
    for handler in handlers:
        if not any(isinstance(one, JobFields) for one in handler.filters):
            handler.addFilter(JobFields())


def _fields(running: RunningJob) -> Mapping[str, Any]:
    _, call, task, _ = running
    if task.batch_size:
        # One call for several jobs: what it logs is about no one of them.
        return {"queue_name": call.queue_name, "job_name": call.job_name}
    return call.log_fields
