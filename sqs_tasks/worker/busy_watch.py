"""Whether a worker has jobs in progress, reported when it changes and not for every job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqs_tasks.loggers import kept_logger
from sqs_tasks.worker.looking import looking

logger = kept_logger(__name__)

#: Seconds between two looks.
LOOK_SECONDS = 0.25

#: Seconds without a job before a worker counts as idle: between two jobs it is not.
IDLE_SECONDS = 5.0


@contextmanager
def watching_busy(
    running: Callable[[], int],
    on_change: Callable[[bool], None],
    *,
    look_seconds: float = LOOK_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
) -> Iterator[None]:
    """Report each change between busy and idle, from a separate thread, while the block runs.

    Args:
        running: How many jobs are in progress.
        on_change: Called with True at the first job, and with False when there was none for a while and at the end.
        look_seconds: Seconds between two looks.
        idle_seconds: Seconds without a job that make it idle.
    """
    busy, idle_looks = False, 0

    def look() -> None:
        nonlocal busy, idle_looks
        idle_looks = 0 if running() else idle_looks + 1
        now = busy and idle_looks * look_seconds < idle_seconds if idle_looks else True
        if now is not busy:
            busy = now
            _report(on_change, busy)

    try:
        with looking(look, every_seconds=look_seconds, name="sqs-tasks-busy"):
            yield
    finally:
        if busy:
            _report(on_change, False)


def _report(on_change: Callable[[bool], None], busy: bool) -> None:
    try:
        on_change(busy)
    except Exception:  # a failing listener must not affect the jobs
        logger.exception("the report that the worker is busy or idle failed", extra={"action": "busy_failed"})
