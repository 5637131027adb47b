"""Records: what state each job of a task is in, its progress and its result. ``record=True``.

The message stays the truth: a record says what is known of it. A store that does not answer is passed over.
"""

from __future__ import annotations

import logging
import os
import socket
from functools import cache
from typing import Any

from sqs_tasks.errors import SerializationError, StoreUnavailableError, described
from sqs_tasks.guards.guard import LEASE_SECONDS, GuardedRun, NotAtAll, Outage, RememberingEnvironment
from sqs_tasks.guards.job_record import ENDED, record_key, transition
from sqs_tasks.message import Job
from sqs_tasks.outcome import Outcome, Postponed, Rejected, Retried, Skipped, Succeeded
from sqs_tasks.store.protocol import Condition, Store, Value

logger = logging.getLogger(__name__)

#: Bytes of a result that a record takes: it shares its item with the history.
MAX_RESULT_BYTES = 200_000

#: Seconds between two writes of a job's progress.
PROGRESS_SECONDS = 1.0

_CANCELLED = "it was cancelled before it began"


class Records:
    """Writes the records of one task: one write when a job is sent, one when a run begins, one when it ends.

    Args:
        env: The environment.
        queue_name: The queue's name in code.
        task_name: The task's.
        content_type: The codec of results.
        record_seconds: How long a record is kept after its last change.
        has_dead_letters: Whether the queue has a dead-letter queue.
        max_receive_count: The receive after which SQS itself moves a message there, where it is known.
    """

    def __init__(
        self,
        env: RememberingEnvironment,
        *,
        queue_name: str,
        task_name: str,
        content_type: str,
        record_seconds: float,
        has_dead_letters: bool,
        max_receive_count: int | None,
    ) -> None:
        self._env = env
        self._queue_name = queue_name
        self._task_name = task_name
        self._content_type = content_type
        self._record_seconds = record_seconds
        self._has_dead_letters = has_dead_letters
        self._max_receive_count = max_receive_count
        self._outage = Outage("records", "jobs run, and their records are passed over")

    # --- the life of a record ---------------------------------------------------------------------------------------

    def sent(self, job_id: str) -> None:
        """A job was accepted by SQS; its worker may have been faster, and then this changes nothing."""
        now = self._now()
        name, value = transition(now, "queued", 0, "sender00")
        item: dict[str, Value] = {
            "state": "queued",
            "task": self._task_name,
            "queue": self._queue_name,
            "sent_at": now,
            name: value,
        }
        try:
            self._store.put_if_absent(record_key(job_id), item, expires_at=now + self._record_seconds)
        except StoreUnavailableError as error:
            self._outage.began(error)
        else:
            self._outage.ended()

    def enter(self, run: GuardedRun) -> NotAtAll | None:
        """Write that the job runs; None too where the store does not answer."""
        run.note_progress = self._note_progress
        changes: dict[str, Value | None] = {
            **self._run_of(run),
            "state": "running",
            "until": self._now() + LEASE_SECONDS,
            "reason": None,
            "ended_at": None,
            "progress_done": None,
            "progress_total": None,
            "progress_note": None,
        }
        there = self._write(run, "running", changes, Condition("cancel", "absent"))
        if there is None or "cancel" not in there:
            return None
        if there.get("state") not in ENDED:
            self._write(run, "cancelled", {"state": "cancelled", "ended_at": self._now(), "reason": _CANCELLED})
        return NotAtAll(_CANCELLED)

    def leave(self, run: GuardedRun, outcome: Outcome) -> None:
        """Write what became of the run."""
        state, reason = self._state_of(run.job, outcome)
        changes: dict[str, Value | None] = {
            **self._run_of(run),
            **_progress_of(run),
            "state": state,
            "reason": reason or None,
            "until": None,
            "ended_at": self._now(),
        }
        if isinstance(outcome, Postponed):
            changes["attempt"] = outcome.attempts
        if isinstance(outcome, Succeeded):
            changes |= self._result_of(run)
        self._write(run, state, changes)

    def beat(self, run: GuardedRun) -> None:
        """Say that the run goes on, and see whether somebody has asked for its end."""
        changes: dict[str, Value | None] = {"until": self._now() + LEASE_SECONDS, **_progress_of(run)}
        self._change(run, changes)

    def never_ran(self, job: Job, outcome: Outcome) -> None:
        """Write that a job ended before it could begin; one that has ended already came a second time."""
        if isinstance(outcome, (Skipped, Rejected)):
            run = GuardedRun(job=job, run_id="intake00", started_at=self._now())
            state, reason = self._state_of(job, outcome)
            ended: dict[str, Value | None] = {"state": state, "reason": reason, "ended_at": self._now()}
            changes = {"task": self._task_name, "queue": self._queue_name, **ended}
            there = self._write(run, state, changes, Condition("state", "=", "queued", or_absent=True))
            if there and there.get("state") not in ENDED:
                self._write(run, state, changes, Condition("state", "=", there["state"]))

    # --- writes -----------------------------------------------------------------------------------------------------

    @property
    def _store(self) -> Store:
        store = self._env.store
        assert store is not None  # noqa: S101 - the registration has looked
        return store

    def _now(self) -> float:
        return self._env.client.now()

    def _run_of(self, run: GuardedRun) -> dict[str, Value | None]:
        """What every write of a run says, since an earlier one may have been passed over."""
        return {
            "task": self._task_name,
            "queue": self._queue_name,
            "run": run.run_id,
            "attempt": run.job.attempt,
            "started_at": run.started_at,
            "worker": worker_name(os.getpid()),
        }

    def _write(
        self, run: GuardedRun, state: str, changes: dict[str, Value | None], *conditions: Condition
    ) -> dict[str, Any] | None:
        """Write a transition, unless a later run has written; what stands in the way, if anything does."""
        now = self._now()
        name, value = transition(now, state, run.job.attempt, run.run_id)
        newest = Condition("started_at", "<=", run.started_at, or_absent=True)
        try:
            written = self._store.update(
                record_key(run.job.job_id),
                {**changes, name: value},
                when=[newest, *conditions],
                expires_at=now + self._record_seconds,
            )
        except StoreUnavailableError as error:
            self._outage.began(error)
            return None
        self._outage.ended()
        return None if written.done else dict(written.item or {})

    def _change(self, run: GuardedRun, changes: dict[str, Value | None]) -> None:
        """Change the record of a run that goes on, and learn from the answer whether it is to end."""
        try:
            written = self._store.update(record_key(run.job.job_id), changes, when=[Condition("run", "=", run.run_id)])
        except StoreUnavailableError as error:
            self._outage.began(error)
            return
        self._outage.ended()
        if written.done and "cancel" in (written.item or {}):
            run.cancel()

    def _note_progress(self, run: GuardedRun) -> None:
        """Write a run's progress, unless it was written a moment ago: then a later write takes it along."""
        now = self._now()
        if now - run.progress_at >= PROGRESS_SECONDS:
            run.progress_at = now
            self._change(run, _progress_of(run))

    def _state_of(self, job: Job, outcome: Outcome) -> tuple[str, str]:
        match outcome:
            case Succeeded():
                return "succeeded", ""
            case Skipped():
                return "cancelled" if outcome.is_cancelled else "skipped", outcome.reason
            case Rejected():
                return "dead" if self._has_dead_letters else "failed", outcome.reason
            case Retried():
                most = self._max_receive_count
                is_moved = outcome.attempts is None and most is not None and job.message.receive_count >= most
                return "dead" if is_moved and self._has_dead_letters else "retrying", outcome.reason
            case _:
                return "queued", getattr(outcome, "reason", "")

    def _result_of(self, run: GuardedRun) -> dict[str, Value | None]:
        try:
            text = self._env.codecs.get(self._content_type).serialize({"result": run.result})
        except (SerializationError, TypeError, ValueError) as error:
            return self._without_result(run, described(error))
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_RESULT_BYTES:
            why = f"the result is {size} bytes, and a record takes {MAX_RESULT_BYTES}; return an address of the data"
            return self._without_result(run, why)
        return {"result": text, "result_type": self._content_type, "result_error": None}

    def _without_result(self, run: GuardedRun, why: str) -> dict[str, Value | None]:
        logger.warning(
            "job %s succeeded, and its result cannot be kept: %s",
            run.job.job_name,
            why,
            extra={"action": "result_not_kept", **run.job.log_fields},
        )
        return {"result": None, "result_type": None, "result_error": why}


def _progress_of(run: GuardedRun) -> dict[str, Value | None]:
    if run.progress is None:
        return {}
    done, total, note = run.progress
    return {"progress_done": done, "progress_total": total, "progress_note": note}


@cache
def worker_name(pid: int) -> str:
    """The host and process that runs here."""
    return f"{socket.gethostname()}:{pid}"
