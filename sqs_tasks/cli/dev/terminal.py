"""The terminal of a session, which the live view and a debugger in a job take turns to use."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

#: Where the processes of the application find the terminal, and the file whose lock decides who may use it.
TERMINAL_VARIABLE = "SQS_TASKS_DEV_TERMINAL"
LOCK_VARIABLE = "SQS_TASKS_DEV_TERMINAL_LOCK"


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal, and a file that is locked while a process uses the terminal.

    The lock is the system's: it ends with the process that holds it, whatever becomes of that process.

    Attributes:
        path: The terminal's device.
        lock_path: The file.
    """

    path: str
    lock_path: str

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Self | None:
        """The terminal of the session that started this process, or None if it has none."""
        path, lock_path = variables.get(TERMINAL_VARIABLE), variables.get(LOCK_VARIABLE)
        return cls(path, lock_path) if path and lock_path else None

    @property
    def variables(self) -> dict[str, str]:
        """What :meth:`from_environment` reads."""
        return {TERMINAL_VARIABLE: self.path, LOCK_VARIABLE: self.lock_path}

    def take(self, *, wait: bool) -> int | None:
        """The descriptor of the lock, to be closed at the end of the turn; None if it is another's turn.

        Args:
            wait: Wait until it is free.
        """
        import fcntl

        descriptor = os.open(self.lock_path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Whether the terminal is free for what the block writes; it stays so until the block ends."""
        descriptor = self.take(wait=False)
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)


@contextmanager
def terminal_of_session() -> Iterator[Terminal | None]:
    """The terminal that somebody types at, or None; its lock lasts as long as the block."""
    try:
        path = os.ttyname(sys.stdin.fileno())
        import fcntl  # noqa: F401 - where there is none, there is no lock
    except (OSError, ValueError, AttributeError, ImportError):
        yield None
        return
    descriptor, lock_path = tempfile.mkstemp(prefix="sqs-tasks-dev-", suffix=".lock")
    os.close(descriptor)
    try:
        yield Terminal(path, lock_path)
    finally:
        with contextlib.suppress(OSError):
            Path(lock_path).unlink()
