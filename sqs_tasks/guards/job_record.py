"""The record of a job as it lies in the store, and as it is read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from sqs_tasks.store.protocol import Item

State: TypeAlias = Literal[
    "queued", "running", "retrying", "succeeded", "failed", "dead", "cancelled", "skipped", "lost"
]

#: The states after which nothing follows by itself; a redrive begins anew.
ENDED: Final[frozenset[str]] = frozenset({"succeeded", "failed", "dead", "cancelled", "skipped"})

#: What the names of the transitions begin with; the milliseconds since the epoch follow, so that they sort by time.
TRANSITION: Final = "at."


def record_key(job_id: str) -> str:
    """The key of a job's record."""
    return f"job/{job_id}"


def transition(moment: float, state: str, attempt: int, run_id: str) -> tuple[str, str]:
    """One line of a job's history: an attribute of its own, so that no write replaces another's."""
    # By its own clock too, since that of queues in memory may stand still.
    microseconds = time.time_ns() // 1000 % 10**9
    return f"{TRANSITION}{int(moment * 1000):015d}.{microseconds:09d}.{run_id[:8]}.{state}", str(attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of a job's state.

    Attributes:
        at: When.
        state: The new state.
        attempt: Which attempt of the job it belongs to; 0 before the first.
        run: The first characters of the id of the run that wrote it.
    """

    at: datetime
    state: str
    attempt: int
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """What is known of a job.

    Attributes:
        job_id: Its id.
        state: ``queued``, ``running``, ``retrying``, ``succeeded``, ``failed`` (for good, without a dead-letter queue),
            ``dead`` (in the dead-letter queue), ``cancelled``, ``skipped``, or ``lost``: it says that it runs, and its
            worker has said nothing for longer than its lease. SQS delivers it again.
        task: The name of its task.
        queue_name: The name of its queue in code.
        attempt: How many attempts have begun.
        sent_at: When its message was sent; None where the record began with the run.
        started_at: When the last attempt began.
        ended_at: When it ended.
        worker: The host and process of the last attempt.
        reason: Why it failed, was skipped or put off; empty otherwise.
        is_cancel_requested: Whether ``cancel()`` was called.
        progress: What the task said last: done, total (or None) and a note.
        history: All changes of its state, in their order.
    """

    job_id: str
    state: State
    task: str
    queue_name: str
    attempt: int
    sent_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    worker: str
    reason: str
    is_cancel_requested: bool
    progress: tuple[float, float | None, str] | None
    history: tuple[Transition, ...]

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows by itself."""
        return self.state in ENDED


def read_record(job_id: str, item: Item, now: float) -> JobRecord:
    """The record in an item; a run whose lease is over is lost, which nobody writes."""
    values: Mapping[str, Any] = item
    state = values.get("state", "queued")
    if state == "running" and values.get("until", now) < now:
        state = "lost"
    done = values.get("progress_done")
    return JobRecord(
        job_id=job_id,
        state=state,
        task=values.get("task", ""),
        queue_name=values.get("queue", ""),
        attempt=values.get("attempt", 0),
        sent_at=_moment(values.get("sent_at")),
        started_at=_moment(values.get("started_at")),
        ended_at=_moment(values.get("ended_at")),
        worker=values.get("worker", ""),
        reason=values.get("reason", ""),
        is_cancel_requested="cancel" in values,
        progress=None if done is None else (done, values.get("progress_total"), values.get("progress_note", "")),
        history=tuple(_history(values)),
    )


def _history(values: Mapping[str, Any]) -> list[Transition]:
    found = []
    for name in sorted(name for name in values if name.startswith(TRANSITION)):
        milliseconds, _, run, state = name.removeprefix(TRANSITION).split(".", 3)
        at = datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
        found.append(Transition(at=at, state=state, attempt=int(values[name]), run=run))
    return found


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
