"""Interrupting plain code that runs too long: possible in the main thread where there is SIGALRM, else not."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from sqs_tasks.errors import TaskTimeoutError

#: What the exception says, unless told otherwise.
TIMEOUT_TEXT = "the task ran longer than its timeout of {:g} s"

#: The shortest time an outer alarm is given when it fell due inside: 0 would switch it off.
_LEAST_SECONDS = 0.000_001


class main_thread_timeout:  # noqa: N801 - a context manager, named as one
    """Raise TaskTimeoutError, or another exception, in the ``with`` block when it takes longer (S52).

    It does nothing outside the main thread, where Python delivers no signals, or without ``SIGALRM``. Blocks may be
    nested, also around code that uses the alarm for itself: what was set outside is there again afterwards.

    The exception appears between two bytecodes: a call into C that does not return is interrupted late, after it.

    Args:
        timeout_seconds: The limit, above 0; None sets none.
        text: What the exception says; ``{:g}`` stands for the seconds.
        error: Its class: one that is no Exception passes through code that handles all of those.
    """

    __slots__ = ("_before", "_ends_outside", "_error", "_open", "_seconds", "_text")

    def __init__(
        self,
        timeout_seconds: float | None,
        text: str = TIMEOUT_TEXT,
        error: type[BaseException] = TaskTimeoutError,
    ) -> None:
        self._seconds = timeout_seconds
        self._text = text
        self._error = error
        self._open = False
        self._before: Any = None
        self._ends_outside: float | None = None

    def __enter__(self) -> None:
        """Set the alarm."""
        if self._seconds is None or not _can_interrupt():
            return
        outside, _ = signal.getitimer(signal.ITIMER_REAL)
        self._ends_outside = time.monotonic() + outside if outside else None
        if outside and outside <= self._seconds:
            return  # the limit outside comes first; its alarm is left as it is
        # None is a handler that was not set from Python; it cannot be put back.
        self._before = signal.signal(signal.SIGALRM, self._on_alarm) or signal.SIG_DFL
        self._open = True
        try:
            signal.setitimer(signal.ITIMER_REAL, self._seconds)
        except BaseException:  # a limit so short that it is over already
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the alarm off, and put back what was there."""
        if not self._open:
            return
        try:
            self._open = False  # from here on an alarm does nothing
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            if self._ends_outside is not None:
                left = max(self._ends_outside - time.monotonic(), _LEAST_SECONDS)
                signal.setitimer(signal.ITIMER_REAL, left)

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        if self._open:
            raise self._error(self._text.format(self._seconds))


def _can_interrupt() -> bool:
    return threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
