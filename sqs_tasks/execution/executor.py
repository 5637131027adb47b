"""Running a job: a message in, an :data:`Outcome` out, and not one call to SQS (design §2.2).

Nothing a message holds and nothing a task does leaves :meth:`Executor.execute` as an exception, but for the process's
own end (KeyboardInterrupt, unless the runtime asks for it to be an outcome too).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol, TypeAlias

from sqs_tasks.backoff_policies import BackoffPolicy, ExponentialBackoff, clamp_visibility, visibility_seconds
from sqs_tasks.context import SQSContext
from sqs_tasks.errors import (
    ConfigurationError,
    JobExpiredError,
    SignatureMismatchError,
    UndecodableMessageError,
    UnknownTaskError,
)
from sqs_tasks.hooks import Hook
from sqs_tasks.message import JOB_ID, Job, JobBatch, ReceivedMessage
from sqs_tasks.middleware import Middleware, compose
from sqs_tasks.outcome import (
    SUCCEEDED,
    NotStarted,
    Outcome,
    Postpone,
    Reject,
    Rejected,
    Retried,
    Retry,
    UnknownTask,
)
from sqs_tasks.registry import RegisteredTask

logger = logging.getLogger(__name__)

#: What the file names of this library begin with, and those of Python's.
_PACKAGE = __file__.removesuffix("execution/executor.py")
_STANDARD_LIBRARY = logging.__file__.removesuffix("logging/__init__.py")

#: A name that is not registered may be registered by the deploy that is in progress (S48). The five deliveries that a
#: queue allows at least are spread over about five minutes, which a rolling deploy fits into.
UNKNOWN_TASK_BACKOFF: BackoffPolicy = ExponentialBackoff(
    min_visibility_timeout=15, multiplier=15, max_visibility_timeout=300
)

#: What a task may raise to fail its job. SystemExit is a task's mistake, not the worker's end (S53).
TASK_FAILURES: tuple[type[BaseException], ...] = (Exception, SystemExit)


class CoroutineRunner(Protocol):
    """Runs coroutines to their end on a loop that outlives them; supplied by the runtime, so asyncio stays out."""

    def __call__(self, coroutine: Coroutine[Any, Any, Any], *, timeout_seconds: float | None) -> Any:
        """The coroutine's result; raises TaskTimeoutError when it took longer."""


class CoroutineLimiter(Protocol):
    """Awaits a coroutine for at most so long; supplied by the runtime, so asyncio stays out."""

    def __call__(self, coroutine: Coroutine[Any, Any, Any], timeout_seconds: float | None, /) -> Awaitable[Any]:
        """The coroutine's result; raises TaskTimeoutError when it took longer."""


class Interrupter(Protocol):
    """Raises TaskTimeoutError in plain code that runs too long, where the runtime can; supplied by the runtime."""

    def __call__(self, timeout_seconds: float | None) -> AbstractContextManager[None]:
        """A context that limits what runs in it; a runtime may have a limit of its own where the task has none."""


class TaskLookup(Protocol):
    """Where names are resolved."""

    def get(self, name: str, /) -> RegisteredTask | None:
        """The task of that name, or None."""


class Admit(Protocol):
    """Has the last word before a task runs; supplied by a runtime whose time ends."""

    def __call__(self, job: Job, task: RegisteredTask, /) -> NotStarted | None:
        """Why a job, or a batch of which it is the first, may not run now; None if it may."""


Decode: TypeAlias = Callable[[ReceivedMessage], Job]


@dataclass(kw_only=True)  # not frozen: Lambda makes one for each invocation
class Executor:
    """Runs the jobs of one queue; safe to share between threads, since it keeps nothing between jobs.

    Attributes:
        queue_name: The queue's name in code.
        tasks: Where task names are resolved.
        decode: Makes a job of a message; raises UndecodableMessageError.
        backoff_policy: For tasks without their own, and for what fails before its task is known.
        context: The environment's context; while a job runs it is the job's.
        middleware: Wraps each run, the first outermost.
        pre_task: Called with each job before it runs.
        post_task: Called with each job and its outcome.
        run_coroutine: Runs async tasks; without it they are refused.
        interrupter: Limits plain tasks to their timeout; without it they run as long as they like.
        admit: Asked before each run; without it whatever can run does.
        last_receive: The receive after which a job that was not done is rejected, whatever its task allows; None
            leaves it to the queue's redrive policy, which moves it with the next receive.
        max_receive_count: Where that redrive policy's limit is, if it is known; for the log.
        failures: What counts as a failure of the task; anything else ends the worker.
        now: The wall clock in seconds, for ages and moments; a test gives that of its SQS.
    """

    queue_name: str
    tasks: TaskLookup
    decode: Decode
    backoff_policy: BackoffPolicy
    context: SQSContext
    middleware: Sequence[Middleware] = ()
    pre_task: Hook[[Job]]
    post_task: Hook[[Job, Outcome]]
    run_coroutine: CoroutineRunner | None = None
    interrupter: Interrupter | None = None
    admit: Admit | None = None
    last_receive: int | None = None
    max_receive_count: int | None = None
    failures: tuple[type[BaseException], ...] = TASK_FAILURES
    now: Callable[[], float] = time.time

    def execute(self, message: ReceivedMessage) -> Outcome:
        """Run the job of a message to its outcome."""
        prepared = self._prepare(message)
        if not isinstance(prepared, tuple):
            return prepared
        job, task = prepared
        admit = self.admit
        if admit is not None:
            refused = admit(job, task)
            if refused is not None:
                return refused
        return self.run(job, task)

    def run(self, job: Job, task: RegisteredTask) -> Outcome:
        """Run a job that may run, in a context of its own."""
        return copy_context().run(self._run, job, task)

    async def execute_async(self, message: ReceivedMessage, *, limited: CoroutineLimiter) -> Outcome:
        """As :meth:`execute` for the message of an async task, awaited on the event loop it shares with others.

        The job's context is set in the caller's asyncio task, which is the job's own.

        Args:
            message: The message; that of a plain task would block the loop.
            limited: Keeps the task to its timeout.
        """
        prepared = self._prepare(message)
        if not isinstance(prepared, tuple):
            return prepared
        job, task = prepared
        started = self._begin(job)
        try:
            await limited(self._coroutine(task, self._call(job, task)), task.settings.timeout)
        except self.failures as error:
            return self._conclude(job, task, started, error)
        return self._conclude(job, task, started)

    def execute_batch(self, messages: Sequence[ReceivedMessage]) -> list[Outcome]:
        """Run one batch processor over messages of its task; one outcome for each message, in their order.

        Messages that cannot run (undecodable, expired) get their outcome and are left out of the call.
        """
        outcomes: dict[int, Outcome] = {}
        jobs: dict[int, Job] = {}
        task: RegisteredTask | None = None
        for index, message in enumerate(messages):
            prepared = self._prepare(message)
            if isinstance(prepared, tuple):
                jobs[index], task = prepared
            else:
                outcomes[index] = prepared
        if task is not None:
            refused = None if self.admit is None else self.admit(next(iter(jobs.values())), task)
            results = self.run_batch(list(jobs.values()), task) if refused is None else [refused] * len(jobs)
            outcomes.update(zip(jobs, results, strict=True))
        return [outcomes[index] for index in range(len(messages))]

    def run_batch(self, jobs: Sequence[Job], task: RegisteredTask) -> list[Outcome]:
        """Run a batch processor over jobs that may run, in a context of their own."""
        return copy_context().run(self._run_batch, jobs, task)

    def batch_task(self, message: ReceivedMessage) -> RegisteredTask | None:
        """The batch processor this message is for, or None when its job runs alone."""
        try:
            task = self.tasks.get(message.job_name)
        except Exception:  # noqa: BLE001 - a message's name is untrusted; execute() will say what is wrong with it
            return None
        return task if task is not None and task.batch_size else None

    def _prepare(self, message: ReceivedMessage) -> tuple[Job, RegisteredTask] | Outcome:
        """Decode, resolve, check: everything that can be said of a message before its task runs (S49)."""
        decode = self.decode
        try:
            job = decode(message)
        except UndecodableMessageError as error:
            return self._refuse(message, error)
        except Exception as error:  # a custom codec, reader or registered type: user code fed by a message
            logger.exception("cannot decode message", extra=self._message_fields(message, "decode_failed"))
            return self._refuse(message, UndecodableMessageError(f"{type(error).__name__} while decoding"))
        task = self.tasks.get(job.job_name)
        if task is None:
            return self._unknown(job)
        if job.args or job.expires_at is not None or job.not_before is not None or task.settings.max_age is not None:
            return self._checked(job, task)
        return job, task

    def _checked(self, job: Job, task: RegisteredTask) -> tuple[Job, RegisteredTask] | Outcome:
        """What few jobs have: positional arguments, and moments between which they may run."""
        try:
            if job.args:
                job = replace(job, kwargs=task.processor.signature.bind(job.args, job.kwargs), args=())
            self._check_age(job, task)
        except JobExpiredError as error:
            return self._refuse(job.message, error, job)
        except TypeError as error:  # positional arguments of a foreign message that do not fit
            return self._refuse(job.message, SignatureMismatchError(str(error)), job)
        early_seconds = 0 if job.not_before is None else job.not_before.timestamp() - self.now()
        if early_seconds > 0:
            # Rounded up, so that it does not come back a moment early and be received once more for nothing.
            return NotStarted(
                reason=f"it is not to be run before {job.not_before}",
                delay_seconds=clamp_visibility(early_seconds + 0.5),
            )
        return job, task

    def _check_age(self, job: Job, task: RegisteredTask) -> None:
        if job.expires_at is not None and job.expires_at.timestamp() < self.now():
            raise JobExpiredError(f"the job was not to be run after {job.expires_at}")
        max_age = task.settings.max_age
        if max_age is None:
            return
        sent_at = job.message.sent_at
        if sent_at is None:
            return
        age = self.now() - sent_at.timestamp()
        if age > max_age:
            raise JobExpiredError(f"the job waited {age:.0f} s, longer than max_age={max_age:g} s")

    def _unknown(self, job: Job) -> Outcome:
        delay = visibility_seconds(UNKNOWN_TASK_BACKOFF, job.message) or 0
        if self._is_last_receive(job):
            return self._refuse(job.message, UnknownTaskError(f"task {job.job_name!r} is not registered"), job)
        logger.error(
            "unknown task %r on queue %r; it returns in %d s, and the redrive policy decides in the end",
            job.job_name,
            self.queue_name,
            delay,
            extra={"action": "unknown_task", **job.log_fields},
        )
        outcome = UnknownTask(job_name=job.job_name, delay_seconds=delay)
        self.post_task.emit(job, outcome)
        return outcome

    def _refuse(self, message: ReceivedMessage, error: Exception, job: Job | None = None) -> Outcome:
        """The outcome of a message that must never run: no attempt will make it better."""
        logger.error(
            "message rejected: %s",
            error,
            extra={"action": "job_rejected", "reason": str(error), **self._message_fields(message)},
        )
        outcome = Rejected(
            reason=f"{type(error).__name__}: {error}",
            delay_seconds=visibility_seconds(self.backoff_policy, message),
            error=error,
        )
        if job is not None:
            self.post_task.emit(job, outcome)
        return outcome

    def _run(self, job: Job, task: RegisteredTask) -> Outcome:
        started = self._begin(job)
        try:
            self._limited(task, self._call, job)
        except BaseException as error:
            if not self._is_failure(error):
                raise
            return self._conclude(job, task, started, error)
        return self._conclude(job, task, started)

    def _is_failure(self, error: BaseException) -> bool:
        """Whether what a plain task raised is its own failure; only the process's own end is not.

        A CancelledError, for example, is no Exception, and must not end the worker that a message drove into it.
        """
        return isinstance(error, self.failures) or not isinstance(error, (KeyboardInterrupt, GeneratorExit))

    def _begin(self, job: Job) -> float:
        """Set the job's context and tell the hooks; the moment its run starts."""
        self.context.hold(job.context)
        if self.pre_task.callbacks:
            self.pre_task.emit(job)
        return perf_counter()

    def _conclude(self, job: Job, task: RegisteredTask, started: float, error: BaseException | None = None) -> Outcome:
        """The outcome of a run that raised this or nothing; the hooks are told."""
        outcome: Outcome = SUCCEEDED
        if error is not None:
            outcome = self._failed(job, task, error, perf_counter() - started)
        elif logger.isEnabledFor(logging.INFO):
            _log_success(job, perf_counter() - started)
        if self.post_task.callbacks:
            self.post_task.emit(job, outcome)
        return outcome

    def _call(self, job: Job, task: RegisteredTask) -> Any:
        """What a task returns inside all middleware: for an async one, the coroutine."""
        if not self.middleware:
            return task.processor.call(job.kwargs, job.context)
        innermost = partial(task.processor.call, job.kwargs, job.context)
        return compose(self.middleware, job, innermost, is_async=task.is_async)()

    def _call_batch(self, jobs: Sequence[Job], task: RegisteredTask) -> Any:
        """What a batch processor returns inside all middleware: for an async one, the coroutine."""
        innermost = partial(task.processor.process_batch, jobs)
        batch = JobBatch(jobs=tuple(jobs), job_name=task.name, queue_name=self.queue_name)
        return compose(self.middleware, batch, innermost, is_async=task.is_async)()

    def _limited(self, task: RegisteredTask, call: Callable[[Any, RegisteredTask], Any], work: Any) -> Any:
        """What the call for a job or for several returns, within the task's timeout; async ones on the event loop."""
        if task.is_async:
            if self.run_coroutine is None:
                raise ConfigurationError(f"task {task.name!r} is async and this runtime was given no event loop")
            coroutine = self._coroutine(task, call(work, task))
            return self.run_coroutine(coroutine, timeout_seconds=task.settings.timeout)
        interrupter = self.interrupter
        if interrupter is None:
            return call(work, task)
        with interrupter(task.settings.timeout):
            return call(work, task)

    def _coroutine(self, task: RegisteredTask, coroutine: Any) -> Any:
        if not hasattr(coroutine, "__await__"):
            raise ConfigurationError(
                f"task {task.name!r} is async and {type(task.processor).__name__}.process() returned "
                f"{type(coroutine).__name__}; return what super().process(...) returns"
            )
        return coroutine

    def _failed(self, job: Job, task: RegisteredTask, error: BaseException, seconds: float) -> Outcome:
        """The outcome of a run that raised: one place for every way to fail."""
        if isinstance(error, Postpone):
            wait = clamp_visibility(error.delay_seconds + 0.5)  # rounded up, so that it is not asked for too early
            logger.info(
                "job %s put off for %d s: %s",
                job.job_name,
                wait,
                error,
                extra={"action": "job_postponed", **job.log_fields},
            )
            return NotStarted(reason=str(error), delay_seconds=wait)
        settings = task.settings
        extra = {"duration_seconds": seconds, "error_type": type(error).__name__, **job.log_fields}
        delay = self._delay_seconds(job, task, error)
        reason = described(error)
        if isinstance(error, Reject):
            logger.error("job %s rejected: %s", job.job_name, reason, extra={"action": "job_rejected", **extra})
            return Rejected(reason=reason, delay_seconds=delay, error=error)
        if isinstance(error, (SignatureMismatchError, UndecodableMessageError)):
            logger.error("job %s rejected: %s", job.job_name, reason, extra={"action": "job_rejected", **extra})
            return Rejected(reason=reason, delay_seconds=delay, error=error)
        exhausted = settings.max_attempts is not None and job.attempt >= settings.max_attempts
        permanent = bool(settings.no_retry_on) and isinstance(error, settings.no_retry_on)
        is_last = self._is_last_receive(job)
        if exhausted or permanent or is_last:
            why = "no retry on this error"
            if exhausted:
                why = f"{settings.max_attempts} attempts used up"
            elif is_last and not permanent:
                why = f"{self.last_receive} receives used up"
            logger.error(
                "job %s rejected, %s: %s",
                job.job_name,
                why,
                reason,
                exc_info=_told(error),
                extra={"action": "job_rejected", **extra},
            )
            return Rejected(reason=f"{why}: {reason}", delay_seconds=delay, error=error)
        level, trace = (logging.INFO, None) if isinstance(error, Retry) else (logging.ERROR, _told(error))
        when = "again when the queue's visibility timeout ends" if delay is None else f"again in {delay} s"
        if self.max_receive_count is not None and job.attempt >= self.max_receive_count:
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

    def _is_last_receive(self, job: Job) -> bool:
        return self.last_receive is not None and job.attempt >= self.last_receive

    def _delay_seconds(self, job: Job, task: RegisteredTask, error: BaseException) -> int | None:
        policy = task.settings.backoff_policy or self.backoff_policy
        if isinstance(error, Retry):
            if error.delay_seconds is not None:
                return clamp_visibility(error.delay_seconds)
            if error.after is not None:
                # Rounded up: "after" must not come early by the fraction of a second.
                return clamp_visibility(error.after.timestamp() - self.now() + 0.5)
            policy = error.backoff_policy or policy
        return visibility_seconds(policy, job.message)

    def _run_batch(self, jobs: Sequence[Job], task: RegisteredTask) -> list[Outcome]:
        # Each job has a context of its own; what the polling thread may have set is none of theirs.
        self.context.clear()
        for job in jobs:
            self.pre_task.emit(job)
        started = perf_counter()
        errors: Sequence[BaseException | None]
        try:
            errors = _item_errors(self._limited(task, self._call_batch, jobs), len(jobs), task.name)
        except BaseException as error:
            if not self._is_failure(error):
                raise
            errors = [error] * len(jobs)
        seconds = perf_counter() - started
        outcomes: list[Outcome] = []
        for job, failure in zip(jobs, errors, strict=True):
            if failure is None:
                outcome: Outcome = SUCCEEDED
                _log_success(job, seconds)
            else:
                outcome = self._failed(job, task, failure, seconds)
            outcomes.append(outcome)
            self.post_task.emit(job, outcome)
        return outcomes

    def _message_fields(self, message: ReceivedMessage, action: str | None = None) -> Mapping[str, Any]:
        fields: dict[str, Any] = {
            "queue_name": self.queue_name,
            "job_name": message.job_name,
            "job_id": message.attribute(JOB_ID) or message.message_id,
            "message_id": message.message_id,
            "attempt": message.receive_count,
        }
        return fields if action is None else {"action": action, **fields}


def _item_errors(result: Any, count: int, name: str) -> Sequence[BaseException | None]:
    """What a batch processor's return value says of each item: a list with None or an exception for each, or nothing.

    Raises:
        ConfigurationError: A list that holds exceptions but not one entry for each item; nobody could tell whose
            they are, so all items count as failed.
    """
    if not isinstance(result, (list, tuple)) or not any(isinstance(one, BaseException) for one in result):
        return [None] * count
    if len(result) != count:
        raise ConfigurationError(
            f"batch processor {name!r} returned {len(result)} results for {count} jobs; "
            "return one for each, None or an exception, in their order"
        )
    return [one if isinstance(one, BaseException) else None for one in result]


def _log_success(job: Job, seconds: float) -> None:
    logger.info(
        "job %s succeeded in %.3f s",
        job.job_name,
        seconds,
        extra={"action": "job_succeeded", "duration_seconds": seconds, **job.log_fields},
    )


def _told(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
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


def described(error: BaseException) -> str:
    """The type and text of an exception; a task's exception may fail even at giving its text."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - the text is user code
        return type(error).__name__
