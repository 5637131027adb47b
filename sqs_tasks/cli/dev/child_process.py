"""The child: the process that runs the application, and is replaced when the sources change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

from sqs_tasks.cli.dev.events import Ended, Events, Line
from sqs_tasks.local.process_guard import end_group, guard

#: Seconds that output may trail behind the end of its process: what it started may still hold the pipe.
_TRAILING_SECONDS = 1.0


class ChildProcess:
    """A program in a session of its own, so that Ctrl-C reaches this process alone, which stops the child in order.

    Three threads belong to it: two read what it writes, one waits for its end. A guard ends it, with all that it
    started, if this process is killed.

    Args:
        number: Which child, counted from 1.
        command: The program.
        events: Where its lines and its end are reported.
        variables: Environment variables, over those of this process.
    """

    def __init__(
        self, number: int, command: Sequence[str], events: Events, *, variables: Mapping[str, str] | None = None
    ) -> None:
        self.number = number
        self._events = events
        self._process = subprocess.Popen(  # noqa: S603 - the developer's own application
            command,
            env={**os.environ, **(variables or {}), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        guard().add(self._process.pid)
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), name="sqs-tasks-dev-output", daemon=True)
            for stream in (self._process.stdout, self._process.stderr)
        ]
        for reader in self._readers:
            reader.start()
        threading.Thread(target=self._wait, name="sqs-tasks-dev-child", daemon=True).start()

    def terminate(self) -> None:
        """Ask it to stop in order; a second time asks it to end there and then."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, with everything in its session."""
        end_group(self._process.pid)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._events.put(Line(line.rstrip("\n")))

    def _wait(self) -> None:
        code = self._process.wait()
        # The processes that its jobs started and left running end with it.
        end_group(self._process.pid)
        guard().discard(self._process.pid)
        for reader in self._readers:
            reader.join(_TRAILING_SECONDS)
        self._events.put(Ended(self.number, code))


def child_command(options: str) -> list[str]:
    """The program of a child with these options."""
    return [sys.executable, "-m", "sqs_tasks.cli.dev.child", options]
