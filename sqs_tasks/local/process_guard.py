"""The end of child processes when this one is gone, however it went: also killed, when it can do nothing itself.

A child in a session of its own gets no signal from the terminal, so a parent that is killed would leave it behind. A
small process waits at a pipe that only the parent holds open. When the parent is gone, it ends the children that it
knows, with all that they started in their process groups.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading

#: Seconds that the children have between SIGTERM and SIGKILL.
GRACE_SECONDS = 2.0

#: The guard's program. It imports nothing of this library, so that it is small and starts in milliseconds.
_PROGRAM = """
import os, signal, sys, time
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
def end(number):
    for group in list(groups):
        try:
            os.killpg(group, number)
        except OSError:
            groups.discard(group)
end(signal.SIGTERM)
deadline = time.monotonic() + float(sys.argv[1])
while groups and time.monotonic() < deadline:
    time.sleep(0.02)
    end(0)
end(signal.SIGKILL)
"""


class ProcessGuard:
    """Ends process groups when the process that made it is gone.

    The guard's own process starts with the first group. Where there are no process groups, nothing is guarded.

    Args:
        grace_seconds: Between SIGTERM and SIGKILL.
    """

    def __init__(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """End this process group, whose leader is a child of this process, when this process is gone."""
        self._write(b"+%d\n" % group)

    def discard(self, group: int) -> None:
        """Forget a process group: its leader has ended, and its number may be another's soon."""
        self._write(b"-%d\n" % group)

    def _write(self, line: bytes) -> None:
        if not hasattr(os, "killpg"):
            return
        with self._lock, contextlib.suppress(OSError):  # somebody killed the guard: what is left ends as it can
            if self._process is None:
                self._process = self._start()
            assert self._process.stdin is not None  # noqa: S101 - it is a pipe
            self._process.stdin.write(line)

    def close(self) -> None:
        """End what is still guarded, as the end of this process does, and wait for the guard."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        atexit.register(_close_in_process, self, os.getpid())
        return subprocess.Popen(  # noqa: S603 - the program above
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(self._grace_seconds)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C and a terminal that closes are for the parent, which may need its time to end the children.
            start_new_session=True,
        )


def _close_in_process(guard: ProcessGuard, pid: int) -> None:
    if pid == os.getpid():
        guard.close()


_guard = ProcessGuard()
_pid = os.getpid()


def guard() -> ProcessGuard:
    """The guard of this process; a forked child has one of its own, since its parent's pipe is not its own."""
    global _guard, _pid
    if _pid != os.getpid():
        _guard, _pid = ProcessGuard(), os.getpid()
    return _guard


def end_group(group: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
