"""Timeouts that nothing can enforce: a warning at the start, one at the overrun, a gauge, and a health that minds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.message import Job, ReceivedMessage
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.worker import overrun_watch
from sqs_tasks.worker.consumer import Consumer
from sqs_tasks.worker.health import WorkerHealth
from sqs_tasks.worker.metrics import Metrics
from sqs_tasks.worker.overrun_watch import SLACK_SECONDS, OverrunWatch
from tests.support.polling import until


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def env() -> SQSEnv:
    """An environment in memory."""
    return SQSEnv(MemorySession())


def task_of(env: SQSEnv, **options: float) -> RegisteredTask:
    """A registered task."""
    queue = env.queue("jobs")
    queue.processor("slow", **options)(lambda: None)  # type: ignore[arg-type]
    return queue.tasks[0]


def job() -> Job:
    """A job of it."""
    return Job("slow", {}, {}, "jobs", ReceivedMessage("m", "r", "{}"), "j-1")


def warnings(caplog: pytest.LogCaptureFixture, action: str) -> list[logging.LogRecord]:
    """The records of one kind; a worker that a fixture starts may write some before the test begins."""
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    return [record for record in records if getattr(record, "action", "") == action]


def test_an_overrun_is_reported_once_with_its_job_and_again_when_it_ends(
    env: SQSEnv, caplog: pytest.LogCaptureFixture
) -> None:
    """One line while it lasts, however often one looks, and one that says how long it took."""
    clock, task = Clock(), task_of(env, timeout=5)
    watch = OverrunWatch(clock=clock)
    with watch.watch(job(), task):
        clock.now += 5 + SLACK_SECONDS
        watch.look()
        assert (watch.over("jobs"), watch.longest_seconds()) == (0, 0)
        clock.now += 1
        watch.look()
        watch.look()
        assert (watch.over("jobs"), watch.over("others"), watch.longest_seconds()) == (1, 0, 3)
        clock.now += 1

    (record,) = warnings(caplog, "job_overrun")
    assert record.getMessage() == (
        "job slow still runs 3 s after its timeout of 5 s, and cannot be ended; it keeps its slot"
    )
    assert vars(record)["job_id"] == "j-1"
    assert "job slow has ended, 4 s after its timeout of 5 s" in caplog.text
    assert (watch.over("jobs"), watch.longest_seconds()) == (0, 0)


def test_tasks_without_a_timeout_are_not_watched(env: SQSEnv) -> None:
    """They run as long as they like."""
    clock, task = Clock(), task_of(env)
    watch = OverrunWatch(clock=clock)
    with watch.watch(job(), task):
        clock.now += 1_000_000
        assert watch.over("jobs") == 0


@pytest.fixture
def stuck(
    env: SQSEnv, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[tuple[Consumer, Metrics, threading.Thread]]:
    """A worker of two threads, one of which is in a job that does not end in time, and has been reported."""
    monkeypatch.setattr(overrun_watch, "SLACK_SECONDS", 0.0)
    monkeypatch.setattr(overrun_watch, "LOOK_SECONDS", 0.01)
    queue = env.queue("jobs")
    gate = threading.Event()

    @queue.processor("stuck", timeout=0.05)
    def stuck() -> None:
        gate.wait(30)

    queue.processor("quick")(lambda: None)
    env.create_queues()
    stuck.delay()
    metrics = Metrics()
    consumer = Consumer([queue], concurrency=2, wait_seconds=1, metrics=metrics)
    thread = threading.Thread(target=consumer.run, args=(MaxTasksShutdown(2),))
    thread.start()
    # Between a fixture and its test nobody keeps what is logged.
    until(lambda: warnings(caplog, "job_overrun"), what="the warning", every=0.01)
    yield consumer, metrics, thread
    gate.set()
    queue.add_job("quick")
    thread.join(30)
    assert not thread.is_alive()


def test_a_worker_with_threads_says_what_it_cannot_enforce_and_minds_on_request(
    stuck: tuple[Consumer, Metrics, threading.Thread], caplog: pytest.LogCaptureFixture
) -> None:
    """At the start by the task's name; at the overrun by the job's; in the metrics; and in /live if it is asked to."""
    consumer, metrics, _ = stuck
    gauge = 'sqs_tasks_jobs_over_timeout{queue="jobs"} 1'
    until(lambda: gauge in metrics.render(), what="the gauge", every=0.01)

    (at_start,) = warnings(caplog, "timeout_unenforced")
    assert vars(at_start)["tasks"] == ["jobs.stuck"]

    def health(most: float | None) -> dict[str, str]:
        return WorkerHealth(
            list,
            lambda: False,
            metrics.render,
            seconds_over_timeout=consumer.seconds_over_timeout,
            max_overrun_seconds=most,
        ).live()

    time.sleep(0.02)
    assert health(None) == health(60) == {}
    assert health(0.001) == {"jobs": "one runs 0 s beyond its timeout"}


def test_a_worker_that_can_interrupt_says_nothing(env: SQSEnv, caplog: pytest.LogCaptureFixture) -> None:
    """One queue with a concurrency of 1 runs plain tasks in the main thread; async ones are cancelled anywhere."""
    queue = env.queue("jobs")

    @queue.processor("main", timeout=5)
    def main() -> None: ...

    env.create_queues()
    main.delay()
    Consumer([queue], concurrency=1, wait_seconds=1).run(MaxTasksShutdown(1))

    others = env.queue("others")

    @others.processor("async", timeout=5)
    async def on_the_loop() -> None: ...

    env.create_queues()
    on_the_loop.delay()
    Consumer([others], concurrency=2, wait_seconds=1).run(MaxTasksShutdown(1))

    assert warnings(caplog, "timeout_unenforced") == []
