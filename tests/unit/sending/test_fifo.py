"""Sending to FIFO queues: deduplication that loses nothing, and an order that is kept."""

from __future__ import annotations

import pytest

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.queue import JobQueue


@pytest.fixture
def orders() -> JobQueue:
    env = SQSEnv(MemorySession())
    queue = env.queue("orders.fifo", content_based_deduplication=True)
    for name in ("charge", "ship"):
        queue.processor(name)(lambda order: None)
    env.create_queues()
    return queue


def bodies_by_task(queue: JobQueue) -> list[str]:
    return [message.job_name for message in queue.get_raw_messages()]


def test_content_based_deduplication_keeps_two_tasks_with_equal_arguments_apart(orders: JobQueue) -> None:
    """SQS's own id is of the body alone and would drop the second without a word (S31)."""
    orders.add_job("charge", order=7)
    orders.add_job("ship", order=7)

    assert bodies_by_task(orders) == ["charge", "ship"]


def test_content_based_deduplication_drops_the_same_job(orders: JobQueue) -> None:
    """That is what it was switched on for."""
    orders.add_job("charge", order=7)
    orders.add_job("charge", order=7)

    assert bodies_by_task(orders) == ["charge"]


def test_requests_that_overtake_each_other_are_refused_on_fifo(orders: JobQueue) -> None:
    """Several requests at once have no order among them."""
    with pytest.raises(ConfigurationError, match="leave it at 1"):
        orders.add_jobs([("charge", {"order": 1})], max_in_flight=2)
