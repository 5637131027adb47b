"""Runs of schedules that come too late: skipped in every runtime, counted, and without a dead letter."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta

import pytest

from sqs_tasks import Cron, Every, MemorySession, Schedule, SQSEnv
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.outcome import Skipped
from sqs_tasks.testing import drain
from sqs_tasks.worker.consumer import Consumer
from sqs_tasks.worker.metrics import Metrics
from tests.support.lambda_app import LambdaApp

LATE = Schedule(Every(minutes=15), late_seconds=600)


def ticks(queue, task, session, *ages: float) -> None:
    """Put runs into the queue whose time was so many seconds ago."""
    schedule = task.schedules[""]
    for age in ages:
        moment = datetime.fromtimestamp(session.clock.now(), UTC) - timedelta(seconds=age)
        queue.outbox.send(schedule.message_at(moment))


class Laptop:
    """A queue in memory with a task on it."""

    def __init__(self, name: str = "reports", schedule: Schedule = LATE, **options) -> None:
        self.session = MemorySession(ManualClock(int(time.time())))
        self.env = SQSEnv(self.session)
        self.queue = self.env.queue(name)
        self.ran: list[str] = []
        self.ended: list[tuple[str, str]] = []
        self.fails = False
        self.env.post_task(lambda job, outcome: self.ended.append((job.job_id, type(outcome).__name__)))
        self.task = self.queue.processor("refresh", schedule=schedule, **options)(self._run)
        self.env.create_queues()

    def _run(self) -> None:
        self.ran.append("refresh")
        if self.fails:
            raise RuntimeError("no")

    def left(self) -> int:
        """Messages in the queue and in its dead-letter queue."""
        return sum(
            self.env.queue(name).statistics().available + self.env.queue(name).statistics().in_flight
            for name in (self.queue.name, self.queue.settings.dead_letter_queue)
        )


def test_late_runs_are_skipped_and_those_in_time_run(caplog) -> None:
    """The limit itself is in time; a line tells which run it was and by how much it missed."""
    laptop = Laptop()
    ticks(laptop.queue, laptop.task, laptop.session, 1500, 601, 600, 0)

    with caplog.at_level(logging.WARNING, logger="sqs_tasks"):
        result = drain(laptop.queue)

    assert (result.succeeded, result.skipped, result.failed) == (2, 2, 0)
    assert repr(result) == "DrainResult(succeeded=2, failed=0, skipped=2)"
    assert laptop.left() == 0
    assert [ended for _, ended in laptop.ended] == ["Skipped", "Skipped", "Succeeded", "Succeeded"]
    record = next(one for one in caplog.records if one.action == "job_skipped")
    assert record.getMessage() == ("job refresh skipped: it came 1500 s after its time, more than late_seconds=600")
    assert record.job_id == laptop.ended[0][0]


def test_waiting_in_the_queue_makes_a_run_late() -> None:
    """The workers were away for an hour: of four runs the last is left."""
    laptop = Laptop()
    for _ in range(4):
        laptop.session.advance(900)
        ticks(laptop.queue, laptop.task, laptop.session, 0)
    laptop.session.advance(60)

    assert [type(outcome).__name__ for _, outcome in drain(laptop.queue).runs] == ["Skipped"] * 3 + ["Succeeded"]


def test_without_late_seconds_whatever_comes_runs() -> None:
    """Also a run of yesterday; and other jobs of the task have no time to miss."""
    laptop = Laptop(schedule=Schedule(Every(minutes=15)))
    ticks(laptop.queue, laptop.task, laptop.session, 86_400)
    laptop.task.delay()
    late = Laptop()
    late.task.delay()
    late.session.advance(86_400)

    assert drain(laptop.queue).succeeded == 2
    assert drain(late.queue).succeeded == 1


def test_each_schedule_of_a_task_has_its_own_limit() -> None:
    """The one whose name the job id has."""
    laptop = Laptop()
    laptop.task.schedule("slow", Cron("0 2 * * ? *"), late_seconds=3600)
    hour_ago = datetime.fromtimestamp(laptop.session.clock.now(), UTC) - timedelta(seconds=3000)
    for schedule in laptop.task.schedules.values():
        laptop.queue.outbox.send(schedule.message_at(hour_ago))

    drain(laptop.queue)

    assert [(job_id.partition("@")[0], ended) for job_id, ended in laptop.ended] == [
        ("reports.refresh", "Skipped"),
        ("reports.refresh.slow", "Succeeded"),
    ]


def test_run_that_began_in_time_is_tried_again_however_late() -> None:
    """A failure must not vanish as a run that came too late."""
    laptop = Laptop(max_attempts=2)
    laptop.fails = True
    ticks(laptop.queue, laptop.task, laptop.session, 0)
    drain(laptop.queue, raise_errors=False)
    laptop.session.advance(3600)
    drain(laptop.queue, raise_errors=False)

    assert laptop.ran == ["refresh"] * 2
    assert [ended for _, ended in laptop.ended] == ["Retried", "Rejected"]


def test_unreadable_time_is_in_time() -> None:
    """Nobody can say that it is late."""
    laptop = Laptop()
    laptop.task.options(message_attributes={"ScheduledFor": "soon"}).delay()
    laptop.task.options(message_attributes={"ScheduledFor": "2020-01-01T00:00:00Z"}).delay()

    assert drain(laptop.queue).succeeded == 2, "neither has the id of a schedule's run"


def test_batch_processor_gets_the_runs_that_are_in_time() -> None:
    """The late one is left out of its list."""
    laptop, seen = Laptop(), []
    task = laptop.queue.batch_processor("many", schedule=LATE)(lambda jobs: seen.append(len(jobs)))
    ticks(laptop.queue, task, laptop.session, 0, 700, 1)

    assert drain(laptop.queue).skipped == 1
    assert seen == [2]


def test_skipped_run_does_not_hold_up_its_group() -> None:
    """On a FIFO queue the next of the group runs."""
    laptop = Laptop("reports.fifo")
    ticks(laptop.queue, laptop.task, laptop.session, 700, 0)

    drain(laptop.queue)

    assert [ended for _, ended in laptop.ended] == ["Skipped", "Succeeded"]


@pytest.mark.parametrize("concurrency", [1, 2])
def test_container_worker_deletes_and_counts_them(concurrency) -> None:
    """By name, and without a duration: nothing ran."""
    laptop, metrics = Laptop(), Metrics()
    ticks(laptop.queue, laptop.task, laptop.session, 700, 0)
    consumer = Consumer([laptop.queue], concurrency=concurrency, metrics=metrics)
    laptop.env.post_task(lambda _job, _outcome: len(laptop.ended) == 2 and consumer.stopping.request("done"))

    consumer.run()

    labels = {"queue": "reports", "task": "refresh"}
    assert metrics.value("sqs_tasks_jobs_total", **labels, outcome="skipped") == 1
    assert metrics.value("sqs_tasks_jobs_total", **labels, outcome="succeeded") == 1
    assert 'sqs_tasks_job_seconds_count{queue="reports",task="refresh"} 1' in metrics.render()
    assert laptop.left() == 0


def test_lambda_reports_them_as_done() -> None:
    """Not listed in the answer, so that nothing comes back; no dead letter, and a metric of its own."""
    metric_name = pytest.importorskip("sqs_tasks.integrations.powertools.job_metrics").metric_name
    app = LambdaApp()
    task = app.queue.processor("refresh", schedule=LATE)(lambda: None)
    app.deploy()
    ticks(app.queue, task, app.session, 700, 0)

    assert sorted(app.drain()) == ["Skipped", "Succeeded"]
    assert (app.left(), app.dead_letters()) == (0, [])
    skipped = next(report for report in app.reports if isinstance(report.outcome, Skipped))
    assert (metric_name(skipped), skipped.task_name, skipped.duration_seconds) == ("JobsSkipped", "refresh", None)
