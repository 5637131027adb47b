"""Keeps worker processes running. It runs no tasks itself, so nothing a task does can end it."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqs_tasks.worker.exit_codes import RECYCLE_EXIT_CODE, cause_of_exit
from sqs_tasks.worker.signals import STOP_SIGNALS, noted
from sqs_tasks.worker.supervisor_link import BUSY, DESCRIPTOR_VARIABLE, IDLE, NUMBER_VARIABLE

logger = logging.getLogger(__name__)

#: Seconds before a worker that died is started again, and at most; between them it doubles.
MIN_PAUSE, MAX_PAUSE = 0.5, 30.0

#: Seconds after which a start counts as a success: the next death begins with the shortest pause again.
STEADY_SECONDS = 10.0

#: Starts in a row, over all workers, none of which was a success, after which the supervisor gives up: the platform
#: should see an application that cannot be loaded.
MAX_FAILED_STARTS = 10

#: Seconds beyond the grace period before a worker that should have stopped is killed.
KILL_MARGIN_SECONDS = 4.0


@dataclass(slots=True)
class _Worker:
    """One place for a worker process; the processes that fill it come and go."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    connection: socket.socket | None = None
    started_at: float = 0.0
    start_at: float | None = 0.0
    pause: float = 0.0
    busy: bool = False
    finished: bool = False


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
        on_busy: Told when the first of the workers has jobs in hand, and when the last one has none.
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
                    self._kill_at is not None or all(worker.finished for worker in self._workers)
                ):
                    return self._last_code
                self._kill_late()
                for key, _ in self._selector.select(self._seconds_to_next()):
                    key.data()
                self._reap()
                if self._failed_starts >= MAX_FAILED_STARTS and self._kill_at is None:
                    logger.critical(
                        "%d starts in a row failed; giving up",
                        self._failed_starts,
                        extra={"action": "supervisor_gave_up", "exit_code": self._last_code},
                    )
                    self._stop(signal.SIGTERM)

    # --- signals ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _waking(self) -> Iterator[None]:
        """Signals wake the selector; nothing is done in handlers."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        numbers = (*STOP_SIGNALS, signal.SIGCHLD)
        before = {number: signal.signal(number, noted) for number in numbers}
        outer = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._signalled(reader))
        try:
            yield
        finally:
            signal.set_wakeup_fd(outer)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            for worker in self._workers:
                self._hang_up(worker)
            self._selector.close()
            reader.close()
            writer.close()

    def _signalled(self, reader: socket.socket) -> None:
        for number in reader.recv(64):
            if number in STOP_SIGNALS:
                if self._kill_at is None:
                    self._last_code = 0  # asked to end: what died before has been started again
                self._stop(number)

    def _stop(self, number: int) -> None:
        """Hand a signal on; the second one ends the workers at once, by their own rule."""
        if self._kill_at is None:
            self._kill_at = self._clock() + self._grace + KILL_MARGIN_SECONDS
            logger.info(
                "stopping %d workers (%s)",
                sum(worker.process is not None for worker in self._workers),
                signal.Signals(number).name,
                extra={"action": "supervisor_stopping"},
            )
        for worker in self._workers:
            worker.start_at = None
            if worker.process is not None:
                worker.process.send_signal(number)

    def _kill_late(self) -> None:
        if self._kill_at is None or self._clock() < self._kill_at:
            return
        for worker in self._workers:
            if worker.process is not None:
                logger.error(
                    "worker %d did not stop in time and is killed",
                    worker.number,
                    extra={"action": "worker_killed", "worker": worker.number},
                )
                worker.process.kill()
        self._kill_at = float("inf")

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
            if (
                worker.process is None
                and not worker.finished
                and worker.start_at is not None
                and worker.start_at <= now
            ):
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
            logger.error("cannot start worker %d: %s", worker.number, error, extra={"action": "worker_not_started"})  # noqa: TRY400
            ours.close()
            self._schedule(worker, failed=True)
            return
        finally:
            theirs.close()
        worker.connection, worker.started_at, worker.start_at = ours, self._clock(), None
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._told(worker))
        logger.info(
            "worker %d is process %d",
            worker.number,
            worker.process.pid,
            extra={"action": "worker_process_started", "worker": worker.number, "pid": worker.process.pid},
        )

    def _told(self, worker: _Worker) -> None:
        if worker.connection is None:
            return
        try:
            data = worker.connection.recv(64)
        except OSError:
            data = b""
        if not data:
            self._hang_up(worker)
            return
        worker.busy = data[-1:] == BUSY if data[-1:] in (BUSY, IDLE) else worker.busy
        self._tell_busy()

    def _hang_up(self, worker: _Worker) -> None:
        worker.busy = False
        if worker.connection is not None:
            self._selector.unregister(worker.connection)
            worker.connection.close()
            worker.connection = None
        self._tell_busy()

    def _tell_busy(self) -> None:
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
        worker.process = None
        self._hang_up(worker)
        if self._kill_at is not None:
            # One that had not begun to listen dies of the signal itself, and has nothing in hand.
            if code not in (0, RECYCLE_EXIT_CODE) and -code not in STOP_SIGNALS:
                self._last_code = 1
            return
        if code == 0:
            worker.finished = True
            self._failed_starts = 0
            return
        extra = {"worker": worker.number, "pid": pid, "exit_code": code, "seconds": lived}
        if code == RECYCLE_EXIT_CODE:
            logger.info(
                "worker %d is replaced by a fresh one", worker.number, extra={"action": "worker_recycled", **extra}
            )
            self._schedule(worker, failed=lived < MIN_PAUSE)
            return
        self._schedule(worker, failed=True, steady=lived >= STEADY_SECONDS)
        self._last_code = code if code > 0 else 128 - code
        logger.error(
            "worker %d died (%s) after %.1f s; it is started again in %.1f s; what it held comes back",
            worker.number,
            cause_of_exit(code),
            lived,
            worker.pause,
            extra={"action": "worker_died", **extra},
        )

    def _schedule(self, worker: _Worker, *, failed: bool, steady: bool = False) -> None:
        if steady or not failed:
            worker.pause, self._failed_starts = (MIN_PAUSE if failed else 0.0), 0
        else:
            worker.pause = min(max(worker.pause * 2, MIN_PAUSE), MAX_PAUSE)
            self._failed_starts += 1
        worker.start_at = self._clock() + worker.pause
