"""A dead-letter queue as operations see it: where it is, whose letters it holds, and how many."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqs_tasks.client import is_queue_missing, neighbour_of
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError, QueueNotFoundError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.message import from_sqs
from sqs_tasks.operations.letter import Letter, letter_of
from sqs_tasks.queue_statistics import QueueStatistics, count_messages
from sqs_tasks.settings import queue_name_in


@dataclass(frozen=True, kw_only=True)
class LetterQueue:
    """One dead-letter queue.

    Attributes:
        env: The environment, for its client and its tasks.
        name: The name in SQS.
        url: The URL.
        sources: The registered queues whose dead letters it holds; none for a URL that the registry does not know.
    """

    env: SQSEnv = field(repr=False)
    name: str
    url: str
    sources: tuple[GenericQueue, ...] = ()

    @property
    def fifo(self) -> bool:
        """Whether it keeps the order of each message group."""
        return self.name.endswith(".fifo")

    def counts(self) -> QueueStatistics:
        """How many letters it has: ready, in flight (somebody looks at them) and delayed.

        Raises:
            QueueNotFoundError: There is no such queue.
        """
        try:
            return count_messages(self.env.client(), self.url)
        except Exception as error:
            if not is_queue_missing(error):
                raise
            raise QueueNotFoundError(f"there is no queue at {self.url}; check the URL, or name another") from error

    def max_receive_count(self) -> int | None:
        """The receives after which SQS moves letters on, where the queue has a dead-letter queue itself."""
        answer = self.env.client().get_queue_attributes(QueueUrl=self.url, AttributeNames=["RedrivePolicy"])
        policy = (answer.get("Attributes") or {}).get("RedrivePolicy")
        return None if policy is None else int(json.loads(policy)["maxReceiveCount"])

    def letter(self, raw: Mapping[str, Any]) -> Letter:
        """The letter in a message of ``receive_message``'s answer."""
        return letter_of(from_sqs(raw), readers_of=self._readers_of)

    def source_of(self, letter: Letter) -> str | None:
        """The URL of the queue that a letter comes from; None where nobody says."""
        if letter.ending == "moved by SQS":
            # SQS says it itself, by the name that it knows the queue under; both are in one account and region.
            return neighbour_of(self.url, letter.source)
        registered = self._source(letter.source)
        if registered is not None:
            return registered.queue_url
        return self.sources[0].queue_url if len(self.sources) == 1 else None

    def task_queue(self, letter: Letter) -> GenericQueue | None:
        """The registered queue that a letter's task is on: the one it comes from, or the one that has the task."""
        registered = self._source(letter.source)
        candidates = [registered] if registered is not None else list(self.sources)
        if len(candidates) == 1:
            return candidates[0]
        having = [one for one in candidates if any(task.name == letter.task for task in one.tasks)]
        return having[0] if len(having) == 1 else None

    def _source(self, name: str) -> GenericQueue | None:
        for queue in self.sources:
            if name in (queue.name, queue.get_sqs_queue_name()):
                return queue
        return None

    def _readers_of(self, name: str) -> Sequence[Callable[..., Any]]:
        known = self._source(name)
        queues = self.sources if known is None else (known,)
        return tuple(reader for queue in queues for reader in queue.settings.readers)


def letter_queues(env: SQSEnv, *names: str) -> list[LetterQueue]:
    """The dead-letter queues of an environment: all, or those that are named, each once.

    Args:
        env: The environment.
        *names: Names of queues or of dead-letter queues, in code or in SQS, or URLs of dead-letter queues.

    Raises:
        ConfigurationError: A name is none of a registered queue with a dead-letter queue.
        QueueNotFoundError: A dead-letter queue that was named is not there. Where none is named those are left out.
    """
    env.load_tasks()
    found: dict[str, list[GenericQueue]] = {}
    for queue in env.queues.values():
        dead = queue.settings.dead_letter_queue
        if dead is not None:
            found.setdefault(dead, []).append(queue)
    if not names:
        return [one for dead, sources in found.items() if (one := _there(env, dead, sources)) is not None]
    chosen: dict[str, LetterQueue] = {}
    for name in names:
        dead = _named(env, name, found)
        one = _by_url(env, dead, found) if "://" in dead and dead not in found else _made(env, dead, found[dead])
        chosen.setdefault(one.url, one)
    return list(chosen.values())


def _named(env: SQSEnv, name: str, found: Mapping[str, Sequence[GenericQueue]]) -> str:
    """The name in code of the dead-letter queue that is meant, or a URL.

    Raises:
        ConfigurationError: There is none.
    """
    if "://" in name:
        return name
    for dead, sources in found.items():
        known = {dead, queue_name_in(dead) if "://" in dead else env.get_sqs_queue_name(dead)}
        if name in known or any(name in (queue.name, queue.get_sqs_queue_name()) for queue in sources):
            return dead
    without = env.queues.get(name)
    if without is not None:
        raise ConfigurationError(
            f"queue {name!r} has no dead-letter queue; its messages that cannot be done stay until they expire"
        )
    raise ConfigurationError(
        f"there is no queue {name!r} with dead letters; there are {', '.join(found) or 'none'}, or give a URL"
    )


def _there(env: SQSEnv, dead: str, sources: Sequence[GenericQueue]) -> LetterQueue | None:
    try:
        return _made(env, dead, sources)
    except QueueNotFoundError:
        return None


def _made(env: SQSEnv, dead: str, sources: Sequence[GenericQueue]) -> LetterQueue:
    url = sources[0].dead_letter_queue_url()
    name = queue_name_in(url if "://" in dead else env.get_sqs_queue_name(dead))
    return LetterQueue(env=env, name=name, url=url, sources=tuple(sources))


def _by_url(env: SQSEnv, url: str, found: Mapping[str, Sequence[GenericQueue]]) -> LetterQueue:
    """The queue at a URL, with the registered queues whose dead letters it holds, if it is known."""
    for dead, sources in found.items():
        known = _there(env, dead, sources) if queue_name_in(url).endswith(queue_name_in(dead)) else None
        if known is not None and known.url == url:
            return known
    return LetterQueue(env=env, name=queue_name_in(url), url=url)
