"""Command lines in processes of their own that start in milliseconds: forked from one that has imported everything."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Forking:
    """The process that forks, as the test uses it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, *words: str, directory: Path, variables: Mapping[str, str]) -> int:
        """Start ``sqs-tasks WORDS``, or a script whose name ends in ``.py``; its number. It writes to ``NUMBER.log``."""
        request = {"words": words, "directory": str(directory), "variables": dict(variables)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def forking() -> Iterator[Forking]:
    """A process that forks, for the length of the block; its children are the test's to end."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield Forking(process)
    finally:
        process.kill()
        process.communicate()


def _serve() -> None:
    import signal

    _warm_up()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    for line in sys.stdin:
        request = json.loads(line)
        number = os.fork()
        if number == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(request)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def _warm_up() -> None:
    """Import and read what the children would: a relay has run once here, on a database in memory."""
    from sqlalchemy import create_engine, text

    from sqs_tasks import SQSEnv
    from sqs_tasks.testing import in_memory
    from sqs_tasks.transactions.outbox import Relay, outbox_sql
    from sqs_tasks.transactions.outbox.sqlalchemy_database import SQLAlchemyDatabase

    for name in ("sqs_tasks.cli.outbox.command", "sqs_tasks.app_path", "sqs_tasks.cli.group"):
        importlib.import_module(name)
    create_engine("postgresql+psycopg://nobody@localhost/nothing")
    engine = create_engine("sqlite://")
    env = SQSEnv()
    task = env.queue("jobs").processor("job")(lambda: None)
    with in_memory(env), engine.begin() as connection:
        for statement in outbox_sql("sqlite"):
            connection.execute(text(statement))
        task.options(outbox=connection).delay()
    with in_memory(env):
        Relay(env, SQLAlchemyDatabase(engine)).run_once()
    import boto3

    boto3.client("sqs", region_name="us-east-1")


def _run(request: dict[str, Any]) -> None:
    directory = request["directory"]
    log = os.open(f"{directory}/{os.getpid()}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number, descriptor in ((0, nowhere), (1, log), (2, log)):
        os.dup2(descriptor, number)
    os.environ.clear()
    os.environ.update(request["variables"])
    os.chdir(directory)
    sys.path.insert(0, directory)
    words = request["words"]
    if words[0].endswith(".py"):
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")
        sys.exit(0)
    from sqs_tasks.cli.main import main

    sys.argv = ["sqs-tasks", *words]
    main()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    _serve()
