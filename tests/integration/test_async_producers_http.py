"""How long an event loop stands still while coroutines send to an endpoint that is slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.queue import JobQueue
from tests.support.fault_proxy import FaultProxy
from tests.support.worker_processes import client

#: Seconds that each request takes, and between two looks at the clock.
SLOW, TICK = 0.5, 0.005


@pytest.fixture(scope="module")
def queue():
    """A queue behind a slow endpoint, whose client has been made."""
    with LocalSQSServer() as server, FaultProxy(server.endpoint_url) as proxy:
        sqs = client(proxy.endpoint_url)
        env = SQSEnv(sqs_client=sqs)
        queue = env.queue("jobs")
        queue.processor("child")(lambda n: None)
        env.create_queues()
        queue.add_job("child", n=0)
        proxy.plan = lambda action: SLOW if action.startswith("Send") else None
        yield queue
        sqs.close()


def _longest_pause(send: Callable[[], Awaitable[Any]]) -> float:
    """Seconds that a coroutine of the same loop, which wakes up all the time, had to wait at most."""

    async def main() -> float:
        longest, sending = 0.0, asyncio.ensure_future(send())
        last = time.perf_counter()
        while not sending.done():
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        await sending
        return longest

    return asyncio.run(main())


async def _one_by_one(queue: JobQueue) -> None:
    await asyncio.gather(*(queue.task("child").adelay(n) for n in range(40)))


async def _in_a_batch(queue: JobQueue) -> None:
    async with queue.add_batch_async():
        for n in range(40):
            queue.task("child").delay(n)


async def _in_a_stream(queue: JobQueue) -> None:
    await queue.task("child").amap(({"n": n} for n in range(40)), max_in_flight=4)


@pytest.mark.parametrize("send", [_one_by_one, _in_a_batch, _in_a_stream])
def test_the_loop_goes_on_while_coroutines_send(queue, send):
    """Forty jobs take one slow request's time, and no other coroutine waits for it."""
    before = queue.statistics().available
    started = time.perf_counter()

    longest = _longest_pause(lambda: send(queue))

    assert longest < SLOW / 2
    assert time.perf_counter() - started >= SLOW
    assert queue.statistics().available - before == 40


def test_the_plain_send_stands_in_the_way(queue):
    """What the others are measured against: the same ticks see it."""

    async def plainly() -> None:
        queue.task("child").delay(0)

    assert _longest_pause(plainly) >= SLOW
