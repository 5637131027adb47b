"""The stop: nothing is lost, and nothing holds it up."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.worker import consumer as consumer_module
from sqs_tasks.worker.consumer import Consumer
from tests.support.polling import until


def test_a_stop_waits_for_running_jobs_and_gives_back_what_has_not_started(env, counts, consume, gate):
    """Design §4, step by step."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held(n: int) -> None:
        gate(n)

    env.create_queues()
    held.map([{"n": n} for n in range(8)])
    consumer, thread = consume(queue, concurrency=2, prefetch=4)
    gate.wait_for(2)
    until(lambda: counts("jobs") == (2, 6), what="2, 6 messages visible and in flight", every=0.01)
    assert counts("jobs") == (2, 6)

    consumer.stop()

    # At once, while the two still run: others can have the four that never started.
    until(lambda: counts("jobs") == (6, 2), what="6, 2 messages visible and in flight", every=0.01)
    assert counts("jobs") == (6, 2)
    gate.open()
    thread.join(10)
    assert counts("jobs") == (6, 0)
    assert len(gate.entered) == 2


def test_a_prefetch_in_the_polling_thread_is_given_back_too(env, counts, consume, gate):
    """One job at a time, nine waiting: the stop does not wait for the running one to give them back."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held(n: int) -> None:
        gate(n)

    env.create_queues()
    held.map([{"n": n} for n in range(10)])
    consumer, thread = consume(queue, concurrency=1, prefetch=9)
    gate.wait_for(1)
    assert counts("jobs") == (0, 10)

    consumer.stop()

    until(lambda: counts("jobs") == (9, 1), what="9, 1 messages visible and in flight", every=0.01)
    assert counts("jobs") == (9, 1)
    gate.open()
    thread.join(10)
    assert counts("jobs") == (9, 0)


def test_what_a_poll_in_flight_brings_is_given_back(env, sqs, counts, consume, no_pause):
    """Awaited, not abandoned: its messages would be hidden from all for a lease (kombu#1835)."""
    queue = env.queue("jobs")
    ran = []

    @queue.processor("quick")
    def quick() -> None:
        ran.append(1)

    env.create_queues()
    polling, answer = threading.Event(), threading.Event()

    def slowly(request):
        polling.set()
        assert answer.wait(10)

    sqs.script("receive_message", slowly)
    consumer, thread = consume(queue, concurrency=2)
    assert polling.wait(10)

    consumer.stop()
    consumer.stopping.wait(10)
    quick.delay()
    answer.set()
    thread.join(10)

    assert ran == []
    assert counts("jobs") == (1, 0)


def test_it_is_given_back_at_once_even_when_all_threads_are_busy(env, sqs, counts, consume, gate):
    """What a poll in flight brings does not wait for a thread to say that it has not started."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held() -> None:
        gate()

    env.create_queues()
    held.delay()
    held.delay()
    polling, answer = threading.Event(), threading.Event()

    def slowly(request):
        polling.set()
        assert answer.wait(10)

    sqs.script("receive_message", lambda _: None, slowly)
    consumer, _ = consume(queue, concurrency=2, prefetch=2)
    gate.wait_for(2)
    assert polling.wait(10)

    consumer.stop()
    consumer.stopping.wait(10)
    held.delay()
    answer.set()

    deadline = time.monotonic() + 5
    while sqs.counts["change_message_visibility_batch"] == 0 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert counts("jobs") == (1, 2)


def test_a_job_that_outlives_the_grace_period_does_not_hold_up_the_end(env, counts, consume, gate, caplog):
    """It comes back when its lease ends; the worker says so and goes."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held() -> None:
        gate()

    env.create_queues()
    held.delay()
    consumer, thread = consume(queue, concurrency=2, grace_seconds=0.2)
    gate.wait_for(1)

    started = time.monotonic()
    consumer.stop()
    thread.join(10)

    assert not thread.is_alive()
    assert time.monotonic() - started < 5
    (said,) = [r.getMessage() for r in caplog.records if r.__dict__.get("action") == "grace_over"]
    assert said.startswith("1 job still runs at the end of the grace period; what is not done comes back")
    (named,) = [record for record in caplog.records if record.__dict__.get("action") == "job_unfinished"]
    assert (named.getMessage(), named.queue_name) == ("job held still runs at the end of the grace period", "jobs")
    assert counts("jobs") == (0, 1)


def test_a_poll_that_nobody_answers_does_not_hold_up_the_end(env, sqs, consume):
    """A black hole between here and SQS: the grace period is the limit."""
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    polling, answer = threading.Event(), threading.Event()

    def never(request):
        polling.set()
        answer.wait(30)

    sqs.script("receive_message", never)
    consumer, thread = consume(queue, concurrency=2, grace_seconds=0.2)
    assert polling.wait(10)

    consumer.stop()
    thread.join(10)

    assert not thread.is_alive()
    answer.set()


def test_a_settlement_that_nobody_answers_does_not_hold_up_the_end(env, sqs, counts, consume, monkeypatch, caplog):
    """The stop in the middle of settling: two seconds, then the message is left to come back."""
    monkeypatch.setattr(consumer_module, "CLOSE_SECONDS", 0.2)
    queue = env.queue("jobs")
    ran, deleting, answer = [], threading.Event(), threading.Event()

    @queue.processor("quick")
    def quick() -> None:
        ran.append(1)

    env.create_queues()

    def never(request):
        deleting.set()
        answer.wait(30)
        raise ConnectionResetError("too late")

    sqs.script("delete_message_batch", never)
    quick.delay()
    consumer, thread = consume(queue, concurrency=2, wait_seconds=0)
    assert deleting.wait(10)

    consumer.stop()
    thread.join(10)

    assert not thread.is_alive()
    assert any(r.__dict__.get("action") == "settle_unfinished" for r in caplog.records)
    assert counts("jobs") == (0, 1)
    answer.set()


def test_a_long_poll_does_not_outlast_the_grace_period(env, sqs, consume):
    """It is awaited at the stop; and what a last act gives back, the worker's own poll would take again."""
    queue = env.queue("jobs")
    queue.processor("quick")(lambda: None)
    env.create_queues()

    consume(queue, wait_seconds=20, grace_seconds=2)
    until(lambda: len(sqs.requests("receive_message")) > 1, what="a long poll", every=0.01)

    assert sqs.requests("receive_message")[1]["WaitTimeSeconds"] == 2


def test_jobs_are_given_back_only_while_no_receive_could_take_them_again(env, sqs, counts, consume, gate):
    """For a process that ends: they are visible at once, to others."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held() -> None:
        gate()

    env.create_queues()
    held.delay()
    consumer, thread = consume(queue, concurrency=2, wait_seconds=1, grace_seconds=0.1)
    gate.wait_for(1)
    answer = threading.Event()
    receiving = threading.Event()

    def unanswered(request):
        receiving.set()
        answer.wait(20)

    sqs.script("receive_message", unanswered)
    assert receiving.wait(10)
    consumer.stop()
    thread.join(10)

    consumer.give_back_unfinished()
    assert counts("jobs") == (0, 1)
    answer.set()
    until(lambda: not consumer.states[0].is_receiving, what="the receive is answered", every=0.01)
    consumer.give_back_unfinished()
    assert counts("jobs") == (1, 0)
    gate.open()


def test_an_async_task_that_outlives_the_grace_period_is_cancelled(env, counts, consume):
    """A coroutine can be told, unlike a thread; and when it has ended, others may have the job at once."""
    queue = env.queue("jobs")
    running, cancelled = threading.Event(), threading.Event()

    @queue.processor("endless")
    async def endless() -> None:
        running.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    env.create_queues()
    endless.delay()
    consumer, thread = consume(queue, concurrency=2, grace_seconds=0.2)
    assert running.wait(10)

    consumer.stop()
    thread.join(10)

    assert cancelled.is_set()
    assert counts("jobs") == (1, 0)


def test_a_stop_before_the_start_is_not_forgotten(env):
    """A signal may come while the application is still loading."""
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    consumer = Consumer([queue], wait_seconds=1)
    consumer.stop()

    consumer.run()


def test_no_thread_is_left_behind(env):
    """Heartbeat, settling, pool, polls and signals end with the run."""
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    quick.delay()
    before = set(threading.enumerate())

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=3)
    quick.delay()
    queue.process_batch()

    assert [t for t in threading.enumerate() if t not in before and t.name != "sqs-tasks-loop"] == []


def test_an_environment_of_another_clock_jump(env, monkeypatch):
    """Leases and polls go by the monotonic clock: a wall clock set back an hour changes nothing."""
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    quick.delay()
    monkeypatch.setattr(time, "time", lambda: 0.0)

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=2)


def test_options_that_cannot_work_are_refused():
    """Told where their author is."""
    queue = SQSEnv().queue("jobs")
    for options in ({"concurrency": 0}, {"prefetch": -1}, {"wait_seconds": 21}, {"concurrency": True}):
        with pytest.raises(ConfigurationError):
            Consumer([queue], **options)
