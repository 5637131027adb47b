"""What a task raised, to its job's outcome: one place for every way to fail. Imported when the first job fails."""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Protocol

from sqs_tasks.backoff_policies import BackoffPolicy, clamp_visibility, policy_seconds
from sqs_tasks.errors import SignatureMismatchError, UndecodableMessageError, described, one_line
from sqs_tasks.execution.intake import put_off
from sqs_tasks.limits import MAX_VISIBILITY_SECONDS
from sqs_tasks.loggers import kept_logger
from sqs_tasks.message import Job
from sqs_tasks.middleware import context_of
from sqs_tasks.outcome import Cancelled, Outcome, Postpone, Postponed, Reject, Rejected, Retried, Retry, Skipped
from sqs_tasks.registry import RegisteredTask

logger = kept_logger(__name__)

#: Thirty years: infinity is no whole number.
_LONGEST_SECONDS = 10**9

#: What the file names of this library begin with, and those of Python's.
PACKAGE = __file__.removesuffix("execution/failures.py")
STANDARD_LIBRARY = logging.__file__.removesuffix("logging/__init__.py")


class RetryRules(Protocol):
    """What decides whether and when a failed job comes back, beside its task's settings."""

    @property
    def backoff_policy(self) -> BackoffPolicy:
        """For tasks without their own."""

    @property
    def fifo(self) -> bool:
        """Whether the queue is FIFO, where a job keeps its place and never goes on by a copy."""

    @property
    def copies_at(self) -> int | None:
        """The receive after which SQS would move a message, if it has to be feared; None without a redrive policy."""

    @property
    def last_receive(self) -> int | None:
        """The receive after which a job that was not done is rejected, or None."""

    @property
    def max_receive_count(self) -> int | None:
        """Receives after which the queue's redrive policy moves a message, if that is known."""

    @property
    def now(self) -> Callable[[], float]:
        """The wall clock in seconds."""

    @property
    def log_retries(self) -> Literal["message", "traceback"]:
        """Whether an attempt that is followed by another is logged with its traceback."""


def outcome_of(error: BaseException, job: Job, task: RegisteredTask, seconds: float, rules: RetryRules) -> Outcome:
    """The outcome of a job whose run raised; it is logged here, with what middleware had bound where it failed.

    Args:
        error: What it raised.
        job: The job.
        task: Its task.
        seconds: How long it ran.
        rules: The queue's.
    """
    context = context_of(error, forget=not task.batch_size)
    if context is None:
        return _outcome(error, job, task, seconds, rules)
    return context.run(_outcome, error, job, task, seconds, rules)


def _outcome(error: BaseException, job: Job, task: RegisteredTask, seconds: float, rules: RetryRules) -> Outcome:
    if isinstance(error, Postpone):
        return _postponed(error, job, task, rules)
    if isinstance(error, Cancelled):
        reason = one_line(str(error))
        logger.warning(
            "job %s skipped: %s",
            job.job_name,
            reason,
            extra={"action": "job_skipped", "task_name": task.name, "reason": reason, **job.log_fields},
        )
        return Skipped(reason=reason, is_cancelled=True)
    delay = _delay_seconds(error, job, task, rules)
    reason = described(error)
    extra = {
        "task_name": task.name,
        "duration_seconds": seconds,
        "error_type": type(error).__name__,
        **job.log_fields,
    }
    if isinstance(error, (Reject, SignatureMismatchError, UndecodableMessageError)):
        logger.error("job %s rejected: %s", job.job_name, reason, extra={"action": "job_rejected", **extra})
        return Rejected(reason=reason, delay_seconds=delay, error=error)
    why = _why_final(error, job, task, rules)
    if why is not None:
        logger.error(
            "job %s rejected, %s: %s",
            job.job_name,
            why,
            reason,
            exc_info=_from_application(error),
            extra={"action": "job_rejected", **extra},
        )
        return Rejected(reason=f"{why}: {reason}", delay_seconds=delay, error=error)
    # Most retried jobs succeed in the end; who looks for those that did not must find them among the errors.
    level = logging.INFO if isinstance(error, Retry) else logging.WARNING
    is_traced = (task.settings.log_retries or rules.log_retries) == "traceback"
    trace = _from_application(error) if level == logging.WARNING and is_traced else None
    when = "again when the queue's visibility timeout ends" if delay is None else f"again in {delay} s"
    attempts = _attempts_of_copy(job, rules, delay)
    if (
        attempts is None
        and rules.max_receive_count is not None
        and job.message.receive_count >= rules.max_receive_count
    ):
        when = "the last that its queue allows; SQS moves it to the dead-letter queue"
        level, trace = logging.ERROR, _from_application(error)
    logger.log(
        level,
        "job %s failed on attempt %d, %s: %s",
        job.job_name,
        job.attempt,
        when,
        reason,
        exc_info=trace,
        extra={"action": "job_retried", "delay_seconds": delay, **extra},
    )
    return Retried(delay_seconds=delay, reason=reason, error=error, attempts=attempts)


def _postponed(error: Postpone, job: Job, task: RegisteredTask, rules: RetryRules) -> Postponed:
    longest = MAX_VISIBILITY_SECONDS if rules.fifo else _LONGEST_SECONDS
    seconds = min(error.seconds(rules.now()), longest)
    return put_off(job, task, seconds, one_line(str(error)), attempts=job.attempt - 1, error=error)


def _why_final(error: BaseException, job: Job, task: RegisteredTask, rules: RetryRules) -> str | None:
    """Why no further attempt is made after this error; None when one is."""
    settings = task.settings
    if settings.max_attempts is not None and job.attempt >= settings.max_attempts:
        return f"{settings.max_attempts} attempts used up"
    if settings.no_retry_on and isinstance(error, settings.no_retry_on):
        return "no retry on this error"
    message = job.message
    if rules.last_receive is not None and message.receive_count >= rules.last_receive:
        return f"{rules.last_receive} receives used up"
    # The receives that would end a job without max_attempts are spread over several messages.
    most = rules.copies_at if message.is_copy and settings.max_attempts is None else None
    return f"{most} attempts used up" if most is not None and job.attempt >= most else None


def _attempts_of_copy(job: Job, rules: RetryRules, delay: int | None) -> int | None:
    """The attempts so far, if its delay is too long for its message; None if that can come back itself."""
    is_long = delay is not None and delay > MAX_VISIBILITY_SECONDS
    return job.attempt if is_long and not rules.fifo else None


def _delay_seconds(error: BaseException, job: Job, task: RegisteredTask, rules: RetryRules) -> int | None:
    policy = task.settings.backoff_policy or rules.backoff_policy
    if isinstance(error, Retry):
        if error.delay_seconds is not None:
            return _clamped(error.delay_seconds, rules)
        if error.after is not None:
            return _clamped(error.after.timestamp() - rules.now(), rules, round_up=True)
        policy = error.backoff_policy or policy
    seconds = policy_seconds(policy, job.message.counted_as(job.attempt))
    if seconds is None or seconds > _LONGEST_SECONDS:  # no backoff, but a mistake in somebody's policy
        return None if seconds is None else clamp_visibility(seconds)
    return _clamped(seconds, rules)


def _clamped(seconds: float, rules: RetryRules, *, round_up: bool = False) -> int:
    """Whole seconds, as many as SQS hides a message for; on a standard queue any number of them."""
    if seconds > MAX_VISIBILITY_SECONDS and not rules.fifo:
        return math.ceil(min(seconds, _LONGEST_SECONDS))
    return clamp_visibility(seconds, round_up=round_up)


def _from_application(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """An exception for the log, from the application's first frame on: how we got there says nothing of what failed."""
    first = frame = error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if file.startswith(PACKAGE):
            first = frame.tb_next
        elif not file.startswith(STANDARD_LIBRARY) or "site-packages" in file:
            break  # asyncio may stand between two frames of ours
        frame = frame.tb_next
    return type(error), error, first or error.__traceback__


def may_be_ctrl_c() -> bool:
    """Whether a KeyboardInterrupt in this thread may be Ctrl-C; a worker handles that itself: then a task raised it."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
