"""Middleware wraps the run of each job and can fail it: tracing, framework contexts, locks, idempotency.

A middleware is a callable ``(job, call_next)``. For a plain task it returns ``call_next()``; for an ``async def`` task
it is itself ``async def`` and returns ``await call_next()``. One that must serve both is written as a context manager
and passed through :func:`context_middleware`::

    @contextmanager
    def app_context(job):
        with flask_app.app_context():
            yield

    env = SQSEnv(middleware=[context_middleware(app_context)])
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeAlias

from sqs_tasks.errors import ConfigurationError

CallNext: TypeAlias = Callable[[], Any]
Middleware: TypeAlias = Callable[[Any, CallNext], Any]

#: Where an exception keeps the context variables of the place that it comes from.
_CONTEXT = "_sqs_tasks_context"


class ContextMiddleware:
    """A context manager factory as middleware, for plain and async tasks alike."""

    def __init__(self, factory: Callable[[Any], AbstractContextManager[Any]]) -> None:
        self.factory = factory

    def __call__(self, job: Any, call_next: CallNext) -> Any:
        """Run a plain task inside the context."""
        with self.factory(job):
            return call_next()

    async def call_async(self, job: Any, call_next: Callable[[], Awaitable[Any]]) -> Any:
        """Run an async task inside the context, until it has finished and not only until it was created."""
        with self.factory(job):
            return await call_next()


def context_middleware(factory: Callable[[Any], AbstractContextManager[Any]]) -> ContextMiddleware:
    """Middleware from a context manager factory, for plain and async tasks alike.

    Args:
        factory: Called with the job; what it returns is entered before the task and left after it. An exception it
            raises or lets pass fails the job.
    """
    return ContextMiddleware(factory)


def check_kinds(middleware: Sequence[Middleware], *, job_name: str, is_async: bool) -> None:
    """Refuse, at registration, a middleware that cannot wrap a task of this kind.

    Raises:
        ConfigurationError: A plain middleware over an async task would be left before the task has run; an async one
            over a plain task would never be awaited.
    """
    for one in middleware:
        if isinstance(one, ContextMiddleware):
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
