"""Async jobs that catch each cancellation: they fail at their timeout, and the worker goes on without them."""

from __future__ import annotations

import asyncio

import pytest

from sqs_tasks import ConstantBackoff
from sqs_tasks.execution import event_loop
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.worker.consumer import Consumer


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    monkeypatch.setattr(event_loop, "GIVE_UP_SECONDS", 0.05)
    monkeypatch.setattr(event_loop, "CANCEL_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(event_loop, "LEAST_CANCEL_SECONDS", 0.01)
    yield
    event_loop.close_loop()


@pytest.mark.parametrize(
    ("caught", "said"),
    [(asyncio.CancelledError, "; it was closed"), (BaseException, "; it goes on beside the other jobs")],
    ids=["cancellations", "everything"],
)
def test_a_job_that_catches_each_cancellation_keeps_no_slot(env, counts, caplog, caught, said):
    """It has the only slot beside the quick job's; both stubborn ones fail, and the quick ones behind them run."""
    queue = env.queue("jobs", backoff_policy=ConstantBackoff(60), max_receive_count=None)
    over, ended, ran = [], [], []

    @queue.processor("stubborn", timeout=0.02)
    async def stubborn(n: int) -> None:
        try:
            while not over:
                try:
                    await asyncio.sleep(0.001)
                except caught:
                    continue
        finally:
            ended.append(n)

    @queue.processor("quick")
    async def quick(n: int) -> None:
        ran.append(n)

    env.create_queues()
    for n in (1, 2):
        stubborn.delay(n)
    for n in (3, 4):
        quick.delay(n)

    Consumer([queue], concurrency=2, wait_seconds=0).run(MaxTasksShutdown(4))

    assert sorted(ran) == [3, 4]
    assert counts("jobs") == (0, 2), "the stubborn ones come back after their backoff"
    failed = [record for record in caplog.records if getattr(record, "action", "") == "job_retried"]
    assert [record.error_type for record in failed] == ["TaskTimeoutError"] * 2
    assert all("and caught each cancellation" + said in record.getMessage() for record in failed)
    assert len(ended) == (2 if caught is asyncio.CancelledError else 0)
    over.append(True)


def test_a_job_with_a_timeout_waits_and_returns_as_any_other(env):
    """What it waits for gives it results and errors, and nested cancellations of its own stay its own."""
    queue, seen = env.queue("jobs"), []

    @queue.processor("work", timeout=30)
    async def work() -> None:
        seen.append(await asyncio.gather(asyncio.sleep(0, "a"), asyncio.sleep(0.001, "b")))
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(30)
        except TimeoutError:
            seen.append("own timeout")
        try:
            await asyncio.open_connection("127.0.0.1", 1)
        except OSError:
            seen.append("error")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        seen.append("end")

    env.create_queues()
    work.delay()

    Consumer([queue], concurrency=2, wait_seconds=0).run(MaxTasksShutdown(1))

    assert seen == [["a", "b"], "own timeout", "error", "end"]
