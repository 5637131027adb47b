"""The one event loop of a process, for ``async def`` tasks: connection pools bound to it survive from job to job."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, NoReturn

from sqs_tasks.errors import TaskTimeoutError
from sqs_tasks.hooks import NEW_LOOP_HOOKS
from sqs_tasks.loggers import kept_logger

logger = kept_logger(__name__)

#: Seconds a coroutine has to end after its cancellation, before it is left behind with its loop.
CANCEL_GRACE_SECONDS = 1.0

#: Seconds between a coroutine's cancellation and the next, if it goes on: half as many each time, but not fewer.
CANCEL_AGAIN_SECONDS, LEAST_CANCEL_SECONDS = 0.5, 0.05

#: Seconds beyond its timeout after which a coroutine that catches each cancellation is given up.
GIVE_UP_SECONDS = 2.0

#: Seconds before a loop that failed itself goes on, and how often it may fail with no more than a second between.
FAILED_PAUSE_SECONDS, MAX_FAILURES = 0.05, 5

#: Seconds that an async callback of ``on_new_loop`` may take; all async jobs wait for it.
NEW_LOOP_SECONDS = 30.0

#: Seconds that closing waits for coroutines that still run.
CLOSE_SECONDS = 5.0


_CLOSED_TEXT = "the event loop of the process was closed by somebody else; run the job again, on another"


class EventLoopLostError(RuntimeError):
    """The event loop a coroutine ran on has ended under it; what became of the coroutine is not known."""


class LoopThread:
    """An event loop in a daemon thread of its own; any other thread may run coroutines on it.

    The loop and its coroutines belong to that thread; callers wait on an event.

    ========  ===============================================  ======================================================
    it is     when                                             and then
    ========  ===============================================  ======================================================
    running   its thread serves it                             another state, for good
    stuck     a coroutine blocks it, beyond its timeout        it is not used again; what it runs may still end
    lost      it failed itself again and again, somebody       it is not used again; whoever waits for a coroutine
              closed it, or its thread is gone                 of it gets :class:`EventLoopLostError`
    closed    :meth:`close`                                    it is not used again
    ========  ===============================================  ======================================================
    """

    def __init__(self, prepare: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._prepare = prepare
        self._prepared = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="sqs-tasks-loop", daemon=True)
        #: Whether a coroutine blocks the loop, so that nothing else can run on it.
        self.is_stuck = False
        self._closing = False
        self._lost = False
        self._lock = threading.Lock()
        #: Called when the loop is lost, by what waits for it.
        self._waiting: dict[object, Callable[[], object]] = {}
        self._thread.start()
        self._prepared.wait()

    @property
    def is_usable(self) -> bool:
        """Whether it runs what it is given."""
        return not (self.is_stuck or self._lost) and self._thread.is_alive()

    def _serve(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            if self._prepare is not None:
                self._loop.run_until_complete(self._prepare())
            self._prepared.set()
            self._run_for_ever()
        finally:
            self._prepared.set()
            if not self._closing:
                self._lose()

    def _run_for_ever(self) -> None:
        failures, failed_at = 0, 0.0
        while not self._closing:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt):  # of an asyncio task that a job started; asyncio stops for it
                logger.exception("an asyncio task tried to end the process", extra={"action": "event_loop_exit"})
            except BaseException:  # a MemoryError in the loop itself, say: all other coroutines wait for it
                failures = failures + 1 if time.monotonic() - failed_at < 1 else 1
                failed_at = time.monotonic()
                if self._loop.is_closed() or failures >= MAX_FAILURES:
                    logger.exception(
                        "the event loop failed for good; another takes its place, and its jobs are given back",
                        extra={"action": "event_loop_lost"},
                    )
                    return
                logger.exception("the event loop failed and goes on", extra={"action": "event_loop_failed"})
                time.sleep(FAILED_PAUSE_SECONDS)

    def _lose(self) -> None:
        with self._lock:
            self._lost = True
            waiting = tuple(self._waiting.values())
            self._waiting.clear()
        # Kept to the end of the process: a garbage collection would close its coroutines, which would go on so.
        _lost_loops.append((self._loop, asyncio.all_tasks(self._loop)))
        for call in waiting:
            with contextlib.suppress(Exception):
                call()

    def _when_lost(self, call: Callable[[], object]) -> Callable[[], object]:
        """Have a function called when the loop is lost, or now when it is; what takes this back."""
        key = object()
        with self._lock:
            if not self._lost:
                self._waiting[key] = call
                return lambda: self._waiting.pop(key, None)
        call()
        return lambda: None

    @property
    def runs_caller(self) -> bool:
        """Whether the caller is a coroutine of this loop, or code that one calls."""
        return threading.current_thread() is self._thread

    def run(
        self,
        coroutine: Coroutine[Any, Any, Any],
        *,
        timeout_seconds: float | None,
        grace_seconds: float | None = None,
    ) -> Any:
        """Run a coroutine to its end in the caller's context, and return its result.

        Args:
            coroutine: The coroutine.
            timeout_seconds: How long it may take; None for as long as it likes.
            grace_seconds: How long it has to end after its cancellation; None for :data:`CANCEL_GRACE_SECONDS`.

        Raises:
            TaskTimeoutError: It took longer than ``timeout_seconds``. It was cancelled; one that blocks the loop or
                ignores its cancellation runs on, and its loop is not used again.
            RuntimeError: The caller is a coroutine of this loop, which would wait for itself.
        """
        if self.runs_caller:
            coroutine.close()
            raise RuntimeError("a coroutine of this loop cannot wait for another one here; await it instead")
        done = threading.Event()
        context = copy_context()
        task: asyncio.Task[Any] | None = None

        def start() -> None:
            nonlocal task
            task = self._loop.create_task(_limited(coroutine, timeout_seconds), context=context)
            task.add_done_callback(lambda _: done.set())

        forget = self._when_lost(done.set)
        try:
            self._loop.call_soon_threadsafe(start)
        except RuntimeError:  # somebody has closed it
            coroutine.close()
            raise EventLoopLostError(_CLOSED_TEXT) from None
        grace_seconds = CANCEL_GRACE_SECONDS if grace_seconds is None else grace_seconds
        in_time = done.wait(None if timeout_seconds is None else timeout_seconds + grace_seconds)
        forget()
        if not in_time:
            self.is_stuck = True
            logger.error(
                "an async task did not stop %.3g s after its timeout of %g s; the next one gets a new event loop",
                grace_seconds,
                timeout_seconds,
                extra={"action": "event_loop_stuck"},
            )
            raise TaskTimeoutError(f"the task ran longer than its timeout of {timeout_seconds:g} s, and did not stop")
        if task is None or not task.done():
            if task is None:
                coroutine.close()
            raise EventLoopLostError("the event loop of the task failed")
        if task.cancelled():
            raise TaskTimeoutError("the task was cancelled")
        try:
            return task.result()
        except _Escaped as escaped:
            raise escaped.error from None

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Start a coroutine in a copy of the caller's context, and return at once.

        The future raises :class:`EventLoopLostError` when the loop is lost.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # somebody has closed it
            coroutine.close()
            raise EventLoopLostError(_CLOSED_TEXT) from None
        forget = self._when_lost(lambda: future.set_exception(EventLoopLostError("the event loop of the job failed")))
        future.add_done_callback(lambda _: forget())
        return future

    def close(self) -> None:
        """Stop the loop and its thread; coroutines that still run are cancelled first.

        A loop that is stuck or lost is left to the end of the process.
        """
        if self._loop.is_closed() or not self.is_usable:
            return

        async def cancel_all() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others, timeout=CLOSE_SECONDS)
            await self._loop.shutdown_asyncgens()

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result()
        self._closing = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _limited(coroutine: Coroutine[Any, Any, Any], timeout_seconds: float | None) -> Any:
    """The coroutine's result; at its timeout it is cancelled, and again as long as it goes on, until it is given up."""
    task = asyncio.current_task()
    if timeout_seconds is None or task is None:
        return await _contained(coroutine)
    loop, cancellations = asyncio.get_running_loop(), 0
    steps, give_up_at = _Steps(coroutine, timeout_seconds), loop.time() + timeout_seconds + GIVE_UP_SECONDS
    timer: asyncio.TimerHandle

    def cancel(pause: float) -> None:
        nonlocal cancellations, timer
        cancellations += 1
        steps.is_given_up = loop.time() >= give_up_at
        task.cancel()
        timer = loop.call_later(pause, cancel, max(pause / 2, LEAST_CANCEL_SECONDS))

    timer = loop.call_later(timeout_seconds, cancel, CANCEL_AGAIN_SECONDS)
    try:
        return await _contained(steps)
    except asyncio.CancelledError as error:
        if cancellations and task.cancelling() == cancellations:  # nobody else has asked it to end
            raise TaskTimeoutError(f"the task ran longer than its timeout of {timeout_seconds:g} s") from error
        raise
    finally:
        timer.cancel()
        for _ in range(cancellations):
            task.uncancel()


async def limited(coroutine: Coroutine[Any, Any, Any], timeout_seconds: float | None) -> Any:
    """The coroutine's result, for coroutines that run jobs on the loop themselves.

    Raises:
        TaskTimeoutError: It took longer than ``timeout_seconds`` and was cancelled, or it cancelled itself.
    """
    try:
        return await _limited(coroutine, timeout_seconds)
    except _Escaped as escaped:
        raise escaped.error from None  # for the executor, which is on the loop too
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # from outside: the worker gives up on it
        raise TaskTimeoutError("the task was cancelled") from None


class _Steps:
    """Runs a coroutine step by step, so that one which catches each cancellation need not be waited for.

    It is closed then, as Python closes coroutines that are no longer wanted. One that goes on even so does it in an
    asyncio task of its own, where it holds up nobody.

    Args:
        coroutine: The coroutine.
        timeout_seconds: Its timeout, for the error.
    """

    __slots__ = ("_coroutine", "_timeout_seconds", "is_given_up")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], timeout_seconds: float) -> None:
        self._coroutine = coroutine
        self._timeout_seconds = timeout_seconds
        #: Whether the coroutine is given up when it waits for something again.
        self.is_given_up = False

    def __await__(self) -> Generator[Any, None, Any]:
        coroutine, thrown = self._coroutine, None
        while True:
            try:
                waits_for = coroutine.send(None) if thrown is None else coroutine.throw(thrown)
            except StopIteration as end:
                return end.value
            if self.is_given_up:
                self._give_up()
            thrown = None
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - a cancellation, or whatever else the coroutine is to get
                thrown = error

    def _give_up(self) -> NoReturn:
        said = f"the task ran longer than its timeout of {self._timeout_seconds:g} s, and caught each cancellation"
        try:
            waits_for = self._coroutine.throw(GeneratorExit())
        except BaseException as error:  # in whichever way, it has ended
            raise TaskTimeoutError(f"{said}; it was closed") from error
        rest = asyncio.get_running_loop().create_task(_go_on(self._coroutine, waits_for))
        _given_up.add(rest)
        rest.add_done_callback(_forget)
        raise TaskTimeoutError(f"{said}; it goes on beside the other jobs")


async def _go_on(begun: Coroutine[Any, Any, Any], waits_for: Any) -> None:
    """Run what is left of a coroutine that waits for something."""
    await _waited(waits_for)
    await begun


@types.coroutine
def _waited(waits_for: Any) -> Generator[Any, None, None]:
    yield waits_for


def _forget(rest: asyncio.Task[Any]) -> None:
    _given_up.discard(rest)
    if not rest.cancelled():
        rest.exception()  # nobody waits for it


async def _contained(coroutine: Awaitable[Any]) -> Any:
    """The coroutine's result; SystemExit and KeyboardInterrupt of a task must not stop the loop of all tasks."""
    task = asyncio.current_task()
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise _Escaped(error) from error
    except GeneratorExit as error:
        if _running_task() is not task:
            raise  # the coroutine is closed from outside
        raise RuntimeError("the task raised GeneratorExit") from error  # as a StopIteration of a coroutine (PEP 479)


def _running_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None


class _Escaped(Exception):  # noqa: N818 - carries one exception past the loop
    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


#: Coroutines that were given up and go on; asyncio itself keeps no task alive.
_given_up: set[asyncio.Task[Any]] = set()

_lock = threading.Lock()
_shared: tuple[int, LoopThread] | None = None

#: The process that has lost a loop, by its id; 0 while none has.
_lost_in = 0

#: Loops that are not used again, and that nothing may tidy up: those that failed, and in a fork its parent's.
_lost_loops: list[object] = []

if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def run_coroutine(
    coroutine: Coroutine[Any, Any, Any], *, timeout_seconds: float | None, grace_seconds: float | None = None
) -> Any:
    """Run a coroutine on the process's loop, which the first call starts; a forked child starts its own.

    Raises:
        TaskTimeoutError: It took longer than ``timeout_seconds``; see :meth:`LoopThread.run`.
    """
    return shared_loop().run(coroutine, timeout_seconds=timeout_seconds, grace_seconds=grace_seconds)


def spawn(coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
    """Start a coroutine on the process's loop, which the first call starts, and return at once."""
    return shared_loop().spawn(coroutine)


def is_lost() -> bool:
    """Whether this process has lost a loop, or its loop is stuck: what was bound to it does not work any more."""
    shared = _shared
    return _lost_in == os.getpid() or (shared is not None and shared[0] == os.getpid() and not shared[1].is_usable)


def shared_loop() -> LoopThread:
    """The process's loop, which the first call starts; one that is stuck or lost is replaced."""
    global _shared, _lost_in  # noqa: PLW0603 - one loop a process is the point
    with _lock:
        if _shared is None or _shared[0] != os.getpid() or not _shared[1].is_usable:
            if _shared is not None:
                _lost_loops.append(_shared[1])
                _lost_in = _shared[0]
            _shared = (os.getpid(), LoopThread(_announce))
        return _shared[1]


async def _announce() -> None:
    """Call what wants to know of a new loop, on it and before any job; what a callback raises is logged."""
    for hook in tuple(NEW_LOOP_HOOKS):
        for callback in hook.callbacks:
            try:
                result = callback()
                if hasattr(result, "__await__"):
                    await asyncio.wait_for(result, NEW_LOOP_SECONDS)
            except (Exception, SystemExit):
                logger.exception("on_new_loop hook %r failed", callback, extra={"action": "hook_failed"})


def close_loop() -> None:
    """Stop the process's loop if one was started; the next coroutine starts another."""
    global _shared
    with _lock:
        shared, _shared = _shared, None
    if shared is not None and shared[0] == os.getpid():
        shared[1].close()
