"""One job of a task, run at once as a worker runs it, with what its function returns."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast, overload

from sqs_tasks.execution.eager import raise_failure, received_from
from sqs_tasks.execution.event_loop import limited
from sqs_tasks.execution.executor import Executor
from sqs_tasks.execution.nested_loops import run_nested
from sqs_tasks.limits import check_number
from sqs_tasks.message import JOB_ID, Job, string_attribute
from sqs_tasks.queue import JobQueue
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.task import AsyncTask

R = TypeVar("R")


@overload
def run(
    task: AsyncTask[..., Awaitable[R]],
    /,
    *args: Any,
    attempt: int = 1,
    job_id: str | None = None,
    context: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> R: ...
@overload
def run(
    task: AsyncTask[..., R],
    /,
    *args: Any,
    attempt: int = 1,
    job_id: str | None = None,
    context: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> R: ...
def run(
    task: AsyncTask[..., Any],
    /,
    *args: Any,
    attempt: int = 1,
    job_id: str | None = None,
    context: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Run one job of a task in this thread, and return what its function returns.

    The arguments pass through their codec, and hooks and middleware are called, as in a worker: ``current_job()`` and
    ``env.context`` are there. Nothing is sent, and there is no second attempt. An async task runs on a loop of its own.

    Args:
        task: The task. A batch processor gets a list of one item.
        *args: Its arguments.
        attempt: Which attempt this is, 1 for the first. A parameter of the task with this name, or with one of the two
            names below, can be given by its position.
        job_id: The id of the job; a new one when left out.
        context: The values of ``env.context`` that came with the job.
        **kwargs: Its arguments by name.

    Raises:
        TypeError: The arguments do not fit the task's signature.
        Exception: Whatever the task or its middleware raises, ``Retry`` and ``Reject`` included.
    """
    executor, job, registered = _prepared(task, args, kwargs, attempt, job_id, context)
    return executor.result_of(job, registered)


async def arun(
    task: AsyncTask[..., Awaitable[R]],
    /,
    *args: Any,
    attempt: int = 1,
    job_id: str | None = None,
    context: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> R:
    """As :func:`run` for an async task, on the event loop of the test."""
    executor, job, registered = _prepared(task, args, kwargs, attempt, job_id, context)
    # An asyncio task has a context of its own, so nothing of the job stays behind in the test.
    run_of_job = asyncio.ensure_future(executor.result_of_async(job, registered, limited=limited))
    return cast("R", await run_of_job)


def _prepared(
    task: AsyncTask[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    attempt: int,
    job_id: str | None,
    context: Mapping[str, Any] | None,
) -> tuple[Executor, Job, RegisteredTask]:
    check_number(attempt, "attempt", 1)
    queue = task.queue
    assert isinstance(queue, JobQueue)  # noqa: S101 - no other kind has tasks
    sender = task.options(group_id="test") if queue.fifo else task
    with queue.env.context(**(context or {})):
        sent = sender.bake(*args, **kwargs).message()
    if job_id is not None:
        sent = replace(sent, attributes={**sent.attributes, JOB_ID: string_attribute(job_id)})
    executor = queue.executor(run_coroutine=run_nested)
    taken = executor.intake.take(received_from(sent, message_id=str(uuid.uuid4()), receive_count=attempt))
    if not isinstance(taken, tuple):
        raise_failure(taken, queue.name)
        raise AssertionError(f"the job would not run: {taken}")  # noqa: TRY004 - no type is wrong
    return executor, *taken
