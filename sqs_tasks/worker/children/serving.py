"""The child's side: takes jobs from the worker, runs each in the main thread, and says what became of it."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sqs_tasks.errors import ConfigurationError, TaskTimeoutError, described
from sqs_tasks.execution import forks
from sqs_tasks.execution.event_loop import is_lost, run_coroutine
from sqs_tasks.execution.executor import Executor
from sqs_tasks.execution.main_thread_alarm import task_timeout
from sqs_tasks.execution.running_job import RUNNING
from sqs_tasks.loggers import keep_loggers
from sqs_tasks.message import JobBatch, ReceivedMessage
from sqs_tasks.outcome import Outcome
from sqs_tasks.worker.children.forms import message_of, outcome_form
from sqs_tasks.worker.children.frames import ConnectionOverError, Frames
from sqs_tasks.worker.exit_codes import exit_code_of
from sqs_tasks.worker.lease import Lease, set_current_lease
from sqs_tasks.worker.signals import STOP_SIGNALS
from sqs_tasks.worker.worked_queue import WorkedQueue

logger = logging.getLogger(__name__)

#: What a child exits with whose worker is gone while a job runs: nobody would settle it.
ORPHANED_EXIT_CODE = 70

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A job, or a call of a batch processor, as the worker has sent it."""

    token: int
    queue_name: str
    is_batch: bool
    messages: Sequence[ReceivedMessage]
    lease: Lease | None

    @classmethod
    def of(cls, frame: Mapping[str, Any]) -> Self:
        """The run of a frame."""
        messages = [message_of(form) for form in frame["messages"]]
        until = frame["lease_until"]
        return cls(
            token=frame["run"],
            queue_name=frame["queue"],
            is_batch=frame["batch"],
            messages=messages,
            lease=None if until is None else Lease(messages[0], due=float("inf"), until=until),
        )


class JobServer:
    """Runs what the worker sends until it says stop, or is gone.

    Args:
        frames: The connection.
        queues: The queues by name.
        exit_now: Ends the process; for tests.
    """

    def __init__(
        self,
        frames: Frames,
        queues: Mapping[str, WorkedQueue],
        *,
        exit_now: Callable[[int], object] = os._exit,
    ) -> None:
        self._frames = frames
        self._queues = queues
        self._exit_now = exit_now
        self._executors: dict[str, Executor] = {}
        self._runs: queue.SimpleQueue[_Run | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        #: What runs, or is about to.
        self._current: _Run | None = None
        self._forks = forks.forks_so_far
        #: Whether a coroutine was given up, which may go on.
        self._has_left_coroutine = False

    def serve(self) -> None:
        """Run jobs in this thread, which is to be the main one: only there a plain task can be interrupted."""
        keep_loggers()
        forks.in_each_child(self._frames.close)
        threading.Thread(target=self._hear, name="sqs-tasks-worker-link", daemon=True).start()
        with contextlib.suppress(ConnectionOverError):
            self._frames.send({"ready": os.getpid()})
            while (run := self._runs.get()) is not None:
                self._frames.send(self._ran(run))
                with self._lock:
                    self._current = None

    def _ran(self, run: _Run) -> dict[str, Any]:
        set_current_lease(run.lease)
        try:
            executor = self._executor(run.queue_name)
            outcomes = executor.execute_batch(run.messages) if run.is_batch else [executor.execute(run.messages[0])]
        except BaseException as error:
            self._end_fork(None)
            logger.exception("a job escaped its executor", extra={"action": "worker_error"})
            return {"escaped": described(error)}
        finally:
            set_current_lease(None)
        self._end_fork(outcomes[0])
        # A coroutine that blocks its loop, or catches whatever ends it, would go on beside all later jobs.
        is_spent = self._has_left_coroutine or is_lost()
        return {"outcomes": [outcome_form(outcome) for outcome in outcomes], "spent": is_spent}

    def _executor(self, queue_name: str) -> Executor:
        executor = self._executors.get(queue_name)
        if executor is None:
            worked = self._queues.get(queue_name)
            if worked is None:
                raise ConfigurationError(f"queue {queue_name!r} is not registered in this process")
            executor = worked.executor(run_coroutine=self._run_coroutine, interrupter=self._limited)
            self._executors[queue_name] = executor
        return executor

    def _limited(self, timeout_seconds: float | None) -> AbstractContextManager[None]:
        return _Attempt(self, timeout_seconds)

    def _run_coroutine(self, coroutine: Any, *, timeout_seconds: float | None) -> Any:
        self.report_attempt(timeout_seconds)
        try:
            return run_coroutine(coroutine, timeout_seconds=timeout_seconds)
        except TaskTimeoutError:
            self._has_left_coroutine = True
            raise
        finally:
            self.report_end(timeout_seconds)

    def report_attempt(self, timeout_seconds: float | None) -> None:
        """Say what is about to run, and how long it may take: the worker keeps the time too."""
        self._frames.send({"attempt": timeout_seconds, "jobs": self._names()})

    def report_end(self, timeout_seconds: float | None) -> None:
        """Say that it is over: what hooks do then has no limit."""
        if timeout_seconds is not None and forks.forks_so_far == self._forks:
            self._frames.send({"attempt": None})

    def _names(self) -> list[tuple[str, str]]:
        running = RUNNING.get()
        call = None if running is None else running[1]
        jobs: Sequence[Any] = () if call is None else call.jobs if isinstance(call, JobBatch) else (call,)
        return [(job.job_name, job.job_id) for job in jobs]

    def _end_fork(self, outcome: Outcome | None) -> None:
        """End this process if a task forked it: it must not answer in the place of the other."""
        if forks.forks_so_far != self._forks:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(exit_code_of(outcome))

    def _hear(self) -> None:
        with contextlib.suppress(ConnectionOverError):
            while (frame := self._frames.receive()) is not None:
                if "run" in frame:
                    run = _Run.of(frame)
                    with self._lock:
                        self._current = run
                    self._runs.put(run)
                elif "lost" in frame:
                    self._lose(frame)
                elif "stop" in frame:
                    self._runs.put(None)
                    self._wait_for_end()
                    return
        with self._lock:
            is_running = self._current is not None
        if is_running:
            self._exit_now(ORPHANED_EXIT_CODE)
        self._runs.put(None)

    def _wait_for_end(self) -> None:
        """Nothing comes after a stop but the end of the worker."""
        with contextlib.suppress(ConnectionOverError):
            while self._frames.receive() is not None:
                pass

    def _lose(self, frame: Mapping[str, Any]) -> None:
        with self._lock:
            run = self._current
        if run is not None and run.lease is not None and run.token == frame["lost"]:
            run.lease.lose(str(frame.get("reason")))


class _Attempt:
    """The time in which a plain task runs; a class, since an interruption may come at any moment of it."""

    __slots__ = ("_limit", "_seconds", "_server")

    def __init__(self, server: JobServer, timeout_seconds: float | None) -> None:
        self._server = server
        self._seconds = timeout_seconds
        self._limit = task_timeout(timeout_seconds)

    def __enter__(self) -> None:
        self._server.report_attempt(self._seconds)
        self._limit.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._limit.__exit__(kind, error, trace)
        finally:
            self._server.report_end(self._seconds)


def end_with_parent() -> None:
    """Have the kernel kill this process when the worker is gone, however it went; where there is no such thing, not.

    A job in C code that holds the interpreter's lock would not notice it.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def ignore_signals() -> None:
    """Leave the stop to the worker: jobs have a grace period, and a service manager may signal all processes.

    By a handler, which programs that a task starts do not inherit.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
