"""Runs work: in the caller's thread, in threads, or on the event loop."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from sqs_tasks.execution.event_loop import EventLoopLostError, spawn

logger = logging.getLogger(__name__)

#: Seconds that coroutines have to end after they were cancelled, at the end of the grace period.
CANCEL_SECONDS = 0.5


class Work(Protocol):
    """What a pool runs: the messages of one lane."""

    def run(self) -> None:
        """Run it in this thread."""

    async def run_async(self) -> None:
        """Run it on the event loop."""

    def release(self) -> None:
        """Give it back unrun."""


class Pool(Protocol):
    """What the consumer asks of a pool."""

    def submit(self, works: Sequence[Work]) -> None:
        """Start these, or as many as can start, and keep the others waiting."""

    def release_waiting(self) -> None:
        """Give back what has not started; any thread may ask."""

    def running(self) -> int:
        """How many were submitted and have not ended."""

    def drain(self, seconds_left: Callable[[], float | None]) -> bool:
        """Wait until all have ended, or no seconds are left; whether all have ended."""

    def close(self) -> None:
        """End threads that have nothing to run."""


class InlinePool:
    """Runs each work in the thread that submits it, one after the other."""

    def __init__(self) -> None:
        self._waiting: deque[Work] = deque()

    def submit(self, works: Sequence[Work]) -> None:
        """Run these to their end."""
        self._waiting.extend(works)
        while self._waiting:
            try:
                work = self._waiting.popleft()
            except IndexError:  # the stop was quicker
                break
            try:
                work.run()
            except Exception:  # not the task's failure, that is an outcome; the loop goes on all the same
                logger.exception("a job escaped its executor", extra={"action": "worker_error"})

    def release_waiting(self) -> None:
        """Give back what has not started."""
        while self._waiting:
            try:
                work = self._waiting.popleft()
            except IndexError:  # the polling thread was quicker
                break
            work.release()

    def running(self) -> int:
        """How many wait; the caller is not here while one runs."""
        return len(self._waiting)

    def drain(self, seconds_left: Callable[[], float | None]) -> bool:  # noqa: ARG002 - nothing is left to wait for
        """True."""
        return True

    def close(self) -> None:
        """Nothing to end."""


class ThreadPool:
    """Runs up to ``size`` works at once, each in a thread; more wait in line.

    The threads are daemons: a task that outlives the grace period must not keep the process from ending.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._works: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._running = 0
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def submit(self, works: Sequence[Work]) -> None:
        """Start these; beyond the size they wait for a thread."""
        with self._changed:
            self._running += len(works)
            while len(self._threads) < min(self._running, self._size):
                thread = threading.Thread(
                    target=self._serve, name=f"sqs-tasks-worker-{len(self._threads)}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
        for work in works:
            self._works.put(work)

    def release_waiting(self) -> None:
        """Give back what no thread has taken yet."""
        while True:
            try:
                work = self._works.get_nowait()
            except queue.Empty:
                return
            if work is not None:
                self._end(work.release)

    def running(self) -> int:
        """How many were submitted and have not ended."""
        return self._running

    def drain(self, seconds_left: Callable[[], float | None]) -> bool:
        """Wait until all have ended, or no seconds are left."""
        with self._changed:
            return wait_for(self._changed, lambda: self._running == 0, seconds_left)

    def close(self) -> None:
        """End the threads that run nothing; the others end with what they run."""
        for _ in self._threads:
            self._works.put(None)
        if not self._running:
            for thread in self._threads:
                thread.join()

    def _serve(self) -> None:
        while (work := self._works.get()) is not None:
            self._end(work.run)

    def _end(self, call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException:  # whatever it was, this thread serves the next job (faults P10, Q2)
            logger.exception("a job escaped its executor", extra={"action": "worker_error"})
        finally:
            with self._changed:
                self._running -= 1
                if not self._running:
                    self._changed.notify_all()


class AsyncPool:
    """Runs up to ``size`` works at once on the process's event loop; more wait in line.

    The polling threads submit; each work runs on the loop, and the loop's thread starts the next when one ends. What
    runs on a loop that fails is given back.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[Work] = deque()
        self._running: dict[Future[Any], Work] = {}
        #: Coroutines that have not ended; one that was cancelled takes a moment longer than its future.
        self._alive = 0
        self._ping: tuple[float, Future[Any]] | None = None
        self._changed = threading.Condition()

    def submit(self, works: Sequence[Work]) -> None:
        """Start these; beyond the size they wait for another to end."""
        with self._changed:
            self._waiting.extend(works)
        self._start_waiting()

    def release_waiting(self) -> None:
        """Give back what has not started."""
        while True:
            with self._changed:
                if not self._waiting:
                    self._changed.notify_all()
                    return
                work = self._waiting.popleft()
            work.release()

    def running(self) -> int:
        """How many were submitted and have not ended."""
        return self._alive + len(self._waiting)

    def drain(self, seconds_left: Callable[[], float | None]) -> bool:
        """Wait until all have ended, or no seconds are left; then the rest is cancelled, which gives it back."""
        with self._changed:
            if wait_for(self._changed, lambda: not self._running and not self._waiting, seconds_left):
                return True
            late = tuple(self._running)
        if late:
            logger.error(
                "%d async jobs still run after the grace period and are cancelled; they go back to their queues",
                len(late),
                extra={"action": "grace_over"},
            )
        for future in late:
            future.cancel()
        with self._changed:
            return wait_for(self._changed, lambda: not self._alive, monotonic_deadline(CANCEL_SECONDS))

    def close(self) -> None:
        """Nothing to end: the loop lives as long as the process."""

    def seconds_stuck(self) -> float:
        """For how long the loop has not run what it was given: a coroutine that blocks it holds up all others.

        Each call that finds no question open asks a new one; so a blocked loop shows at the second call.
        """
        with self._changed:
            if self._ping is not None and not self._ping[1].done():
                return time.monotonic() - self._ping[0]
            answer = _spawned(_answer()) if self._running else None
            self._ping = None if answer is None else (time.monotonic(), answer)
            return 0.0

    def _start_waiting(self) -> None:
        while True:
            with self._changed:
                if not self._waiting or len(self._running) >= self._size:
                    return
                work = self._waiting.popleft()
                coroutine = self._run(work)
                future = _spawned(coroutine)
                if future is not None:
                    self._alive += 1
                    self._running[future] = work
            if future is None:
                work.release()
            else:
                future.add_done_callback(self._ended)

    async def _run(self, work: Work) -> None:
        try:
            await work.run_async()
        finally:
            with self._changed:
                self._alive -= 1
                if not self._alive:
                    self._changed.notify_all()

    def _ended(self, future: Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        is_lost = isinstance(error, EventLoopLostError)
        if is_lost:
            self._running[future].release()
        elif error is not None and not isinstance(error, asyncio.CancelledError):
            logger.error("a job escaped its executor", exc_info=error, extra={"action": "worker_error"})
        with self._changed:
            del self._running[future]
            self._alive -= is_lost  # its coroutine never ends
            if not self._running and not self._waiting:
                self._changed.notify_all()
        self._start_waiting()


def _spawned(coroutine: Coroutine[Any, Any, Any]) -> Future[Any] | None:
    """What a coroutine will return; None when the loop fails in this moment."""
    try:
        return spawn(coroutine)
    except EventLoopLostError:
        return None


async def _answer() -> None:
    """Runs as soon as the loop does."""


def wait_for(changed: threading.Condition, done: Callable[[], bool], seconds_left: Callable[[], float | None]) -> bool:
    """Wait for a condition for as long as there are seconds left, which may change while waiting; with the lock held.

    Args:
        changed: Notified when ``done`` may have become true.
        done: What to wait for.
        seconds_left: None for no limit.
    """
    while not done():
        left = seconds_left()
        if left is not None and left <= 0:
            return False
        # In slices: a stop that is requested meanwhile sets the limit.
        changed.wait(1 if left is None else min(left, 1))
    return True


def monotonic_deadline(seconds: float) -> Callable[[], float | None]:
    """A ``seconds_left`` that counts down from now."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()
