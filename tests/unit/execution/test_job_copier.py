"""Jobs that go on by copies: attempts are attempts, and nothing that was not run is dead-lettered without a reason."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sqs_tasks import (
    AsyncTask,
    ConstantBackoff,
    DeadLetterQueue,
    JobQueue,
    MemorySession,
    Postpone,
    RawQueue,
    Retry,
    SQSEnv,
    current_job,
)
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.backoff_policies import BackoffPolicy
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.execution.job_copier import MOST_ROUNDS
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.message import from_sqs
from sqs_tasks.outcome import ChangeVisibility, Delete, NotStarted, Postponed, Skipped, Succeeded, UnknownTask
from sqs_tasks.testing import drain, eager, in_memory, lambda_context, lambda_event
from tests.support.lambda_app import LambdaApp
from tests.support.lambda_events import FakeContext
from tests.support.scripted_client import ScriptedClient, raising

HOUR = 3600


class Desk:
    """A queue in memory whose calls are counted, and what its task saw."""

    def __init__(self, session: MemorySession, env: SQSEnv, client: ScriptedClient) -> None:
        self.session = session
        self.env = env
        self.sqs = client
        self.seen: list[tuple[int, float]] = []

    def note(self) -> int:
        """Note an attempt with its time, in seconds since the start; the attempt."""
        job = current_job()
        assert job is not None
        self.seen.append((job.attempt, self.now() - self.started))
        return job.attempt

    def now(self) -> float:
        return self.session.clock.now()

    def open(self) -> None:
        self.env.create_queues()
        self.started = self.now()
        self.sqs.counts.clear()
        self.sqs.calls.clear()

    def letters(self, name: str = "jobs_dead") -> list[dict[str, Any]]:
        """The message attributes of the dead letters."""
        answer = self.session.client("sqs").receive_message(
            QueueUrl=self.env.get_queue_url(name),
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            VisibilityTimeout=0,
        )
        return [
            {name: one["StringValue"] for name, one in raw.get("MessageAttributes", {}).items()}
            for raw in answer.get("Messages", [])
        ]

    def refuse_sends(self) -> None:
        """From now on SQS accepts nothing in the queue itself; dead letters go through."""
        denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SendMessage")

        def refuse(request: dict[str, Any]) -> None:
            if "_dead" not in request["QueueUrl"]:
                raise denied

        self.sqs.script("send_message", *[refuse] * 50)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """An environment on queues in memory."""
    session = MemorySession(ManualClock())
    env = SQSEnv(backoff_policy=ConstantBackoff(10))
    client, scripted = session.client("sqs"), ScriptedClient(session.client("sqs"))
    for method in ("send_message", "receive_message", "delete_message_batch", "change_message_visibility_batch"):
        monkeypatch.setattr(client, method, getattr(scripted, method), raising=False)
    with env.connected_to(client):
        yield Desk(session, env, scripted)


def flaky(
    desk: Desk, does: Callable[[int], None], *, queue: str = "jobs", options: dict[str, Any] | None = None, **task: Any
) -> tuple[JobQueue, AsyncTask[[], None]]:
    """A queue with one task that notes each attempt and then does something."""
    jobs = desk.env.queue(queue, **(options or {}))

    @jobs.processor("work", **task)
    def work() -> None:
        does(desk.note())

    desk.open()
    return jobs, work


def raise_postpone(times: int, seconds: float = 60) -> Callable[[int], None]:
    """Something that is put off so many times, and then succeeds."""
    left = [times]

    def does(_attempt: int) -> None:
        if left[0]:
            left[0] -= 1
            raise Postpone(seconds)

    return does


def test_a_job_can_be_put_off_more_often_than_its_queue_delivers(desk: Desk) -> None:
    """Thirty times with five receives allowed: each time it is the first attempt, and it costs two requests."""
    jobs, work = flaky(desk, raise_postpone(30), options={"max_receive_count": 5}, max_attempts=3)
    receipt = work.delay()
    desk.sqs.counts.clear()
    result = drain(jobs, wait=True)

    assert [attempt for attempt, _ in desk.seen] == [1] * 31
    assert desk.seen[-1][1] == pytest.approx(30 * 60, abs=31)
    assert (result.succeeded, result.postponed, result.failed) == (1, 30, 0)
    assert result.runs[-1][0].job_id == receipt.job_id
    assert (desk.sqs.counts["send_message"], desk.sqs.counts["delete_message_batch"]) == (30, 31)
    assert desk.sqs.counts["change_message_visibility_batch"] == 0
    assert desk.letters() == []


def test_a_put_off_is_one_line_and_no_failure(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """With its delay and its reason, without a traceback."""
    caplog.set_level(logging.INFO, "sqs_tasks")

    def does(_: int) -> None:
        raise Postpone(0.2, "the lock is held")

    jobs, work = flaky(desk, does)
    work.delay()
    drain(jobs)

    (record,) = [one for one in caplog.records if getattr(one, "action", "") == "job_postponed"]
    assert record.getMessage() == "job work put off for 1 s: the lock is held"
    assert record.exc_info is None
    assert [one.levelname for one in caplog.records if one.levelno > logging.INFO] == []


def test_a_moment_days_ahead_is_kept_to_the_second(desk: Desk) -> None:
    """Neither early nor late by a Postpone(after=...), and with few requests: SQS hides for 12 hours at most."""
    due = datetime.fromtimestamp(desk.now(), UTC) + timedelta(days=3)
    asked = [Postpone(after=due)]

    def does(_: int) -> None:
        if asked:
            raise asked.pop()

    jobs, work = flaky(desk, does, options={"max_receive_count": 3})
    work.delay()
    drain(jobs, wait=True)

    assert [attempt for attempt, _ in desk.seen] == [1, 1]
    assert desk.seen[1][1] == pytest.approx(3 * 24 * HOUR, abs=2)
    assert desk.sqs.counts["send_message"] <= 10
    assert desk.sqs.counts["change_message_visibility_batch"] <= 10


def test_a_retry_beyond_twelve_hours_is_waited_for_and_counts(desk: Desk) -> None:
    """The next attempt is the second, a week later."""

    def does(attempt: int) -> None:
        if attempt == 1:
            raise Retry(delay_seconds=7 * 24 * HOUR)

    jobs, work = flaky(desk, does, max_attempts=2)
    work.delay()
    drain(jobs, wait=True)

    assert [attempt for attempt, _ in desk.seen] == [1, 2]
    assert desk.seen[1][1] == pytest.approx(7 * 24 * HOUR, abs=2)
    assert desk.letters() == []


def test_without_max_attempts_the_queue_limits_attempts_over_all_copies(desk: Desk) -> None:
    """A job that is put off in between has no more attempts than one that is not."""

    def does(attempt: int) -> None:
        if len(desk.seen) in {2, 4, 5}:
            raise Postpone(5)
        raise ValueError(attempt)

    jobs, work = flaky(desk, does, options={"max_receive_count": 3})
    work.delay()
    drain(jobs, wait=True, raise_errors=False)

    assert [attempt for attempt, _ in desk.seen] == [1, 2, 2, 3, 3, 3]
    assert desk.letters()[0]["FailureReason"] == "3 attempts used up: ValueError: 3"


@pytest.mark.parametrize("expired", ["dead_letter", "drop"])
def test_age_counts_from_the_first_send(desk: Desk, expired: Any) -> None:
    """Being put off makes no job younger; a task may have old jobs dropped instead of kept as dead letters."""
    jobs, work = flaky(desk, raise_postpone(9, 600), max_age=1500, expired=expired)
    work.delay()
    result = drain(jobs, wait=True, raise_errors=False)

    assert len(desk.seen) == 3
    assert isinstance(result.runs[-1][1], Skipped) == (expired == "drop")
    assert len(desk.letters()) == (expired == "dead_letter")


def test_a_redrive_begins_anew(desk: Desk) -> None:
    """A letter carries nothing of the copies before it: attempts and age start again."""
    fails = [True]

    def does(attempt: int) -> None:
        if attempt == 1 and len(desk.seen) == 1:
            raise Postpone(60)
        if fails[0]:
            raise ValueError("no")

    jobs, work = flaky(desk, does, max_attempts=2)
    work.delay()
    drain(jobs, wait=True, raise_errors=False)
    assert {"Attempt", "FirstSentAt", "NotBefore"}.isdisjoint(desk.letters()[0])

    fails[0] = False
    desk.env.queue("jobs_dead", DeadLetterQueue.maker(jobs)).push_back()
    drain(jobs, wait=True)
    assert [attempt for attempt, _ in desk.seen] == [1, 1, 2, 1]


def test_without_the_right_to_send_a_job_waits_hidden_and_ends_with_a_reason(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Deliveries count then; at the last one the letter says that the job was put off."""
    jobs, work = flaky(desk, raise_postpone(99), options={"max_receive_count": 3})
    work.delay()
    desk.refuse_sends()
    drain(jobs, wait=True)

    assert [attempt for attempt, _ in desk.seen] == [1, 2, 3]
    (letter,) = desk.letters()
    assert letter["FailureReason"] == "3 receives used up, and not run: the job was put off"
    assert "a worker needs the right to send to queue jobs" in caplog.text


def test_a_copy_that_has_no_room_for_its_attributes_is_none(desk: Desk) -> None:
    """Ten attributes are all that SQS takes: the message is hidden instead, and keeps the sender's own."""
    jobs, work = flaky(desk, raise_postpone(1))
    work.options(message_attributes={f"own{n}": "x" for n in range(6)}).delay()
    drain(jobs, wait=True)

    assert [attempt for attempt, _ in desk.seen] == [1, 2]


def test_on_a_fifo_queue_a_job_keeps_its_place(desk: Desk) -> None:
    """It is hidden and its group waits; the delivery counts, and the last one has a reason."""
    order: list[str] = []
    jobs = desk.env.queue("jobs.fifo", max_receive_count=2)
    puts_off = [2]

    @jobs.processor("first")
    def first() -> None:
        order.append("first")
        if puts_off[0]:
            puts_off[0] -= 1
            raise Postpone(60, "locked")

    jobs.processor("second")(lambda: order.append("second"))
    desk.open()
    jobs.task("first").options(group_id="a").delay()
    jobs.task("second").options(group_id="a").delay()
    drain(jobs, wait=True)

    assert order == ["first", "first", "second"]
    (letter,) = desk.letters("jobs_dead.fifo")
    assert letter["FailureReason"] == "2 receives used up, and not run: locked"


def test_what_is_given_back_unrun_at_its_last_receive_goes_on(desk: Desk) -> None:
    """A worker that stops, or an invocation whose time is up, must not be what ends a job."""
    jobs, work = flaky(desk, raise_postpone(0), options={"max_receive_count": 2})
    work.delay()
    settlement = jobs.settlement()

    def received() -> Any:
        answer = desk.sqs.receive_message(
            QueueUrl=jobs.queue_url, MessageAttributeNames=["All"], AttributeNames=["All"], VisibilityTimeout=0
        )
        return from_sqs(answer["Messages"][0])

    stopping = NotStarted(reason="the worker is stopping")
    assert settlement.conclude(received(), stopping) == ChangeVisibility(0)
    last = received()
    assert settlement.conclude(last, stopping) == Delete()
    settlement.delete([last])
    drain(jobs, wait=True)
    assert [attempt for attempt, _ in desk.seen] == [2]


def test_a_task_that_stays_unknown_ends_with_a_reason(desk: Desk) -> None:
    """SQS would move it without one."""
    jobs, _ = flaky(desk, raise_postpone(0), options={"max_receive_count": 2})
    jobs.add_job("nobody")
    result = drain(jobs, wait=True, raise_errors=False)

    assert [type(outcome) for _, outcome in result.runs] == [UnknownTask, UnknownTask]
    assert desk.letters()[0]["FailureReason"] == "2 receives used up, and not run: task 'nobody' is not registered"


def test_who_dies_between_copy_and_delete_runs_the_job_twice_and_never_not(desk: Desk) -> None:
    """The original comes back when its visibility ends; both have one job id."""
    jobs, work = flaky(desk, raise_postpone(1))
    receipt = work.delay()
    lost = raising(ConnectionError("gone"))
    desk.sqs.script("delete_message_batch", *[lost] * 4)
    result = drain(jobs, wait=True)

    assert [type(outcome) for _, outcome in result.runs] == [Postponed, Succeeded, Succeeded]
    assert {message.job_id for message, _ in result.runs} == {receipt.job_id}


def test_in_lambda_the_copy_is_made_before_the_answer() -> None:
    """The message is done with for Lambda, and the copy is delayed."""
    env = SQSEnv()
    jobs = env.queue("jobs")

    @jobs.processor("work")
    async def work() -> None:
        raise Postpone(120)

    handler = SQSEventHandler(env)
    with in_memory(env) as session:
        assert handler(lambda_event(work.bake()), lambda_context()) == {"batchItemFailures": []}
        assert jobs.statistics().delayed == 1
        session.advance(120)
        assert jobs.statistics().available == 1


def test_where_jobs_run_at_once_the_sender_is_told() -> None:
    """There is no later in an eager environment."""
    env = SQSEnv()

    @env.processor("jobs", "work")
    def work() -> None:
        raise Postpone(120, "locked")

    with eager(env), pytest.raises(Postpone, match="locked"):
        work.delay()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "takes one of the two; try Postpone"),
        ({"delay_seconds": 1, "after": datetime.now(UTC)}, "takes one of the two; try Postpone"),
        ({"after": datetime(2026, 12, 1)}, "must be a timezone-aware datetime; try datetime.now"),
        ({"delay_seconds": -1}, "must be a number of seconds, 0 or more; try 1"),
    ],
)
def test_a_postpone_that_cannot_be_is_refused(options: dict[str, Any], text: str) -> None:
    """Where it is raised, with what to write instead."""
    with pytest.raises(ConfigurationError, match=text):
        Postpone(**options)


def test_backoffs_go_by_the_attempt_and_may_take_days(desk: Desk) -> None:
    """A copy begins with no receives, and the policy is asked for the attempt all the same; its answer is kept."""
    asked: list[int] = []

    class Days(BackoffPolicy):
        def delay_seconds(self, attempt: int) -> float:
            asked.append(attempt)
            return attempt * 24 * HOUR

    steps = iter(["fail", "later", "fail", "fail"])
    jobs = desk.env.queue("jobs", max_receive_count=5)

    @jobs.processor("work", max_attempts=3, backoff_policy=Days())
    def work() -> None:
        desk.note()
        if next(steps) == "later":
            raise Postpone(60)
        raise ValueError

    desk.open()
    work.delay()
    drain(jobs, wait=True, raise_errors=False)

    assert asked == [1, 2, 3]
    assert [round(moment / HOUR) for _, moment in desk.seen] == [0, 24, 24, 72]
    assert [letter["FailureAttempts"] for letter in desk.letters()] == ["3"]


@pytest.mark.parametrize("wait", [Postpone(float("inf")), Retry(delay_seconds=float("inf"))])
def test_a_wait_without_end_is_a_long_one(desk: Desk, wait: Exception) -> None:
    """It is no error in the worker, and the job is kept."""

    def raise_it(_attempt: int) -> None:
        raise wait

    jobs, work = flaky(desk, raise_it)
    work.delay()
    drain(jobs)

    (copy,) = [one for one in desk.sqs.requests("send_message") if "NotBefore" in one["MessageAttributes"]]
    assert datetime.fromisoformat(copy["MessageAttributes"]["NotBefore"]["StringValue"]).year > 2050


def test_raw_messages_wait_as_long_and_keep_their_id(desk: Desk) -> None:
    """Others' messages have no JobId, and must not get one; jobs of sqs-workers neither, whose tags are no tags."""
    ids: list[tuple[str, Any]] = []
    raw, jobs = desk.env.queue("raw", RawQueue), desk.env.queue("jobs")
    desk.env.pre_task(lambda job: ids.append((job.job_id, job.kwargs.get("at"))))

    @raw.raw_processor()
    def take(_message: Any) -> None:
        desk.note()
        if len(ids) < 3:
            raise Postpone(2 * HOUR)

    @jobs.processor("work")
    def work(at: dict[str, str]) -> None:
        if len(ids) < 6:
            raise Postpone(2 * HOUR)

    desk.open()
    first = raw.add_raw_job("anything")
    drain(raw, wait=True)
    second = desk.sqs.send_message(
        QueueUrl=jobs.queue_url,
        MessageBody='{"at": {"$date": "2026-05-01"}}',
        MessageAttributes={"JobName": {"DataType": "String", "StringValue": "work"}},
    )
    drain(jobs, wait=True)

    assert [round(moment / HOUR) for _, moment in desk.seen] == [0, 2, 4]
    assert ids == [(str(first), None)] * 3 + [(second["MessageId"], {"$date": "2026-05-01"})] * 3


def test_what_a_sender_says_of_attempts_is_its_own(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """It is not read as ours, it is kept, and a job that has it is hidden instead of copied."""
    jobs, work = flaky(desk, raise_postpone(1))
    work.options(message_attributes={"Attempt": "7", "NotBefore": "2099-01-01"}).delay()
    with caplog.at_level(logging.WARNING):
        drain(jobs, wait=True)

    assert [attempt for attempt, _ in desk.seen] == [1, 2]
    assert "its sender has set an attribute 'Attempt' of its own" in caplog.text


@pytest.mark.parametrize("value", ["x" * 5_000, "9" * 5_000, "-1", ""])
def test_nonsense_of_our_own_kind_does_no_harm(value: str) -> None:
    """Whatever somebody writes into the attributes of a copy, its job runs and is counted from one."""
    given = {name: {"DataType": "String.sqs_tasks", "StringValue": value} for name in ("Attempt", "FirstSentAt")}
    message = from_sqs({"MessageId": "m", "ReceiptHandle": "h", "MessageAttributes": given})

    assert (message.attempt, message.first_sent_at, message.first_message_id) == (1, None, "m")


def test_a_copy_that_the_queue_would_refuse_is_not_sent(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The queue's own size limit counts, with the attributes of the copy; the warning says how much there would be."""
    jobs = desk.env.queue("jobs", max_message_bytes=1024)

    @jobs.processor("work")
    def work(text: str) -> None:
        if desk.note() == 1:
            raise Postpone(1)

    desk.open()
    work.delay("x" * 850)
    with caplog.at_level(logging.WARNING):
        drain(jobs, wait=True)

    assert [attempt for attempt, _ in desk.seen] == [1, 2]
    assert desk.sqs.counts["send_message"] == 1
    assert "and its queue takes 10 and 1024" in caplog.text


def test_a_copy_in_lambda_counts_as_a_round_of_its_chain(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own trace goes on with the rounds of the invocation; where no loop is meant it stops before Lambda ends it."""
    chain = ";Parent=1;Sampled=0;Lineage=0a1b2c3d:{}|ffffffff:2"
    sent: dict[tuple[bool, int], str | None] = {}
    for declared in (False, True):
        jobs = desk.env.queue(f"jobs{declared}")

        @jobs.processor("work", postpones=declared)
        def work() -> None:
            raise Postpone(600)

        desk.env.create_queues()
        for rounds in (MOST_ROUNDS - 1, MOST_ROUNDS):
            work.delay()
            desk.sqs.calls.clear()
            monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root=1-5759e988-bd862e3fe1be46a994272793{chain.format(rounds)}")
            with caplog.at_level(logging.WARNING):
                drain(jobs)
            monkeypatch.delenv("_X_AMZN_TRACE_ID")
            copies = desk.sqs.requests("send_message")
            sent[declared, rounds] = (
                copies[0]["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"] if copies else None
            )

    assert sent[False, MOST_ROUNDS] is None
    assert all(sent[key].endswith(f"Lineage=0a1b2c3d:{key[1]}|ffffffff:2") for key in sent if sent[key] is not None)
    assert sum(one is not None for one in sent.values()) == 3
    assert "register its task with postpones=True" in caplog.text


def test_on_a_fifo_queue_a_registration_says_what_it_costs(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A warning where it may go well, an error where no job could be put off, nothing where nothing is lost."""
    with caplog.at_level(logging.WARNING):
        desk.env.queue("kept.fifo", dead_letter_queue=None).processor("work", postpones=True)(print)
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        desk.env.queue("some.fifo", max_receive_count=9).processor("work", postpones=True)(print)
    assert "is a delivery, and after max_receive_count=9 it is dead-lettered" in caplog.text
    with pytest.raises(ConfigurationError, match="postpones=True with max_receive_count=1"):
        desk.env.queue("none.fifo", max_receive_count=1).processor("work", postpones=True)(print)


def test_sqs_that_hangs_over_a_copy_does_not_cost_the_answer() -> None:
    """Lambda gets its answer in time, and the message stays in its queue."""
    app = LambdaApp()

    @app.queue.processor("work")
    def work() -> None:
        raise Postpone(60)

    app.deploy()
    work.delay()
    (record,) = lambda_event(app.queue)["Records"]
    app.client.script("send_message", lambda _: time.sleep(30))
    started = time.monotonic()
    answer = app.handler({"Records": [record]}, FakeContext(seconds=1))

    assert answer == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("limit", [3, 8])
def test_a_limit_that_nobody_registered_is_asked_for_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """A queue that was made elsewhere: its own limit counts, and the last receive has a reason there, too."""
    jobs = desk.env.queue("jobs.fifo")
    runs: list[str] = []

    @jobs.processor("work")
    def work() -> None:
        runs.append("work")
        raise Postpone(10, "the shop is closed")

    desk.open()
    url = desk.env.get_queue_url("jobs_dead.fifo")
    arn = desk.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": limit})
    desk.sqs.set_queue_attributes(QueueUrl=jobs.queue_url, Attributes={"RedrivePolicy": policy})
    work.delay()
    settlement, client, asked = jobs.settlement(), desk.env.client(), []
    ask = client.get_queue_attributes
    monkeypatch.setattr(client, "get_queue_attributes", lambda **it: asked.append(it) or ask(**it), raising=False)
    for _ in range(limit + 1):
        for message in jobs.get_raw_messages():
            outcome = jobs.executor(now=desk.now).execute(message)
            verdict = settlement.conclude(message, outcome)
            if isinstance(verdict, ChangeVisibility):
                settlement.change_visibility([(message, verdict.seconds)])
            else:
                settlement.delete([message])
        desk.session.advance(11)

    assert len(runs) == limit
    assert [letter["FailureReason"] for letter in desk.letters("jobs_dead.fifo")] == [
        f"{limit} receives used up, and not run: the shop is closed"
    ]
    assert asked == [{"QueueUrl": jobs.queue_url, "AttributeNames": ["RedrivePolicy"]}]


def test_a_receive_that_hid_a_job_until_it_is_due_is_no_attempt(desk: Desk) -> None:
    """A worker that comes back late finds the message itself in place of a copy: that is the first attempt still."""

    def does(_: int) -> None:
        if len(desk.seen) == 1:
            raise Postpone(5 * HOUR)
        raise ValueError

    jobs, work = flaky(desk, does, max_attempts=2)
    work.delay()
    drain(jobs)
    desk.session.advance(900)
    drain(jobs)  # hidden until shortly before it is due
    desk.session.advance(6 * HOUR)
    drain(jobs, wait=True, raise_errors=False)

    assert [attempt for attempt, _ in desk.seen] == [1, 1, 2]


def test_a_copy_at_its_last_attempt_takes_no_others_of_its_batch_along(desk: Desk) -> None:
    """It is called by itself, wherever its attempts were made."""
    jobs = desk.env.queue("jobs", max_receive_count=3)
    calls: list[list[int]] = []

    @jobs.batch_processor("work", batch_size=10)
    def work(items: list[dict[str, Any]]) -> list[Exception | None]:
        calls.append([one["x"] for one in items])
        if len(calls) == 3:
            return [Postpone(10)]
        raise ValueError

    desk.open()
    work.delay(x=1)
    for _ in range(3):
        drain(jobs, raise_errors=False)
        desk.session.advance(10)
    work.delay(x=2)
    drain(jobs, raise_errors=False)

    assert sorted(calls[3:]) == [[1], [2]]
    assert len(desk.letters()) == 1


def test_a_retry_that_cannot_be_copied_ends_with_its_error(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """At the last receive its dead letter says why; before, the log says that the wait is shorter than was asked."""

    def does(_: int) -> None:
        raise Retry(delay_seconds=20 * HOUR, reason="the shop is closed")

    jobs, work = flaky(desk, does, options={"max_receive_count": 2})
    work.delay()
    desk.refuse_sends()
    drain(jobs, wait=True, raise_errors=False)

    assert [letter["FailureReason"] for letter in desk.letters()] == ["2 receives used up: Retry: the shop is closed"]
    assert "hidden instead for 43200 s at most in place of 72000 s" in caplog.text


def test_on_a_fifo_queue_the_log_says_how_long_a_job_is_put_off(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Its message can be hidden for twelve hours and no longer."""
    caplog.set_level(logging.INFO, "sqs_tasks")
    jobs, work = flaky(desk, raise_postpone(1, 20 * HOUR), queue="jobs.fifo")
    work.delay()
    drain(jobs)

    assert "job work put off for 43200 s" in caplog.text


def test_time_that_is_up_is_not_spent_on_each_of_many_copies() -> None:
    """SQS hangs: the first copy is given up at the end of the invocation, and the others are not begun."""
    app = LambdaApp()

    @app.queue.processor("work")
    def work() -> None:
        raise Postpone(60)

    app.deploy()
    for _ in range(5):
        work.delay()
    records = lambda_event(app.queue)["Records"]
    for one in records:
        one["attributes"]["ApproximateReceiveCount"] = "9"
    app.client.counts.clear()
    app.client.script("send_message", *[lambda _: time.sleep(30)] * 5)
    answer = app.handler({"Records": records}, FakeContext(seconds=0.6))

    assert len(answer["batchItemFailures"]) == 5
    assert app.client.counts["send_message"] == 1


def test_a_job_outlives_the_retention_of_its_queue(desk: Desk) -> None:
    """A message that SQS would delete before its job is due is not hidden until then: copies have an age of their own."""
    jobs, work = flaky(desk, raise_postpone(1, 5 * HOUR), options={"message_retention_seconds": HOUR})
    work.delay()
    drain(jobs, wait=True)

    assert [(attempt, round(at / HOUR)) for attempt, at in desk.seen] == [(1, 0), (1, 5)]
