"""Plain and async tasks side by side."""

from __future__ import annotations

import asyncio

import pytest

from sqs_tasks.backoff_policies import ConstantBackoff
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.worker.consumer import Consumer


def test_plain_tasks_run_side_by_side(env, consume, gate):
    """As many as the concurrency says."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held() -> None:
        gate()

    env.create_queues()
    for _ in range(5):
        held.delay()

    consume(queue, concurrency=5)

    gate.wait_for(5)


def test_async_tasks_run_side_by_side_on_one_loop(env):
    """Fifty wait for each other, with two threads in the pool."""
    queue = env.queue("jobs")
    loops, waiting = set(), []
    all_here = None

    @queue.processor("meet")
    async def meet() -> None:
        nonlocal all_here
        if all_here is None:
            all_here = asyncio.Event()
        loops.add(id(asyncio.get_running_loop()))
        waiting.append(1)
        if len(waiting) == 50:
            all_here.set()
        await asyncio.wait_for(all_here.wait(), 20)

    @queue.processor("plain")
    def plain() -> None: ...

    env.create_queues()
    meet.map([{} for _ in range(50)])
    plain.delay()

    Consumer([queue], concurrency=60, async_concurrency=50, wait_seconds=0).run(MaxTasksShutdown(51))

    assert len(waiting) == 50
    assert len(loops) == 1


def test_async_tasks_are_no_more_than_their_limit(env, counts):
    """Two at a time, however many threads there are."""
    queue = env.queue("jobs")
    running, most = 0, 0

    @queue.processor("meet")
    async def meet() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    env.create_queues()
    meet.map([{} for _ in range(12)])

    Consumer([queue], concurrency=10, async_concurrency=2, wait_seconds=0).run(MaxTasksShutdown(12))

    assert most == 2
    assert counts("jobs") == (0, 0)


def test_async_timeout_cancels_the_task_and_retries_it(env, counts):
    """On the shared loop too."""
    queue = env.queue("jobs", backoff_policy=ConstantBackoff(50))
    cancelled = []

    @queue.processor("endless", timeout=0.05)
    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    env.create_queues()
    endless.delay()

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=2)

    assert cancelled == [1]
    assert counts("jobs") == (0, 1)


@pytest.mark.parametrize("how", ["exit", "cancel"])
def test_an_async_task_cannot_take_the_loop_with_it(env, counts, how):
    """SystemExit and a task that cancels itself are failures of that task."""
    queue = env.queue("jobs", backoff_policy=ConstantBackoff(50))

    @queue.processor("breaks")
    async def breaks() -> None:
        if how == "exit":
            raise SystemExit(3)
        raise asyncio.CancelledError

    @queue.processor("good")
    async def good() -> None:
        await asyncio.sleep(0.01)

    env.create_queues()
    breaks.delay()
    good.delay()

    queue.process_queue(MaxTasksShutdown(2), wait_seconds=0, concurrency=2)

    assert counts("jobs") == (0, 1)
