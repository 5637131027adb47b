"""Whether a queue is paused: a tag that ``sqs-tasks queues pause`` sets, and that workers heed if they are asked to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sqs_tasks.client import error_code
from sqs_tasks.limits import check_number
from sqs_tasks.worker.worked_queue import WorkedQueue

logger = logging.getLogger(__name__)

#: The tag of a queue whose workers receive nothing; its value says since when.
PAUSED_TAG = "sqs-tasks:paused"

#: Seconds between two looks of a paused queue at its stop and its policy.
PAUSED_SECONDS = 1.0


class PauseTags:
    """Asks queues for their tag, each at an interval; any thread may call it.

    Args:
        seconds: The interval; one ListQueueTags for each queue in it.
        clock: The monotonic clock, for tests.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        check_number(seconds, "heed_pause", 0, unit="seconds", whole=False, above=True)
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, bool]] = {}
        self._refused: set[str] = set()

    def is_paused(self, queue: WorkedQueue) -> bool:
        """Whether a queue is paused, as of the last answer; one that cannot be asked is not."""
        with self._lock:
            asked_at, paused = self._known.get(queue.name, (None, False))
            if asked_at is not None and self._clock() - asked_at < self._seconds:
                return paused
            # Noted before it is asked, so that others who ask at this moment do not ask too.
            self._known[queue.name] = (self._clock(), paused)
        now_paused = self._ask(queue, paused)
        with self._lock:
            self._known[queue.name] = (self._known[queue.name][0], now_paused)
        if now_paused is not paused:
            logger.warning(
                "queue %s is %s",
                queue.name,
                "paused; nothing is received" if now_paused else "resumed",
                extra={"action": "queue_paused" if now_paused else "queue_resumed", "queue_name": queue.name},
            )
        return now_paused

    def _ask(self, queue: WorkedQueue, before: bool) -> bool:
        try:
            tags = queue.env.client().list_queue_tags(QueueUrl=queue.queue_url).get("Tags") or {}
        except Exception as error:  # noqa: BLE001 - a queue whose tags nobody may see is worked as ever
            if queue.name not in self._refused:
                self._refused.add(queue.name)
                logger.warning(
                    "cannot ask for the tags of queue %s (%s); it stays %s. The right is sqs:ListQueueTags",
                    queue.name,
                    error_code(error) or type(error).__name__,
                    "paused" if before else "as it is",
                    extra={"action": "pause_tag_failed", "queue_name": queue.name},
                )
            return before
        self._refused.discard(queue.name)
        return PAUSED_TAG in tags
