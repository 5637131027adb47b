"""Event loops for jobs that run where they are sent: an async task may send a job of another async task.

The sender waits for such a job, and its loop runs nothing meanwhile. So the job gets a loop that waits for nobody: the
process's own one where that is free, and otherwise the next of a stack, which is as high as jobs are nested.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from typing import Any

from sqs_tasks.execution.event_loop import LoopThread, limited, shared_loop
from sqs_tasks.execution.runtime import CoroutineRunner
from sqs_tasks.sending.caller_loop import CALLER_LOOP

#: The loops that wait for the code that asks, also where a loop's coroutine went on in another thread.
_waiting: ContextVar[tuple[LoopThread, ...]] = ContextVar("sqs_tasks_waiting_loops", default=())

_lock = threading.Lock()

if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

_nested: tuple[int, list[LoopThread]] = (os.getpid(), [])


def run_nested(coroutine: Coroutine[Any, Any, Any], *, timeout_seconds: float | None) -> Any:
    """Run a coroutine to its end, wherever the caller is, and return its result.

    Raises:
        TaskTimeoutError: It took longer than ``timeout_seconds``.
    """
    caller_loop = CALLER_LOOP.get()
    if caller_loop is not None:
        if not _runs_here(caller_loop):
            return runner_on(caller_loop)(coroutine, timeout_seconds=timeout_seconds)
        CALLER_LOOP.set(None)  # it waits for this call: what the job sends in turn must not wait for it
        try:
            return run_nested(coroutine, timeout_seconds=timeout_seconds)
        finally:
            CALLER_LOOP.set(caller_loop)
    waiting = _waiting.get()
    for loop in _loops():
        if loop.runs_caller:
            waiting = (*waiting, loop)
        elif loop not in waiting:
            token = _waiting.set(waiting)
            try:
                return loop.run(coroutine, timeout_seconds=timeout_seconds)
            finally:
                _waiting.reset(token)
    raise AssertionError("unreachable: there is always one more loop")


def runner_on(loop: asyncio.AbstractEventLoop) -> CoroutineRunner:
    """Runs coroutines on a loop that runs in another thread, in the context of whoever asks."""

    def run(coroutine: Coroutine[Any, Any, Any], *, timeout_seconds: float | None) -> Any:
        async def finished() -> tuple[Any, BaseException | None]:
            try:
                return await limited(coroutine, timeout_seconds), None
            except (Exception, SystemExit) as error:  # noqa: BLE001 - raised where it is waited for
                return None, error

        value, error = asyncio.run_coroutine_threadsafe(finished(), loop).result()
        if error is not None:
            raise error
        return value

    return run


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _loops() -> Iterator[LoopThread]:
    """The process's loop, and the stack over it; a new one whenever none of them would do."""
    global _nested  # noqa: PLW0603 - the stack belongs to the process, as its loop does
    yield shared_loop()
    with _lock:
        if _nested[0] != os.getpid():  # threads do not come along into a fork
            _nested = (os.getpid(), [])
        stack = _nested[1]
        stack[:] = [loop for loop in stack if loop.is_usable]
    index = 0
    while True:
        with _lock:
            if index >= len(stack):
                stack.append(LoopThread())
            loop = stack[index]
        yield loop
        index += 1
