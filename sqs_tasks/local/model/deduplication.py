"""The memory of a FIFO queue for deduplication ids: five minutes, also after the message was deleted (S31).

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-exactly-once-processing.html
"""

from __future__ import annotations

from collections import deque
from hashlib import sha256

#: Seconds during which a message with a known deduplication id is accepted and not delivered.
INTERVAL_SECONDS = 300.0

#: What a duplicate is answered with: the message id and the sequence number of the first.
Original = tuple[str, str]


class Deduplication:
    """Deduplication ids seen lately; the interval counts from the first send and a duplicate does not extend it."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str | None, str], Original] = {}
        self._ends: deque[tuple[float, tuple[str | None, str]]] = deque()

    def find(self, scope: str | None, deduplication_id: str, now: float) -> Original | None:
        """The first message with that id in that scope (a group id, or None for the whole queue), if remembered."""
        ends = self._ends
        while ends and ends[0][0] <= now:
            del self._seen[ends.popleft()[1]]
        return self._seen.get((scope, deduplication_id))

    def remember(self, scope: str | None, deduplication_id: str, original: Original, now: float) -> None:
        """Note a message that was accepted."""
        key = (scope, deduplication_id)
        self._seen[key] = original
        self._ends.append((now + INTERVAL_SECONDS, key))

    def clear(self) -> None:
        """Forget everything, as a purge does."""
        self._seen.clear()
        self._ends.clear()


def id_of_content(body: bytes) -> str:
    """The deduplication id that ContentBasedDeduplication makes of a body; attributes do not count."""
    return sha256(body).hexdigest()
