"""When schedules fire: each slot once, in order, whatever the clock does."""

from __future__ import annotations

import json
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqs_tasks.local import clock as clocks
from sqs_tasks.local.clock import ManualClock, SystemClock
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.local.model.account import Caller
from sqs_tasks.local.model.service import Service
from sqs_tasks.local.scheduler.service import SchedulerService
from sqs_tasks.scheduling.expressions import parse_expression, runs

CALLER = Caller("")
ROLE = "arn:aws:iam::000000000000:role/x"
START = datetime(2030, 3, 30, 22, 0, tzinfo=UTC)  # the night of a change of clocks


class Desk:
    """A session with a queue, and short words for schedules that send to it."""

    def __init__(self, session: MemorySession) -> None:
        self.session = session
        self.scheduler = session.client("scheduler")
        self.sqs = session.client("sqs")
        self.url = self.sqs.create_queue(QueueName="q", Attributes={"MessageRetentionPeriod": "1209600"})["QueueUrl"]

    def create(self, name: str, expression: str, body: str = "<aws.scheduler.scheduled-time>", **params: Any) -> None:
        text = json.dumps({"QueueUrl": self.url, "MessageBody": body})
        target = {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "RoleArn": ROLE, "Input": text}
        request = {"FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target, **params}
        self.scheduler.create_schedule(Name=name, ScheduleExpression=expression, **request)

    def bodies(self) -> list[str]:
        found = []
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                found.append(message["Body"])
        return found


def slot(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


EXPRESSIONS = st.sampled_from(
    [
        "rate(1 minute)",
        "rate(7 minutes)",
        "rate(2 hours)",
        "cron(*/13 * * * ? *)",
        "cron(30 1-3 * * ? *)",
        "cron(0 0 ? * SUN *)",
        "at(2030-03-31T03:30:00)",
        "at(2030-03-31T02:30:00)",
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(EXPRESSIONS, min_size=1, max_size=4),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    st.lists(st.integers(1, 9_000), min_size=1, max_size=8),
    st.none() | st.integers(60, 20_000),
)
def test_each_slot_fires_once_and_in_order(
    expressions: list[str], timezone: str, steps: list[int], ends_after: int | None
) -> None:
    """As many small steps or one big one: exactly the runs that the expressions have, by their exact moments."""
    end = None if ends_after is None else START + timedelta(seconds=ends_after)
    desk = Desk(MemorySession(ManualClock(START.timestamp())))
    dates = {} if end is None else {"EndDate": end}
    for number, expression in enumerate(expressions):
        desk.create(f"s{number}", expression, ScheduleExpressionTimezone=timezone, **dates)

    for step in steps:
        desk.session.advance(step)

    now = START + timedelta(seconds=sum(steps))
    expected: list[datetime] = []
    for text in expressions:
        expression = parse_expression(text, timezone)
        begin = START if text.startswith("rate") else None
        last = None if text.startswith("at") else end
        for run in runs(expression, START - timedelta(seconds=begin is not None), start=begin, end=last):
            if run > now:
                break
            expected.append(run)
    assert desk.bodies() == [slot(run) for run in sorted(expected)]


def test_ten_thousand_one_shot_schedules_a_tenth_cancelled() -> None:
    """None is lost, none is early, each fires once and is gone afterwards."""
    desk = Desk(MemorySession(ManualClock(START.timestamp())))
    moments = {f"job-{number}": START + timedelta(seconds=901 + number * 37 % 86_400) for number in range(10_000)}
    for name, moment in moments.items():
        body = f"{name} <aws.scheduler.scheduled-time>"
        desk.create(name, f"at({moment:%Y-%m-%dT%H:%M:%S})", body, ActionAfterCompletion="DELETE")
    for number in range(0, 10_000, 10):
        desk.scheduler.delete_schedule(Name=f"job-{number}")
        del moments[f"job-{number}"]

    early: list[str] = []
    arrived: Counter[str] = Counter()
    for _ in range(25):
        desk.session.advance(3_600)
        now = slot(datetime.fromtimestamp(desk.session.clock.now(), UTC))
        for body in desk.bodies():
            name, when = body.split()
            arrived[name] += 1
            assert when == slot(moments[name])
            early += [name] if when > now else []

    assert early == []
    assert arrived == Counter(dict.fromkeys(moments, 1))
    assert desk.scheduler.list_schedules()["Schedules"] == []


def test_a_clock_that_is_moved_past_many_slots_at_once_fires_them_all() -> None:
    """Also when it is moved behind the session's back."""
    clock = ManualClock(START.timestamp())
    desk = Desk(MemorySession(clock))
    desk.create("s", "rate(1 minute)")

    clock.advance(600)

    assert desk.bodies() == [slot(START + timedelta(minutes=minutes)) for minutes in range(11)]


class Laptop:
    """A wall clock and a monotonic clock that part while the machine sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.monotonic = START.timestamp(), 1_000.0
        monkeypatch.setattr(clocks.time, "time", lambda: self.wall)
        monkeypatch.setattr(clocks.time, "monotonic", lambda: self.monotonic)
        self.service = Service(SystemClock())
        self.scheduler = SchedulerService(self.service)
        self.service.call("CreateQueue", {"QueueName": "q"}, CALLER)

    def work(self, seconds: float) -> None:
        """Let time pass, with a look at whatever is due as a server has."""
        ends_at = self.monotonic + seconds
        while (moment := self.service.next_moment()) is not None and moment - START.timestamp() + 1_000 <= ends_at:
            self._pass(max(0.0, moment - START.timestamp() + 1_000 - self.monotonic))
            self.service.run_due()
        self._pass(ends_at - self.monotonic)

    def sleep(self, seconds: float) -> None:
        """The wall clock goes on alone."""
        self.wall += seconds

    def bodies(self) -> list[str]:
        params = {"QueueUrl": "/q", "MaxNumberOfMessages": 10}
        answer = self.service.call("ReceiveMessage", params, CALLER)
        assert isinstance(answer, dict)
        for message in answer.get("Messages", []):
            self.service.call("DeleteMessage", {"QueueUrl": "/q", "ReceiptHandle": message["ReceiptHandle"]}, CALLER)
        return [message["Body"] for message in answer.get("Messages", [])]

    def _pass(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


def test_a_laptop_that_sleeps_fires_by_the_calendar(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Soon after it wakes up, and the last of several missed slots alone; the others are in the log."""
    laptop = Laptop(monkeypatch)
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
        "RoleArn": ROLE,
        "Input": json.dumps({"QueueUrl": "/q", "MessageBody": "<aws.scheduler.scheduled-time>"}),
    }
    for name, expression in (("hourly", "cron(0 * * * ? *)"), ("morning", "cron(0 7 * * ? *)")):
        request = {"ScheduleExpression": expression, "Target": target, "FlexibleTimeWindow": {"Mode": "OFF"}}
        laptop.scheduler.call("CreateSchedule", {"Name": name, **request}, "us-east-1")

    laptop.work(3_600)
    awake = laptop.bodies()
    laptop.sleep(8 * 3_600 + 1_800)
    with caplog.at_level(logging.WARNING, logger="sqs_tasks.local"):
        laptop.work(60)
    woken = laptop.bodies()
    laptop.work(1_800)

    assert awake == [slot(START + timedelta(hours=1))]
    assert sorted(woken) == [slot(START + timedelta(hours=9)), slot(START + timedelta(hours=9))]
    assert "7 runs were skipped" in caplog.text
    assert laptop.bodies() == [slot(START + timedelta(hours=10))]
