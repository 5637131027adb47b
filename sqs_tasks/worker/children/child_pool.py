"""The children of a worker: as many as jobs run at once, started when they are needed, and used again."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from sqs_tasks.worker.children.child import Child, ChildNotStartedError

logger = logging.getLogger(__name__)

#: Seconds to wait after the first child that did not start, and at most; between them it doubles.
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 30.0

#: Starts that may fail in a row before the worker gives up: the platform should see that.
MAX_FAILED_STARTS = 10


class ChildPool:
    """Hands out children, one for each job at a time. Any thread may ask.

    Args:
        command: The program of a child.
        max_jobs: Jobs after which a child makes room for a fresh one; None for any number.
        variables: The environment of the children; this process's own when left out.
        on_hopeless: Called when no child can be started any more.
        clock: The monotonic clock, for tests.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        max_jobs: int | None = None,
        variables: Mapping[str, str] | None = None,
        on_hopeless: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = list(command)
        self._max_jobs = max_jobs
        self._variables = dict(os.environ if variables is None else variables)
        self.on_hopeless = on_hopeless
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._leaving: list[Child] = []
        #: Whether no more children are started.
        self.is_stopping = False
        self._failed_starts, self._try_at = 0, 0.0
        self._wanted: queue.SimpleQueue[Future[Child]] = queue.SimpleQueue()
        # One thread starts them all and lives as long as the process: the kernel ends a child with the thread that
        # started it, where the child asks for that.
        threading.Thread(target=self._start_wanted, name="sqs-tasks-children", daemon=True).start()

    def begin(self) -> None:
        """Start the first child, so that an application that cannot be loaded is seen at once.

        Raises:
            ChildNotStartedError: It did not start.
        """
        child = self._started()
        with self._lock:
            self._idle.append(child)

    @contextmanager
    def child(self, memory_mib: int | None = None) -> Iterator[Child]:
        """A child for one job, the one used last if there is one; a new one if none is idle.

        Args:
            memory_mib: The limit of the job; a child that is above it already makes room for a fresh one.

        Raises:
            ChildNotStartedError: None could be started.
        """
        child = self._acquire(memory_mib)
        try:
            yield child
        finally:
            self._give_back(child)

    def stop(self) -> None:
        """Have idle children end, and each other one after its job; no more are started."""
        with self._lock:
            self.is_stopping = True
            idle, self._idle = self._idle, []
            self._leaving += idle
        for child in idle:
            child.ask_to_stop()

    def close(self, seconds: float) -> None:
        """End all of them: those that still run a job are killed, the others have so long for ``on_stop``."""
        self.stop()
        with self._lock:
            busy = list(self._busy)
        for child in busy:
            child.kill(is_stop=True)
        deadline = self._clock() + seconds
        with self._lock:
            leaving, self._leaving = self._leaving, []
        for child in leaving:
            if not child.wait(deadline - self._clock()):
                logger.warning(
                    "child process %d did not stop in time and is killed",
                    child.pid,
                    extra={"action": "child_killed", "pid": child.pid},
                )
                child.kill()
            child.end()

    def _acquire(self, memory_mib: int | None) -> Child:
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
                if child is not None:
                    self._busy.add(child)
            if child is None:
                child = self._started()
                with self._lock:
                    self._busy.add(child)
                return child
            if child.is_alive and (memory_mib is None or child.resident_mib() < memory_mib):
                return child
            self._retire(child)

    def _give_back(self, child: Child) -> None:
        is_used_up = child.is_spent or (self._max_jobs is not None and child.jobs >= self._max_jobs)
        is_alive = child.is_alive
        with self._lock:
            is_kept = is_alive and not is_used_up and not self.is_stopping
            if is_kept or not is_alive:
                self._busy.discard(child)
            if is_kept:
                self._idle.append(child)
        if not is_alive:
            child.end()
        elif not is_kept:
            self._retire(child)

    def _retire(self, child: Child) -> None:
        """Have a child end; it is waited for at the next opportunity."""
        child.ask_to_stop()
        with self._lock:
            self._busy.discard(child)
            gone = [one for one in self._leaving if not one.is_alive]
            self._leaving = [one for one in self._leaving if one not in gone]
            self._leaving.append(child)
        for one in gone:
            one.end()

    def _started(self) -> Child:
        """A new child, ready for a job.

        Raises:
            ChildNotStartedError: It did not start, or the last one did not a moment ago.
        """
        if self.is_stopping:
            raise ChildNotStartedError("the worker is stopping")
        if self._clock() < self._try_at:
            raise ChildNotStartedError("the last one did not start either")
        wanted: Future[Child] = Future()
        self._wanted.put(wanted)
        try:
            child = wanted.result()
            child.wait_ready()
        except (ChildNotStartedError, OSError) as error:
            self._note_failed_start(error)
            raise ChildNotStartedError(str(error)) from error
        self._failed_starts = 0
        logger.info("child process %d runs jobs", child.pid, extra={"action": "child_started", "pid": child.pid})
        return child

    def _note_failed_start(self, error: Exception) -> None:
        with self._lock:
            self._failed_starts += 1
            count = self._failed_starts
            self._try_at = self._clock() + min(MIN_PAUSE_SECONDS * 2 ** (count - 1), MAX_PAUSE_SECONDS)
        logger.error(
            "a child process did not start (%s); its job goes back to its queue",
            error,
            extra={"action": "child_not_started", "failed_starts": count},
        )
        if count == MAX_FAILED_STARTS:
            logger.critical(
                "%d starts of child processes in a row failed; giving up",
                count,
                extra={"action": "children_given_up"},
            )
            self.on_hopeless()

    def _start_wanted(self) -> None:
        while True:
            wanted = self._wanted.get()
            try:
                wanted.set_result(Child(self._command, self._variables))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                wanted.set_exception(error)
