"""Settling and leases of jobs in progress."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.worker import consumer as consumer_module
from sqs_tasks.worker import settlement_buffer
from sqs_tasks.worker.lease import current_lease
from tests.support.polling import until
from tests.support.scripted_client import failing


def test_a_finished_job_is_settled_while_its_neighbour_still_runs(env, counts, consume, gate):
    """Not after the whole receive (fault W3)."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held() -> None:
        gate()

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    held.delay()
    for _ in range(5):
        quick.delay()

    consume(queue, concurrency=6)
    gate.wait_for(1)

    until(lambda: counts("jobs") == (0, 1), what="0, 1 messages visible and in flight", every=0.01)
    assert counts("jobs") == (0, 1)


@pytest.mark.parametrize("options", [{"prefetch": 9}, {"concurrency": 4}])
def test_no_more_is_received_while_much_is_done_and_not_settled(env, sqs, consume, options, monkeypatch):
    """When SQS takes no deletes, what a process has done would be done again if it died: it must not grow."""
    queue = env.queue("jobs")
    ran = []

    @queue.processor("quick")
    def quick(n: int) -> None:
        ran.append(n)

    env.create_queues()
    quick.map([{"n": n} for n in range(300)])
    monkeypatch.setattr(consumer_module, "CLOSE_SECONDS", 0.1)
    sqs.script("delete_message_batch", *[failing("InternalError", 500)] * 1000)

    consume(queue, grace_seconds=0.1, **options)
    deadline = time.monotonic() + 10
    while len(ran) < settlement_buffer.MAX_UNSETTLED and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    threading.Event().wait(0.3)  # time enough to run all 300
    count = len(ran)
    sqs.forget("delete_message_batch")  # so that the worker has an end

    assert settlement_buffer.MAX_UNSETTLED <= count <= settlement_buffer.MAX_UNSETTLED + 20


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_task_longer_than_its_visibility_runs_once(env, counts, concurrency):
    """The heartbeat keeps it; nobody else gets it, and its receive count stays 1 (dramatiq_sqs#53)."""
    queue = env.queue("slow", visibility_timeout_seconds=2)
    attempts = []

    @queue.processor("slow", pass_context=False)
    def slow() -> None:
        attempts.append(current_lease().message.receive_count)
        threading.Event().wait(5)

    env.create_queues()
    slow.delay()

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=concurrency)

    assert attempts == [1]
    assert counts("slow") == (0, 0)


def test_a_task_learns_that_its_lease_is_lost(env, sqs, counts):
    """Another door has deleted the message: the next beat is refused, the task can stop."""
    queue = env.queue("slow", visibility_timeout_seconds=2)
    lost = []

    @queue.processor("slow")
    def slow() -> None:
        lease = current_lease()
        sqs.delete_message(QueueUrl=queue.queue_url, ReceiptHandle=lease.message.receipt_handle)
        lost.append(lease.wait_lost(10))

    env.create_queues()
    slow.delay()

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0)

    assert lost == [True]
    assert current_lease() is None


def test_an_async_task_has_its_own_lease(env):
    """The context of its asyncio task, not of the loop."""
    queue = env.queue("jobs")
    seen = []

    @queue.processor("coroutine")
    async def coroutine(n: int) -> None:
        await asyncio.sleep(0)
        seen.append(current_lease().message.message_id)

    env.create_queues()
    ids = {str(coroutine.delay(n=n)) for n in range(4)}

    queue.process_queue(MaxTasksShutdown(4), wait_seconds=0, concurrency=4)

    assert set(seen) == ids
