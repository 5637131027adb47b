"""The queue that a word on the command line names: by its name in code, or by the one that SQS knows it under.

``sqs-tasks queues list`` shows the names in SQS, which begin with the environment's prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import click

from sqs_tasks.env import SQSEnv
from sqs_tasks.generic_queue import GenericQueue


def queue_named(env: SQSEnv, name: str) -> GenericQueue:
    """The registered queue of that name in code or in SQS.

    Raises:
        click.UsageError: There is none.
    """
    queue = env.queues.get(name) or next((one for one in env.queues.values() if one.get_sqs_queue_name() == name), None)
    if queue is None:
        raise click.UsageError(f"there is no queue {name!r}; there are {', '.join(env.queues) or 'none'}")
    return queue


def names_in_code(env: SQSEnv, words: Sequence[str]) -> list[str]:
    """Names and patterns as the environment knows them: those that fit no name in code may fit names in SQS."""
    names: list[str] = []
    for word in words:
        found: list[str] = []
        if not any(fnmatchcase(name, word) for name in env.queues):
            found = [name for name, queue in env.queues.items() if fnmatchcase(queue.get_sqs_queue_name(), word)]
        names += found or [word]
    return names
