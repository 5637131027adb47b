"""Jobs that are due later than SQS can hold them back: made, cancelled, sent once, and never early."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from hypothesis import given, settings
from hypothesis import strategies as st

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.errors import BatchSendError, ConfigurationError, MessageTooLargeError
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.scheduling.eventbridge import Scheduler
from sqs_tasks.scheduling.one_shot import one_shot_name, one_shot_request, whole_minute
from sqs_tasks.sending import one_shots
from sqs_tasks.testing import drain, eager, in_memory
from tests.support.queues import Desk
from tests.support.scripted_client import ScriptedClient, failing, raising

SHOP = Scheduler(group="shop", role_arn="arn:aws:iam::123456789012:role/shop-scheduler")


class Office:
    """Queues in memory with a scheduler whose calls are counted and fail on demand.

    Attributes:
        scheduler: EventBridge Scheduler.
        ran: The arguments of the jobs that ran, each with the time of the clock.
    """

    def __init__(self, name: str = "emails", **options) -> None:
        self.session = MemorySession(ManualClock())
        self.scheduler = ScriptedClient(self.session.client("scheduler"))
        self.sqs = ScriptedClient(_Both(self.session.client("sqs"), self.scheduler))
        self.env = SQSEnv(sqs_client=self.sqs, **options)
        self.queue = self.env.queue(name)
        self.ran: list[tuple[object, float]] = []
        self.ids: list[str] = []
        self.env.pre_task(lambda job: self.ids.append(job.job_id))
        self.task = self.queue.processor("send")(lambda n: self.ran.append((n, self.session.clock.now())))
        self.env.create_queues()

    def made(self) -> list[dict]:
        """The requests that made schedules."""
        return self.scheduler.requests("create_schedule")

    def pass_by(self, seconds: float) -> None:
        """Let time pass, and run what has come."""
        self.session.advance(seconds)
        with self.env.connected_to(self.session.client("sqs")):
            drain(self.queue)


class _Both:
    """A client of SQS that knows the client of Scheduler beside it."""

    def __init__(self, sqs, scheduler) -> None:
        self._sqs, self._scheduler = sqs, scheduler

    def of_service(self, *, service_name):
        assert service_name == "scheduler"
        return self._scheduler

    def __getattr__(self, name):
        return getattr(self._sqs, name)


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch) -> None:
    monkeypatch.setattr(one_shots, "RETRY_SECONDS", 0)


def test_up_to_900_seconds_sqs_holds_a_job_back() -> None:
    """One request, as ever, and none of Scheduler."""
    office = Office()
    receipt = office.task.options(delay_seconds=900).delay(1)
    soon = datetime.now(UTC) + timedelta(seconds=600)
    office.task.options(run_at=soon).delay(2)

    requests = office.sqs.requests("send_message")
    assert requests[0]["DelaySeconds"] == 900
    assert 595 <= requests[1]["DelaySeconds"] <= 601
    assert office.made() == []
    assert (receipt.run_at, receipt.cancel(), receipt.message_id) == (None, False, str(receipt))


@pytest.mark.parametrize("options", [{"delay_seconds": 3600}, {"run_at": "in an hour"}])
def test_beyond_it_a_schedule_does(options) -> None:
    """It sends the job at its time, under the id that the receipt has, and is gone."""
    office = Office()
    due = datetime.fromtimestamp(office.session.clock.now(), UTC) + timedelta(hours=1)
    if "run_at" in options:
        options = {"run_at": due.astimezone(ZoneInfo("Asia/Tokyo"))}
    receipt = office.task.options(**options).delay(1)

    assert office.sqs.counts["send_message"] == 0
    assert receipt.run_at == due
    assert receipt.message_id is None
    office.pass_by(3599)
    assert office.ran == []
    office.pass_by(60)
    assert [n for n, _ in office.ran] == [1]
    assert office.ids == [receipt.job_id]
    assert office.session.client("scheduler").list_schedules()["Schedules"] == []
    assert receipt.cancel() is False, "it has been sent"


def test_moment_that_has_passed_is_now() -> None:
    """A reminder that is late is sent at once."""
    office = Office()
    office.task.options(run_at=datetime.now(UTC) - timedelta(days=1)).delay(1)

    office.pass_by(0)

    assert [n for n, _ in office.ran] == [1]
    assert office.made() == []


def test_request_is_all_that_aws_needs() -> None:
    """Group, role, dead-letter queue, deletion after completion; the token makes a second try the same."""
    office = Office()
    message = office.task.options(run_at=datetime(2090, 1, 31, 9, 0, 30, tzinfo=UTC)).bake(1).message()
    scheduler = Scheduler(
        group="shop", role_arn=SHOP.role_arn, dead_letter_arn="arn:aws:sqs:us-east-1:123456789012:undelivered"
    )

    request = one_shot_request(message, scheduler, queue_url="https://queue")

    target = request.pop("Target")
    assert request == {
        "Name": f"job-{message.job_id}",
        "GroupName": "shop",
        "ClientToken": message.job_id,
        "Description": f"Job {message.job_id} of task send on queue emails",
        "ScheduleExpression": "at(2090-01-31T09:01:00)",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
    }
    assert json.loads(target["Input"]) == {"QueueUrl": "https://queue", **message.as_request()}
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
    assert target["DeadLetterConfig"] == {"Arn": "arn:aws:sqs:us-east-1:123456789012:undelivered"}


@given(st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2090, 1, 1), timezones=st.just(UTC)))
def test_whole_minute_is_never_early_and_less_than_a_minute_late(moment) -> None:
    """Scheduler is precise to the minute, and does not say what it does with seconds."""
    assert timedelta() <= whole_minute(moment) - moment < timedelta(minutes=1)
    assert (whole_minute(moment).second, whole_minute(moment).microsecond) == (0, 0)


def test_fifo_jobs_can_be_delayed_with_their_group_and_id() -> None:
    """SQS holds back no single message there; a schedule does, also for less than 900 seconds."""
    office = Office("orders.fifo")
    office.task.options(delay_seconds=60, group_id="blue", deduplication_id="order-1").delay(1)

    (request,) = office.made()

    sent = json.loads(request["Target"]["Input"])
    assert (sent["MessageGroupId"], sent["MessageDeduplicationId"]) == ("blue", "order-1")
    assert "DelaySeconds" not in sent
    office.pass_by(59)
    assert office.ran == []
    office.pass_by(61)
    assert [n for n, _ in office.ran] == [1]


def test_job_is_cancelled_by_its_id_or_its_receipt() -> None:
    """Once; afterwards there is nothing to cancel, and it never runs."""
    office = Office()
    first, second, third = (office.task.options(delay_seconds=7200).delay(n) for n in range(3))

    assert office.env.cancel(first.job_id) is True
    assert office.env.cancel(first.job_id) is False
    assert second.cancel() is True
    assert office.env.cancel("no-such-job") is False
    office.pass_by(7300)
    assert office.ids == [third.job_id]


def test_map_makes_schedules_side_by_side_and_counts_them() -> None:
    """Hooks see each, before and after."""
    office, seen = Office(), Counter()
    office.env.pre_send(lambda message: seen.update(["before"]))
    office.env.post_send(lambda message, receipt: seen.update(["after"]))

    assert office.task.map(({"n": n} for n in range(50)), delay_seconds=3600) == 50

    assert seen == {"before": 50, "after": 50}
    office.pass_by(3660)
    assert sorted(n for n, _ in office.ran) == list(range(50))


def test_batch_holds_both_kinds() -> None:
    """What SQS takes leaves in tens; schedules are there when the block ends."""
    office = Office()
    with office.task.batch():
        later = [office.task.options(delay_seconds=3600).delay(n) for n in range(100)]
        now = [office.task.delay(n) for n in range(100, 125)]

    assert office.sqs.counts["send_message_batch"] == 3
    assert len(office.made()) == 100
    assert all(receipt.message_id is None and receipt.run_at is not None for receipt in later)
    assert all(receipt.message_id is not None and not receipt.cancel() for receipt in now)
    assert later[7].cancel() is True
    office.pass_by(3660)
    assert sorted(n for n, _ in office.ran) == [n for n in range(125) if n != 7]


def test_throttled_schedules_are_tried_again() -> None:
    """And a network that fails, and an answer that was lost: the second try of the same job finds its schedule."""
    office = Office()
    office.scheduler.script(
        "create_schedule", failing("ThrottlingException"), raising(EndpointConnectionError(endpoint_url="x"))
    )

    def lost(request):
        office.session.client("scheduler").create_schedule(**{**request, "ClientToken": "other"})
        raise ConnectionError("the answer was lost")

    office.task.options(delay_seconds=3600).delay(1)
    office.scheduler.script("create_schedule", lost)
    office.task.options(delay_seconds=3600).delay(2)

    assert office.scheduler.counts["create_schedule"] == 5
    office.pass_by(3660)
    assert sorted(n for n, _ in office.ran) == [1, 2]


@pytest.mark.parametrize("step", [failing("AccessDeniedException"), raising(NoCredentialsError())])
def test_what_aws_refuses_is_raised_at_once(step) -> None:
    """A missing right does not come by waiting, nor do credentials."""
    office = Office()
    office.scheduler.script("create_schedule", step)

    with pytest.raises(Exception, match=r"AccessDenied|credentials"):
        office.task.options(delay_seconds=3600).delay(1)
    assert office.scheduler.counts["create_schedule"] == 1


def test_what_was_not_made_is_in_the_error() -> None:
    """Of a batch and of map; the others are made."""
    office = Office()
    office.scheduler.script("create_schedule", *[failing("AccessDeniedException")] * 2)

    with pytest.raises(BatchSendError) as refused, office.task.batch():  # noqa: PT012 - the block is the subject
        for n in range(5):
            office.task.options(delay_seconds=3600).delay(n)
        office.task.delay(5)

    assert len(refused.value.unsent) == 2
    office.pass_by(3660)
    left = {json.loads(message.body)["n"] for message in refused.value.unsent}
    assert {n for n, _ in office.ran} == set(range(6)) - left

    office.scheduler.script("create_schedule", failing("AccessDeniedException"))
    with pytest.raises(BatchSendError) as refused:
        office.task.map(({"n": n} for n in range(1000)), delay_seconds=3600)
    assert len(refused.value.unsent) == 1
    assert office.scheduler.counts["create_schedule"] < 100, "after a failure no more are read"


def test_batch_that_fails_at_both_carries_all() -> None:
    """In one error."""
    office = Office()
    office.scheduler.script("create_schedule", failing("AccessDeniedException"))
    office.sqs.script("send_message_batch", *[failing("AccessDenied")] * 5)

    with pytest.raises(BatchSendError) as refused, office.task.batch():  # noqa: PT012 - the block is the subject
        office.task.options(delay_seconds=3600).delay(1)
        office.task.delay(2)

    assert len(refused.value.unsent) == 2


def test_block_that_fails_has_made_what_it_asked_for() -> None:
    """``delay()`` had returned, as it does outside a batch; what could not be made is a note."""
    office = Office()
    office.scheduler.script("create_schedule", failing("AccessDeniedException"))

    with pytest.raises(KeyError) as failed, office.task.batch():  # noqa: PT012 - the block is the subject
        office.task.options(delay_seconds=3600).delay(1)
        office.task.options(delay_seconds=3600).delay(2)
        raise KeyError("mine")

    assert len(office.made()) == 2
    assert any("1 messages were not accepted" in note for note in failed.value.__notes__)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"run_at": datetime(2090, 1, 1)}, "run_at=.*has no time zone"),
        ({"run_at": "2090-01-01"}, "run_at='2090-01-01' is a str"),
        ({"run_at": datetime(2090, 1, 1, tzinfo=UTC), "delay_seconds": 5}, "leave out the other"),
        ({"delay_seconds": -1}, "delay_seconds=-1"),
        ({"delay_seconds": 1_000_000_000_000}, "delay_seconds=1000000000000"),
        ({"delay_seconds": float("nan")}, "delay_seconds=nan"),
        ({"delay_seconds": float("inf")}, "delay_seconds=inf"),
    ],
)
def test_moments_that_cannot_be_are_refused(options, said) -> None:
    """Before anything is sent."""
    office = Office()

    with pytest.raises(ConfigurationError, match=said):
        office.task.options(**options).delay(1)
    assert office.made() == []


@pytest.mark.parametrize(("name", "why"), [("emails", "for 900 s at most"), ("orders.fifo", "is FIFO")])
def test_without_a_scheduler_the_error_names_both_ways_to_have_one(monkeypatch, name, why) -> None:
    """And no client of boto3 is made for it."""
    env = SQSEnv(region_name="eu-west-1")
    task = env.queue(name, content_based_deduplication=name.endswith("fifo") or None).processor("send")(lambda: None)
    monkeypatch.setattr(
        "sqs_tasks.transport.boto3_client.make_client", lambda *_a, **_o: pytest.fail("no client is needed")
    )

    for action in (task.options(delay_seconds=3600).delay, lambda: env.cancel("job")):
        with pytest.raises(ConfigurationError) as refused:
            action()
        assert "SQSEnv(scheduler=Scheduler(group=..., role_arn=...))" in str(refused.value)
        assert "SQS_TASKS_SCHEDULE_GROUP and SQS_TASKS_SCHEDULER_ROLE_ARN" in str(refused.value)
    with pytest.raises(ConfigurationError, match=why):
        task.options(delay_seconds=3600).delay()


def test_job_that_scheduler_cannot_hold_is_refused() -> None:
    """SQS could, for its 900 seconds."""
    office = Office()

    plain = office.env.queue("plain", compress_above_bytes=None).processor("send")(lambda n: None)
    office.env.create_queues()

    plain.options(delay_seconds=900).delay("a" * 140_000)
    with pytest.raises(MessageTooLargeError, match="takes 131072"):
        plain.options(delay_seconds=901).delay("a" * 140_000)


def test_text_that_scheduler_would_replace_arrives_as_it_was() -> None:
    """A customer's text must not turn into the time of the run."""
    office = Office()
    office.env.context["text"] = "<aws.scheduler.execution-id>"
    office.task.options(delay_seconds=3600).delay("<aws.scheduler.scheduled-time>")
    contexts = []
    office.env.pre_task(lambda job: contexts.append(dict(job.context)))

    office.pass_by(3660)

    assert [n for n, _ in office.ran] == ["<aws.scheduler.scheduled-time>"]
    assert contexts == [{"text": "<aws.scheduler.execution-id>"}]


def test_eager_jobs_wait_for_nothing() -> None:
    """Nor need they a scheduler."""
    ran = []
    env = SQSEnv()
    task = env.queue("emails").processor("send")(lambda n: ran.append(n))  # noqa: PLW0108 - the name is the argument
    with eager(env):
        task.options(run_at=datetime.now(UTC) + timedelta(days=3)).delay(1)

    assert ran == [1]


def test_in_memory_needs_no_group_and_follows_the_moved_clock() -> None:
    """Whatever the application's own scheduler is."""
    ran = []
    env = SQSEnv(scheduler=SHOP)
    queue = env.queue("emails")
    task = queue.processor("send")(lambda n: ran.append(n))  # noqa: PLW0108 - the name is the argument
    with in_memory(env) as session:
        session.advance(86_400)
        task.options(delay_seconds=3600).delay(1)
        session.advance(3500)
        drain(queue)
        assert ran == []
        session.advance(160)
        drain(queue)

    assert ran == [1]


def test_names_are_found_again_by_the_id_alone() -> None:
    """Ids of others, too long or with other characters, get a digest."""
    assert one_shot_name("a-b_c.1") == "job-a-b_c.1"
    long = [one_shot_name(job_id) for job_id in ("a" * 61, "a" * 62, "größe", "a/then")]
    assert len({*long}) == 4
    assert all(len(name) <= 64 and name.isascii() for name in long)


@pytest.mark.parametrize("count", [10_000])
def test_ten_thousand_delays_with_a_tenth_cancelled(count) -> None:
    """None lost, none early, each once by id."""
    office = Office()
    start = office.session.clock.now()
    receipts = []
    office.env.post_send(lambda message, receipt: receipts.append((message, receipt)))
    for n in range(0, count, 1000):
        office.task.map(({"n": (n + i, 1000 + n)} for i in range(1000)), delay_seconds=1000 + n)
    cancelled = {message.job_id for message, _ in receipts[::10] if office.env.cancel(message.job_id)}
    assert len(cancelled) == count // 10

    for _ in range(12):
        office.session.advance(1000)
        with office.env.connected_to(office.session.client("sqs")):
            drain(office.queue, max_jobs=count)

    expected = {message.job_id for message, _ in receipts} - cancelled
    assert Counter(office.ids) == dict.fromkeys(expected, 1)
    assert all(moment >= start + wait for (_, wait), moment in office.ran)


@given(st.floats(0, 5_000), st.booleans())
@settings(max_examples=20, deadline=None)
def test_no_job_is_early_and_none_later_than_a_minute(delay, is_fifo) -> None:
    """Whatever the delay, on both kinds of queue."""
    desk, ran = Desk(), []
    queue = desk.env.queue("work.fifo" if is_fifo else "work")
    task = queue.processor("send")(lambda: ran.append(desk.session.clock.now()))
    desk.create()
    start = desk.session.clock.now()

    task.options(delay_seconds=delay).delay()
    while not ran:
        desk.drain(queue)
        desk.session.advance(1)

    assert ran[0] - start >= (delay if delay > 900 or is_fifo else round(delay))
    assert ran[0] - start <= delay + 62
