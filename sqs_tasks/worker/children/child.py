"""One child process, as the worker sees it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import Outcome
from sqs_tasks.worker.children.forms import message_form, outcomes_of_forms
from sqs_tasks.worker.children.frames import ConnectionOverError, Frames
from sqs_tasks.worker.exit_codes import cause_of_exit
from sqs_tasks.worker.lease import Lease
from sqs_tasks.worker.memory_limit import resident_bytes_of

logger = logging.getLogger(__name__)

#: The file descriptor of the child's end, as a number.
DESCRIPTOR_VARIABLE = "SQS_TASKS_JOBS_FD"

#: Seconds in which a child must have loaded the application.
START_SECONDS = 300.0

#: Seconds beyond the timeout at which a child is killed: until then a plain task is interrupted again and again, and
#: may clean up.
KILL_MARGIN_SECONDS = 3.0

#: Seconds between two looks at a child: whether it lives, and at the memory of a job that has a limit.
LOOK_SECONDS, MEMORY_LOOK_SECONDS = 0.5, 0.05

_MIB = 1024 * 1024


class ChildNotStartedError(Exception):
    """A child ended, or was not ready in time, before it could take a job."""


class Loss(Enum):
    """Why a child was lost with its job."""

    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class LostJob:
    """A job whose process ended before it did.

    Attributes:
        loss: Why.
        cause: How the process ended: a signal's name or an exit code.
        seconds: How long the job ran.
        names: The name and the id of each job, as far as the child had read them.
        limit: The timeout in seconds, or the limit in MiB, that was passed; 0 for none.
        peak_mib: The memory of the process when it was looked at last; 0 if nobody looked.
    """

    loss: Loss
    cause: str
    seconds: float
    names: Sequence[tuple[str, str]]
    limit: float = 0
    peak_mib: int = 0


class EscapedError(Exception):
    """Something left the executor of a child that is no task's failure; it is logged there."""


class Child:
    """A process that runs jobs, one after the other. Used by one thread at a time; any thread may kill it.

    Args:
        command: The program.
        variables: Its environment.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the command is this program's own
                command,
                env={**variables, DESCRIPTOR_VARIABLE: str(theirs.fileno())},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                # A Ctrl-C is for the worker, which lets jobs end; and a kill takes along what a task started.
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._frames = Frames(ours)
        self._token = 0
        self._is_stopping = False
        self.jobs = 0
        #: Whether it said that it had better run no further job.
        self.is_spent = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can take a job."""
        return self._process.poll() is None

    def wait_ready(self) -> None:
        """Wait until it has loaded the application.

        Raises:
            ChildNotStartedError: It ended, or took too long.
        """
        deadline = time.monotonic() + START_SECONDS
        try:
            while time.monotonic() < deadline:
                frame = self._frames.receive(LOOK_SECONDS)
                if frame is not None and "ready" in frame:
                    return
                if frame is None and not self.is_alive:
                    break
        except ConnectionOverError:
            pass
        cause = self.end()
        raise ChildNotStartedError(cause)

    def run(
        self,
        queue_name: str,
        messages: Sequence[ReceivedMessage],
        *,
        is_batch: bool,
        lease: Lease | None,
        memory_mib_of: Callable[[str], int | None],
    ) -> Sequence[Outcome] | LostJob:
        """Run one job, or one call of a batch processor; the outcome of each message, or how the process was lost.

        Args:
            queue_name: Their queue's name in code.
            messages: The messages.
            is_batch: Whether they are for one call of a batch processor.
            lease: The hold on the message, if there is one.
            memory_mib_of: Gives the limit of a task by its name.

        Raises:
            EscapedError: No outcome came of it, by no fault of the task.
        """
        self._token += 1
        self.jobs += 1
        token = self._token
        run = {
            "run": token,
            "queue": queue_name,
            "batch": is_batch,
            "messages": [message_form(message) for message in messages],
            "lease_until": None if lease is None else lease.until,
        }
        watch = _Watch(self, [(message.job_name, message.job_id) for message in messages], memory_mib_of)
        try:
            self._frames.send(run)
            if lease is not None:
                lease.on_lost(lambda lost: self._report_lost(token, lost.reason))
            while True:
                frame = self._frames.receive(watch.wait_seconds())
                if frame is None:
                    lost = watch.look()
                    if lost is not None:
                        return lost
                elif "attempt" in frame:
                    watch.begun(frame)
                elif "escaped" in frame:
                    raise EscapedError(str(frame["escaped"]))
                else:
                    self.is_spent = frame.get("spent") is True
                    return outcomes_of_forms(frame.get("outcomes"), len(messages))
        except (ConnectionOverError, ValueError):
            return watch.lost(Loss.STOP if self._is_stopping else Loss.CRASH)

    def resident_mib(self) -> int:
        """The memory of the process in MiB; 0 where the system does not show it."""
        return resident_bytes_of(self.pid) // _MIB

    def ask_to_stop(self) -> None:
        """Have it end once its job is over, after the ``on_stop`` hooks."""
        with contextlib.suppress(ConnectionOverError):
            self._frames.send({"stop": True})

    def kill(self, *, is_stop: bool = False) -> None:
        """Kill it, with all that its job started in its process group."""
        self._is_stopping = self._is_stopping or is_stop
        if self._process.returncode is None:  # else the number may be another's by now
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for its end; whether it has ended."""
        try:
            self._process.wait(max(timeout_seconds, 0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> str:
        """Kill it if it lives; how it ended: a signal's name or an exit code."""
        if self._process.poll() is None and not self.wait(LOOK_SECONDS):
            self.kill()
        code = self._process.wait()
        self._frames.close()
        return cause_of_exit(code)

    def _report_lost(self, token: int, reason: str) -> None:
        with contextlib.suppress(ConnectionOverError):
            self._frames.send({"lost": token, "reason": reason})


class _Watch:
    """The limits of the job that a child runs."""

    def __init__(
        self, child: Child, names: Sequence[tuple[str, str]], memory_mib_of: Callable[[str], int | None]
    ) -> None:
        self._child = child
        self._memory_mib_of = memory_mib_of
        self._names = names
        self._started = time.monotonic()
        self._timeout: float | None = None
        self._kill_at = float("inf")
        self._memory_mib = memory_mib_of(names[0][0]) if names else None
        self._peak_mib = 0

    def begun(self, frame: Mapping[str, Any]) -> None:
        """Note what the child says before each attempt: the names of its jobs, and their timeout."""
        names, timeout = frame.get("jobs"), frame["attempt"]
        if isinstance(names, list):
            self._names = [(str(name), str(job_id)) for name, job_id in names]
            self._memory_mib = self._memory_mib_of(self._names[0][0]) if self._names else None
        self._timeout = timeout if isinstance(timeout, int | float) else None
        limit = float("inf") if self._timeout is None else self._timeout + KILL_MARGIN_SECONDS
        self._kill_at = time.monotonic() + limit

    def wait_seconds(self) -> float:
        """Seconds until the next look."""
        most = LOOK_SECONDS if self._memory_mib is None else MEMORY_LOOK_SECONDS
        return max(min(most, self._kill_at - time.monotonic()), 0.001)

    def look(self) -> LostJob | None:
        """End the child if its job is over a limit; how it was lost, or None."""
        if self._memory_mib is not None:
            self._peak_mib = max(self._peak_mib, self._child.resident_mib())
            if self._peak_mib > self._memory_mib:
                self._child.kill()
                return self.lost(Loss.MEMORY, limit=self._memory_mib)
        if time.monotonic() >= self._kill_at:
            self._child.kill()
            return self.lost(Loss.TIMEOUT, limit=self._timeout or 0)
        # What a task forked may keep the connection open that its process had.
        return None if self._child.is_alive else self.lost(Loss.CRASH)

    def lost(self, loss: Loss, *, limit: float = 0) -> LostJob:
        """How the job was lost; the process has ended then."""
        cause = self._child.end()
        return LostJob(
            loss=loss,
            cause=cause,
            seconds=time.monotonic() - self._started,
            names=self._names,
            limit=limit,
            peak_mib=self._peak_mib,
        )
