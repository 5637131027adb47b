"""Interrupting plain code that runs too long: possible in the main thread where there is SIGALRM, else not.

The code sees a :class:`~sqs_tasks.errors.TaskInterruption`. That is no Exception: ``except Exception`` would take it
for an error to handle, and botocore takes a TimeoutError for an error of the network and makes its call again. Code may
catch an interruption all the same, to clean up or by mistake. So it comes again, sooner each time, until the block has
ended. What leaves the block is the error that the limit was set with.
"""

from __future__ import annotations

import math
import signal
import threading
from _signal import getsignal as get_handler  # type: ignore[import-not-found]  # without the search for enums
from _signal import signal as set_handler
from contextlib import AbstractContextManager, nullcontext
from time import monotonic, monotonic_ns
from types import FrameType, TracebackType
from typing import Any, Self

from sqs_tasks.errors import TaskInterruption, TaskTimeoutError

get_ident = threading.get_ident
#: None where there are no alarms.
setitimer: Any = getattr(signal, "setitimer", None)
_TIMER: Any = getattr(signal, "ITIMER_REAL", None)

#: The text of the exception, by default.
TIMEOUT_TEXT = "the task ran longer than its timeout of {:g} s"

#: Seconds between the first interruption and the second: what cleaning up may take.
PATIENCE_SECONDS = 1.0

#: Pauses below this end the patience: then interruptions come at moments that no loop is in step with, until one finds
#: the code outside of its handlers.
_LEAST_PAUSE_SECONDS = 0.01

#: Seconds after which an alarm comes again that nobody has answered: one that comes just before a wait begins in C is
#: not seen until that wait is over, or interrupted.
_UNANSWERED_SECONDS = 0.02

#: The shortest time an alarm is set for: 0 would switch it off.
_LEAST_SECONDS = 0.000_001

_NO_LIMIT: AbstractContextManager[None] = nullcontext()


class MainThreadAlarm:
    """The process's alarm, taken for a while to set limits with (S52).

    ::

        with MainThreadAlarm() as alarm:
            with alarm.limit(30):
                task()

    Outside the main thread, where Python delivers no signals, and without ``SIGALRM`` a limit limits nothing. What was
    set for the alarm before rings when it is due, and is there again afterwards. Code that takes the alarm for itself
    meanwhile, and keeps it, switches limits off until then. One limit at a time.

    Args:
        left_text: What the exception says when a task had no more than ``seconds_left``; ``{:g}`` stands for them.

    Attributes:
        seconds_left: What :meth:`limit_task` gives a task at most.
        patience_seconds: How long after the first interruption the second one comes.
    """

    __slots__ = (
        "_before",
        "_ends_outside",
        "_interval_outside",
        "_is_ringing",
        "_left_text",
        "_limit",
        "_rings_at",
        "_thread_id",
        "patience_seconds",
        "seconds_left",
    )

    def __init__(self, left_text: str = TIMEOUT_TEXT) -> None:
        self.seconds_left = math.inf
        self.patience_seconds = PATIENCE_SECONDS
        self._left_text = left_text
        self._before: Any = None
        #: When what was set outside is due, and when the alarm goes off next, by the monotonic clock.
        self._ends_outside = self._rings_at = math.inf
        #: Seconds after which what was set outside is due again; 0 for once.
        self._interval_outside = 0.0
        self._is_ringing = False
        self._limit = _Limit(self)
        #: The thread that may set limits; 0 while nobody may.
        self._thread_id = 0

    def __enter__(self) -> Self:
        """Take the alarm."""
        thread_id = get_ident()
        if thread_id != threading.main_thread().ident or setitimer is None:
            return self
        self._note_outside(monotonic())
        # None is a handler that was not set from Python; it cannot be put back. It is noted before ours is set,
        # which the alarm may call at once.
        before = get_handler(signal.SIGALRM)
        self._before = int(signal.SIG_DFL) if before is None else before
        set_handler(signal.SIGALRM, self._on_alarm)
        self._thread_id = thread_id
        return self

    def __exit__(self, *_: object) -> None:
        """Put back what was set before."""
        if not self._thread_id:
            return
        self._thread_id = 0
        self._limit.is_open = False
        setitimer(_TIMER, 0)
        set_handler(signal.SIGALRM, self._before)
        if self._ends_outside < math.inf:
            setitimer(_TIMER, max(self._ends_outside - monotonic(), _LEAST_SECONDS), self._interval_outside)

    @property
    def is_mine(self) -> bool:
        """Whether the thread that asks may set limits."""
        return get_ident() == self._thread_id

    def limit(
        self,
        seconds: float | None,
        text: str = TIMEOUT_TEXT,
        error: type[BaseException] = TaskTimeoutError,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> AbstractContextManager[None]:
        """A context that interrupts what runs in it when that takes longer; to be entered at once.

        The code is interrupted between two bytecodes: a call into C that does not return is interrupted late, after it.

        Args:
            seconds: The limit, above 0; None sets none.
            text: What the exception says; ``{:g}`` stands for the seconds.
            error: The class of the exception that leaves the block.
            patience_seconds: How long after the first interruption the second one comes.
        """
        if seconds is None or get_ident() != self._thread_id:
            return _NO_LIMIT
        limit = self._limit
        limit.ends_at = monotonic() + seconds
        limit.seconds, limit.text, limit.error, limit.pause = seconds, text, error, patience_seconds
        return limit

    def limit_task(self, timeout_seconds: float | None) -> AbstractContextManager[None]:
        """The same for a task, in the thread that took the alarm: its timeout, or ``seconds_left`` where that is less.

        There is one for each job, so it checks and sets no more than it must.
        """
        limit, left = self._limit, self.seconds_left
        if timeout_seconds is not None and timeout_seconds <= left:
            limit.seconds, limit.text = timeout_seconds, TIMEOUT_TEXT
        elif left < math.inf:
            limit.seconds, limit.text = max(left, _LEAST_SECONDS), self._left_text
        else:
            return _NO_LIMIT
        limit.error = TaskTimeoutError
        limit.pause = self.patience_seconds
        limit.ends_at = monotonic() + limit.seconds
        return limit

    def _rings_by(self, moment: float) -> None:
        """See to it that the alarm goes off by that moment; a call to the system only if it does not yet."""
        if moment >= self._rings_at:
            return  # it will go off earlier, for a limit that was kept, and is then set for the rest
        self._rings_at = moment
        setitimer(_TIMER, max(moment - monotonic(), _LEAST_SECONDS), _UNANSWERED_SECONDS)

    def _note_outside(self, now: float) -> None:
        """Note what is set for the alarm, which somebody else has set."""
        outside, interval = signal.getitimer(_TIMER)
        # One that repeats has nothing left while its signal is on its way.
        self._ends_outside = self._rings_at = now + outside if outside or interval else math.inf
        self._interval_outside = interval

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self._is_ringing:  # in here, once more: what is noted may be half of what is true, so soon again
            setitimer(_TIMER, _soon(), _UNANSWERED_SECONDS)
            return
        self._is_ringing = True
        try:
            self._ring(number, frame)
        finally:
            self._is_ringing = False

    def _ring(self, number: int, frame: FrameType | None) -> None:
        now, limit = monotonic(), self._limit
        self._rings_at = math.inf
        if self._ends_outside <= now:
            self._ring_outside(number, frame, now)
            return
        if limit.is_open and limit.ends_at <= now:
            # Never in here: a limit that is about to be left would be left open.
            is_in_code = frame is None or frame.f_code.co_filename != __file__
            limit.ends_at = now + (limit.next_pause() if is_in_code else _soon())
            self._rings_by(min(limit.ends_at, self._ends_outside))
            if is_in_code:
                raise TaskInterruption(limit.text.format(limit.seconds), limit)
            return
        next_end = min(self._ends_outside, limit.ends_at if limit.is_open else math.inf)
        if next_end < math.inf:
            self._rings_by(next_end)
        else:
            setitimer(_TIMER, 0)

    def _ring_outside(self, number: int, frame: FrameType | None, now: float) -> None:
        """Ring what was set before the alarm was taken."""
        interval = self._interval_outside
        setitimer(_TIMER, interval, interval)
        try:
            if callable(self._before):
                self._before(number, frame)
        finally:
            # It may have set the alarm again: one of ours does so until its block has ended.
            self._note_outside(now)
            # Not before: the limit may be due too, and would end that handler before it has done anything.
            if self._limit.is_open:
                self._rings_by(self._limit.ends_at)


class _Limit:
    """The limit that an alarm was set for last; one object for all of them, since there is one for each job."""

    __slots__ = ("_alarm", "ends_at", "error", "is_open", "pause", "seconds", "text")

    def __init__(self, alarm: MainThreadAlarm) -> None:
        self._alarm = alarm
        self.is_open = False
        self.seconds = 0.0
        #: When the next interruption is due, and the pause after it.
        self.ends_at = math.inf
        self.pause = PATIENCE_SECONDS
        self.text = TIMEOUT_TEXT
        self.error: type[BaseException] = TaskTimeoutError

    def next_pause(self) -> float:
        """Seconds until the next interruption: half as many as the last time."""
        pause, self.pause = self.pause, self.pause / 2
        return pause if pause >= _LEAST_PAUSE_SECONDS else _soon()

    def __enter__(self) -> None:
        self.is_open = True
        if self.ends_at < self._alarm._rings_at:  # noqa: SLF001 - two halves of one thing
            self._alarm._rings_by(self.ends_at)  # noqa: SLF001

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The alarm may go off later all the same, for nothing: setting it once for many jobs is enough.
        self.is_open = False
        if kind is not None and isinstance(error, TaskInterruption) and error.limit is self:
            raise self.error(str(error)).with_traceback(traceback) from None


def _soon() -> float:
    """A few dozen microseconds, another time each time."""
    return (5 + monotonic_ns() * 7_919 % 48) / 1_000_000


class main_thread_timeout:  # noqa: N801 - a context manager, named as one
    """Raise TaskTimeoutError in the ``with`` block when it takes longer: one limit, with the alarm taken for it.

    Args:
        timeout_seconds: The limit, above 0.
    """

    __slots__ = ("_alarm", "_limit", "_seconds")

    def __init__(self, timeout_seconds: float) -> None:
        self._seconds = timeout_seconds
        self._alarm = MainThreadAlarm()
        self._limit: AbstractContextManager[None] = _NO_LIMIT

    def __enter__(self) -> None:
        """Set the alarm."""
        self._alarm.__enter__()
        try:
            self._limit = self._alarm.limit(self._seconds)
            self._limit.__enter__()
        except BaseException:  # a limit so short that it is over already
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the alarm off, and put back what was there."""
        try:
            self._limit.__exit__(kind, error, traceback)
        finally:
            self._alarm.__exit__()


def task_timeout(timeout_seconds: float | None) -> AbstractContextManager[None]:
    """As :class:`main_thread_timeout` for tasks that may have no limit; those pay for none."""
    return _NO_LIMIT if timeout_seconds is None else main_thread_timeout(timeout_seconds)
