"""Schedules in tests: a clock that is moved runs them, in order, each run once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sqs_tasks import At, Cron, Every, Schedule, SQSEnv
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.testing import drain, in_memory

BERLIN = ZoneInfo("Europe/Berlin")


class App:
    """An environment whose runs are noted by id."""

    def __init__(self, name: str = "reports") -> None:
        self.env = SQSEnv(queue_prefix="t-")
        self.queue = self.env.queue(name)
        self.ids: list[str] = []
        self.env.pre_task(lambda job: self.ids.append(job.job_id))

    def task(self, name: str, schedule) -> None:
        """Register a task with a schedule."""
        self.queue.processor(name, schedule=schedule)(lambda: None)


@pytest.mark.parametrize("name", ["reports", "reports.fifo"])
def test_moved_clock_runs_what_becomes_due_in_order(name) -> None:
    """Through a change of clocks, with two schedules and one that is off."""
    app = App(name)
    app.task("nightly", Cron("30 2 * * ? *", timezone="Europe/Berlin"))
    app.task("noon", Cron("0 12 * * ? *", timezone="Europe/Berlin"))
    app.task("off", Schedule(Every(hours=1), enabled=False))
    start = datetime(2026, 3, 28, 12, 30, tzinfo=BERLIN)

    with in_memory(app.env, clock=ManualClock(start.timestamp())) as session:
        session.advance(2 * 86_400)
        drain(app.queue)

    assert app.ids == [
        f"{name}.noon@2026-03-29T10:00:00Z",
        f"{name}.nightly@2026-03-30T00:30:00Z",
        f"{name}.noon@2026-03-30T10:00:00Z",
    ]


def test_clock_that_stands_still_runs_nothing() -> None:
    """A test of something else finds no jobs that it did not send; a rate runs first after one period."""
    app = App()
    app.task("often", Every(minutes=15))

    with in_memory(app.env) as session:
        drain(app.queue)
        assert app.ids == []
        session.advance(899)
        drain(app.queue)
        assert app.ids == []
        session.advance(1)
        drain(app.queue)
        assert len(app.ids) == 1


def test_a_rate_keeps_the_step_of_its_start_and_ends() -> None:
    """A start that has passed counts on."""
    app = App()
    now = datetime(2026, 5, 2, 12, 10, tzinfo=UTC)
    app.task(
        "hourly", Schedule(Every(hours=1), start=now - timedelta(days=1, minutes=10), end=now + timedelta(hours=3))
    )
    app.task("once", At(now + timedelta(minutes=5)))

    with in_memory(app.env, clock=ManualClock(now.timestamp())) as session:
        session.advance(86_400)
        drain(app.queue)

    assert [job_id.partition("@")[2][11:16] for job_id in app.ids] == ["12:15", "13:00", "14:00", "15:00"]


def test_schedules_can_be_left_out() -> None:
    """For a test that moves the clock for another reason."""
    app = App()
    app.task("often", Every(minutes=1))

    with in_memory(app.env, schedules=False) as session:
        session.advance(86_400)
        drain(app.queue)

    assert app.ids == []


def test_late_runs_are_skipped_when_nobody_drained_for_long() -> None:
    """As after an outage of the workers."""
    app = App()
    app.task("often", Schedule(Every(minutes=15), late_seconds=600))

    with in_memory(app.env) as session:
        session.advance(3600 + 60)
        result = drain(app.queue)

    assert (result.succeeded, result.skipped) == (1, 3)
