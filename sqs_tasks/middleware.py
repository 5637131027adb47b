"""Middleware wraps the run of each job and can fail it: tracing, framework contexts, locks, idempotency.

A middleware is a callable ``(job, call_next)``. For a plain task it returns ``call_next()``; for an ``async def`` task
it is itself ``async def`` and returns ``await call_next()``. One that must serve both is written as a context manager
and passed through :func:`context_middleware`::

    @contextmanager
    def app_context(job):
        with flask_app.app_context():
            yield

    env = SQSEnv(middleware=[context_middleware(app_context)])

A context manager of ``@asynccontextmanager`` is entered around async tasks; plain tasks are refused under it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeAlias

from sqs_tasks.errors import ConfigurationError

CallNext: TypeAlias = Callable[[], Any]
Middleware: TypeAlias = Callable[[Any, CallNext], Any]
ContextFactory: TypeAlias = Callable[[Any], AbstractContextManager[Any] | AbstractAsyncContextManager[Any]]

#: Where an exception keeps the context variables of the place that it comes from.
_CONTEXT = "_sqs_tasks_context"


class ContextMiddleware:
    """A context manager factory as middleware.

    Args:
        factory: Called with the job.

    Attributes:
        is_async_only: Whether it makes async context managers, as far as that can be seen: they wrap async tasks alone.

    Raises:
        ConfigurationError: What it makes is no context manager of either kind.
    """

    def __init__(self, factory: ContextFactory) -> None:
        self.factory = factory
        function = inspect.unwrap(factory.func if isinstance(factory, partial) else factory)
        if function is factory:
            _check_decorated(factory)
        is_class = inspect.isclass(function)
        self.is_async_only = inspect.isasyncgenfunction(function) or (
            is_class and hasattr(function, "__aenter__") and not hasattr(function, "__enter__")
        )

    def __call__(self, job: Any, call_next: CallNext) -> Any:
        """Run a plain task inside the context.

        Raises:
            ConfigurationError: The factory has made an async context manager.
        """
        manager: Any = self.factory(job)
        if hasattr(type(manager), "__aenter__") and not hasattr(type(manager), "__enter__"):
            raise ConfigurationError(_async_only(self.factory, job.job_name))
        with manager:
            return call_next()

    async def call_async(self, job: Any, call_next: Callable[[], Awaitable[Any]]) -> Any:
        """Run an async task inside the context, until it has finished and not only until it was created."""
        manager: Any = self.factory(job)
        if hasattr(type(manager), "__aenter__"):
            async with manager:
                return await call_next()
        with manager:
            return await call_next()


def context_middleware(factory: ContextFactory) -> ContextMiddleware:
    """Middleware from a context manager factory, for plain and async tasks alike.

    A factory of async context managers wraps async tasks alone; a plain task that it should wrap is refused.

    Args:
        factory: Called with the job; what it returns is entered before the task and left after it. An exception it
            raises or lets pass fails the job.

    Raises:
        ConfigurationError: The factory is a generator without ``@contextmanager``, or an ``async def`` function.
    """
    return ContextMiddleware(factory)


def _check_decorated(factory: Any) -> None:
    trouble = ""
    if inspect.isasyncgenfunction(factory):
        trouble = "an async generator; decorate it with contextlib.asynccontextmanager"
    elif inspect.isgeneratorfunction(factory):
        trouble = "a generator; decorate it with contextlib.contextmanager"
    elif inspect.iscoroutinefunction(factory):
        trouble = "an async def function, and returns a coroutine; write it with contextlib.asynccontextmanager"
    elif not callable(factory):
        trouble = "not callable; pass the function that makes the context manager of a job"
    if trouble:
        raise ConfigurationError(
            f"context_middleware takes a function that returns a context manager, and {factory!r} is {trouble}"
        )


def _async_only(factory: Callable[..., Any], job_name: str) -> str:
    return (
        f"task {job_name!r} is plain and the context manager of middleware {factory!r} is async, which a plain task "
        "cannot enter; make a plain context manager for it, or make the task async def"
    )


def check_kinds(middleware: Sequence[Middleware], *, job_name: str, is_async: bool) -> None:
    """Refuse, at registration, a middleware that cannot wrap a task of this kind.

    Raises:
        ConfigurationError: A plain middleware over an async task would be left before the task has run; an async one,
            or an async context manager, over a plain task would never be awaited.
    """
    for one in middleware:
        if isinstance(one, ContextMiddleware):
            if one.is_async_only and not is_async:
                raise ConfigurationError(_async_only(one.factory, job_name))
            continue
        call = one if inspect.isfunction(one) or inspect.ismethod(one) else type(one).__call__
        if inspect.iscoroutinefunction(call) is not is_async:
            kind, other = ("async", "plain") if is_async else ("plain", "async")
            raise ConfigurationError(
                f"task {job_name!r} is {kind} and middleware {one!r} is {other}; "
                "write it as a context manager and pass context_middleware(...), which serves both"
            )


def compose(middleware: Sequence[Middleware], job: Any, innermost: CallNext, *, is_async: bool) -> CallNext:
    """One callable that runs ``innermost`` inside all middleware; the first is the outermost."""
    call: CallNext = partial(_noting_async if is_async else _noting, innermost)
    for one in reversed(middleware):
        wrap = one.call_async if is_async and isinstance(one, ContextMiddleware) else one
        call = _layer(wrap, job, call)
    return call


def context_of(error: BaseException, *, forget: bool) -> Context | None:
    """The context variables as they were where a task failed inside its middleware, or None where nobody noted them.

    What middleware binds for the length of a job is gone when the failure is logged, unless that is done in here.

    Args:
        error: What left the middleware.
        forget: Whether nobody will ask again; the same object may be raised for another job later.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        context = getattr(current, _CONTEXT, None)
        if isinstance(context, Context):
            if forget:
                delattr(current, _CONTEXT)
            return context
        seen.add(id(current))
        current = current.__cause__ or current.__context__
    return None


def _noting(innermost: CallNext) -> Any:
    try:
        return innermost()
    except BaseException as error:
        _note_context(error)
        raise


async def _noting_async(innermost: CallNext) -> Any:
    try:
        return await innermost()
    except BaseException as error:
        _note_context(error)
        raise


def _note_context(error: BaseException) -> None:
    with suppress(Exception):  # a class of its own may take no attributes
        setattr(error, _CONTEXT, copy_context())


def _layer(wrap: Middleware, job: Any, call_next: CallNext) -> CallNext:
    return lambda: wrap(job, call_next)
