"""Interrupting plain code that runs too long: possible in the main thread where there is SIGALRM, else not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sqs_tasks.errors import TaskTimeoutError


@contextmanager
def main_thread_timeout(timeout_seconds: float) -> Iterator[None]:
    """Raise TaskTimeoutError in the block when it takes longer; do nothing outside the main thread (S52).

    The exception appears between two bytecodes: a call into C that does not return is interrupted late, after it.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_alarm(_number: int, _frame: FrameType | None) -> None:
        raise TaskTimeoutError(f"the task ran longer than its timeout of {timeout_seconds:g} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, timeout_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
