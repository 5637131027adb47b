"""The connection of a supervisor and a worker: each notices the other's end, and the supervisor learns who is busy."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, MutableMapping

from sqs_tasks.execution.forks import in_each_child

#: The file descriptor of a worker's end, as a number.
DESCRIPTOR_VARIABLE = "SQS_TASKS_SUPERVISOR_FD"

#: Which of its supervisor's workers this is, from 0.
NUMBER_VARIABLE = "SQS_TASKS_PROCESS_NUMBER"

#: What a worker writes: it has jobs in progress, it has none, SQS has answered it for the first time.
BUSY, IDLE, WORKS = b"b", b"i", b"w"

_DO_NOT_WAIT = getattr(socket, "MSG_DONTWAIT", 0)


class SupervisorLink:
    """A worker's end. A thread of its own waits for the supervisor to go, which closes the other end.

    Args:
        connection: The worker's end.
        number: Which worker this is.
        on_gone: Called in that thread when the supervisor is gone.
    """

    def __init__(self, connection: socket.socket, number: int, on_gone: Callable[[], None]) -> None:
        self.number = number
        connection.settimeout(None)
        self._connection = connection
        self._on_gone = on_gone
        in_each_child(connection.close)  # what a task forks is no worker of the supervisor's
        threading.Thread(target=self._wait, name="sqs-tasks-supervisor-link", daemon=True).start()

    @classmethod
    def inherited(cls, variables: MutableMapping[str, str], on_gone: Callable[[], None]) -> SupervisorLink | None:
        """The link this process was started with, or None; it is not passed on to what this process starts."""
        descriptor = variables.pop(DESCRIPTOR_VARIABLE, None)
        number = variables.pop(NUMBER_VARIABLE, "0")
        if descriptor is None:
            return None
        os.set_inheritable(int(descriptor), False)
        return cls(socket.socket(fileno=int(descriptor)), int(number), on_gone)

    def report_busy(self, busy: bool) -> None:
        """Tell the supervisor whether there are jobs in progress."""
        self._write(BUSY if busy else IDLE)

    def report_works(self) -> None:
        """Tell the supervisor that SQS has answered, so that this start was a success."""
        self._write(WORKS)

    def _write(self, data: bytes) -> None:
        # A supervisor that is gone is noticed by the thread; for one that does not read, no job waits.
        with contextlib.suppress(OSError):
            self._connection.send(data, _DO_NOT_WAIT)

    def _wait(self) -> None:
        with contextlib.suppress(OSError):
            while self._connection.recv(64):
                pass
        self._on_gone()
