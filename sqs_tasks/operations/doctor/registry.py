"""What is wrong with a registration by itself: no request is made."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from sqs_tasks.env import SQSEnv
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.operations.doctor.finding import Finding
from sqs_tasks.queue import JobQueue
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.task import AsyncTask


def registry_findings(env: SQSEnv) -> Iterator[Finding]:
    """What the registry says that cannot work as it is said."""
    env.load_tasks()
    if not any(queue.tasks for queue in env.queues.values()):
        yield Finding(
            kind="no-tasks",
            severity="error",
            subject="registry",
            what="no task is registered",
            why="workers have nothing to run, and every job is unknown to them",
            fix='import the modules with the tasks, or SQSEnv(include=["myapp.tasks"])',
        )
    for queue in env.queues.values():
        for task in queue.tasks:
            yield from _timeout(queue, task)
            yield from _enqueues(queue, task)


def _timeout(queue: GenericQueue, task: RegisteredTask) -> Iterator[Finding]:
    if task.settings.timeout is None or task.is_async or queue.settings.runs_on == "lambda":
        return
    yield Finding(
        kind="timeout-not-enforced",
        severity="warning",
        subject=f"task {task.name}",
        what=f"timeout={task.settings.timeout:g} of a plain task that runs in a container",
        why="Python cannot interrupt a thread: a job that takes longer is reported, and keeps its slot",
        fix="write it as 'async def', or run 'sqs-tasks worker --isolate process'",
    )


def _enqueues(queue: GenericQueue, task: RegisteredTask) -> Iterator[Finding]:
    """Queues that a task sends to, by the tasks that its function names, and does not declare."""
    declared = task.settings.enqueues
    if declared is None or not isinstance(queue, JobQueue):
        return
    sent = sorted({name for name in _queues_named_in(task) if name not in declared})
    if not sent:
        return
    more = ", ".join(f'"{name}"' for name in [*declared, *sent])
    yield Finding(
        kind="enqueues-not-declared",
        severity="error",
        subject=f"task {task.name}",
        what=f"it names tasks of {', '.join(sent)}, and declares enqueues={list(declared)!r}",
        why="the stack gives its worker the right to send to what is declared, so delay() is refused there",
        fix=f"enqueues=[{more}]",
    )


def _queues_named_in(task: RegisteredTask) -> set[str]:
    """The queues of tasks that a function names as global variables, whether or not it sends to them."""
    function = inspect.unwrap(task.processor.fn)
    code, values = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    names = () if code is None else code.co_names
    found = [values.get(name) for name in names]
    return {one.queue.name for one in found if isinstance(one, AsyncTask) and isinstance(one.queue, GenericQueue)}
