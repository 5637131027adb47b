"""SIGTERM, SIGINT and SIGQUIT as a request to stop; a second one ends the process at once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Those the platform has: Windows knows no SIGQUIT.
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGQUIT") if hasattr(signal, name))

#: What :meth:`SignalWatch.wake` writes; no signal has this number.
_ASKED = 0


class SignalWatch:
    """Turns signals into calls from a thread of its own.

    Python runs signal handlers in the main thread between two bytecodes: one that set an Event could deadlock with the
    ``wait()`` it interrupted, and none would run while a task sits in a C call. So the interpreter writes the signal's
    number to a socket (``signal.set_wakeup_fd``, async-signal-safe and immediate), and this thread reads it.

    Args:
        on_stop: Called once, in the watching thread, with the signal's name or ``"stop()"``.
        exit_now: Ends the process at a second signal.
    """

    def __init__(self, on_stop: Callable[[str], None], *, exit_now: Callable[[int], None] = os._exit) -> None:
        self._on_stop = on_stop
        self._exit_now = exit_now
        self._writer: socket.socket | None = None
        self._asked_early = False

    def wake(self) -> None:
        """Ask to stop; takes no lock, so that even a signal handler may call it."""
        writer = self._writer
        if writer is None:
            self._asked_early = True
            return
        # A full or closed socket: it has been asked often enough, or it is over.
        with contextlib.suppress(OSError):
            writer.send(bytes([_ASKED]))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the block runs. Outside the main thread, where Python has no signals, only for :meth:`wake`."""
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        thread = threading.Thread(target=self._watch, args=(reader,), name="sqs-tasks-signals", daemon=True)
        thread.start()
        self._writer = writer
        if self._asked_early:
            self.wake()
        try:
            if threading.current_thread() is threading.main_thread():
                with self._handling_signals(writer):
                    yield
            else:
                yield
        finally:
            self._writer = None
            writer.close()
            thread.join()
            reader.close()

    @contextmanager
    def _handling_signals(self, writer: socket.socket) -> Iterator[None]:
        before = {number: signal.signal(number, noted) for number in STOP_SIGNALS}
        outer = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(outer)
            for number, handler in before.items():
                # None: installed by something that is not Python, and not to be had back from here.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _watch(self, reader: socket.socket) -> None:
        asked = 0
        while data := reader.recv(64):
            for number in data:
                if number != _ASKED and number not in STOP_SIGNALS:
                    continue  # another handler's signal; every number comes through the one descriptor
                if number != _ASKED:
                    asked += 1
                    if asked > 1:
                        self._exit_now(128 + number)
                self._on_stop("stop()" if number == _ASKED else signal.Signals(number).name)


def noted(_number: int, _frame: FrameType | None) -> None:
    """Does nothing. A handler there must be, or the signal would end the process: the wake-up socket reports it."""
