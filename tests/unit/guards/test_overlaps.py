"""Runs of a schedule that must not overlap: the next is skipped, or waits, while one is in progress."""

from __future__ import annotations

import pytest

from sqs_tasks import Every, SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.guards.guard import LEASE_SECONDS
from sqs_tasks.guards.leases import LEASES
from sqs_tasks.outcome import SUCCEEDED, Postponed, Skipped
from sqs_tasks.scheduling.schedule import Schedule
from sqs_tasks.testing import drain, in_memory
from tests.support.counting_store import CountingStore


def registry(overlap, body):
    """An environment whose task has a schedule of a minute."""
    env = SQSEnv(store=CountingStore())
    queue = env.queue("jobs", max_receive_count=5, visibility_timeout_seconds=900)
    task = queue.processor("tick", schedule=Schedule(Every(minutes=1), overlap=overlap))(body)
    return env, queue, task


@pytest.mark.parametrize(("overlap", "expected", "runs"), [("skip", Skipped, 1), ("queue", Postponed, 2)])
def test_run_that_comes_while_one_is_in_progress(overlap, expected, runs):
    """It is skipped for good, or runs when the other is over."""
    ran, seen = [], []

    def tick():
        ran.append(1)
        if len(ran) == 1:
            for _ in range(4):  # the next run is due
                session.advance(15)
                LEASES.beat()
            (run,) = drain(queue, raise_errors=False).runs
            seen.append(run[1])

    env, queue, _ = registry(overlap, tick)
    with in_memory(env) as session:
        session.advance(60)
        assert drain(queue).runs[-1][1] is SUCCEEDED
        for _ in range(16):
            session.advance(1)
        drain(queue)

    assert isinstance(seen[0], expected)
    assert "in progress" in seen[0].reason
    assert len(ran) == runs


def test_runs_after_each_other_all_run():
    """Nothing is held between them, however the one before ended; two writes each, other jobs nothing."""
    ran = []

    def tick():
        ran.append(1)
        if len(ran) == 1:
            raise ValueError("no")

    env, queue, task = registry("skip", tick)
    with in_memory(env) as session:
        session.advance(60)
        drain(queue, raise_errors=False)
        session.advance(60)
        drain(queue, raise_errors=False)
        assert len(ran) >= 2

        before = env.store.get(f"overlap/{task.schedules[''].name}")
        task.delay()
        drain(queue)
        assert before is None


def test_run_of_a_dead_worker_is_over_after_its_lease():
    """A schedule does not stand still for good."""
    ran = []
    env, queue, task = registry("skip", lambda: ran.append(1))
    with in_memory(env) as session:
        key, now = f"overlap/{task.schedules[''].name}", session.clock.now()
        until = now + 60 + LEASE_SECONDS - 1
        env.store.put_if_absent(key, {"run": "dead", "job": "x", "until": until}, expires_at=until)
        session.advance(60)
        assert drain(queue).skipped == 1
        session.advance(60)
        assert drain(queue).succeeded == 1

    assert ran == [1]


def test_store_that_is_down_puts_runs_off(world):
    """Nobody can tell whether the one before is over."""

    @world.queue.processor("tick", schedule=Schedule(Every(minutes=1), overlap="skip"))
    def tick():
        pass

    with in_memory(world.env) as session:
        down = CountingStore(now=session.clock.now)
        down.is_down = True
        world.env.store, before = down, world.env.store
        session.advance(60)
        assert drain(world.queue).postponed == 1
        world.env.store = before
        session.advance(31)
        assert drain(world.queue).succeeded == 1
        down.close()


def test_schedule_that_is_added_later_is_guarded_too(world):
    """And a batch processor is refused."""

    @world.queue.processor("tick")
    def tick():
        pass

    assert world.queue.registry.get("tick").guards == ()
    tick.schedule("hourly", Every(minutes=60), overlap="queue")
    tick.schedule("daily", Every(days=1), overlap="skip")
    assert len(world.queue.registry.get("tick").guards) == 1
    (described,) = (one for one in world.env.manifest()["queues"][0]["tasks"])
    assert described["postpones"]

    with pytest.raises(ConfigurationError, match="is a batch processor of 10"):
        world.queue.batch_processor("many", schedule=Schedule(Every(minutes=1), overlap="skip"))(lambda jobs: None)
