"""What an application does before its first job, after its last, and on each new event loop."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.execution import event_loop
from sqs_tasks.lambda_runtime.snapshots import SnapshotHooks
from sqs_tasks.shutdown_policies import IdleShutdown
from sqs_tasks.testing import drain, in_memory, lambda_event, started


@pytest.fixture(autouse=True)
def own_loop():
    """Each test starts and leaves the process without a loop."""
    event_loop.close_loop()
    yield
    event_loop.close_loop()


class Application:
    """An environment whose hooks and jobs note what happens, in order."""

    def __init__(self):
        self.env = SQSEnv(MemorySession(), queue_prefix="life-")
        self.queue, self.other = self.env.queue("q"), self.env.queue("other")
        self.notes: list[str] = []
        self.loops: list[asyncio.AbstractEventLoop] = []

        @self.env.on_start
        def start():
            self.notes.append("start")

        @self.env.on_start
        async def start_async():
            self.notes.append("async start")
            self.loops.append(asyncio.get_running_loop())

        @self.env.on_stop
        def stop():
            self.notes.append("stop")

        @self.env.on_stop
        async def stop_async():
            self.notes.append("async stop")
            self.loops.append(asyncio.get_running_loop())

        @self.queue.processor("job")
        async def job(what: str = "") -> None:
            self.notes.append("job")
            self.loops.append(asyncio.get_running_loop())

        self.job = job
        self.other.processor("plain")(lambda: None)
        self.env.create_queues()


@pytest.mark.parametrize("how", ["process_queue", "process_queues"])
def test_a_worker_starts_before_its_first_job_and_stops_after_its_last(how):
    """In order, the async ones on the loop of the jobs, which is one."""
    application = Application()
    application.job.delay()

    if how == "process_queue":
        application.queue.process_queue(IdleShutdown(0), wait_seconds=0)
    else:
        application.env.process_queues(None, lambda: IdleShutdown(0), wait_seconds=0)

    assert application.notes == ["start", "async start", "job", "async stop", "stop"]
    assert len(set(application.loops)) == 1


def test_a_start_that_fails_ends_the_worker_before_any_job():
    """The error is the caller's; nothing was received, and nothing is stopped."""
    application = Application()
    application.job.delay()

    @application.env.on_start
    def fails():
        raise RuntimeError("no database")

    with pytest.raises(RuntimeError, match="no database"):
        application.queue.process_queue(IdleShutdown(0), wait_seconds=0)

    assert application.notes == ["start", "async start"]
    assert application.queue.statistics().available == 1


def test_a_stop_that_fails_is_logged_and_the_others_are_called(caplog):
    """Each has something of its own to close."""
    application = Application()

    @application.env.on_stop
    def fails():
        raise RuntimeError("mine")

    with started(application.env):
        pass

    assert application.notes[-2:] == ["async stop", "stop"]
    assert [record.levelno for record in caplog.records if "on_stop hook" in record.getMessage()] == [logging.ERROR]


def test_a_block_in_a_block_starts_nothing_again():
    """Several loops of one process share what was opened; after the last it may start again."""
    application = Application()

    with started(application.env):
        application.queue.process_queue(IdleShutdown(0), wait_seconds=0)
        assert application.notes == ["start", "async start"]
    with started(application.env):
        pass

    assert application.notes == ["start", "async start", "async stop", "stop"] * 2


def test_a_function_starts_with_its_environment_or_after_the_restore():
    """Before the first event; what a snapshot would hold is opened when it wakes. Lambda announces no end."""
    application = Application()
    handler = SQSEventHandler(application.env)
    assert application.notes == ["start", "async start"]

    handler(lambda_event(application.job.bake()), None)
    assert application.notes == ["start", "async start", "job"]


def test_a_function_with_snapshots_starts_when_it_wakes(monkeypatch):
    """Not when it is made: the snapshot would hold connections that are closed."""
    application = Application()
    made = []
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    monkeypatch.setattr(SnapshotHooks, "register", lambda self: made.append(self))  # noqa: PLW0108 - it needs its self

    SQSEventHandler(application.env)
    assert application.notes == []

    made[0].after_restore()
    assert application.notes == ["start", "async start"]


def test_each_event_loop_is_announced_before_its_first_job(caplog):
    """A pool that is made there serves the jobs of that loop; one that is replaced is announced again."""
    application, pools = Application(), []

    @application.env.on_new_loop
    async def make_pool():
        await asyncio.sleep(0)
        pools.append(asyncio.get_running_loop())
        application.notes.append("pool")

    @application.env.on_new_loop
    def fails():
        raise RuntimeError("mine")

    with in_memory(application.env):
        application.job.delay()
        drain(application.env)
        application.job.delay()
        drain(application.env)
        event_loop.shared_loop().is_stuck = True
        application.job.delay()
        drain(application.env)

    assert application.notes == ["pool", "job", "job", "pool", "job"]
    assert [pools[0], pools[0], pools[1]] == application.loops
    assert pools[0] is not pools[1]
    assert sum("on_new_loop hook" in record.getMessage() for record in caplog.records) == 2


def test_an_environment_that_is_gone_hears_of_no_loop():
    """The process does not keep it."""
    import gc

    heard = []
    env = SQSEnv()
    env.on_new_loop(lambda: heard.append(1))
    del env
    gc.collect()

    event_loop.run_coroutine(asyncio.sleep(0), timeout_seconds=1)

    assert heard == []


def test_a_callback_of_a_new_loop_that_never_ends_does_not_stop_the_jobs(monkeypatch, caplog):
    """It is cancelled after its time, and logged."""
    monkeypatch.setattr(event_loop, "NEW_LOOP_SECONDS", 0.01)
    env = SQSEnv()
    env.on_new_loop(lambda: asyncio.sleep(3600))

    assert event_loop.run_coroutine(asyncio.sleep(0, "done"), timeout_seconds=5) == "done"
    assert "on_new_loop hook" in caplog.text
