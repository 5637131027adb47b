"""What stands in for SQS: queues in memory, or nothing."""

from __future__ import annotations

import asyncio

import pytest

from sqs_tasks import MemorySession, Reject, SQSEnv
from sqs_tasks.errors import UnknownTaskError
from sqs_tasks.execution.eager import EagerDelivery
from sqs_tasks.outcome import Retried, Succeeded
from sqs_tasks.testing import eager, in_memory


def test_in_memory_has_every_registered_queue_and_goes_away_again(env: SQSEnv) -> None:
    """Dead-letter queues, FIFO queues and queues known by their URL included; each block starts empty."""
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/theirs.fifo"
    for name in ("emails", "orders.fifo", url):
        env.queue(name)

    for _ in range(2):
        with in_memory(env):
            for queue in env.queues.values():
                queue.add_job("x")
                assert queue.statistics().total == 1
            assert env.queue("emails").statistics().dead_letters == 0

    assert env.client._given is None


def test_eager_runs_jobs_through_codec_hooks_and_middleware(env: SQSEnv) -> None:
    """A job is what a worker would get; ids are given, batches and map work, SQS is not asked."""
    seen = []
    env = SQSEnv(middleware=[lambda job, call_next: (seen.append(job.job_name), call_next())[1]])
    queue = env.queue("emails")

    @queue.processor("send", pass_context=True)
    def send(values: object, context: object = None) -> None:
        seen.append((values, context))

    with eager(env) as delivery, env.context(user=1):
        assert isinstance(send.delay((1, {2})), str)
        with send.batch():
            send.delay("b")
        assert send.map([{"values": "m"}]) == 1

    assert seen == ["send", ((1, {2}), {"user": 1}), "send", ("b", {"user": 1}), "send", ("m", {"user": 1})]
    assert [type(outcome) for _, outcome in delivery.outcomes] == [Succeeded] * 3
    assert env.deliver is None


def test_eager_gives_the_sender_the_tasks_error(env: SQSEnv) -> None:
    """Or keeps it, when asked to; an unknown task is an error too."""
    queue = env.queue("emails")
    queue.processor("bad")(lambda: 1 / 0)
    queue.processor("no")(lambda: (_ for _ in ()).throw(Reject("no")))
    with eager(env):
        with pytest.raises(ZeroDivisionError):
            queue.add_job("bad")
        with pytest.raises(Reject):
            queue.add_job("no")
        with pytest.raises(UnknownTaskError, match="not registered on queue 'emails'"):
            queue.add_job("gone")
    with eager(env, raise_errors=False) as delivery:
        queue.add_job("bad")
    assert [type(outcome) for _, outcome in delivery.outcomes] == [Retried]


def test_eager_runs_async_tasks_and_batches() -> None:
    """An async task runs on the process's loop, a batch processor gets a list of one."""
    env, seen = SQSEnv(eager=True), []
    queue = env.queue("emails")

    @queue.processor("wait")
    async def wait(n: int) -> None:
        seen.append(n)

    queue.batch_processor("many")(lambda messages: seen.append(messages))  # noqa: PLW0108 - the argument has a name
    wait.delay(1)
    queue.add_job("many", n=2)

    assert seen == [1, [{"n": 2}]]
    assert isinstance(env.deliver, EagerDelivery)


def test_memory_session_advances_with_its_own_clock() -> None:
    """A session on real time says why it cannot be advanced."""
    with pytest.raises(TypeError, match="ManualClock"):
        MemorySession().advance(1)


def test_eager_jobs_of_async_tasks_may_send_further_ones() -> None:
    """However deeply, from whichever thread, and from a loop that is not the library's."""
    env, seen = SQSEnv(eager=True), []
    queue = env.queue("emails")

    @queue.processor("child")
    async def child(depth: int) -> None:
        await asyncio.sleep(0)
        seen.append(depth)
        if depth:
            child.delay(depth - 1)
        else:
            await asyncio.to_thread(last.delay)

    @queue.processor("last")
    async def last() -> None:
        seen.append("last")

    async def web() -> None:
        child.delay(1)

    child.delay(3)
    asyncio.run(web())

    assert seen == [3, 2, 1, 0, "last", 1, 0, "last"]


def test_eager_error_of_a_nested_async_job_is_its_senders(env: SQSEnv) -> None:
    """As it is for plain tasks."""
    queue, seen = env.queue("emails"), []

    @queue.processor("bad")
    async def bad() -> None:
        raise LookupError("no")

    @queue.processor("parent")
    async def parent() -> None:
        with pytest.raises(LookupError, match="no"):
            bad.delay()
        seen.append("caught")

    with eager(env):
        parent.delay()

    assert seen == ["caught"]
