"""Queues that share a process: none stops the others, and each gets its part of the slots."""

from __future__ import annotations

import threading

import pytest

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.shutdown_policies import IdleShutdown
from sqs_tasks.worker import receive_turn
from sqs_tasks.worker.consumer import Consumer
from tests.support.polling import until


def test_a_queue_whose_tasks_hang_does_not_stop_the_others(env, consume, gate):
    """Ten messages that never end in one, and the other is served (fault S5)."""
    stuck, lively = env.queue("stuck"), env.queue("lively")
    served = threading.Semaphore(0)

    @stuck.processor("held")
    def held() -> None:
        gate()

    @lively.processor("quick")
    def quick() -> None:
        served.release()

    env.create_queues()
    held.map([{} for _ in range(10)])

    consume(stuck, lively, concurrency=4)
    gate.wait_for(3)
    quick.map([{} for _ in range(10)])

    for _ in range(10):
        assert served.acquire(timeout=10)


def test_strict_priority_serves_the_first_queue_first(env):
    """While it has messages, the second waits."""
    first, second = env.queue("first"), env.queue("second")
    order = []

    @first.processor("a")
    def a() -> None:
        order.append("a")

    @second.processor("b")
    def b() -> None:
        order.append("b")

    env.create_queues()
    a.map([{} for _ in range(60)])
    b.map([{} for _ in range(60)])

    consumer = Consumer([first, second], concurrency=2, wait_seconds=1, strict_priority=True)
    consumer.run(lambda: IdleShutdown(1))

    assert len(order) == 120
    # The last of the first queue may still run while the second begins.
    assert order[:60].count("a") >= 58


def test_weights_name_queues_that_are_worked(env):
    """A typing error is told at the start."""
    queue = env.queue("jobs")

    with pytest.raises(ConfigurationError, match="jbos"):
        Consumer([queue], weights={"jbos": 2})


def hot_queues(env, count, jobs):
    """Queues with a backlog, and what tells that all of it is done."""
    queues, done = [], threading.Semaphore(0)
    for number in range(count):
        queue = env.queue(f"hot{number}")

        @queue.processor("work")
        def work() -> None:
            done.release()

        queues.append(queue)
    env.create_queues()
    for queue in queues:
        queue.task("work").map([{} for _ in range(jobs)])

    def wait():
        for _ in range(count * jobs):
            assert done.acquire(timeout=20)

    return queues, wait


def test_queues_with_a_backlog_are_received_from_one_after_the_other(env, sqs, consume, monkeypatch):
    """Threads that are in boto3 together make it slower; those of idle queues only wait there."""
    monkeypatch.setattr(receive_turn, "PATIENCE_SECONDS", 10)
    queues, wait = hot_queues(env, 3, 60)
    changed, inside, met, polled = threading.Condition(), 0, [], set()

    def receive(request):
        nonlocal inside
        with changed:
            is_first, _ = request["QueueUrl"] not in polled, polled.add(request["QueueUrl"])
            if is_first or request["WaitTimeSeconds"]:
                return  # it does not know yet that there is a backlog
        with changed:
            inside += 1
            changed.notify_all()
            # Time for another to come; none does.
            if changed.wait_for(lambda: inside > 1, 0.02):
                met.append(request["QueueUrl"])
            inside -= 1

    sqs.script("receive_message", *[receive] * 500)

    consume(*queues, concurrency=6, prefetch=24)
    wait()

    short = [request["QueueUrl"] for request in sqs.requests("receive_message") if not request["WaitTimeSeconds"]]
    assert len(set(short)) == 3
    assert not met


def test_a_receive_that_hangs_does_not_hold_up_other_queues(env, sqs, consume):
    """Its turn is over in a moment, whether it has been answered or not."""
    queues, wait = hot_queues(env, 2, 60)
    hung = env.get_queue_url("hot0")
    hanging, answer = threading.Event(), threading.Event()

    def receive(request):
        if request["QueueUrl"] == hung and not request["WaitTimeSeconds"]:
            hanging.set()
            answer.wait(30)

    sqs.script("receive_message", *[receive] * 500)

    consume(*queues, concurrency=4)
    assert hanging.wait(10)
    until(lambda: queues[1].statistics().available == 0, what="the other queue is empty", seconds=15)

    answer.set()
    wait()
