"""Keeps worker processes running. It runs no tasks itself, so nothing a task does can end it."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from types import FrameType
from typing import Any

from sqs_tasks.worker.exit_codes import RECYCLE_EXIT_CODE, cause_of_exit
from sqs_tasks.worker.log_thread import LogThread
from sqs_tasks.worker.signals import STOP_SIGNALS, StopWishes, Wish
from sqs_tasks.worker.supervisor_link import BUSY, DESCRIPTOR_VARIABLE, IDLE, NUMBER_VARIABLE, WORKS

logger = logging.getLogger(__name__)

#: Seconds before a worker that died is started again, and at most; between them it doubles.
MIN_PAUSE, MAX_PAUSE = 0.5, 30.0

#: The same at most for a worker that had received something: a job ended it, and the others must not wait for long.
MAX_PAUSE_AFTER_WORK = 5.0

#: Seconds after which a start counts as a success, also without an answer from SQS.
STEADY_SECONDS = 10.0

#: Starts in a row, over all workers, none of which was a success, after which the supervisor gives up: the platform
#: should see an application that cannot be loaded.
MAX_FAILED_STARTS = 10

#: Seconds beyond the grace period before a worker that should have stopped is killed.
KILL_MARGIN_SECONDS = 4.0

#: Seconds before a worker is killed that should end now.
END_SECONDS = 1.0

#: Seconds that the last log lines may take.
LOG_SECONDS = 1.0


class _Place(Enum):
    """What is in the place of a worker; see :class:`_Worker`."""

    EMPTY = "empty"
    STARTED = "started"
    WORKING = "working"
    FINISHED = "finished"


@dataclass(slots=True)
class _Worker:
    """One place for a worker process; the processes that fill it come and go.

    =========  ================================================  =====================================================
    the place  when                                              and then
    =========  ================================================  =====================================================
    empty      no process runs                                   *started* at ``start_at``; never, if that is None
    started    its process has not reported an answer from SQS   *working*, when it does; *empty*, when it died: a
                                                                 failed start, unless it had lived for ten seconds
    working    SQS has answered its process                      *empty*, when it died or makes room for a fresh one
    finished   its process ended by itself, with exit code 0     for good
    =========  ================================================  =====================================================

    """

    number: int
    place: _Place = _Place.EMPTY
    process: subprocess.Popen[bytes] | None = None
    connection: socket.socket | None = None
    started_at: float = 0.0
    start_at: float | None = 0.0
    pause: float = 0.0
    busy: bool = False


class Supervisor:
    """Starts worker processes, starts them again when they die, and hands signals on. One thread does it all.

    It works as PID 1 of a container: it installs its own handlers (the kernel gives PID 1 none), and reaps whatever
    ends, also processes that tasks left behind. Workers are programs of their own and no forks, so they share neither
    locks nor sockets with each other; they lead sessions of their own, so that a Ctrl-C reaches them once, through
    the supervisor; and they stop by themselves when it is gone.

    Args:
        command: The program that is one worker.
        processes: How many.
        grace_seconds: How long a worker may take to stop; a little later it is killed.
        variables: The environment of the workers; this process's own when left out.
        on_busy: Called when the first of the workers has jobs in progress, and when the last one has none.
        clock: The monotonic clock, for tests.
    """

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        *,
        grace_seconds: float = 25,
        variables: Mapping[str, str] | None = None,
        on_busy: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = list(command)
        self._grace = grace_seconds
        self._variables = dict(os.environ if variables is None else variables)
        self._on_busy = on_busy
        self._clock = clock
        self._workers = [_Worker(number) for number in range(processes)]
        self._selector = selectors.DefaultSelector()
        self._log_thread = LogThread()
        self._signals: deque[int] = deque()
        self._wishes = StopWishes(clock)
        self._failed_starts = 0
        self._last_code = 0
        self._kill_at: float | None = None
        self._was_busy = False

    def run(self) -> int:
        """Supervise until a signal, or until all workers have finished by themselves; the exit code to end with."""
        with self._waking():
            while True:
                self._start_due()
                if all(worker.process is None for worker in self._workers) and (
                    self._kill_at is not None or all(worker.place is _Place.FINISHED for worker in self._workers)
                ):
                    break
                self._kill_late()
                for key, _ in self._selector.select(self._seconds_to_next()):
                    key.data()
                while self._signals:
                    self._signalled(self._signals.popleft())
                self._reap()
                if self._failed_starts >= MAX_FAILED_STARTS and self._kill_at is None:
                    self._log(
                        logging.CRITICAL,
                        "%d starts in a row failed; giving up",
                        self._failed_starts,
                        action="supervisor_gave_up",
                        exit_code=self._last_code,
                    )
                    self._stop(signal.SIGTERM)
        self._log_thread.flush(LOG_SECONDS)
        return self._last_code

    def _log(self, level: int, text: str, *args: object, **extra: Any) -> None:
        """Log, and wait for nobody: who reads the log may have stopped, and workers must be supervised all the same."""
        self._log_thread.log(logger, level, text, *args, extra=extra)

    # --- signals ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _waking(self) -> Iterator[None]:
        """Signals wake the selector; what is to be done for them is done in the loop."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        numbers = (*STOP_SIGNALS, signal.SIGCHLD)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        outer = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: reader.recv(64))
        try:
            yield
        finally:
            signal.set_wakeup_fd(outer)
            for number, handler in before.items():
                # After a wish to stop the process ends: the same wish once more must not change its exit code.
                is_ignored = self._wishes.is_any and number in STOP_SIGNALS
                after = signal.SIG_IGN if is_ignored else handler
                signal.signal(number, signal.SIG_DFL if after is None else after)
            for worker in self._workers:
                self._hang_up(worker)
            self._selector.close()
            reader.close()
            writer.close()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _signalled(self, number: int) -> None:
        if number not in STOP_SIGNALS:
            return
        wish = self._wishes.note()
        if wish is Wish.REPEATED:
            return
        if self._kill_at is None:
            self._last_code = 0  # asked to end: what died before has been started again
        self._stop(number)
        if wish is Wish.END and self._kill_at is not None:
            self._kill_at = min(self._kill_at, self._clock() + END_SECONDS)

    def _stop(self, number: int) -> None:
        """Hand a signal on; the second one ends the workers at once, by their own rule."""
        is_first, running = self._kill_at is None, sum(worker.process is not None for worker in self._workers)
        if self._kill_at is None:
            self._kill_at = self._clock() + self._grace + KILL_MARGIN_SECONDS
        for worker in self._workers:
            worker.start_at = None
            if worker.process is not None:
                worker.process.send_signal(number)
        if is_first:
            name = signal.Signals(number).name
            self._log(logging.INFO, "stopping %d workers (%s)", running, name, action="supervisor_stopping")

    def _kill_late(self) -> None:
        if self._kill_at is None or self._clock() < self._kill_at:
            return
        self._kill_at = float("inf")
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill()
                self._log(
                    logging.ERROR,
                    "worker %d did not stop in time and is killed",
                    worker.number,
                    action="worker_killed",
                    worker=worker.number,
                )

    # --- workers ----------------------------------------------------------------------------------------------------

    def _seconds_to_next(self) -> float | None:
        moments = [
            worker.start_at for worker in self._workers if worker.process is None and worker.start_at is not None
        ]
        if self._kill_at is not None:
            moments.append(self._kill_at)
        if not moments or min(moments) == float("inf"):
            # Now and then it looks by itself: a SIGCHLD can be merged with one that is already pending.
            return 1.0
        return min(max(min(moments) - self._clock(), 0), 1.0)

    def _start_due(self) -> None:
        now = self._clock()
        for worker in self._workers:
            if worker.place is _Place.EMPTY and worker.start_at is not None and worker.start_at <= now:
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        descriptor = theirs.fileno()
        try:
            worker.process = subprocess.Popen(  # noqa: S603 - the command is this program's own
                self._command,
                env={
                    **self._variables,
                    DESCRIPTOR_VARIABLE: str(descriptor),
                    NUMBER_VARIABLE: str(worker.number),
                },
                pass_fds=(descriptor,),
                start_new_session=True,
            )
        except OSError as error:  # no memory, no process ids: as a worker that died at once
            self._log(logging.ERROR, "cannot start worker %d: %s", worker.number, error, action="worker_not_started")
            ours.close()
            self._schedule(worker, failed=True, succeeded=False)
            return
        finally:
            theirs.close()
        worker.place = _Place.STARTED
        worker.connection, worker.started_at, worker.start_at = ours, self._clock(), None
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(worker))
        self._log(
            logging.INFO,
            "worker %d is process %d",
            worker.number,
            worker.process.pid,
            action="worker_process_started",
            worker=worker.number,
            pid=worker.process.pid,
        )

    def _hear(self, worker: _Worker) -> bool:
        """Read what a worker wrote; whether there may be more to read."""
        if worker.connection is None:
            return False
        try:
            data = worker.connection.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._hang_up(worker)
            return False
        if WORKS in data:
            worker.place, self._failed_starts = _Place.WORKING, 0
        if BUSY in data or IDLE in data:
            worker.busy = data.rfind(BUSY) > data.rfind(IDLE)
            self._report_busy()
        return True

    def _hang_up(self, worker: _Worker) -> None:
        worker.busy = False
        if worker.connection is not None:
            self._selector.unregister(worker.connection)
            worker.connection.close()
            worker.connection = None
        self._report_busy()

    def _report_busy(self) -> None:
        busy = any(worker.busy for worker in self._workers)
        if busy is not self._was_busy:
            self._was_busy = busy
            self._on_busy(busy)

    def _reap(self) -> None:
        """Take note of every process that ended: workers, and as PID 1 also what their tasks left behind."""
        by_pid = {worker.process.pid: worker for worker in self._workers if worker.process is not None}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            worker = by_pid.get(pid)
            if worker is not None and worker.process is not None:
                code = os.waitstatus_to_exitcode(status)
                worker.process.returncode = code  # it was waited for here, and must not be again
                self._ended(worker, code)

    def _ended(self, worker: _Worker, code: int) -> None:
        pid = worker.process.pid if worker.process is not None else 0
        lived = self._clock() - worker.started_at
        while self._hear(worker):
            pass  # what it wrote just before it ended
        had_worked = worker.place is _Place.WORKING
        worker.process, worker.place = None, _Place.EMPTY
        self._hang_up(worker)
        if self._kill_at is not None:
            # One that had not begun to listen dies of the signal itself, and has no jobs.
            if code not in (0, RECYCLE_EXIT_CODE) and -code not in STOP_SIGNALS:
                self._last_code = 1
            return
        if code == 0:
            worker.place = _Place.FINISHED
            self._failed_starts = 0
            return
        extra = {"worker": worker.number, "pid": pid, "exit_code": code, "seconds": lived}
        if code == RECYCLE_EXIT_CODE:
            self._schedule(worker, failed=lived < MIN_PAUSE, succeeded=had_worked)
            text = "worker %d is replaced by a fresh one"
            self._log(logging.INFO, text, worker.number, action="worker_recycled", **extra)
            return
        self._schedule(worker, failed=True, succeeded=had_worked or lived >= STEADY_SECONDS)
        self._last_code = code if code > 0 else 128 - code
        self._log(
            logging.ERROR,
            "worker %d died (%s) after %.1f s; it is started again in %.1f s; its messages come back",
            worker.number,
            cause_of_exit(code),
            lived,
            worker.pause,
            action="worker_died",
            **extra,
        )

    def _schedule(self, worker: _Worker, *, failed: bool, succeeded: bool) -> None:
        """Start a worker again: after a pause, if it failed; its start may have been a success all the same."""
        if not failed:
            worker.pause = 0.0
        elif succeeded and self._clock() - worker.started_at >= STEADY_SECONDS:
            worker.pause = MIN_PAUSE
        else:
            most = MAX_PAUSE_AFTER_WORK if succeeded else MAX_PAUSE
            worker.pause = min(max(worker.pause * 2, MIN_PAUSE), most)
        self._failed_starts = self._failed_starts + 1 if failed and not succeeded else 0
        worker.start_at = self._clock() + worker.pause
