"""Runs lanes: in the caller's thread, or in a pool of threads that takes no more than it can start."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Protocol

from sqs_tasks.lanes import Lane

RunLane = Callable[[Lane], None]


class Pool(Protocol):
    """What the consumer asks of a pool."""

    def wait_free(self, timeout_seconds: float) -> int:
        """How many lanes could start now, after waiting for one at most this long."""

    def submit(self, lane: Lane) -> None:
        """Start a lane."""

    def running(self) -> int:
        """How many lanes were submitted and have not ended."""

    def drain(self, timeout_seconds: float) -> bool:
        """Wait for running lanes; whether all ended in time."""

    def close(self) -> None:
        """Take no more lanes and end the threads that have none."""


class InlinePool:
    """Runs each lane where it is submitted: one job at a time, in the polling thread."""

    def __init__(self, run_lane: RunLane) -> None:
        self._run_lane = run_lane

    def wait_free(self, timeout_seconds: float) -> int:  # noqa: ARG002 - nothing ever runs while the caller asks
        """1."""
        return 1

    def submit(self, lane: Lane) -> None:
        """Run the lane to its end."""
        self._run_lane(lane)

    def running(self) -> int:
        """0."""
        return 0

    def drain(self, timeout_seconds: float) -> bool:  # noqa: ARG002 - nothing is left to wait for
        """True."""
        return True

    def close(self) -> None:
        """Nothing to end."""


class ThreadPool:
    """Runs up to ``size`` lanes at once; its threads do no I/O of their own to SQS but what tasks do.

    The threads are daemons: a task that outlives the grace period must not keep the process from ending.
    """

    def __init__(self, run_lane: RunLane, size: int) -> None:
        self._run_lane = run_lane
        self._size = size
        self._lanes: queue.SimpleQueue[Lane | None] = queue.SimpleQueue()
        self._running = 0
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def wait_free(self, timeout_seconds: float) -> int:
        """How many lanes could start now, after waiting for one at most this long."""
        with self._changed:
            if self._running >= self._size:
                self._changed.wait(timeout_seconds)
            return max(self._size - self._running, 0)

    def submit(self, lane: Lane) -> None:
        """Start a lane; beyond the size it waits for a thread."""
        with self._changed:
            self._running += 1
            if len(self._threads) < min(self._running, self._size):
                thread = threading.Thread(target=self._work, name=f"sqs-tasks-worker-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._lanes.put(lane)

    def running(self) -> int:
        """How many lanes were submitted and have not ended."""
        with self._changed:
            return self._running

    def drain(self, timeout_seconds: float) -> bool:
        """Wait for running lanes; whether all ended in time."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while self._running:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def close(self) -> None:
        """End the threads that have no lane; the others end with theirs."""
        for _ in self._threads:
            self._lanes.put(None)
        with self._changed:
            idle = self._running == 0
        if idle:
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        while (lane := self._lanes.get()) is not None:
            try:
                self._run_lane(lane)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()
