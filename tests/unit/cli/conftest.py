"""An application in a directory of its own, and the command line run in this process."""

from __future__ import annotations

import logging
import os
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from sqs_tasks.app_path import load_app
from sqs_tasks.cli.main import main

APP = """
from decimal import Decimal

from sqs_tasks import DeadLetterQueue, MemorySession, Reject, SQSEnv

env = SQSEnv(MemorySession(), queue_prefix="t-")
emails = env.queue("emails", max_receive_count=5)
news = env.queue("news", dead_letter_queue=None)
bare = env.queue("bare")
emails_dead = env.queue("emails_dead", DeadLetterQueue.maker(emails))
done = []


@emails.processor("send_email", max_attempts=3)
def send_email(to: str, copies: int = 1, total: Decimal | None = None) -> None:
    done.append((to, copies, total))


@emails.processor("fail")
def fail() -> None:
    raise RuntimeError("no")


@emails.processor("give_up")
def give_up() -> None:
    raise Reject("no such address")


@news.processor("print_news")
def print_news(edition: int) -> None:
    done.append(edition)
"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """The working directory, without anything in the environment that a command would read."""
    for name in list(os.environ):
        if name.startswith(("SQS_TASKS_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    # What a command sets is taken back afterwards.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture
def app(directory):
    """The module ``cli_app`` with ``env``, its queues created."""
    (directory / "cli_app.py").write_text(APP)
    sys.path.insert(0, str(directory))
    env = load_app("cli_app:env")
    env.create_queues()
    return SimpleNamespace(name="cli_app:env", env=env, module=sys.modules["cli_app"])


@pytest.fixture
def run(directory, monkeypatch):
    """Run ``sqs-tasks`` with these words; gives click's result, with ``stdout`` and ``stderr`` apart."""
    # With idle_seconds=0 a worker ends after one poll; nothing arrives while it waits.
    monkeypatch.setattr("sqs_tasks.shutdown_policies.SHORTEST_LONG_POLL_SECONDS", 0)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*words, given=None):
        return CliRunner().invoke(main, [str(word) for word in words], input=given)

    yield run
    root.handlers[:], root.level = handlers, level
