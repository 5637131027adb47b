"""Jobs run until nothing is left to run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine
from sqlalchemy.orm import Session

from sqs_tasks import ConstantBackoff, DeadLetterQueue, RawQueue, Reject, Retry, SQSEnv
from sqs_tasks.errors import ConfigurationError, TaskTimeoutError
from sqs_tasks.outcome import Postpone, Rejected, Retried
from sqs_tasks.testing import adrain, drain, in_memory
from sqs_tasks.transactions.outbox.table import outbox_table


def test_drain_runs_jobs_that_tasks_add(env: SQSEnv) -> None:
    """A chain of jobs is run to its end."""
    queue, seen = env.queue("emails"), []

    @queue.processor("count")
    def count(n: int) -> None:
        seen.append(n)
        if n:
            count.delay(n - 1)

    with in_memory(env):
        count.delay(3)
        result = drain(queue)

    assert seen == [3, 2, 1, 0]
    assert (result.succeeded, result.failed) == (4, 0)
    assert repr(result) == "DrainResult(succeeded=4, failed=0)"


def test_drain_raises_what_a_task_raised_after_settling_it(env: SQSEnv) -> None:
    """The error is the test's to see, and the job waits for its next attempt as it would have."""
    queue = env.queue("emails")
    queue.processor("bad")(lambda: 1 / 0)
    with in_memory(env):
        queue.add_job("bad")
        with pytest.raises(ZeroDivisionError):
            drain(queue)

        assert queue.statistics().in_flight == 1
        assert drain(queue).runs == []


def test_drain_takes_a_retry_for_no_error(env: SQSEnv) -> None:
    """Retry is what the task wants; with wait=True its time is waited for."""
    queue, moments = env.queue("emails"), []

    @queue.processor("poll", max_attempts=5)
    def poll() -> None:
        moments.append(session.clock.now())
        if len(moments) < 3:
            raise Retry(delay_seconds=3600)

    with in_memory(env) as session:
        poll.delay()
        result = drain(queue, wait=True)

    assert [later - moments[0] for later in moments] == [0, 3600, 7200]
    assert result.succeeded == 1


def test_drain_stops_at_a_task_that_never_ends(env: SQSEnv) -> None:
    """A task that adds itself again is an error of the test and no endless loop."""
    queue = env.queue("emails")

    @queue.processor("again")
    def again() -> None:
        again.delay()

    with in_memory(env):
        again.delay()
        with pytest.raises(AssertionError, match="not empty after 20 runs"):
            drain(queue, max_jobs=20)


def test_drain_moves_max_age_and_redrive_by_the_clock(env: SQSEnv) -> None:
    """A job that got too old on the queues' clock is in the dead-letter queue, like one that failed too often."""
    queue = env.queue("emails", max_receive_count=2)
    queue.processor("old", max_age=60)(lambda: None)
    queue.processor("bad", backoff_policy=ConstantBackoff(1))(lambda: 1 / 0)
    with in_memory(env) as session:
        queue.add_job("old")
        session.advance(61)
        queue.add_job("bad")
        result = drain(queue, raise_errors=False, wait=True)

        assert [type(outcome) for _, outcome in result.runs] == [Rejected, Retried, Retried]
        assert queue.statistics().dead_letters == 2


def test_drain_keeps_the_order_of_fifo_groups(env: SQSEnv) -> None:
    """As a worker does: a failed job holds up its group, not the others."""
    queue, seen = env.queue("emails.fifo"), []

    @queue.processor("send", group_by="tenant", backoff_policy=ConstantBackoff(5))
    def send(tenant: str, n: int) -> None:
        seen.append((tenant, n))
        if seen == [("a", 0)]:
            raise ValueError

    with in_memory(env):
        for n in range(2):
            for tenant in "ab":
                send.delay(tenant, n)
        drain(queue, raise_errors=False)
        assert seen == [("a", 0), ("b", 0), ("b", 1)]
        drain(queue, wait=True)

    assert seen[3:] == [("a", 0), ("a", 1)]


def test_drain_works_raw_queues_and_batches(env: SQSEnv) -> None:
    """Everything that a worker would run."""
    raw, queue, seen = env.queue("events", RawQueue), env.queue("emails"), []
    raw.raw_processor()(lambda message: seen.append(message.body))
    queue.batch_processor("many", batch_size=25)(lambda messages: seen.append(len(messages)))
    with in_memory(env):
        raw.add_raw_job("hello")
        queue.task("many").map({"n": n} for n in range(30))
        drain(raw)
        drain(queue)

    assert seen == ["hello", 25, 5]


def test_drain_of_the_environment_runs_every_queue(env: SQSEnv) -> None:
    """Jobs that go from queue to queue included; dead letters stay where they are."""
    first, second, seen = env.queue("first"), env.queue("second"), []
    env.queue("first_dead", DeadLetterQueue.maker(first))
    second.processor("end")(lambda: seen.append("end"))
    second.processor("back")(lambda: first.add_job("bad"))
    first.processor("start")(lambda: (seen.append("start"), second.add_job("back"), second.add_job("end")))

    @first.processor("bad")
    def bad() -> None:
        raise Reject

    with in_memory(env):
        first.add_job("start")
        result = drain(env, raise_errors=False)

        assert seen == ["start", "end"]
        assert (result.succeeded, result.failed) == (3, 1)
        assert first.statistics().dead_letters == 1


def test_drain_of_an_environment_without_tasks_is_refused(env: SQSEnv) -> None:
    """It would pass whatever was enqueued."""
    env.queue("emails")
    with in_memory(env), pytest.raises(ConfigurationError, match="no queue with a task"):
        drain(env)


def test_postponed_jobs_are_no_failures_and_run_when_their_time_comes(env: SQSEnv) -> None:
    """A lock that another holds, for example."""
    queue, moments = env.queue("emails"), []

    @queue.processor("locked")
    def locked() -> None:
        moments.append(session.clock.now())
        if len(moments) < 3:
            raise Postpone(60)

    with in_memory(env) as session:
        locked.delay()
        before = drain(queue)
        after = drain(queue, wait=True)

    assert (before.succeeded, before.failed, before.postponed) == (0, 0, 1)
    assert (after.succeeded, after.failed, after.postponed) == (1, 0, 1)
    assert repr(before) == "DrainResult(succeeded=0, failed=0, postponed=1)"
    assert moments[2] - moments[0] >= 120


def test_drain_works_in_coroutines_of_any_loop(env: SQSEnv) -> None:
    """Of the test's own loop, and of the loop that runs the async tasks."""
    queue, seen = env.queue("emails"), []

    @queue.processor("inner")
    async def inner() -> None:
        await asyncio.sleep(0)
        seen.append("inner")

    @queue.processor("outer")
    async def outer() -> None:
        inner.delay()
        assert drain(queue).succeeded == 1
        seen.append("outer")

    async def test() -> None:
        outer.delay()
        assert drain(queue).succeeded == 1

    with in_memory(env):
        asyncio.run(test())

    assert seen == ["inner", "outer"]


def test_adrain_runs_async_tasks_on_the_loop_of_the_test(env: SQSEnv) -> None:
    """What is bound to that loop can be used; a task that fails does not end it, whatever it raises."""
    queue, seen = env.queue("emails"), []

    @queue.processor("bound", timeout=5)
    async def bound() -> None:
        ready.set()
        seen.append(asyncio.get_running_loop())
        raise Retry(delay_seconds=5) if len(seen) == 1 else SystemExit(3)

    queue.processor("plain")(lambda: seen.append("plain"))

    async def test() -> None:
        nonlocal ready
        ready = asyncio.Event()
        bound.delay()
        queue.add_job("plain")
        assert (await adrain(env)).succeeded == 1
        assert ready.is_set()
        with pytest.raises(SystemExit):
            await adrain(queue, wait=True)
        assert seen == [asyncio.get_running_loop(), "plain", asyncio.get_running_loop()]

    ready = None
    with in_memory(env):
        asyncio.run(test())


def test_adrain_keeps_async_tasks_to_their_timeout(env: SQSEnv) -> None:
    """As a worker does."""
    queue = env.queue("emails")

    @queue.processor("slow", timeout=0.01)
    async def slow() -> None:
        await asyncio.Event().wait()

    async def test() -> None:
        slow.delay()
        with pytest.raises(TaskTimeoutError, match="longer than its timeout"):
            await adrain(queue)

    with in_memory(env):
        asyncio.run(test())


def test_drain_sends_what_was_written_into_transactions(env: SQSEnv, tmp_path: Path) -> None:
    """What was committed before, and what the jobs commit; what was rolled back is gone."""
    engine, metadata = create_engine(f"sqlite:///{tmp_path}/jobs.sqlite3"), MetaData()
    outbox_table(metadata)
    metadata.create_all(engine)
    queue, seen = env.queue("emails"), []

    @queue.processor("count")
    def count(n: int) -> None:
        seen.append(n)
        if n:
            with Session(engine) as session, session.begin():
                count.options(outbox=session).delay(n - 1)

    with in_memory(env):
        with Session(engine) as session:
            count.options(outbox=session).delay(5)
        with Session(engine) as session, session.begin():
            count.options(outbox=session).delay(2)
        assert drain(queue).runs == []

        assert drain(queue, outbox=engine).succeeded == 3
        assert seen == [2, 1, 0]

        with Session(engine) as session, session.begin():
            count.options(outbox=session).delay(0)
        assert asyncio.run(adrain(env, outbox=engine)).succeeded == 1
    engine.dispose()
