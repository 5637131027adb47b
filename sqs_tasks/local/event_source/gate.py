"""The gate between a poll and the function: which messages are let through, and what becomes of the others."""

from __future__ import annotations

import logging
import threading

from sqs_tasks.local.event_source.lineage import MAX_LINEAGE, lineage_count
from sqs_tasks.local.event_source.settings import EventSourceSettings
from sqs_tasks.local.event_source.source_queue import Received, SourceQueue
from sqs_tasks.local.event_source.statistics import EventSourceStatistics
from sqs_tasks.local.function.function import FunctionConfiguration

logger = logging.getLogger(__name__)


class Gate:
    """Keeps back what the filters do not match, and chains of messages in which a function feeds itself.

    Owned by the thread that polls.

    Args:
        queue: Where the messages came from.
        function: The function that they go to.
        settings: The filters, and whether a function may feed itself.
        statistics: Where the gate counts what it kept back.
        lock: Held while it counts.
    """

    def __init__(
        self,
        queue: SourceQueue,
        function: FunctionConfiguration,
        settings: EventSourceSettings,
        *,
        statistics: EventSourceStatistics,
        lock: threading.Lock,
    ) -> None:
        self._queue = queue
        self._function = function
        self._settings = settings
        self._statistics = statistics
        self._lock = lock

    def admit(self, received: list[Received]) -> list[Received]:
        """The messages that may reach the function, in their order.

        Raises:
            Exception: Whatever the client raised when a message that no filter matches was deleted.
        """
        return [item for item in self._filtered(received) if not self._is_recursive(item)]

    def _filtered(self, received: list[Received]) -> list[Received]:
        """The messages that a filter matches; the others are not only skipped, Lambda deletes them (S41)."""
        filters = self._settings.filters
        if not filters:
            return received
        passed: list[Received] = []
        refused: list[Received] = []
        for item in received:
            body = item.record["body"]
            (passed if any(candidate.matches(body) for candidate in filters) else refused).append(item)
        self._queue.delete(refused)
        with self._lock:
            self._statistics.filtered += len(refused)
        return passed

    def _is_recursive(self, item: Received) -> bool:
        """Whether the message's chain of requests has invoked this function too often already (S36).

        Such a message is left to its visibility timeout, and so to the dead-letter queue. Users report that AWS does
        this; the documentation says only that it stops.
        """
        if self._settings.allow_recursive_loop:
            return False
        header = item.record["attributes"].get("AWSTraceHeader")
        if lineage_count(header, self._function.arn) < MAX_LINEAGE:
            return False
        with self._lock:
            self._statistics.recursive += 1
        logger.error(
            "recursion: message %s of %s is not delivered, because its chain of messages has invoked %s %d times; "
            "if that is meant, allow recursive loops",
            item.message_id,
            self._queue.name,
            self._function.name,
            MAX_LINEAGE,
            extra={"action": "event_source_recursion", "queue_name": self._queue.name, "message_id": item.message_id},
        )
        return True
