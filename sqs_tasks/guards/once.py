"""Once: a second delivery of a job that is done is acknowledged and does not run. ``idempotent=True``.

SQS delivers at least once, and a worker may die between the end of a job and the delete of its message.
"""

from __future__ import annotations

import logging

from sqs_tasks.errors import StoreUnavailableError
from sqs_tasks.guards.guard import (
    LEASE_SECONDS,
    UNAVAILABLE_SECONDS,
    GuardedRun,
    NotAtAll,
    NotNow,
    Outage,
    Refusal,
    RememberingEnvironment,
)
from sqs_tasks.message import Job
from sqs_tasks.outcome import Outcome, Succeeded
from sqs_tasks.store.protocol import Condition, Store

logger = logging.getLogger(__name__)


class Once:
    """Lets each job of a task be done once, by its id: one write when a run begins, one when it ends.

    Args:
        env: The environment.
        once_seconds: How long a job that is done is remembered.
    """

    def __init__(self, env: RememberingEnvironment, *, once_seconds: float) -> None:
        self._env = env
        self._once_seconds = once_seconds
        self._outage = Outage("once", "jobs that must run once are put off")

    def enter(self, run: GuardedRun) -> Refusal | None:
        """Take the job, unless it is done, or running elsewhere."""
        now = self._env.client.now()
        try:
            written = self._store.put_if_absent(
                _key(run.job),
                {"state": "running", "run": run.run_id, "until": now + LEASE_SECONDS},
                expires_at=now + LEASE_SECONDS,  # the worker's death frees it
            )
        except StoreUnavailableError as error:
            self._outage.began(error)
            return NotNow(UNAVAILABLE_SECONDS, "the store does not say whether it was done before")
        self._outage.ended()
        there = written.item or {}
        if written.done or there.get("run") == run.run_id:  # by a request whose answer was lost
            return None
        if there.get("state") == "done":
            return NotAtAll("it was done before", was_done=True)
        return NotNow(float(there.get("until", now)) - now, "it is running elsewhere, or was until its worker died")

    def leave(self, run: GuardedRun, outcome: Outcome) -> None:
        """Remember that the job is done; or free it, for its next attempt."""
        mine = [Condition("run", "=", run.run_id)]
        try:
            if not isinstance(outcome, Succeeded):
                self._store.delete(_key(run.job), when=mine)
                return
            kept_until = self._env.client.now() + self._once_seconds
            done = self._store.update(
                _key(run.job), {"state": "done", "until": None}, when=mine, expires_at=kept_until
            ).done
        except StoreUnavailableError as error:
            self._outage.began(error)
            done = False
        if not done:
            logger.error(
                "job %s is over, and the store does not know it; it may run again",
                run.job.job_name,
                extra={"action": "job_not_remembered", **run.job.log_fields},
            )

    def beat(self, run: GuardedRun) -> None:
        """Prolong the lease."""
        until = self._env.client.now() + LEASE_SECONDS
        try:
            self._store.update(
                _key(run.job), {"until": until}, when=[Condition("run", "=", run.run_id)], expires_at=until
            )
        except StoreUnavailableError as error:
            self._outage.began(error)

    def never_ran(self, job: Job, outcome: Outcome) -> None:
        """Nothing was taken."""

    @property
    def _store(self) -> Store:
        store = self._env.store
        assert store is not None  # noqa: S101 - the registration has looked
        return store


def _key(job: Job) -> str:
    return f"once/{job.job_id}"
