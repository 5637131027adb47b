"""Running a job: a message in, an :data:`Outcome` out, and not one call to SQS (architecture, decision 2).

Nothing a message holds and nothing a task does leaves :meth:`Executor.execute` as an exception, but for Ctrl-C where it
raises a KeyboardInterrupt: in the main thread of a program that does not handle the signal itself.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from sqs_tasks.context import SQSContext
from sqs_tasks.errors import ConfigurationError, TaskTimeoutError
from sqs_tasks.execution.intake import Intake, TaskLookup
from sqs_tasks.execution.running_job import RUNNING
from sqs_tasks.execution.runtime import (
    TASK_FAILURES,
    Admit,
    CoroutineLimiter,
    CoroutineRunner,
    Interrupter,
    Watch,
)
from sqs_tasks.hooks import Hook
from sqs_tasks.message import Job, JobBatch, ReceivedMessage
from sqs_tasks.outcome import SUCCEEDED, NotStarted, Outcome
from sqs_tasks.registry import RegisteredTask

if TYPE_CHECKING:
    from sqs_tasks.middleware import Middleware

logger = logging.getLogger(__name__)

#: What passes from step to step: a Job, or a JobBatch where the task has a batch_size. The steps ask the task which of
#: the two it is: to ask the object would cost each job a tenth more.
Call: TypeAlias = Any

_note_running = RUNNING.set

_UNWATCHED: AbstractContextManager[None] = nullcontext()


@dataclass(kw_only=True, slots=True)  # not frozen: Lambda makes one for each invocation
class Executor:
    """Runs the jobs of one queue; safe to share between threads, since it keeps nothing between jobs.

    It reads from top to bottom as what happens to a job: intake, admission, begin, attempt, conclude. How it is
    attempted depends on its task: plain ones in this thread, async ones on an event loop, batches with several jobs.

    Attributes:
        intake: Makes jobs of messages, and has the rules by which failed ones come back.
        context: The environment's context; while a job runs it is the job's.
        middleware: Wraps each run, the first outermost.
        pre_task: Called with each job before it runs.
        post_task: Called with each job and its outcome.
        run_coroutine: Runs async tasks; without it they are refused.
        interrupter: Limits plain tasks to their timeout; without it they run as long as they like.
        admit: Asked before each run; without it whatever can run does.
        watch: Makes the context that each run takes place in, for a runtime that wants to know of it.
        seconds_left: Gives the seconds until the runtime interrupts whatever runs, where that is known.
        failures: What is a failure of the task for certain; Ctrl-C is not, unless it is listed here.
    """

    intake: Intake
    context: SQSContext
    middleware: Sequence[Middleware]
    pre_task: Hook[[Job]]
    post_task: Hook[[Job, Outcome]]
    run_coroutine: CoroutineRunner | None = None
    interrupter: Interrupter | None = None
    admit: Admit | None = None
    watch: Watch | None = None
    seconds_left: Callable[[], float] | None = None
    failures: tuple[type[BaseException], ...] = TASK_FAILURES

    # --- intake: messages to jobs, or why they never run ------------------------------------------------------------

    def execute(self, message: ReceivedMessage) -> Outcome:
        """Run the job of a message to its outcome; a batch processor gets it as a list of one."""
        intake = self.intake
        taken = intake.take(message) if intake.blocks is None else self._fetch(message)
        if not isinstance(taken, tuple):
            return taken
        job, task = taken
        if task.batch_size:
            return self._run_batch((job,), task)[0]
        outcome: Outcome = self._run(job, task)
        return outcome

    def execute_batch(self, messages: Sequence[ReceivedMessage]) -> list[Outcome]:
        """Run one batch processor over messages of its task; one outcome for each message, in their order.

        Messages that cannot run (undecodable, expired) get their outcome and are left out of the call.
        """
        take = self.intake.take if self.intake.blocks is None else self._fetch
        taken = [take(message) for message in messages]
        runs = [one for one in taken if isinstance(one, tuple)]
        if not runs:
            return [one for one in taken if not isinstance(one, tuple)]
        outcomes = iter(self._run_batch([job for job, _ in runs], runs[0][1]))
        return [next(outcomes) if isinstance(one, tuple) else one for one in taken]

    def _fetch(self, message: ReceivedMessage) -> tuple[Job, RegisteredTask] | Outcome:
        """Take in a message whose body may be in S3; where the runtime can interrupt it, not beyond its end."""
        intake = self.intake
        if self.interrupter is None or intake.blocks is None or not intake.blocks(message):
            return intake.take(message)
        try:
            with self.interrupter(None):
                return intake.take(message)
        except TaskTimeoutError:
            return NotStarted(reason="its body did not come from S3 before the end of the invocation")

    async def execute_async(self, message: ReceivedMessage, *, limited: CoroutineLimiter) -> Outcome:
        """As :meth:`execute` for the message of an async task, awaited on the event loop it shares with others.

        The job's context is set in the caller's asyncio task, which is the job's own.

        Args:
            message: The message; that of a plain task would block the loop.
            limited: Keeps the task to its timeout.
        """
        intake = self.intake
        if intake.blocks is not None and intake.blocks(message):  # asyncio is there, since this is a coroutine of it
            taken: tuple[Job, RegisteredTask] | Outcome = await sys.modules["asyncio"].to_thread(intake.take, message)
        else:
            taken = intake.take(message)
        if not isinstance(taken, tuple):
            return taken
        job, task = taken
        call = self._call_for(job, task)
        refused = None if self.admit is None else self.admit(call, task)
        if refused is not None:
            return refused
        if task.guards:
            from sqs_tasks.execution.guarded import run_guarded_async  # few tasks ask for something

            return await run_guarded_async(job, task, self.intake, lambda: self._watched_async(call, task, limited))
        return await self._watched_async(call, task, limited)

    async def _watched_async(self, call: Call, task: RegisteredTask, limited: CoroutineLimiter) -> Outcome:
        with _UNWATCHED if self.watch is None else self.watch(call, task):
            outcome = await self._run_async(call, task, limited)
        one: Outcome = outcome[0] if task.batch_size else outcome
        return one

    def _run_batch(self, jobs: Sequence[Job], task: RegisteredTask) -> Sequence[Outcome]:
        outcomes: Sequence[Outcome] = self._run(self._batch(jobs, task), task)
        return outcomes

    def _call_for(self, job: Job, task: RegisteredTask) -> Call:
        """What runs one job: a batch processor gets a list of one."""
        return self._batch((job,), task) if task.batch_size else job

    def _batch(self, jobs: Sequence[Job], task: RegisteredTask) -> JobBatch:
        return JobBatch(jobs=tuple(jobs), job_name=task.name, queue_name=self.intake.queue_name)

    # --- admission --------------------------------------------------------------------------------------------------

    def _run(self, call: Call, task: RegisteredTask) -> Any:
        """The outcome of a call, or of each job in it: it is not started, or runs in a context of its own."""
        admit = self.admit
        if admit is not None:
            refused = admit(call, task)
            if refused is not None:
                return [refused] * len(call.jobs) if task.batch_size else refused
        if task.guards:
            from sqs_tasks.execution.guarded import run_guarded  # few tasks ask for something

            return run_guarded(call, task, self.intake, lambda: self._watched(call, task))
        return self._watched(call, task)

    def _watched(self, call: Call, task: RegisteredTask) -> Any:
        if self.watch is None:
            return copy_context().run(self._run_admitted, call, task)
        with self.watch(call, task):
            return copy_context().run(self._run_admitted, call, task)

    # --- begin, attempt, judge --------------------------------------------------------------------------------------

    def _run_admitted(self, call: Call, task: RegisteredTask) -> Any:
        started = self._begin(call, task)
        try:
            result = self._attempt(call, task)
        except BaseException as error:
            if not self._is_failure(error):
                raise
            if task.batch_size and task.settings.isolate_failures and len(call.jobs) > 1:
                from sqs_tasks.execution.isolation import is_worth_it  # few batches fail

                if is_worth_it(error, call):
                    return [outcome for job in call.jobs for outcome in self._run_batch((job,), task)]
            return self._judge(call, task, perf_counter() - started, error)
        if task.batch_size:
            return self._judge(call, task, perf_counter() - started, None, result)
        if task.guards:
            return self._judge(call, task, perf_counter() - started, None, result)
        return self._conclude(call, task, perf_counter() - started)  # what most calls come to

    async def _run_async(self, call: Call, task: RegisteredTask, limited: CoroutineLimiter) -> Any:
        started = self._begin(call, task)
        try:
            result = await limited(self._coroutine(call, task), task.settings.timeout)
        except BaseException as error:
            # The worker gives up on the job, or its loop ends. Asyncio is there, since this is a coroutine of it.
            if isinstance(error, (GeneratorExit, sys.modules["asyncio"].CancelledError)) or not self._is_failure(error):
                raise
            return self._judge(call, task, perf_counter() - started, error)
        return self._judge(call, task, perf_counter() - started, None, result)

    def _begin(self, call: Call, task: RegisteredTask) -> float:
        """Set the job's context, note that it runs, and call the hooks; the moment its run starts."""
        if task.batch_size:  # each job has a context of its own; what the polling thread may have set is none of theirs
            self.context.clear()
        else:
            self.context.hold(call.context)
        started = perf_counter()
        _note_running((self, call, task, started))
        if self.pre_task.callbacks:
            for job in call.jobs if task.batch_size else (call,):
                self.pre_task.emit(job)
            started = perf_counter()
        return started

    def _attempt(self, call: Call, task: RegisteredTask) -> Any:
        """What the task returns, within its timeout; an async one runs on the event loop meanwhile."""
        if task.is_async:
            if self.run_coroutine is None:
                raise ConfigurationError(f"task {task.name!r} is async and this runtime was given no event loop")
            return self.run_coroutine(self._coroutine(call, task), timeout_seconds=task.settings.timeout)
        if self.interrupter is None:
            return self._call(call, task)
        with self.interrupter(task.settings.timeout):
            return self._call(call, task)

    def _call(self, call: Call, task: RegisteredTask) -> Any:
        """What the task returns inside all middleware: for an async one, the coroutine."""
        if task.batch_size:
            innermost = partial(task.processor.process_batch, call.jobs)
        elif self.middleware:
            innermost = partial(task.processor.call, call.kwargs, call.context)
        else:
            return task.processor.call(call.kwargs, call.context)
        from sqs_tasks.middleware import compose  # most functions have none

        return compose(self.middleware, call, innermost, is_async=task.is_async)()

    def _coroutine(self, call: Call, task: RegisteredTask) -> Any:
        coroutine = self._call(call, task)
        if not hasattr(coroutine, "__await__"):
            raise ConfigurationError(
                f"task {task.name!r} is async and {type(task.processor).__name__}.process() returned "
                f"{type(coroutine).__name__}; return what super().process(...) returns"
            )
        if task.settings.interrupt_on_cancel:
            from sqs_tasks.execution.guarded import interruptible

            return interruptible(coroutine)
        return coroutine

    def _is_failure(self, error: BaseException) -> bool:
        """Whether what a task raised is its own failure; only the process's own end is not.

        A CancelledError or a GeneratorExit, for example, is no Exception, and must not end the worker that a message
        drove into it.
        """
        if isinstance(error, self.failures) or not isinstance(error, KeyboardInterrupt):
            return True
        from sqs_tasks.execution.failures import may_be_ctrl_c

        return not may_be_ctrl_c()

    def _judge(
        self, call: Call, task: RegisteredTask, seconds: float, error: BaseException | None, result: Any = None
    ) -> Any:
        """The outcome of a call that raised or returned: one, or a list with one for each job of a batch."""
        if not task.batch_size:
            if task.guards and error is None:
                from sqs_tasks.guards.guard import note_result

                note_result(result)
            return self._conclude(call, task, seconds, error)
        count = len(call.jobs)
        errors = [error] * count if error is not None else _item_errors(result, count, task.name)
        return [self._conclude(job, task, seconds, one) for job, one in zip(call.jobs, errors, strict=True)]

    # --- conclude ---------------------------------------------------------------------------------------------------

    def _conclude(self, job: Job, task: RegisteredTask, seconds: float, error: BaseException | None = None) -> Outcome:
        """The outcome of a job that raised this or nothing; it is logged, and the hooks called."""
        outcome: Outcome = SUCCEEDED
        if error is not None:
            from sqs_tasks.execution.failures import outcome_of  # a batch in which all succeed needs none of it

            outcome = outcome_of(error, job, task, seconds, self.intake)
        elif logger.isEnabledFor(logging.INFO):
            logger.info(
                "job %s succeeded in %.3f s",
                job.job_name,
                seconds,
                extra={
                    "action": "job_succeeded",
                    "task_name": task.name,
                    "duration_seconds": seconds,
                    **job.log_fields,
                },
            )
        if self.post_task.callbacks:
            self.post_task.emit(job, outcome)
        return outcome

    # --- for tests: what the task itself returns or raises, without an outcome ---------------------------------------

    def result_of(self, job: Job, task: RegisteredTask) -> Any:
        """What the task returns for a job that was taken in; it raises what the task raises."""
        call = self._call_for(job, task)

        def result() -> Any:
            self._begin(call, task)
            return self._attempt(call, task)

        return copy_context().run(result)

    async def result_of_async(self, job: Job, task: RegisteredTask, *, limited: CoroutineLimiter) -> Any:
        """The same for an async task, on the caller's event loop; the job's context is set in the caller's task."""
        call = self._call_for(job, task)
        self._begin(call, task)
        return await limited(self._coroutine(call, task), task.settings.timeout)

    # --- for the runtimes -------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> TaskLookup:
        """Where task names are resolved."""
        return self.intake.tasks

    def is_last_attempt(self, message: ReceivedMessage, task: RegisteredTask) -> bool:
        """Whether a job that fails now goes to the dead-letter queue, as far as that is known."""
        return self.intake.is_last_attempt(message, task)

    def batch_task(self, message: ReceivedMessage) -> RegisteredTask | None:
        """The batch processor this message is for, or None when its job runs alone."""
        return self.intake.batch_task(message)


def _item_errors(result: Any, count: int, name: str) -> Sequence[BaseException | None]:
    """What a batch processor's return value says of each item: a list with None or an exception for each, or nothing.

    Nobody can tell whose the exceptions are in a list without an entry for each item: then all of them have failed.
    """
    if not isinstance(result, (list, tuple)) or not any(isinstance(one, BaseException) for one in result):
        return [None] * count
    if len(result) != count:
        error = ConfigurationError(
            f"batch processor {name!r} returned {len(result)} results for {count} jobs; "
            "return one for each, None or an exception, in their order"
        )
        return [error] * count
    return [one if isinstance(one, BaseException) else None for one in result]
