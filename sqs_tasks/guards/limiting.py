"""Limits of a task: how many of its jobs begin in a time, and run at once. ``limits=[…]``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from sqs_tasks.errors import StoreUnavailableError
from sqs_tasks.guards import concurrency, rate
from sqs_tasks.guards.guard import UNAVAILABLE_SECONDS, GuardedRun, NotNow, Outage, RememberingEnvironment
from sqs_tasks.message import Job
from sqs_tasks.outcome import Outcome
from sqs_tasks.store.limits import ConcurrencyLimit, Limit, RateLimit
from sqs_tasks.store.protocol import Store

logger = logging.getLogger(__name__)

#: Characters of a value that stand in a key as they are.
_LONGEST_VALUE = 200


class ScopedLimit(NamedTuple):
    """A limit with the name under which jobs are counted: that of a task, or one that several tasks share."""

    scope: str
    limit: Limit

    def key(self, value: object) -> str:
        """The key of the item that counts the jobs of one value."""
        return f"limit/{self.scope}/{text_of(value)}"


class Limits:
    """Lets the jobs of a task begin within its limits.

    Args:
        env: The environment.
        limits: The limits. Slots are taken first: they can be given back, and a part of a rate cannot.
    """

    def __init__(self, env: RememberingEnvironment, limits: Sequence[ScopedLimit]) -> None:
        self._env = env
        self._limits = sorted(limits, key=lambda one: isinstance(one.limit, RateLimit))
        self._outage = Outage("limits", "jobs with limits are put off")

    def enter(self, run: GuardedRun) -> NotNow | None:
        """Take a slot and a part of the rate, or say when there may be some."""
        message = run.job.message
        has_waited = message.is_copy or message.receive_count > 1
        taken: list[ScopedLimit] = []
        try:
            for one in self._limits:
                seconds = take(
                    self._store, one, self._value(one, run.job), self._now(), run.run_id, has_waited=has_waited
                )
                if seconds is not None:
                    self._give_back(run, taken, None)
                    return NotNow(seconds, f"the limit {one.scope!r} is reached")
                taken.append(one)
        except StoreUnavailableError as error:
            self._outage.began(error)
            return NotNow(UNAVAILABLE_SECONDS, "the store does not say whether a limit is reached")
        self._outage.ended()
        return None

    def leave(self, run: GuardedRun, outcome: Outcome) -> None:  # noqa: ARG002 - whatever it is
        """Give the slots back."""
        self._give_back(run, self._limits, self._now() - run.started_at)

    def beat(self, run: GuardedRun) -> None:
        """Hold the slots for longer."""
        for one in self._limits:
            if isinstance(one.limit, ConcurrencyLimit):
                try:
                    held = concurrency.prolong(self._store, one.key(self._value(one, run.job)), self._now(), run.run_id)
                except StoreUnavailableError as error:
                    self._outage.began(error)
                    return
                if not held:
                    logger.warning(
                        "job %s has lost its slot of the limit %r, and runs on",
                        run.job.job_name,
                        one.scope,
                        extra={"action": "slot_lost", **run.job.log_fields},
                    )

    def never_ran(self, job: Job, outcome: Outcome) -> None:
        """Nothing was taken."""

    def _give_back(self, run: GuardedRun, taken: Sequence[ScopedLimit], seconds: float | None) -> None:
        for one in taken:
            if isinstance(one.limit, ConcurrencyLimit):
                try:
                    key = one.key(self._value(one, run.job))
                    concurrency.give_back(self._store, key, run.run_id, seconds)
                except StoreUnavailableError as error:
                    self._outage.began(error)  # the slot's lease ends by itself

    @staticmethod
    def _value(one: ScopedLimit, job: Job) -> object:
        return None if one.limit.by is None else job.kwargs.get(one.limit.by)

    @property
    def _store(self) -> Store:
        store = self._env.store
        assert store is not None  # noqa: S101 - the registration has looked
        return store

    def _now(self) -> float:
        return self._env.client.now()


def take(store: Store, one: ScopedLimit, value: object, now: float, run_id: str, *, has_waited: bool) -> float | None:
    """Let a run begin within a limit, or say in how many seconds to try again.

    Raises:
        StoreUnavailableError: The store does not answer.
    """
    key, limit = one.key(value), one.limit
    if isinstance(limit, RateLimit):
        return rate.take(store, key, limit, now, has_waited=has_waited)
    return concurrency.take(store, key, limit, now, run_id)


def text_of(value: object) -> str:
    """A value as it stands in a key; a long one by its digest."""
    text = "" if value is None else str(value)
    if len(text) <= _LONGEST_VALUE:
        return text
    import hashlib  # most values are ids

    return f"sha256-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
