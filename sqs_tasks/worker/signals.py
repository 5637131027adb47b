"""SIGTERM, SIGINT and SIGQUIT as a request to stop; a second one, a second later, ends the process at once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType
from typing import Any

#: Those the platform has: Windows knows no SIGQUIT.
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGQUIT") if hasattr(signal, name))

#: Seconds in which several signals are one wish: a process group and a wrapper both pass the platform's on.
ONE_WISH_SECONDS = 1.0

#: What :meth:`SignalWatch.wake` and a signal handler write; no signal has these numbers.
_ASKED, _HANDLED = 0, 255

#: The process id, user id and group id of whoever wrote to a socket, where the kernel tells.
_CREDENTIALS = struct.Struct("3i")


class Wish(Enum):
    """What a signal asks for."""

    #: To stop in order.
    STOP = "stop"
    #: The same once more.
    REPEATED = "repeated"
    #: To end now.
    END = "end"


class StopWishes:
    """Tells a second wish from a signal that only came twice.

    Args:
        clock: The monotonic clock, for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first_at: float | None = None

    @property
    def is_any(self) -> bool:
        """Whether there was a signal."""
        return self._first_at is not None

    def note(self) -> Wish:
        """What a signal asks for that came now."""
        now = self._clock()
        if self._first_at is None:
            self._first_at = now
            return Wish.STOP
        return Wish.REPEATED if now - self._first_at < ONE_WISH_SECONDS else Wish.END


class SignalWatch:
    """Turns signals into calls from a thread of its own.

    Python runs signal handlers in the main thread between two bytecodes: one that set an Event could deadlock with the
    ``wait()`` it interrupted, and none would run while a task sits in a C call. So the interpreter writes the signal's
    number to a socket (``signal.set_wakeup_fd``, async-signal-safe and immediate), and this thread reads it.

    All this belongs to the process. A child that a task forks gets back the handlers that were there before, and none
    of the signals that are sent to it counts here.

    =========  ======================================================  ==============================================
    it is      when                                                    and then
    =========  ======================================================  ==============================================
    idle       before :meth:`start`, after :meth:`end`, and in forks   a request by :meth:`wake` is kept for the start
    watching   after :meth:`start`                                     the first signal calls ``on_stop``
    stopping   a signal came                                           another ends the process, a second later or more
    =========  ======================================================  ==============================================

    Args:
        on_stop: Called in the watching thread, with the signal's name or ``"stop()"``; it must not wait for anything.
        exit_now: Ends the process at the second wish.
        clock: The monotonic clock, for tests.
    """

    def __init__(
        self,
        on_stop: Callable[[str], None],
        *,
        exit_now: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_stop = on_stop
        self._exit_now = exit_now
        self._wishes = StopWishes(clock)
        self._asked_early = False
        #: Signals whose handler ran: when the socket was full, nothing else reports them.
        self._handled: deque[int] = deque()
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None
        self._before: dict[int, Any] = {}
        self._outer_descriptor = -1

    def wake(self) -> None:
        """Ask to stop; takes no lock, so that even a signal handler may call it."""
        if self._sockets is None:
            self._asked_early = True
        else:
            self._write(_ASKED)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the block runs, unless it watches already."""
        if self._sockets is not None:
            yield
            return
        self.start()
        try:
            yield
        finally:
            self.end()

    def start(self) -> None:
        """Begin to watch. Outside the main thread, where Python has no signals, only for :meth:`wake`."""
        reader, writer = self._sockets = socket.socketpair()
        writer.setblocking(False)
        if hasattr(socket, "SO_PASSCRED"):
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._thread = threading.Thread(target=self._watch, args=(reader,), name="sqs-tasks-signals", daemon=True)
        self._thread.start()
        _watches.append(self)
        if self._asked_early:
            self.wake()
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
            self._outer_descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def end(self) -> None:
        """Stop watching, and put the handlers back that were there before."""
        if self._sockets is None:
            return
        self._restore_handlers(self._outer_descriptor)
        _watches.remove(self)
        reader, writer = self._sockets
        self._sockets = None
        # Not just closed: a process that was forked behind Python's back may have it open too.
        with contextlib.suppress(OSError):
            writer.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join()
        reader.close()
        writer.close()

    def let_go(self) -> None:
        """In a forked child: leave the parent's signals to the parent."""
        self._restore_handlers(-1)
        if self._sockets is not None:
            for one in self._sockets:
                one.close()
        self._sockets = self._thread = None

    def _restore_handlers(self, descriptor: int) -> None:
        if not self._before:
            return
        signal.set_wakeup_fd(descriptor)
        for number, handler in self._before.items():
            # None: installed by something that is not Python, and not to be obtained from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """A handler there must be, or the signal would end the process. The socket was quicker, unless it was full."""
        self._handled.append(number)
        self._write(_HANDLED)

    def _write(self, number: int) -> None:
        sockets = self._sockets
        # A full socket wakes the thread all the same; a closed one is over.
        with contextlib.suppress(OSError):
            if sockets is not None:
                sockets[1].send(bytes([number]))

    def _watch(self, reader: socket.socket) -> None:
        while data := _own_bytes(reader):
            for number in data:
                if number == _ASKED:
                    self._on_stop("stop()")
                elif number in STOP_SIGNALS:  # every number comes through the one descriptor, also other handlers'
                    self._signalled(number)
            while self._handled:
                number = self._handled.popleft()
                if not self._wishes.is_any:
                    self._signalled(number)

    def _signalled(self, number: int) -> None:
        match self._wishes.note():
            case Wish.STOP:
                self._on_stop(signal.Signals(number).name)
            case Wish.END:
                self._exit_now(128 + number)
            case Wish.REPEATED:
                pass


def ignore_stop_signals() -> None:
    """Have signals ignored for the rest of this process, which is about to end."""
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _own_bytes(reader: socket.socket) -> bytes:
    """What this process wrote, or nothing at the end.

    A child that was forked by C code, which tells Python nothing, still writes its signals to this socket.
    """
    while True:
        if not hasattr(socket, "SO_PASSCRED"):
            return reader.recv(64)
        data, ancillary, _, _ = reader.recvmsg(64, socket.CMSG_SPACE(_CREDENTIALS.size))
        writers = [_CREDENTIALS.unpack(sent[: _CREDENTIALS.size])[0] for _, _, sent in ancillary]
        if not data or os.getpid() in writers:
            return data


# --- forks ------------------------------------------------------------------------------------------------------------

#: Those of this process that watch now, the outermost first.
_watches: list[SignalWatch] = []

#: The signals that the forking thread had blocked before.
_forking = threading.local()


def _before_fork() -> None:
    # A signal that reaches the child before it has its own handlers waits until it has them.
    if _watches:
        _forking.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _after_fork_in_parent() -> None:
    blocked = _forking.__dict__.pop("blocked", None)
    if blocked is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _after_fork_in_child() -> None:
    while _watches:
        _watches.pop().let_go()
    _after_fork_in_parent()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
