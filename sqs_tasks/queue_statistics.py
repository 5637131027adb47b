"""How full a queue is, and calling the ``report_queue_stats`` hook with it at an interval."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from sqs_tasks.client import error_code
from sqs_tasks.hooks import Hook
from sqs_tasks.protocols import SQSClient

logger = logging.getLogger(__name__)

#: Seconds between two reports of a queue, by default.
REPORT_INTERVAL_SECONDS = 300.0

_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatistics:
    """Numbers of messages; SQS calls them approximate, and a minute after the last send they are exact.

    Attributes:
        available: Waiting to be received.
        in_flight: Received and neither deleted nor visible again.
        delayed: Held back by a delay.
        dead_letters: All messages of the dead-letter queue, those in flight (somebody looks at them) and delayed
            included; None when there is no such queue or it does not answer.
        oldest_age_seconds: How long ago the oldest message of this worker's last receive was sent, 0 when that brought
            none; None before the first receive, and where no worker asks. SQS tells the age of a whole queue to
            CloudWatch alone.
    """

    available: int
    in_flight: int
    delayed: int
    dead_letters: int | None = None
    oldest_age_seconds: float | None = None

    @property
    def total(self) -> int:
        """All messages of the queue, without those in its dead-letter queue."""
        return self.available + self.in_flight + self.delayed


class CountedQueue(Protocol):
    """What the reporter uses of a queue."""

    @property
    def name(self) -> str:
        """The name in code."""

    def statistics(self) -> QueueStatistics:
        """How full it is now."""


def count_messages(client: SQSClient, queue_url: str) -> QueueStatistics:
    """How full a queue is, by one GetQueueAttributes."""
    answer = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=list(_COUNTS))
    available, in_flight, delayed = (int(answer.get("Attributes", {}).get(name, 0)) for name in _COUNTS)
    return QueueStatistics(available=available, in_flight=in_flight, delayed=delayed)


@contextmanager
def reporting(
    queues: Sequence[CountedQueue],
    hook: Hook[[str, QueueStatistics]],
    interval_seconds: float = REPORT_INTERVAL_SECONDS,
    *,
    oldest_age: Callable[[str], float | None] = lambda _: None,
) -> Iterator[None]:
    """Call the hook with how full the queues are, at once and at each interval, from a separate thread.

    Without a callback no request is made, and the permission for GetQueueAttributes is not needed.

    Args:
        queues: The queues.
        hook: Called with a queue's name and its statistics.
        interval_seconds: Seconds between two reports; 0 turns them off.
        oldest_age: Gives ``oldest_age_seconds`` of a queue by its name.
    """
    if not interval_seconds:
        yield
        return
    done = threading.Event()

    def work() -> None:
        while True:
            if hook:
                for queue in queues:
                    report(queue, hook, oldest_age_seconds=oldest_age(queue.name))
            if done.wait(interval_seconds):
                return

    thread = threading.Thread(target=work, name="sqs-tasks-statistics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def report(queue: CountedQueue, hook: Hook[[str, QueueStatistics]], *, oldest_age_seconds: float | None = None) -> None:
    """Call the hook with how full a queue is; an error of SQS is logged and not raised."""
    try:
        statistics = queue.statistics()
    except Exception as error:  # noqa: BLE001 - a number that is missing must not end the worker
        code = error_code(error) or type(error).__name__
        logger.warning(
            "cannot count the messages of queue %s: %s",
            queue.name,
            code,
            extra={"action": "queue_stats_failed", "queue_name": queue.name, "error_code": code},
        )
        return
    hook.emit(queue.name, replace(statistics, oldest_age_seconds=oldest_age_seconds))
