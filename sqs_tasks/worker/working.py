"""Working queues in this process: ``queue.process_queue()`` and ``env.process_queues()``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, Unpack

from sqs_tasks.execution.life import StartableEnvironment, started
from sqs_tasks.queue_statistics import REPORT_INTERVAL_SECONDS, CountedQueue, reporting
from sqs_tasks.shutdown_policies import NEVER_SHUTDOWN, ShutdownPolicy
from sqs_tasks.worker.consumer import Consumer
from sqs_tasks.worker.worked_queue import WorkedQueue

if TYPE_CHECKING:
    from sqs_tasks.hooks import Hook
    from sqs_tasks.queue_statistics import QueueStatistics
    from sqs_tasks.worker.options import WorkerOptions


class WorkableQueue(WorkedQueue, CountedQueue, Protocol):
    """A queue that can be worked and counted."""


class WorkableEnvironment(StartableEnvironment, Protocol):
    """What is asked of an environment."""

    report_queue_stats: Hook[[str, QueueStatistics]]


def work(
    env: WorkableEnvironment,
    queues: Sequence[WorkableQueue],
    shutdown_policy: ShutdownPolicy | Callable[[], ShutdownPolicy] | None,
    report_interval_seconds: float | None,
    **options: Unpack[WorkerOptions],
) -> None:
    """Run jobs until the policy or a signal ends it; then let running jobs finish and return.

    Args:
        env: The environment of the queues.
        queues: What to work.
        shutdown_policy: When to stop by itself, or what makes a policy for each queue; None for never.
        report_interval_seconds: Seconds between two calls of the ``report_queue_stats`` hook; None for 300.
        **options: See :class:`~sqs_tasks.worker.options.WorkerOptions`.
    """
    consumer = Consumer(queues, **options)
    interval = REPORT_INTERVAL_SECONDS if report_interval_seconds is None else report_interval_seconds
    with started(env), reporting(queues, env.report_queue_stats, interval, oldest_age=consumer.oldest_age_seconds):
        consumer.run(NEVER_SHUTDOWN if shutdown_policy is None else shutdown_policy)
