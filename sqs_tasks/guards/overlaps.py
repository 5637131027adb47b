"""Runs of a schedule one after the other: ``Schedule(…, overlap="skip")`` and ``overlap="queue"``."""

from __future__ import annotations

from collections.abc import Mapping

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
from sqs_tasks.outcome import Outcome
from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule
from sqs_tasks.store.protocol import Condition, Store, Value

#: Seconds after which a run looks again that waits for the one before.
_LOOK_SECONDS = 15.0

_IN_PROGRESS = "the run of its schedule before it is in progress"


class Overlaps:
    """Lets a run of a schedule begin when the one before is over; all other jobs of the task pass.

    Args:
        env: The environment.
        schedules: The schedules of the task, which may become more.
    """

    def __init__(self, env: RememberingEnvironment, schedules: Mapping[str, RegisteredSchedule]) -> None:
        self._env = env
        self._schedules = schedules
        self._outage = Outage("overlap", "runs of schedules that must not overlap are put off")

    def enter(self, run: GuardedRun) -> Refusal | None:
        """Begin a run, unless another of its schedule is in progress."""
        found = self._schedule_of(run.job)
        if found is None:
            return None
        now = self._env.client.now()
        until = now + LEASE_SECONDS
        try:
            written = self._store.update(
                _key(found),
                {"run": run.run_id, "job": run.job.job_id, "until": until},
                when=[Condition("until", "<=", now, or_absent=True)],
                expires_at=until,
            )
        except StoreUnavailableError as error:
            self._outage.began(error)
            return NotNow(UNAVAILABLE_SECONDS, "the store does not say whether the run before it is over")
        self._outage.ended()
        there = written.item or {}
        if written.done or there.get("run") == run.run_id:  # by a request whose answer was lost
            return None
        # A second delivery of the run that is in progress waits: its message is what brings it back if it fails.
        if found.schedule.overlap == "skip" and there.get("job") != run.job.job_id:
            return NotAtAll(_IN_PROGRESS)
        end = there.get("until")
        left = float(end) - now if isinstance(end, (int, float)) else _LOOK_SECONDS
        return NotNow(min(max(left, 1.0), _LOOK_SECONDS), _IN_PROGRESS)

    def leave(self, run: GuardedRun, outcome: Outcome) -> None:  # noqa: ARG002 - whatever it is
        """Say that the run is over."""
        self._write(run, None)

    def beat(self, run: GuardedRun) -> None:
        """Prolong the lease."""
        self._write(run, self._env.client.now() + LEASE_SECONDS)

    def never_ran(self, job: Job, outcome: Outcome) -> None:
        """Nothing was begun."""

    def _write(self, run: GuardedRun, until: float | None) -> None:
        found = self._schedule_of(run.job)
        if found is None:
            return
        mine = [Condition("run", "=", run.run_id)]
        changes: dict[str, Value | None] = {"until": until}
        try:
            if until is None:
                self._store.delete(_key(found), when=mine)
            else:
                self._store.update(_key(found), changes, when=mine, expires_at=until)
        except StoreUnavailableError as error:
            self._outage.began(error)  # the lease ends by itself

    def _schedule_of(self, job: Job) -> RegisteredSchedule | None:
        """The schedule whose run a job is, if its runs must not overlap."""
        if job.scheduled_for is None:
            return None
        name = job.job_id.rpartition("@")[0]
        return next(
            (one for one in self._schedules.values() if one.name == name and one.schedule.overlap != "allow"), None
        )

    @property
    def _store(self) -> Store:
        store = self._env.store
        assert store is not None  # noqa: S101 - the registration has looked
        return store


def _key(schedule: RegisteredSchedule) -> str:
    return f"overlap/{schedule.name}"
