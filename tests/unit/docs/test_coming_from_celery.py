"""``docs/coming-from-celery.md`` speaks of names that exist, and its blocks run."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sqs_tasks
from sqs_tasks import JobQueue, SQSEnv, testing
from sqs_tasks.guards.handle import JobHandle
from sqs_tasks.running import CurrentJob
from sqs_tasks.sending.send_options import SendOptionsDict
from sqs_tasks.settings import TaskOptions
from sqs_tasks.task import AsyncTask
from sqs_tasks.testing import drain, in_memory

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "coming-from-celery.md").read_text(encoding="utf-8")

#: What stands right of the bar in the tables.
RIGHT = "\n".join(line.split(" | ", 1)[1] for line in PAGE.splitlines() if line.startswith("| ") and " | " in line)


@pytest.mark.parametrize(
    ("before", "holder"),
    [
        ("env", SQSEnv()),
        ("queue", JobQueue),
        ("task", AsyncTask),
        ("job", JobHandle),
        ("current_job()", CurrentJob),
    ],
)
def test_attributes_exist(before: str, holder: object) -> None:
    """``env.cancel`` is an attribute of an environment, and so on."""
    names = set(re.findall(rf"(?<![\w.]){re.escape(before)}\.(\w+)", RIGHT))

    assert names
    assert [name for name in names if not hasattr(holder, name)] == []


def test_options_exist() -> None:
    """Those in ``options(...)``, and keywords of registrations and environments."""
    known = {
        *SendOptionsDict.__annotations__,
        *TaskOptions.__annotations__,
        *TaskOptions.__mro__[0].__annotations__,
        *inspect.signature(SQSEnv).parameters,
        *inspect.signature(AsyncTask.map).parameters,
        *inspect.signature(JobQueue.batch_processor).parameters,
        *inspect.signature(sqs_tasks.RateLimit).parameters,
        *inspect.signature(sqs_tasks.Debounce).parameters,
        *("timeout", "high", "low"),
    }

    assert set(re.findall(r"(?<![-\w])(\w+)=", RIGHT)) - known == set()


def test_classes_exist() -> None:
    """Names in capitals are exported, but for those of other systems."""
    named = set(re.findall(r"`(?:raise )?([A-Z][a-z]+[A-Za-z]+)\(", RIGHT)) | {"RateLimit", "ConcurrencyLimit"}

    assert [name for name in named - {"OnCommit"} if not hasattr(sqs_tasks, name)] == []
    assert (testing.in_memory, testing.drain) == (in_memory, drain)


def test_commands_exist() -> None:
    """Each command and option that is named is in the help."""
    for command in set(re.findall(r"`sqs-tasks ((?:worker|dead|doctor|queues)(?: [a-z]+)?)", RIGHT)):
        words = command.removesuffix(" shop").split()
        done = subprocess.run(
            [sys.executable, "-m", "sqs_tasks", *words, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    told = subprocess.run(
        [sys.executable, "-m", "sqs_tasks", "worker", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert [option for option in re.findall(r"`(--[a-z-]+)", RIGHT) if option not in told] == []


def test_the_blocks_run() -> None:
    """As they stand, over queues in memory."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (block,) = blocks
    registration, _, send = block.rpartition("\n\n\n")
    scope: dict[str, object] = {"__name__": "shop"}
    exec(registration, scope)
    env = scope["env"]
    assert isinstance(env, SQSEnv)
    with in_memory(env) as queues:
        exec(send, scope)
        queues.advance(60)

        assert drain(env).succeeded == 1
