"""Debounced work: of jobs that are sent shortly after each other the last runs. ``debounce=Debounce(by=…)``.

SQS holds each job back for the quiet time. The item of a value says which job was noted last and has not begun
(``last``), which were noted before it, and when the newest job was sent that has begun (``ran_sent``, by the clock of
SQS). A job that comes is skipped on proof alone: that a later one has begun, or that one which was noted after it is in
the queue, and will begin after now. No clock of a worker or sender decides that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqs_tasks.errors import StoreUnavailableError
from sqs_tasks.guards.guard import GuardedRun, NotAtAll, Outage, RememberingEnvironment
from sqs_tasks.guards.limiting import text_of
from sqs_tasks.message import Job
from sqs_tasks.outcome import Outcome
from sqs_tasks.store.coalescing import Debounce
from sqs_tasks.store.protocol import Condition, Item, Store, Value, Written

#: What the names begin with that say which sends were noted, and which jobs were decided since: so that the late note
#: of a send is not taken for a job that is still to come. How much of an id they have, and the seconds they are kept.
_NOTED: Final = "n."
_DECIDED: Final = "d."
_ID_CHARS = 12
_DECIDED_SECONDS = 300.0

#: Seconds for which an item is kept: as long as SQS keeps a message.
_REMEMBERED_SECONDS = 14 * 86_400.0

#: Times that a job is judged anew because its item changed; then it runs, which loses nothing.
_TRIES = 10


class Debouncing:
    """Lets the last job of each value run, and notes each send.

    Args:
        env: The environment.
        debounce: What was asked for.
        scope: What the keys begin with: the names of queue and task.
    """

    def __init__(self, env: RememberingEnvironment, debounce: Debounce, *, scope: str) -> None:
        self._env = env
        self._debounce = debounce
        self._scope = scope
        self._outage = Outage("debounce", "debounced jobs run, each of them")

    def sent(self, job_id: str, arguments: Mapping[str, Any]) -> None:
        """Note that SQS has accepted a job, unless it has been decided already."""
        decided, noted = _names(job_id)
        now = self._env.client.now()
        try:
            self._store.update(
                self._key(arguments),
                {"last": job_id, noted: 1},
                when=[Condition(decided, "absent")],
                expires_at=now + _REMEMBERED_SECONDS,
            )
        except StoreUnavailableError as error:
            self._outage.began(error)
        else:
            self._outage.ended()

    def enter(self, run: GuardedRun) -> NotAtAll | None:
        """Begin the job, unless a later one has begun or is to come."""
        job, now = run.job, self._env.client.now()
        first_sent_at = job.message.first_sent_at
        sent_at = now if first_sent_at is None else first_sent_at.timestamp()
        try:
            reason = self._why_not(job, sent_at, now)
        except StoreUnavailableError as error:
            self._outage.began(error)
            return None
        self._outage.ended()
        return None if reason is None else NotAtAll(reason)

    def leave(self, run: GuardedRun, outcome: Outcome) -> None:
        """Nothing is held."""

    def beat(self, run: GuardedRun) -> None:
        """Nothing is held."""

    def never_ran(self, job: Job, outcome: Outcome) -> None:
        """Nothing was begun."""

    def _why_not(self, job: Job, sent_at: float, now: float) -> str | None:
        """Why a job must not run; None where its begin is noted."""
        key, job_id, expires_at = self._key(job.kwargs), job.job_id, now + _REMEMBERED_SECONDS
        decided, noted = _names(job_id)
        done: dict[str, Value | None] = {decided: now, noted: None}
        begin: dict[str, Value | None] = {**done, "ran_sent": sent_at, "first": None}
        newest = Condition("ran_sent", "<=", sent_at, or_absent=True)
        written = self._store.update(
            key, {**begin, "last": None}, when=[Condition("last", "=", job_id), newest], expires_at=expires_at
        )
        for _ in range(_TRIES):
            if written.done:
                return None
            there = written.item or {}
            if _number(there, "ran_sent", 0.0) > sent_at:
                self._store.update(key, done)
                return "a job that was sent after it has begun"
            last = there.get("last")
            same = Condition("last", "absent") if last is None else Condition("last", "=", last)
            first = min(_number(there, "first", sent_at), sent_at)
            if noted in there and last not in {None, job_id} and not self._is_overdue(first, now):
                if self._store.update(key, {**done, "first": first}, when=[same], expires_at=expires_at).done:
                    return "a job that was sent after it is to come"
                written = Written(done=False, item=self._store.get(key))
                continue
            old = [n for n, at in there.items() if n.startswith(_DECIDED) and _is_before(at, now - _DECIDED_SECONDS)]
            changes: dict[str, Value | None] = {**dict.fromkeys(old), **begin}
            if last == job_id:
                changes["last"] = None
            written = self._store.update(key, changes, when=[same, newest], expires_at=expires_at)
        return None

    def _is_overdue(self, first: float, now: float) -> bool:
        """Whether a job runs although others follow it, because none has for so long."""
        most = self._debounce.at_most_seconds
        return most is not None and now - first >= most

    def _key(self, arguments: Mapping[str, Any]) -> str:
        by = self._debounce.by
        return f"debounce/{self._scope}/{text_of(None if by is None else arguments.get(by))}"

    @property
    def _store(self) -> Store:
        store = self._env.store
        assert store is not None  # noqa: S101 - the registration has looked
        return store


def _names(job_id: str) -> tuple[str, str]:
    """What says that a job was decided, and that its send was noted."""
    short = job_id[:_ID_CHARS]
    return _DECIDED + short, _NOTED + short


def _number(item: Item, name: str, default: float) -> float:
    value = item.get(name, default)
    return float(value) if isinstance(value, (int, float)) else default


def _is_before(value: object, moment: float) -> bool:
    return isinstance(value, (int, float)) and value < moment
