"""``testing.run`` and ``testing.arun``: one job of a task, with what its function returns."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import pytest

from sqs_tasks import Retry, SQSEnv, current_job
from sqs_tasks.testing import arun, run


def test_run_gives_the_task_its_job_and_returns_its_result(env: SQSEnv) -> None:
    """Attempt, id and context are what the test says; arguments have passed through the codec."""
    queue = env.queue("orders", max_receive_count=3)

    @queue.processor("ship")
    def ship(day: date, attempt: str) -> tuple[Any, ...]:
        job = current_job()
        assert job is not None
        return day, attempt, job.job_id, job.attempt, job.is_last_attempt, env.context.to_dict()

    result = run(ship, date(2026, 12, 1), "x", attempt=3, job_id="j-1", context={"user": 7})

    assert result == (date(2026, 12, 1), "x", "j-1", 3, True, {"user": 7})
    assert (current_job(), env.context.to_dict()) == (None, {})


def test_run_raises_what_the_task_raises(env: SQSEnv) -> None:
    """Its own exceptions, those that steer the job, and those of arguments that do not fit."""
    queue = env.queue("orders")

    @queue.processor("ship")
    def ship(order: int) -> None:
        if order == 0:
            raise Retry(delay_seconds=5)
        raise ValueError(order)

    with pytest.raises(ValueError, match="7"):
        run(ship, 7)
    with pytest.raises(Retry):
        run(ship, 0)
    with pytest.raises(TypeError):
        run(ship)  # type: ignore[call-overload]


def test_run_takes_async_tasks_batch_processors_and_fifo_queues(env: SQSEnv) -> None:
    """Every kind of task can be run, also from a test that has a running loop."""
    queue, fifo = env.queue("orders"), env.queue("steps.fifo")

    @queue.processor("double")
    async def double(number: int) -> int:
        return 2 * number

    @queue.batch_processor("total", batch_size=10)
    def total(jobs: list[dict[str, int]]) -> int:
        return sum(job["number"] for job in jobs)

    @fifo.processor("step", group_by="order")
    def step(order: int) -> int:
        return order

    async def in_a_loop() -> int:
        return run(double, 4)

    assert run(double, 3) == 6
    assert asyncio.run(in_a_loop()) == 8
    assert run(total, number=5) == 5
    assert run(step, order=9) == 9


def test_arun_uses_the_loop_of_the_test_and_leaves_no_job_behind(env: SQSEnv) -> None:
    """An async test can share connections with its task; afterwards it is outside of jobs again."""
    queue = env.queue("orders")

    @queue.processor("loop", timeout=5)
    async def loop_of(_word: str) -> tuple[int, int]:
        job = current_job()
        assert job is not None
        return id(asyncio.get_running_loop()), job.attempt

    async def test() -> None:
        assert await arun(loop_of, "x", attempt=2) == (id(asyncio.get_running_loop()), 2)
        assert current_job() is None

    asyncio.run(test())
