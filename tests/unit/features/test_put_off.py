"""Jobs that are put off, seen from outside: queues of Celery, attempts, and functions that feed themselves."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sqs_tasks import MemorySession, Postpone, SQSEnv, readers
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.function.function import InvokeRequest, InvokeResult
from sqs_tasks.local.function.in_process import InProcessFunction
from sqs_tasks.testing import drain, in_memory
from tests.support.lambda_app import LambdaApp

HOUR = 3_600


def celery_body(order: int, eta: datetime) -> str:
    """A message as Celery's protocol 2 writes it."""
    inner = json.dumps([[order], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    headers = {"lang": "py", "task": "shop.remind", "id": f"id-{order}", "eta": eta.isoformat(), "retries": 0}
    message = {
        "body": b64encode(inner.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {"body_encoding": "base64", "delivery_tag": f"tag-{order}"},
    }
    return b64encode(json.dumps(message).encode()).decode()


@pytest.mark.parametrize(("max_receive_count", "dues"), [(None, [20, 61, 720]), (3, [20, 61, 720]), (1, [20, 61])])
def test_celery_jobs_days_ahead_run_when_they_are_due(max_receive_count: int | None, dues: list[int]) -> None:
    """celery#2268, notifications-api#4228: after 20 and 61 hours and a month, whatever the queue allows, once each.

    With one receive allowed no message can be hidden, and SQS delays each of the copies for 15 minutes.
    """
    ran: list[tuple[int, float, int]] = []
    env = SQSEnv(MemorySession(clock=ManualClock(1_800_000_000)), region_name="eu-west-1")
    old = env.queue("old", readers=[readers.celery], max_receive_count=max_receive_count)

    @old.processor("shop.remind", max_attempts=max_receive_count or 3)
    def remind(order: int) -> None:
        ran.append((order, (session.clock.now() - start) / HOUR, attempts[-1]))

    attempts: list[int] = []
    env.pre_task(lambda job: attempts.append(job.attempt))
    with in_memory(env) as session:
        start = session.clock.now()
        for hours in dues:
            eta = datetime.fromtimestamp(start, UTC) + timedelta(hours=hours)
            env.client().send_message(QueueUrl=old.queue_url, MessageBody=celery_body(hours, eta))
        drain(old, wait=True)
        letters = env.client().get_queue_attributes(QueueUrl=env.get_queue_url("old_dead"), AttributeNames=["All"])

    assert [order for order, _, _ in ran] == dues
    assert all(0 <= after - order < 1 / 60 for order, after, _ in ran)
    assert {attempt for _, _, attempt in ran} == {1}
    assert letters["Attributes"]["ApproximateNumberOfMessages"] == "0"


def test_middleware_that_puts_a_job_off_uses_no_attempt_up() -> None:
    """A lock that is held twice leaves all three attempts, and to drain it is no error."""
    held: list[int] = []
    runs: list[int] = []

    def busy_twice(_job: Any, call_next: Callable[[], Any]) -> Any:
        held.append(1)
        if len(held) <= 2:
            raise Postpone(30, "the job is at work elsewhere")
        return call_next()

    env = SQSEnv(middleware=[busy_twice])
    queue = env.queue("q", max_receive_count=20)

    @queue.processor("t", max_attempts=3)
    def t() -> None:
        runs.append(1)
        raise OSError("api down")

    with in_memory(env):
        t.delay()
        assert drain(queue).postponed == 1
        drain(queue, wait=True, raise_errors=False)

    assert len(runs) == 3


def test_a_job_that_puts_itself_off_for_no_time_ends_a_drain() -> None:
    """It is one second at least, so that a drain without a moved clock has an end, and so has one with it."""
    env = SQSEnv()
    queue = env.queue("q")

    @queue.processor("t")
    def t() -> None:
        raise Postpone(0)

    with in_memory(env):
        t.delay()
        assert drain(queue).postponed == 1
        with pytest.raises(AssertionError, match="after 20 runs"):
            drain(queue, wait=True, max_jobs=20)


class Traced:
    """A function in this process whose SDK knows its chain of requests, as the runtime client of Lambda tells it."""

    def __init__(self, inner: InProcessFunction, monkeypatch: pytest.MonkeyPatch) -> None:
        self._inner = inner
        self._monkeypatch = monkeypatch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def invoke(self, request: InvokeRequest) -> InvokeResult:
        with self._monkeypatch.context() as patch:
            patch.setenv("_X_AMZN_TRACE_ID", request.trace_header)
            return self._inner.invoke(request)


@pytest.mark.parametrize(
    ("declared", "allowed", "rounds", "stopped"),
    [
        pytest.param(True, True, 21, 0, id="as the stack has it"),
        pytest.param(True, False, 16, 1, id="a function that may not feed itself"),
        pytest.param(False, False, 21, 0, id="undeclared: by visibility in the end"),
    ],
)
def test_lambda_counts_copies_as_rounds(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    declared: bool,
    allowed: bool,
    rounds: int,
    stopped: int,
) -> None:
    """The simulator ends a chain of sixteen where Lambda would; what the stack allows, and what is undeclared, runs."""
    app, runs = LambdaApp(max_receive_count=20), []

    @app.queue.processor("work", postpones=declared)
    def work() -> None:
        runs.append(1)
        if len(runs) < 21:
            raise Postpone(5)

    app.deploy()
    function = Traced(InProcessFunction(app.handler), monkeypatch)
    app.source = EventSourceMapping(
        app.client, app.queue.queue_url, function, clock=app.session.clock, seed=1, allow_recursive_loop=allowed
    )
    work.delay()
    with caplog.at_level(logging.WARNING):
        for _ in range(25):
            app.drain()
            app.advance(6)

    assert len(runs) == rounds
    assert app.source.statistics.recursive >= stopped
    assert bool(app.source.statistics.recursive) is bool(stopped)
    assert ("recursion: message" in caplog.text) is bool(stopped)
    assert ("register its task with postpones=True" in caplog.text) is not declared
    assert app.left() == stopped
    assert app.dead_letters() == []
