"""Writes down every run of every task: who really ran, and how it ended, whatever the queues say.

One line a run, appended by each process to the file that SHOP_JOURNAL names; without it nothing is written. A line is
one ``write`` to a file opened for appending, so processes and threads do not cut into each other's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path

from sqs_tasks import Job

JOURNAL_VARIABLE = "SHOP_JOURNAL"

_attempt: ContextVar[int] = ContextVar("attempt", default=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one job."""

    job_id: str
    queue: str
    task: str
    attempt: int
    #: The name of what was raised; None when the task returned.
    error: str | None
    started_at: float
    ended_at: float
    process_id: int


@contextmanager
def journaled(job: Job) -> Iterator[None]:
    """Middleware: run the job, and write down how that ended."""
    token = _attempt.set(job.attempt)
    started_at, error = time.time(), None
    try:
        yield
    except Exception as raised:
        error = type(raised).__name__
        raise
    finally:
        _attempt.reset(token)
        _append(
            Run(
                job_id=job.job_id,
                queue=job.queue_name,
                task=job.job_name,
                attempt=job.attempt,
                error=error,
                started_at=started_at,
                ended_at=time.time(),
                process_id=os.getpid(),
            )
        )


def current_attempt() -> int:
    """Which attempt is running here; the pretended services decide by it when they work again."""
    return _attempt.get()


def read(path: Path) -> list[Run]:
    """The runs in a journal, in the order they ended."""
    return [Run(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _append(run: Run) -> None:
    path = os.environ.get(JOURNAL_VARIABLE)
    if path is None:
        return
    line = json.dumps(asdict(run)) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
