"""The wire between a supervisor and a worker: each sees the other go, and the supervisor learns who is busy."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, MutableMapping

#: The file descriptor of a worker's end, as a number.
DESCRIPTOR_VARIABLE = "SQS_TASKS_SUPERVISOR_FD"

#: Which of its supervisor's workers this is, from 0.
NUMBER_VARIABLE = "SQS_TASKS_PROCESS_NUMBER"

BUSY, IDLE = b"b", b"i"


class SupervisorLink:
    """A worker's end. A thread of its own waits for the supervisor to go, which closes the other end.

    Args:
        connection: The worker's end.
        number: Which worker this is.
        on_gone: Called in that thread when the supervisor is gone.
    """

    def __init__(self, connection: socket.socket, number: int, on_gone: Callable[[], None]) -> None:
        self.number = number
        self._connection = connection
        self._on_gone = on_gone
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

    def tell(self, *, busy: bool) -> None:
        """Tell the supervisor whether there are jobs in hand."""
        # A supervisor that is gone is noticed by the thread.
        with contextlib.suppress(OSError):
            self._connection.send(BUSY if busy else IDLE)

    def _wait(self) -> None:
        with contextlib.suppress(OSError):
            while self._connection.recv(64):
                pass
        self._on_gone()
