"""What the live view shows: the state of a session, without how it is drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sqs_tasks.cli.dev.depths import Depths
from sqs_tasks.cli.dev.record import Record

#: Jobs that are remembered.
MAX_JOBS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One attempt of one job; ``seconds`` is None when the task never ran."""

    time: str
    queue: str
    job: str
    outcome: str
    attempt: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last thing that went wrong: when, a line, and its traceback if there is one."""

    time: str
    title: str
    trace: str | None


class Board:
    """The state of a session; owned by the thread of its loop.

    Attributes:
        status: What the child is doing.
        depths: What the queues hold.
        jobs: The last attempts, the newest first.
        failure: The last failure, or None.
    """

    def __init__(self) -> None:
        self.status = "starting"
        self.depths: Sequence[Depths] = ()
        self.jobs: deque[JobRun] = deque(maxlen=MAX_JOBS)
        self.failure: Failure | None = None

    def tell(self, record: Record) -> None:
        """Take note of a record."""
        told = record.told
        status = told.get("status")
        if isinstance(status, str):
            self.status = status
        if record.outcome is not None:
            self.jobs.appendleft(
                JobRun(
                    time=record.time,
                    queue=str(told.get("queue_name", "")),
                    job=str(told.get("job_name", "?")),
                    outcome=record.outcome,
                    attempt=told.get("attempt"),
                    seconds=told.get("duration_seconds"),
                )
            )
        if record.exception is not None or record.action in ("job_rejected", "dev_not_loaded", "unknown_task"):
            self.failure = Failure(time=record.time, title=record.message, trace=record.exception)
        elif (
            record.action == "dev_loaded" and self.failure is not None and self.failure.title.startswith("cannot load")
        ):
            self.failure = None
