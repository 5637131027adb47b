"""The fields of the running job on what the application logs meanwhile, so that its lines can be found by the job."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from sqs_tasks.env import SQSEnv
from sqs_tasks.message import Job
from sqs_tasks.queue import JobQueue

#: Gives those of the job that runs in this thread or asyncio task, when a record needs them; a job's own context ends
#: with it.
_running: ContextVar[Callable[[], Mapping[str, Any]] | None] = ContextVar("sqs_tasks_running_job", default=None)

#: Records that have one of these say themselves what they are about.
_NAMES = ("queue_name", "job_name", "job_id", "message_id", "attempt")


class JobFields(logging.Filter):
    """Puts the fields of the running job on each record that has none of them; it lets all records through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields."""
        fields = _running.get()
        if fields is not None and not any(name in record.__dict__ for name in _NAMES):
            record.__dict__.update(fields())
        return True


def note_jobs(env: SQSEnv) -> None:
    """Remember each job while it runs, before any other hook is called for it."""
    if not any(isinstance(callback, _JobNote) for callback in env.pre_task.callbacks):
        env.pre_task.callbacks = (_JobNote(env), *env.pre_task.callbacks)


class _JobNote:
    """A hook that runs in the context of each job, and sets the fields there."""

    def __init__(self, env: SQSEnv) -> None:
        self._env = env

    def __call__(self, job: Job) -> None:
        _running.set(partial(self._fields, job))

    def _fields(self, job: Job) -> Mapping[str, Any]:
        if self._is_batch(job):
            # One call for several jobs: what it logs is about no one of them.
            return {"queue_name": job.queue_name, "job_name": job.job_name}
        return job.log_fields

    def _is_batch(self, job: Job) -> bool:
        queue = self._env.queues.get(job.queue_name)
        if isinstance(queue, JobQueue):
            task = queue.registry.get(job.job_name)
            return task is not None and bool(task.batch_size)
        return queue is not None and bool(queue.batch_size)
