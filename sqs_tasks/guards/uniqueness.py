"""Unique work: a job is skipped if a run that counts for it has succeeded. ``unique=Unique(by=…)``.

The item of a value says who runs, until when, and since when; and when the last run that succeeded began and ended.
A message that has been skipped is gone, so that is done on proof alone: what is said by the store of a run's end.
"""

from __future__ import annotations

from typing import Final

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
from sqs_tasks.guards.limiting import text_of
from sqs_tasks.message import Job
from sqs_tasks.outcome import Outcome, Succeeded
from sqs_tasks.store.coalescing import Unique
from sqs_tasks.store.protocol import Condition, Store, Value

#: Seconds by which the clocks of workers and of SQS may differ: a run counts only for jobs that are older by as much.
CLOCK_SECONDS: Final = 5.0

#: Seconds for which the last run is remembered: as long as SQS keeps a message.
_REMEMBERED_SECONDS = 14 * 86_400.0

#: Seconds after which a job looks again that waits for the end of another.
_LOOK_SECONDS = 15.0


class Uniqueness:
    """Lets one job of each value run at a time, and those not whose work was done after they were sent.

    Args:
        env: The environment.
        unique: What was asked for.
        scope: What the keys begin with: the names of queue and task.
    """

    def __init__(self, env: RememberingEnvironment, unique: Unique, *, scope: str) -> None:
        self._env = env
        self._unique = unique
        self._scope = scope
        self._outage = Outage("unique", "unique jobs are put off")

    def enter(self, run: GuardedRun) -> Refusal | None:
        """Begin the work of a value, unless it is done or in progress."""
        now, sent_at = self._env.client.now(), _sent_at(run)
        proof = "done_began" if self._unique.until == "started" else "done_ended"
        try:
            written = self._store.update(
                self._key(run.job),
                {"run": run.run_id, "job": run.job.job_id, "began": run.started_at, "until": now + LEASE_SECONDS},
                when=[
                    Condition("until", "<=", now, or_absent=True),
                    Condition(proof, "<", sent_at + CLOCK_SECONDS, or_absent=True),
                ],
                expires_at=now + _REMEMBERED_SECONDS,
            )
        except StoreUnavailableError as error:
            self._outage.began(error)
            return NotNow(UNAVAILABLE_SECONDS, "the store does not say whether its work was done")
        self._outage.ended()
        there = written.item or {}
        if written.done or there.get("run") == run.run_id:  # by a request whose answer was lost
            return None
        if _number(there.get(proof), 0.0) >= sent_at + CLOCK_SECONDS:
            return NotAtAll("its work was done after it was sent")
        counts = self._unique.until == "finished" or _number(there.get("began"), 0.0) >= sent_at + CLOCK_SECONDS
        # Not a second delivery of the very job that runs: its message is what brings the work back if the run fails.
        if self._unique.while_running == "skip" and counts and there.get("job") != run.job.job_id:
            return NotAtAll("its work is in progress")
        left = _number(there.get("until"), now) - now
        return NotNow(min(max(left, 1.0), _LOOK_SECONDS), "its work is in progress")

    def leave(self, run: GuardedRun, outcome: Outcome) -> None:
        """Say that the work was done, or that nobody does it any more."""
        changes: dict[str, Value | None] = {"run": None, "job": None, "began": None, "until": None}
        if isinstance(outcome, Succeeded):
            changes |= {"done_began": run.started_at, "done_ended": self._env.client.now()}
        self._write(run, changes)

    def beat(self, run: GuardedRun) -> None:
        """Prolong the lease."""
        self._write(run, {"until": self._env.client.now() + LEASE_SECONDS})

    def never_ran(self, job: Job, outcome: Outcome) -> None:
        """Nothing was begun."""

    def _write(self, run: GuardedRun, changes: dict[str, Value | None]) -> None:
        try:
            # Of a run whose lease was lost nothing is said: another has begun since, which says it.
            self._store.update(self._key(run.job), changes, when=[Condition("run", "=", run.run_id)])
        except StoreUnavailableError as error:
            self._outage.began(error)  # the lease ends by itself, and a job that comes then runs

    def _key(self, job: Job) -> str:
        by = self._unique.by
        return f"unique/{self._scope}/{text_of(None if by is None else job.kwargs.get(by))}"

    @property
    def _store(self) -> Store:
        store = self._env.store
        assert store is not None  # noqa: S101 - the registration has looked
        return store


def _sent_at(run: GuardedRun) -> float:
    """When the job was first sent, by the clock of SQS; now, where nobody says it, so that it runs."""
    sent_at = run.job.message.first_sent_at
    return run.started_at if sent_at is None else sent_at.timestamp()


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, (int, float)) else default
