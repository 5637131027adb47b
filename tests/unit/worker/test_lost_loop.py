"""An event loop that fails under the async jobs of a worker."""

from __future__ import annotations

import asyncio

import pytest

from sqs_tasks.execution import event_loop
from sqs_tasks.shutdown_policies import IdleShutdown
from sqs_tasks.worker.consumer import Consumer


@pytest.fixture(autouse=True)
def closed():
    yield
    event_loop.close_loop()


def test_jobs_of_a_loop_that_fails_are_given_back_and_run_on_another(env, counts, monkeypatch):
    """Their slots are free, their messages visible at once, and nobody waits for the dead thread."""
    monkeypatch.setattr(event_loop, "FAILED_PAUSE_SECONDS", 0)
    queue, ran, loops = env.queue("jobs", max_receive_count=None), [], []

    def fails(timeout=None):
        raise MemoryError

    @queue.processor("wait")
    async def wait(n: int) -> None:
        loop = asyncio.get_running_loop()
        if loop not in loops:
            loops.append(loop)
        ran.append(n)
        if len(loops) == 1:
            if ran == [1, 2]:
                loop._selector.select = fails
            await asyncio.sleep(60)

    env.create_queues()
    for n in (1, 2):
        wait.delay(n)

    Consumer([queue], concurrency=2, wait_seconds=1).run(IdleShutdown(0))

    assert len(loops) == 2
    assert sorted(ran) == [1, 1, 2, 2]
    assert counts("jobs") == (0, 0)
