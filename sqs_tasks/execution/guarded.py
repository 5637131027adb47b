"""A job between its guards: they are asked before it runs, and hear what became of it. For tasks that have some."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any

from sqs_tasks.execution.intake import Intake, put_off
from sqs_tasks.guards.guard import GUARDED, UNAVAILABLE_SECONDS, GuardedRun, NotNow, Refusal
from sqs_tasks.guards.leases import LEASES
from sqs_tasks.message import Job, new_job_id
from sqs_tasks.outcome import Cancelled, NotStarted, Outcome, Skipped
from sqs_tasks.registry import RegisteredTask

logger = logging.getLogger(__name__)

_ENDED_EARLY = NotStarted(reason="its run was given up")


def run_guarded(job: Job, task: RegisteredTask, intake: Intake, run_job: Callable[[], Outcome]) -> Outcome:
    """The outcome of a job that its guards let run, or why they do not.

    Args:
        job: The job.
        task: Its task.
        intake: Says how a job is put off or skipped, and calls the hooks.
        run_job: Runs it to its outcome.
    """
    run = _new_run(job, intake)
    refused = _enter(run, task, intake)
    if refused is not None:
        return refused
    outcome: Outcome = _ENDED_EARLY
    try:
        # In a context of its own, so that a job that this one runs on its way is not taken for it.
        outcome = copy_context().run(_noted, run, run_job)
    finally:
        _leave(run, outcome)
    return outcome


async def run_guarded_async(
    job: Job, task: RegisteredTask, intake: Intake, run_job: Callable[[], Awaitable[Outcome]]
) -> Outcome:
    """The same for a job on the event loop, whose guards are asked in a thread: others run on the loop meanwhile."""
    asyncio = sys.modules["asyncio"]  # it is there, since this is a coroutine of it

    run = _new_run(job, intake)
    refused: Outcome | None = await asyncio.to_thread(_enter, run, task, intake)
    if refused is not None:
        return refused
    GUARDED.set(run)
    try:
        outcome = await run_job()
    except BaseException:
        # The worker gives up on the job: nothing is awaited any more, and the message comes back at once.
        threading.Thread(target=_leave, args=(run, _ENDED_EARLY), name="sqs-tasks-leave", daemon=True).start()
        raise
    await asyncio.to_thread(_leave, run, outcome)
    return outcome


async def interruptible(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await a coroutine that a cancellation of its job ends at once.

    Raises:
        Cancelled: It was ended so.
    """
    asyncio = sys.modules["asyncio"]
    run, current, loop = GUARDED.get(), asyncio.current_task(), asyncio.get_running_loop()
    if run is None or current is None:
        return await coroutine

    def interrupt() -> None:
        loop.call_soon_threadsafe(current.cancel)

    run.interrupt = interrupt
    try:
        return await coroutine
    except asyncio.CancelledError:
        if not run.cancelled:
            raise
        current.uncancel()
        raise Cancelled from None
    finally:
        run.interrupt = None


def _new_run(job: Job, intake: Intake) -> GuardedRun:
    return GuardedRun(job=job, run_id=new_job_id(), started_at=intake.now())


def _noted(run: GuardedRun, run_job: Callable[[], Outcome]) -> Outcome:
    GUARDED.set(run)
    return run_job()


def _enter(run: GuardedRun, task: RegisteredTask, intake: Intake) -> Outcome | None:
    """Ask each guard; the outcome of a job that one of them refuses, which those before it hear as well."""
    for number, guard in enumerate(task.guards):
        try:
            refusal = guard.enter(run)
        except Exception:  # a store that is set up wrongly, for example: the job must not run unguarded
            logger.exception("a guard failed", extra={"action": "guard_failed", **run.job.log_fields})
            refusal = NotNow(UNAVAILABLE_SECONDS, f"{type(guard).__name__} failed")
        if refusal is not None:
            outcome = _refused(refusal, run.job, task, intake)
            _leave(run, outcome)
            if isinstance(outcome, Skipped) and not outcome.was_done:
                for later in task.guards[number + 1 :]:
                    later.never_ran(run.job, outcome)
            return outcome
        run.entered.append(guard)
    LEASES.add(run.run_id, run.beat)
    return None


def _leave(run: GuardedRun, outcome: Outcome) -> None:
    LEASES.remove(run.run_id)
    for guard in reversed(run.entered):
        try:
            guard.leave(run, outcome)
        except Exception:  # what became of the job is decided; a guard that fails changes nothing of it
            logger.exception("a guard failed", extra={"action": "guard_failed", **run.job.log_fields})


def _refused(refusal: Refusal, job: Job, task: RegisteredTask, intake: Intake) -> Outcome:
    if isinstance(refusal, NotNow):
        outcome = put_off(job, task, refusal.seconds, refusal.reason, attempts=job.attempt - 1)
        intake.post_task.emit(job, outcome)
        return outcome
    return intake.skip(job, task.name, refusal.reason, was_done=refusal.was_done)
