"""``sqs-tasks dev`` as a process in a pipe, told of by its JSON lines."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Seconds after which a test that waits gives up.
PATIENCE = 60

Told = dict[str, Any]


def clean_environment() -> dict[str, str]:
    """The caller's environment without anything that leads to an SQS or an account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SQS_TASKS_"))}
    return {**kept, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


class DevProcess:
    """A running session; a thread reads its lines.

    Attributes:
        process: The process.
        heard: Everything it told so far.
    """

    def __init__(self, directory: Path, *words: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sqs_tasks", "dev", *words, "--port", "0", "--log-format", "json"],
            cwd=directory,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.heard: list[Told] = []
        self._lines: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def wait_for_output(self, line: str) -> None:
        """Wait for what a task prints, unless it was heard already: output and log are two pipes, in no order."""
        if not any(told["message"] == line for told in self.heard):
            self.wait_for(None, lambda told: told["message"] == line)

    def wait_for(self, action: str | None, matches: Callable[[Told], bool] = lambda _: True) -> Told:
        """The next record with this action; earlier ones are passed over."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                told = self._lines.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise AssertionError(f"no {action} in {PATIENCE} s; heard {self._story()}") from None
            if told is None:
                raise AssertionError(f"dev ended before {action}; heard {self._story()}")
            self.heard.append(told)
            if told.get("action") == action and matches(told):
                return told

    def _story(self) -> str:
        return "\n".join(str(told) for told in self.heard)

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; gives the exit code and what it wrote to standard error."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code, (self.process.stderr.read() if self.process.stderr else "")


@contextmanager
def dev(directory: Path, *words: str) -> Iterator[DevProcess]:
    """A session that does not outlive the block."""
    running = DevProcess(directory, *words)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
            try:
                running.process.wait(10)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
        for stream in (running.process.stdout, running.process.stderr):
            if stream is not None:
                stream.close()
