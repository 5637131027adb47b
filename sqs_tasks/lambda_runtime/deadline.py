"""The end of an invocation, and what still fits before it (S50, S51)."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any

from sqs_tasks.execution.main_thread_alarm import PATIENCE_SECONDS, MainThreadAlarm
from sqs_tasks.message import Job, JobBatch
from sqs_tasks.outcome import NotStarted
from sqs_tasks.registry import RegisteredTask

logger = logging.getLogger(__name__)

#: Seconds kept free at the end of an invocation for settling and for flushing telemetry.
MARGIN_SECONDS = 2.0

#: The share of an invocation's time that is kept free at most: by default, and when a margin was asked for. A function
#: with three seconds could do next to nothing if two of them were kept free.
MARGIN_SHARE, MAX_MARGIN_SHARE = 0.1, 0.5

#: Seconds before the end at which the answer must be on its way, whatever is not settled by then.
ANSWER_SECONDS = 0.25

#: Runs that are remembered of each task; the longest of a hundred is their 99th percentile.
REMEMBERED_RUNS = 100

#: What sums and differences of moments may be off by.
_ROUNDING_SECONDS = 0.000_01

#: The shortest limit; 0 would mean none.
_LEAST_SECONDS = 0.001


def _no_end() -> float:
    return math.inf


class OutOfTime(BaseException):
    """Settling is given up: the answer has to be on its way."""


class Deadline:
    """When Lambda ends the invocation, after which nothing it did counts.

    Args:
        context: Lambda's context; None, or one without a clock, has no end.
        margin_seconds: What is kept free at the end, at most half of the time there is; None computes it.
    """

    def __init__(self, context: Any, margin_seconds: float | None = None) -> None:
        #: Entered for the length of the invocation; without that, plain code is not limited.
        self.alarm = MainThreadAlarm("the invocation's time was used up after {:g} s")
        self._remaining_millis: Callable[[], Any] = getattr(context, "get_remaining_time_in_millis", _no_end)
        total = self.seconds_left()
        if margin_seconds is None:
            self.margin_seconds = min(MARGIN_SECONDS, total * MARGIN_SHARE)
        else:
            self.margin_seconds = min(margin_seconds, total * MAX_MARGIN_SHARE)
        # At the margin the answer must get out however often a task catches its interruption.
        self.alarm.patience_seconds = min(PATIENCE_SECONDS, self.margin_seconds / 4)
        #: Until when what was started since the last look at Lambda's clock may run, one after the other; and when the
        #: margin begins, as of that look. Both by the monotonic clock.
        self._busy_until = monotonic()
        self._margin_at = self._busy_until + total - self.margin_seconds
        #: What a whole invocation has for jobs.
        self.whole_seconds = total - self.margin_seconds
        #: Whether a job has been started; the first one is, whatever time is left.
        self.anything_started = False

    def seconds_left(self) -> float:
        """Seconds until the end; infinity when there is none."""
        remaining_millis = self._remaining_millis
        try:
            return remaining_millis() / 1000  # type: ignore[no-any-return]  # what it returns is somebody's own
        except BaseException:  # noqa: BLE001 - somebody's own context; without a clock there is no deadline
            self._remaining_millis = _no_end
            return math.inf

    def seconds_to_work(self) -> float:
        """Seconds until the margin begins, above 0; infinity when there is no end."""
        return max(self.seconds_left() - self.margin_seconds, _LEAST_SECONDS)

    def covers(self, seconds: float, *, is_bounded: bool = False) -> bool:
        """Whether work still fits that starts now; the alarm then stops it when the margin begins.

        Lambda's clock need not be asked for each job: it is passed over while there is time enough by what has gone by
        since the last look, and also if all that was started since takes as long as it may.

        Args:
            seconds: How long it may take.
            is_bounded: Whether it is sure to be stopped after these seconds.
        """
        now = monotonic()
        if not is_bounded or now + seconds > self._margin_at or self._busy_until + seconds > self._margin_at:
            self._margin_at = now + self.seconds_left() - self.margin_seconds
            self._busy_until = now
        self._busy_until += seconds if is_bounded else math.inf
        self.alarm.seconds_left = left = self._margin_at - now
        return left + _ROUNDING_SECONDS >= seconds

    def is_measured(self, timeout_seconds: float | None) -> bool:
        """Whether what a task may take is what it took: it has no timeout, or one that no invocation has the time for.

        If that one decided, each invocation would run one job and give back all others, until SQS has moved them unrun.
        """
        return timeout_seconds is None or timeout_seconds > self.whole_seconds

    @property
    def is_over(self) -> bool:
        """Whether the margin has begun."""
        return self.seconds_left() < self.margin_seconds

    def limit_seconds(self, timeout_seconds: float | None) -> float | None:
        """A limit for a coroutine: its timeout, or the margin where that comes first; None for no limit."""
        left = self.seconds_to_work()
        if timeout_seconds is None:
            return None if left == math.inf else left
        return min(timeout_seconds, left)

    def grace_seconds(self, limit_seconds: float | None) -> float | None:
        """How long a coroutine may take to end after its limit: a second, or less where the answer must get out."""
        left = self.seconds_left()
        if limit_seconds is None or left == math.inf:
            return None
        return min(PATIENCE_SECONDS, max(left - limit_seconds - self.margin_seconds / 2, _LEAST_SECONDS))

    def settling(self) -> AbstractContextManager[None]:
        """A limit for settling: an answer that comes too late is none, and then everything is run again (S50).

        It raises OutOfTime.
        """
        left = self.seconds_left()
        limit = None if left == math.inf else max(left - ANSWER_SECONDS, _LEAST_SECONDS)
        return self.alarm.limit(
            limit,
            "given up after {:g} s, at the end of the invocation",
            OutOfTime,
            patience_seconds=ANSWER_SECONDS / 8,
        )


class ObservedDurations:
    """How long the last runs of each task took, in this process. Safe to share between threads."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], deque[float]] = {}
        #: The longest of them: asked for before each run, and another one after few.
        self._longest: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def add(self, queue_name: str, job_name: str, seconds: float) -> None:
        """Remember a run."""
        key = (queue_name, job_name)
        with self._lock:
            runs = self._seconds.get(key)
            if runs is None:
                runs = self._seconds[key] = deque(maxlen=REMEMBERED_RUNS)
            forgotten = runs[0] if len(runs) == REMEMBERED_RUNS else 0.0
            runs.append(seconds)
            longest = self._longest.get(key, 0.0)
            if seconds >= longest:
                self._longest[key] = seconds
            elif forgotten >= longest:
                self._longest[key] = max(runs)

    def p99_seconds(self, queue_name: str, job_name: str) -> float:
        """The 99th percentile of the last hundred runs, in seconds; 0 before the first."""
        return self._longest.get((queue_name, job_name), 0.0)


class Admission:
    """Says whether a job may start: as long as the time that is left covers what it may take (S51).

    Args:
        deadline: The end of the invocation.
        durations: How long the tasks took before.
        queue_name: The queue's name in code.
        max_receive_count: Receives before its redrive policy moves a message; None where that is not known.
        can_interrupt: Whether plain tasks are stopped at their timeout.
        stop_if_time_is_up: Has the invocation look at nothing more once the margin has begun.
    """

    def __init__(
        self,
        deadline: Deadline,
        durations: ObservedDurations,
        *,
        queue_name: str,
        max_receive_count: int | None,
        can_interrupt: bool,
        stop_if_time_is_up: Callable[[], None],
    ) -> None:
        self._deadline = deadline
        self._durations = durations
        self._queue_name = queue_name
        self._max_receive_count = max_receive_count
        self._can_interrupt = can_interrupt
        self._stop_if_time_is_up = stop_if_time_is_up

    def admit(self, call: Job | JobBatch, task: RegisteredTask, /) -> NotStarted | None:
        """Why a job, or the jobs of a batch processor's call, may not start any more; None if they may."""
        deadline, timeout = self._deadline, task.settings.timeout
        if timeout is None or timeout > deadline.whole_seconds:  # it is measured; this is asked for each job
            need, is_bounded = self._durations.p99_seconds(self._queue_name, task.name), False
        else:
            need, is_bounded = timeout, self._can_interrupt and not task.is_async
        is_first, deadline.anything_started = not deadline.anything_started, True
        fits = deadline.covers(need, is_bounded=is_bounded)
        if is_first and (not fits or (timeout is not None and deadline.is_measured(timeout))):
            # No later invocation will have more time than a fresh one: better a run that may end in time.
            logger.warning(
                "%.1f s of the function's time are left and task %s may take %.1f s; it needs a longer timeout",
                deadline.seconds_left(),
                task.name,
                timeout or need,
                extra={"action": "deadline_too_short", **call.log_fields},
            )
        if fits or is_first or self._is_last_chance(call, task):
            return None
        self._stop_if_time_is_up()
        return NotStarted(reason=f"{deadline.seconds_left():.1f} s are left, the task may take {need:.1f} s")

    def _is_last_chance(self, call: Job | JobBatch, task: RegisteredTask) -> bool:
        """Whether a job that is given back now would be moved to the dead-letter queue by SQS, perhaps never run.

        It then starts in whatever time there is, if it can be stopped when the margin begins.
        """
        job = call.jobs[0] if isinstance(call, JobBatch) else call
        most = self._max_receive_count
        if most is None or job.message.receive_count < most or self._deadline.is_over:
            return False
        return task.is_async or self._can_interrupt
