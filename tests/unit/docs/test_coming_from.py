"""``docs/coming-from.md`` speaks of names that exist: of sqs-workers' in sqs-workers, and of ours here."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import sqs_tasks

PAGE = Path(__file__).resolve().parents[3] / "docs" / "coming-from.md"

#: Where sqs-workers has each public name; ours is in the module of the same name unless a second is given.
MODULES = {
    "backoff_policies": "DEFAULT_BACKOFF IMMEDIATE_RETURN BackoffPolicy ConstantBackoff ExponentialBackoff",
    "batching": "BatchMessages NoBatching",
    "codecs": "CONTENT_TYPES_CODECS DEFAULT_CONTENT_TYPE JSONCodec PickleCodec PickleCompatCodec get_codec",
    "context": "SQSContext",
    "deadletter_queue": "DeadLetterQueue",
    "processors": "Processor RetryJob",
    "queue": "GenericQueue JobQueue",
    "shutdown_policies": "ASAP_SHUTDOWN NEVER_SHUTDOWN AndShutdown IdleShutdown MaxTasksShutdown NeverShutdown OrShutdown",
}
TOP_LEVEL = (
    *("DEFAULT_BACKOFF", "IMMEDIATE_RETURN", "ConstantBackoff", "ExponentialBackoff", "JobQueue", "MemorySession"),
    *("RawQueue", "RetryJob", "SQSEnv", "SQSError", "create_fifo_queue", "create_standard_queue", "delete_queue"),
)


@pytest.mark.parametrize("module", MODULES)
def test_modules_hold_what_those_of_sqs_workers_hold(module: str) -> None:
    """An import from a module works with the package's name changed."""
    ours = importlib.import_module(f"sqs_tasks.{module}")

    assert [name for name in MODULES[module].split() if not hasattr(ours, name)] == []


def test_top_level_names_of_sqs_workers_are_here() -> None:
    """All but ProcessingResult, which outcomes replace."""
    assert [name for name in TOP_LEVEL if not hasattr(sqs_tasks, name)] == []


def test_each_public_name_of_sqs_workers_is_on_the_page() -> None:
    """Of the installed version, so that the page is not of memory."""
    theirs = pytest.importorskip("sqs_workers")
    text = PAGE.read_text(encoding="utf-8")

    assert [name for name in theirs.__all__ if name not in text] == []
    for module, names in MODULES.items():
        their_module = importlib.import_module(f"sqs_workers.{module}")
        assert [name for name in names.split() if not hasattr(their_module, name)] == []
