"""The one event loop of a process, for ``async def`` tasks: connection pools bound to it survive from job to job."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any

from sqs_tasks.errors import TaskTimeoutError


class LoopThread:
    """An event loop in a daemon thread of its own; any thread may run coroutines on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="sqs-tasks-loop", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, Any], *, timeout_seconds: float | None) -> Any:
        """Run a coroutine to its end in the caller's context, and return its result.

        Raises:
            TaskTimeoutError: It took longer than ``timeout_seconds`` and was cancelled.
        """
        done = threading.Event()
        context = copy_context()
        task: asyncio.Task[Any] | None = None

        def start() -> None:
            nonlocal task
            task = self._loop.create_task(_limited(coroutine, timeout_seconds), context=context)
            task.add_done_callback(lambda _: done.set())

        self._loop.call_soon_threadsafe(start)
        done.wait()
        if task is None:
            raise AssertionError("unreachable: the task is made before it is done")
        if task.cancelled():
            raise TaskTimeoutError("the task was cancelled")
        return task.result()

    def close(self) -> None:
        """Stop the loop and its thread; coroutines that still run are cancelled first."""
        if self._loop.is_closed():
            return

        async def cancel_all() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._loop.shutdown_asyncgens()

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _limited(coroutine: Coroutine[Any, Any, Any], timeout_seconds: float | None) -> Any:
    if timeout_seconds is None:
        return await _contained(coroutine)
    limit = asyncio.timeout(timeout_seconds)
    try:
        async with limit:
            return await _contained(coroutine)
    except TimeoutError as error:
        if limit.expired():
            raise TaskTimeoutError(f"the task ran longer than its timeout of {timeout_seconds:g} s") from error
        raise  # the task's own


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The coroutine's result; SystemExit and KeyboardInterrupt of a task must not stop the loop of all tasks."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise _Escaped(error) from error


class _Escaped(Exception):  # noqa: N818 - carries one exception past the loop
    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


_lock = threading.Lock()
_shared: tuple[int, LoopThread] | None = None


def run_coroutine(coroutine: Coroutine[Any, Any, Any], *, timeout_seconds: float | None) -> Any:
    """Run a coroutine on the process's loop, which the first call starts; a forked child starts its own.

    Raises:
        TaskTimeoutError: It took longer than ``timeout_seconds`` and was cancelled.
    """
    try:
        return _loop().run(coroutine, timeout_seconds=timeout_seconds)
    except _Escaped as escaped:
        raise escaped.error from None


def _loop() -> LoopThread:
    global _shared  # noqa: PLW0603 - one loop a process is the point
    with _lock:
        if _shared is None or _shared[0] != os.getpid():
            _shared = (os.getpid(), LoopThread())
        return _shared[1]


def close_loop() -> None:
    """Stop the process's loop if one was started; the next coroutine starts another."""
    global _shared
    with _lock:
        shared, _shared = _shared, None
    if shared is not None and shared[0] == os.getpid():
        shared[1].close()
