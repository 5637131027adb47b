"""What a task raised, to its job's outcome: one place for every way to fail. Imported when the first job fails."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from sqs_tasks.backoff_policies import BackoffPolicy, clamp_visibility, visibility_seconds
from sqs_tasks.errors import SignatureMismatchError, UndecodableMessageError, described, one_line
from sqs_tasks.message import Job
from sqs_tasks.middleware import context_of
from sqs_tasks.outcome import NotStarted, Outcome, Postpone, Reject, Rejected, Retried, Retry
from sqs_tasks.registry import RegisteredTask

logger = logging.getLogger(__name__)

#: What the file names of this library begin with, and those of Python's.
_PACKAGE = __file__.removesuffix("execution/failures.py")
_STANDARD_LIBRARY = logging.__file__.removesuffix("logging/__init__.py")


class RetryRules(Protocol):
    """What decides whether and when a failed job comes back, beside its task's settings."""

    @property
    def backoff_policy(self) -> BackoffPolicy:
        """For tasks without their own."""

    @property
    def last_receive(self) -> int | None:
        """The receive after which a job that was not done is rejected, or None."""

    @property
    def max_receive_count(self) -> int | None:
        """Receives after which the queue's redrive policy moves a message, if that is known."""

    @property
    def now(self) -> Callable[[], float]:
        """The wall clock in seconds."""


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
        return _postponed(error, job)
    delay = _delay_seconds(error, job, task, rules)
    reason = described(error)
    extra = {"duration_seconds": seconds, "error_type": type(error).__name__, **job.log_fields}
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
    level, trace = (logging.INFO, None) if isinstance(error, Retry) else (logging.ERROR, _from_application(error))
    when = "again when the queue's visibility timeout ends" if delay is None else f"again in {delay} s"
    if rules.max_receive_count is not None and job.attempt >= rules.max_receive_count:
        when = "the last that its queue allows; SQS moves it to the dead-letter queue"
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
    return Retried(delay_seconds=delay, reason=reason, error=error)


def _postponed(error: Postpone, job: Job) -> NotStarted:
    wait = clamp_visibility(error.delay_seconds, round_up=True)
    reason = one_line(str(error))
    logger.info(
        "job %s put off for %d s: %s",
        job.job_name,
        wait,
        reason,
        extra={"action": "job_postponed", **job.log_fields},
    )
    return NotStarted(reason=reason, delay_seconds=wait)


def _why_final(error: BaseException, job: Job, task: RegisteredTask, rules: RetryRules) -> str | None:
    """Why no further attempt is made after this error; None when one is."""
    settings = task.settings
    if settings.max_attempts is not None and job.attempt >= settings.max_attempts:
        return f"{settings.max_attempts} attempts used up"
    if settings.no_retry_on and isinstance(error, settings.no_retry_on):
        return "no retry on this error"
    if rules.last_receive is not None and job.attempt >= rules.last_receive:
        return f"{rules.last_receive} receives used up"
    return None


def _delay_seconds(error: BaseException, job: Job, task: RegisteredTask, rules: RetryRules) -> int | None:
    policy = task.settings.backoff_policy or rules.backoff_policy
    if isinstance(error, Retry):
        if error.delay_seconds is not None:
            return clamp_visibility(error.delay_seconds)
        if error.after is not None:
            return clamp_visibility(error.after.timestamp() - rules.now(), round_up=True)
        policy = error.backoff_policy or policy
    return visibility_seconds(policy, job.message)


def _from_application(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """An exception for the log, from the application's first frame on: how we got there says nothing of what failed."""
    first = frame = error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if file.startswith(_PACKAGE):
            first = frame.tb_next
        elif not file.startswith(_STANDARD_LIBRARY) or "site-packages" in file:
            break  # asyncio may stand between two frames of ours
        frame = frame.tb_next
    return type(error), error, first or error.__traceback__


def may_be_ctrl_c() -> bool:
    """Whether a KeyboardInterrupt in this thread may be Ctrl-C; a worker handles that itself: then a task raised it."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
