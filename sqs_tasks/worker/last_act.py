"""What a worker process does when all else is over: it hands on the jobs that would not end."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqs_tasks.worker.stop import Stop

#: Seconds the last act may take; the supervisor and the platform are about to kill the process.
LAST_ACT_SECONDS = 1.0


class LastAct:
    """Calls a function as late in the process as Python allows, after whatever the application does at its end.

    ``atexit`` calls last what was registered first: make it before the application is loaded.

    Args:
        register: Registers what is called at the end; for tests.
    """

    def __init__(self, register: Callable[[Callable[[], None]], object] = atexit.register) -> None:
        self._begin, self._over = threading.Event(), threading.Event()
        self._wanted = False
        register(self._perform)

    def be(self, act: Callable[[], None]) -> None:
        """Say what to do. It is done in a thread that starts now: at the end of a process Python starts none."""

        def run() -> None:
            self._begin.wait()
            try:
                act()
            finally:
                self._over.set()

        self._wanted = True
        threading.Thread(target=run, name="sqs-tasks-last-act", daemon=True).start()

    def _perform(self) -> None:
        if self._wanted:
            self._begin.set()
            self._over.wait(LAST_ACT_SECONDS)


@contextmanager
def ending_in_time(
    stop: Stop, end: Callable[[], None], code: int, *, exit_now: Callable[[int], None] = os._exit
) -> Iterator[None]:
    """End the process when the block is not over soon after the grace period: its thread runs a job that does not end.

    Python cannot stop a thread, and the main thread not even by leaving it behind.

    Args:
        stop: The request to stop.
        end: Called before the end, in a thread of its own.
        code: What the process exits with.
        exit_now: Ends the process.
    """
    over = threading.Event()

    def watch() -> None:
        if over.wait(stop.seconds_left()):
            return
        end()
        logging.shutdown()
        exit_now(code)

    stop.on_request(lambda: threading.Thread(target=watch, name="sqs-tasks-grace", daemon=True).start())
    try:
        yield
    finally:
        over.set()
