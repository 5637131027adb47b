"""Which of the registered queues are meant, by names, globs or URLs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeVar

from sqs_tasks.errors import ConfigurationError


class SelectableQueue(Protocol):
    """What tells queues apart."""

    @property
    def settings(self) -> Any:
        """Its registration."""

    @property
    def tasks(self) -> Sequence[Any]:
        """Its tasks."""


Q = TypeVar("Q", bound=SelectableQueue)


def select_queues(queues: Mapping[str, Q], patterns: Sequence[str]) -> list[Q]:
    """Queues by name, glob or URL, in the order of registration; without patterns those that are worked.

    Raises:
        ConfigurationError: A pattern matches none.
    """
    if not patterns:
        dead = {queue.settings.dead_letter_queue for queue in queues.values()}
        return [queue for name, queue in queues.items() if queue.tasks and name not in dead]
    chosen: set[str] = set()
    for pattern in patterns:
        matching = {name for name, queue in queues.items() if _matches(name, queue, pattern)}
        if not matching:
            raise ConfigurationError(
                f"no registered queue matches {pattern!r}; there are {', '.join(queues) or 'none'}"
            )
        chosen |= matching
    return [queue for name, queue in queues.items() if name in chosen]


def _matches(name: str, queue: SelectableQueue, pattern: str) -> bool:
    return bool(queue.settings.queue_url == pattern) if "://" in pattern else fnmatchcase(name, pattern)
