"""What a runtime brings along to run jobs with: the container worker, Lambda, tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

from sqs_tasks.message import Job, JobBatch
from sqs_tasks.outcome import NotStarted
from sqs_tasks.registry import RegisteredTask

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


class Admit(Protocol):
    """Has the last word before a task runs; supplied by a runtime whose time ends."""

    def __call__(self, call: Job | JobBatch, task: RegisteredTask, /) -> NotStarted | None:
        """Why a job, or the jobs of a batch processor's call, may not run now; None if they may."""


#: Makes the context that a call of a task runs in: what starts, and when it is over. Supplied by a runtime that wants
#: to know, since it costs something for each job.
Watch: TypeAlias = Callable[[Job | JobBatch, RegisteredTask], AbstractContextManager[None]]
