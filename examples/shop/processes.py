"""The demo's processes: each is a command that you could type, started here and ended in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

#: Seconds that a process gets to end after SIGTERM.
PATIENCE_SECONDS = 15


class Processes:
    """Processes that run side by side; leaving the block ends those that still run.

    Args:
        directory: Where each process runs.
        variables: Environment variables over this process's own; None takes one away.
        logs: Where their output goes, a file for each.

    Attributes:
        variables: The environment variables of processes that are started from now on.
    """

    def __init__(self, directory: Path, variables: Mapping[str, str | None], logs: Path) -> None:
        self._directory = directory
        self.variables = dict(variables)
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str) -> None:
        """Start ``python command…`` under a name."""
        environ = {key: value for key, value in {**os.environ, **self.variables}.items() if value is not None}
        with self.log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603 - our own commands
                [sys.executable, *command],
                cwd=self._directory,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def finished(self, name: str) -> bool:
        """Whether it has ended by itself; an exit code other than 0 is an error of the demo.

        Raises:
            RuntimeError: It failed; the text has the end of its output.
        """
        code = self._running[name].poll()
        if code:
            raise RuntimeError(f"{name} ended with exit code {code}:\n{self._tail(name)}")
        return code is not None

    def check(self) -> None:
        """Raise if any has failed."""
        for name in self._running:
            self.finished(name)

    def stop(self, names: Sequence[str]) -> None:
        """End these with SIGTERM and wait for them, side by side.

        Raises:
            RuntimeError: One did not end, or not well.
        """
        for name in names:
            if not self.finished(name):
                self._running[name].send_signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_SECONDS
        for name in names:
            try:
                self._running[name].wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                raise RuntimeError(f"{name} did not end within {PATIENCE_SECONDS} s:\n{self._tail(name)}") from None
            self.finished(name)

    def log(self, name: str) -> Path:
        """The file with what it printed."""
        return self._logs / f"{name.replace(' ', '-')}.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _tail(self, name: str, lines: int = 20) -> str:
        return "\n".join(self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
