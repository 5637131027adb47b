"""FIFO queues: groups keep their order, and run side by side."""

from __future__ import annotations

import asyncio

import pytest

from sqs_tasks.backoff_policies import ConstantBackoff
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.worker.consumer import Consumer
from sqs_tasks.worker.lease import current_lease


@pytest.fixture
def fifo(env):
    return env.queue("orders.fifo", max_receive_count=20, backoff_policy=ConstantBackoff(0))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_fifo_groups_keep_their_order_through_failures(env, fifo, counts, concurrency):
    """A failed message is tried again before the next of its group runs (fault W5: 0,1,2,3,1)."""
    order = {"a": [], "b": [], "c": []}
    failed = set()

    @fifo.processor("step", group_by="group")
    def step(group: str, n: int) -> None:
        if n % 3 == 1 and (group, n) not in failed:
            failed.add((group, n))
            raise ValueError(n)
        order[group].append(n)

    env.create_queues()
    with fifo.add_batch():
        for n in range(6):
            for group in order:
                step.delay(group=group, n=n)

    fifo.process_queue(MaxTasksShutdown(18 + 6), wait_seconds=0, concurrency=concurrency)

    assert order == {group: [0, 1, 2, 3, 4, 5] for group in order}
    assert counts("orders.fifo") == (0, 0)


def test_fifo_order_holds_for_async_tasks(env, fifo, counts):
    """On the loop, groups side by side, each in order through a failure."""
    order = {"a": [], "b": [], "c": []}
    failed = set()

    @fifo.processor("step", group_by="group")
    async def step(group: str, n: int) -> None:
        await asyncio.sleep(0.001)
        if n == 1 and group not in failed:
            failed.add(group)
            raise ValueError(n)
        order[group].append(n)

    env.create_queues()
    with fifo.add_batch():
        for n in range(4):
            for group in order:
                step.delay(group=group, n=n)

    fifo.process_queue(MaxTasksShutdown(12 + 3), wait_seconds=0, concurrency=4)

    assert order == {group: [0, 1, 2, 3] for group in order}
    assert counts("orders.fifo") == (0, 0)


def test_plain_and_async_tasks_share_a_queue_with_a_prefetch(env, counts):
    """Each kind has its own slots; none is lost between them."""
    queue = env.queue("mixed")
    done = []

    @queue.processor("plain")
    def plain(n: int) -> None:
        done.append(n)

    @queue.processor("coroutine")
    async def coroutine(n: int) -> None:
        await asyncio.sleep(0)
        done.append(n)

    env.create_queues()
    with queue.add_batch():
        for n in range(0, 200, 2):
            plain.delay(n=n)
            coroutine.delay(n=n + 1)
        queue.add_job("unknown")

    Consumer([queue], concurrency=3, async_concurrency=2, prefetch=5, wait_seconds=0).run(MaxTasksShutdown(201))

    assert sorted(done) == list(range(200))
    assert counts("mixed") == (0, 1)


def test_fifo_process_batch_keeps_order_and_stops_a_group_at_its_failure(env, fifo, counts):
    """What follows the failed message stays in the queue, uncounted."""
    fifo = env.queue("kept.fifo", backoff_policy=ConstantBackoff(30))
    ran = []

    @fifo.processor("step", group_by="group")
    def step(group: str, n: int) -> None:
        ran.append((group, n))
        if (group, n) == ("a", 1):
            raise ValueError(n)

    env.create_queues()
    for n in range(3):
        step.delay(group="a", n=n)
    step.delay(group="b", n=0)

    result = fifo.process_batch()

    assert ("a", 2) not in ran
    assert ("b", 0) in ran
    assert result.failed_count() == 1
    assert counts("kept.fifo") == (1, 1)


def test_innocent_followers_of_a_failing_message_keep_their_receive_count(env, session):
    """A message that always fails reaches the dead-letter queue alone (S23)."""
    fifo = env.queue("trap.fifo", max_receive_count=3, backoff_policy=ConstantBackoff(0))
    received = []

    @fifo.processor("step")
    def step(n: int) -> None:
        received.append((n, current_lease().message.receive_count))
        if n == 0:
            raise ValueError("always")

    env.create_queues()
    with fifo.add_batch():
        for n in range(10):
            step.delay(n=n)

    fifo.process_queue(MaxTasksShutdown(3 + 9), wait_seconds=0)

    assert received == [(0, 1), (0, 2), (0, 3), *[(n, 1) for n in range(1, 10)]]


def test_fifo_groups_run_side_by_side(env, fifo, consume, gate):
    """Four groups, four threads."""

    @fifo.processor("step", group_by="group")
    def step(group: str) -> None:
        gate(group)

    env.create_queues()
    for group in "abcd":
        step.delay(group=group)
        step.delay(group=group)

    consume(fifo, concurrency=6)
    gate.wait_for(4)

    assert sorted(gate.entered) == ["a", "b", "c", "d"]
