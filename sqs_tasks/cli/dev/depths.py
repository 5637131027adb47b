"""How full the queues are, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqs_tasks.protocols import SQSClient
from sqs_tasks.queue_statistics import count_messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Depths:
    """One queue's numbers of messages; ``dead`` is None for a queue without a dead-letter queue."""

    queue: str
    ready: int
    in_flight: int
    delayed: int
    dead: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """A queue to count: its name in code, its URL, and that of its dead-letter queue."""

    name: str
    url: str
    dead_letter_url: str | None = None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> QueuePlace:
        """The place in a record of the child."""
        return cls(name=fields["name"], url=fields["url"], dead_letter_url=fields.get("dead_letter_url"))

    def count(self, client: SQSClient) -> Depths:
        """The numbers now."""
        counted = count_messages(client, self.url)
        dead = None if self.dead_letter_url is None else count_messages(client, self.dead_letter_url).total
        return Depths(
            queue=self.name,
            ready=counted.available,
            in_flight=counted.in_flight,
            delayed=counted.delayed,
            dead=dead,
        )
