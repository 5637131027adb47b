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
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from sqs_tasks.errors import ConfigurationError

CallNext: TypeAlias = Callable[[], Any]
Middleware: TypeAlias = Callable[[Any, CallNext], Any]


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
    call = innermost
    for one in reversed(middleware):
        wrap = one.call_async if is_async and isinstance(one, ContextMiddleware) else one
        call = _layer(wrap, job, call)
    return call


def _layer(wrap: Middleware, job: Any, call_next: CallNext) -> CallNext:
    return lambda: wrap(job, call_next)
