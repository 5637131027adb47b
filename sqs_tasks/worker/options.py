"""The options of ``process_queues``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict


class WorkerOptions(TypedDict, total=False):
    """How a process works several queues.

    Attributes:
        concurrency: Jobs at a time in this process, 1 unless given; the queues share the slots fairly.
        async_concurrency: ``async def`` jobs at a time, on an event loop; as ``concurrency`` unless given.
        prefetch: Messages to receive before they can start, so that short jobs come in tens; 0 unless given.
        wait_seconds: How long one long poll waits, 0 to 20; 20 unless given.
        weights: A weight by queue name, for when several queues want more slots than there are; else as registered.
        strict_priority: A queue gets slots only while all those registered before it are empty.
        grace_seconds: How long running jobs may take to finish after a signal; 25 unless given.
        heed_pause: Seconds between two looks at whether ``sqs-tasks queues pause`` has paused a queue; never unless
            given.
    """

    concurrency: int
    async_concurrency: int | None
    prefetch: int
    wait_seconds: int
    weights: Mapping[str, float] | None
    strict_priority: bool
    grace_seconds: float
    heed_pause: float | None
