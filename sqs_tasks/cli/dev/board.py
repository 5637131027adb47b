"""What the live view shows: the state of a session, without how it is drawn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqs_tasks.cli.dev.depths import Depths
from sqs_tasks.cli.dev.record import Record

#: Jobs that are remembered.
MAX_JOBS = 100

#: What happens when the process that ran the jobs has ended.
_ENDS_ALL = frozenset({"dev_loaded", "dev_died", "dev_waiting", "dev_not_loaded", "dev_stopped"})


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
class RunningJob:
    """A job that has started and not ended; ``since`` is when it was heard of, in seconds of the view's clock."""

    time: str
    queue: str
    job: str
    attempt: int | None
    since: float


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
        running: What is running, by message id, the oldest first.
        jobs: The last attempts, the newest first.
        failure: The last failure, or None.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.status = "starting"
        self.running: dict[str, RunningJob] = {}
        self.depths: Sequence[Depths] = ()
        self.jobs: deque[JobRun] = deque(maxlen=MAX_JOBS)
        self.failure: Failure | None = None

    def report(self, record: Record) -> None:
        """Take a record into account."""
        fields = record.fields
        status = fields.get("status")
        if isinstance(status, str):
            self.status = status
        if record.action == "job_started":
            self.running[str(fields.get("message_id"))] = RunningJob(
                time=record.time,
                queue=str(fields.get("queue_name", "")),
                job=str(fields.get("job_name", "?")),
                attempt=fields.get("attempt"),
                since=self._clock(),
            )
        elif record.action in _ENDS_ALL:
            self.running.clear()
        elif record.action == "event_source_function_error":
            for message_id in fields.get("message_ids", ()):  # its process was killed, or has crashed
                self.running.pop(message_id, None)
        if record.outcome is not None:
            self.running.pop(str(fields.get("message_id")), None)
            self.jobs.appendleft(
                JobRun(
                    time=record.time,
                    queue=str(fields.get("queue_name", "")),
                    job=str(fields.get("job_name", "?")),
                    outcome=record.outcome,
                    attempt=fields.get("attempt"),
                    seconds=fields.get("duration_seconds"),
                )
            )
        if record.exception is not None or record.action in ("job_rejected", "dev_not_loaded", "unknown_task"):
            self.failure = Failure(time=record.time, title=record.message, trace=record.exception)
        elif (
            record.action == "dev_loaded" and self.failure is not None and self.failure.title.startswith("cannot load")
        ):
            self.failure = None
