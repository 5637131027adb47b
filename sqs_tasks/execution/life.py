"""The life of an application around its jobs: ``@env.on_start`` and ``@env.on_stop``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from sqs_tasks.hooks import Hook
from sqs_tasks.loggers import kept_logger

logger = kept_logger(__name__)


class StartableEnvironment(Protocol):
    """What is asked of an environment."""

    on_start: Hook[[]]
    on_stop: Hook[[]]

    def load_tasks(self) -> None:
        """Import the modules that register tasks."""


_lock = threading.RLock()

#: How often each environment is in use in this process.
_uses: WeakKeyDictionary[StartableEnvironment, int] = WeakKeyDictionary()


@contextmanager
def started(env: StartableEnvironment) -> Iterator[None]:
    """Call what is to be called before the first job and after the last; a block in a block calls nothing again.

    Raises:
        Exception: What a callback of ``on_start`` raised. What one of ``on_stop`` raises is logged.
    """
    env.load_tasks()
    with _lock:
        if not _uses.get(env):
            start(env)
        _uses[env] = _uses.get(env, 0) + 1
    try:
        yield
    finally:
        with _lock:
            _uses[env] -= 1
            is_over = not _uses[env]
        if is_over:
            _stop(env)


def start(env: StartableEnvironment) -> None:
    """Call the callbacks of ``on_start`` in their order; async ones run on the event loop of the jobs.

    Raises:
        Exception: What one of them raised; those after it are not called.
    """
    for callback in env.on_start.callbacks:
        _call(callback)


def _stop(env: StartableEnvironment) -> None:
    for callback in reversed(env.on_stop.callbacks):
        try:
            _call(callback)
        except (Exception, SystemExit):  # the others have something to close too
            logger.exception("on_stop hook %r failed", callback, extra={"action": "hook_failed"})


def _call(callback: Callable[[], Any]) -> None:
    result = callback()
    if hasattr(result, "__await__"):
        from sqs_tasks.execution.event_loop import run_coroutine  # plain callbacks need no asyncio

        run_coroutine(_awaited(result), timeout_seconds=None)


async def _awaited(awaitable: Any) -> None:
    await awaitable
