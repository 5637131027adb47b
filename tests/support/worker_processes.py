"""Producers and workers as processes of their own, over HTTP, with real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from sqs_tasks.queue import JobQueue

#: Variables that would lead anywhere but to the endpoint of the test.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def environment(endpoint_url: str, **more: str) -> dict[str, str]:
    """The variables of a process that works against an endpoint."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SQS_TASKS_", "ECS_"))}
    return {**ours, **CREDENTIALS, "AWS_ENDPOINT_URL_SQS": endpoint_url, "PYTHONUNBUFFERED": "1", **more}


def client(endpoint_url: str):
    """A boto3 client for the test itself."""
    return boto3.client(
        "sqs",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}),
    )


class Processes:
    """Starts processes in one directory, and sees to it that none outlives the test."""

    def __init__(self, directory: Path, endpoint_url: str) -> None:
        self.directory = directory
        self.endpoint_url = endpoint_url
        self.started: list[subprocess.Popen[str]] = []

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def python(self, *arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start ``python arguments``; standard output and error go to files named by its number."""
        number = len(self.started)
        with (self.directory / f"{number}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.directory,
                env=environment(self.endpoint_url, **(variables or {})),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.started.append(process)
        return process

    def log(self, process: subprocess.Popen[str]) -> str:
        return (self.directory / f"{self.started.index(process)}.log").read_text()

    def lines(self, name: str) -> list[str]:
        """What processes have appended to a file so far, whole lines only."""
        path = self.directory / name
        text = path.read_text() if path.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def kill_listed(self, *names: str) -> None:
        """Kill the processes whose numbers others have appended to files, a line each."""
        for name in names:
            for line in self.lines(name):
                with suppress(ProcessLookupError):
                    os.kill(int(line), signal.SIGKILL)


def is_running(pid: int | str) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and not waited for; none when it has ended."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def left(queue: JobQueue) -> tuple[int, int]:
    """How many messages of a queue are available, and how many in flight."""
    counted = queue.statistics()
    return counted.available, counted.in_flight


def signal_until_gone(process: subprocess.Popen[Any], number: int, seconds: float = 10) -> int:
    """Send a signal again and again, as an impatient person does; the exit code.

    Signals within a second of the first are the same wish, so the one that counts is not the next.
    """
    deadline = time.monotonic() + seconds
    while True:
        process.send_signal(number)
        try:
            return process.wait(0.2)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise


@contextmanager
def processes(directory: Path, endpoint_url: str) -> Iterator[Processes]:
    made = Processes(directory, endpoint_url)
    try:
        yield made
    finally:
        for process in made.started:
            if process.poll() is None:
                process.kill()
            process.wait()
