"""Taking a job back: from EventBridge Scheduler, which may hold it, and by its record."""

from __future__ import annotations

from typing import Protocol

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.receipts import LooksAtJob
from sqs_tasks.sending.one_shots import ScheduledJobs, SchedulingEnvironment


class CancellingEnvironment(SchedulingEnvironment, Protocol):
    """What is asked of an environment."""

    @property
    def store(self) -> object:
        """The store, or None."""

    def job(self, job_id: str) -> LooksAtJob:
        """A job by its id."""


def cancel(env: CancellingEnvironment, job_id: str) -> bool:
    """As ``env.cancel``.

    Raises:
        ConfigurationError: There is no store, and nobody says where schedules are made.
        StoreUnavailableError: The store does not answer.
    """
    is_asked_for = env.store is not None and env.job(job_id).cancel()
    try:
        return ScheduledJobs(env).cancel(job_id) or is_asked_for
    except ConfigurationError:
        if env.store is None:
            raise
        return is_asked_for
