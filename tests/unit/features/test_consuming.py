"""Consuming: what a worker runs, how it is told what became of it, and what tasks may ask for."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sqs_tasks import (
    BatchMessages,
    ConstantBackoff,
    ExponentialBackoff,
    LinearBackoff,
    RawQueue,
    Reject,
    Retry,
    SQSEnv,
    TableBackoff,
    context_middleware,
)
from sqs_tasks.backoff_policies import LEAVE_TO_QUEUE, BackoffPolicy
from sqs_tasks.deadletter_queue import DeadLetterQueue
from sqs_tasks.errors import BatchSendError, ConfigurationError, TaskTimeoutError
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import Rejected, Retried, Succeeded, UnknownTask
from sqs_tasks.shutdown_policies import ASAP_SHUTDOWN
from sqs_tasks.testing import drain
from tests.support.queues import Desk
from tests.support.scripted_client import failing


@pytest.fixture
def desk() -> Desk:
    return Desk()


def hidden(desk: Desk) -> int:
    """The seconds for which the last message was hidden."""
    return desk.sqs.requests("change_message_visibility_batch")[-1]["Entries"][0]["VisibilityTimeout"]


def test_process_batch_counts_what_became_of_its_messages(desk: Desk) -> None:
    """One receive; the result has the messages themselves."""
    queue = desk.env.queue("emails")
    queue.processor("send")(lambda ok: 1 / ok)
    desk.create()
    for ok in (1, 0, 1):
        queue.add_job("send", ok=ok)

    result = queue.process_batch()

    assert (result.queue_name, result.succeeded_count(), result.failed_count(), result.total_count()) == (
        "emails",
        2,
        1,
        3,
    )
    assert [message.body for message in result.failed] == ['{"ok": 0}']


def test_jobs_run_side_by_side(desk: Desk) -> None:
    """With a concurrency of three, three tasks meet at a barrier that one alone could not pass."""
    queue, barrier = desk.env.queue("emails"), threading.Barrier(3, timeout=10)
    queue.processor("meet")(lambda: barrier.wait())  # noqa: PLW0108 - its result is no matter
    desk.create()
    for _ in range(3):
        queue.add_job("meet")

    queue.process_queue(ASAP_SHUTDOWN, concurrency=3)

    assert desk.bodies("emails") == []


def test_async_tasks_share_one_loop_that_lasts(desk: Desk) -> None:
    """What one job opens on the loop, a pool of connections say, is of use to the next."""
    queue, loops = desk.env.queue("emails"), []

    @queue.processor("look")
    async def look() -> None:
        loops.append(asyncio.get_running_loop())

    desk.create()
    for _ in range(2):
        look.delay()
        queue.process_batch()

    assert loops[0] is loops[1]
    assert loops[0].is_running()


def test_an_async_task_is_stopped_at_its_timeout(desk: Desk) -> None:
    """It is cancelled, failed, and its backoff decides; a timeout of the task's own is another matter."""
    queue, outcomes = desk.env.queue("emails"), []

    @queue.processor("slow", timeout=0.01)
    async def slow() -> None:
        await asyncio.Event().wait()

    desk.create()
    desk.env.post_task(lambda job, outcome: outcomes.append(outcome))
    slow.delay()
    drain(queue, raise_errors=False)

    assert isinstance(outcomes[0], Retried)
    assert isinstance(outcomes[0].error, TaskTimeoutError)


def test_a_batch_processor_tells_of_each_item(desk: Desk) -> None:
    """One bad item does not run the good ones again: Retry, Reject and errors by their place in the list."""
    queue, calls = desk.env.queue("emails"), []

    @queue.batch_processor("send", batch_size=5)
    def send(messages: list[dict[str, Any]]) -> list[BaseException | None]:
        calls.append([one["n"] for one in messages])
        if len(calls) > 1:
            return []
        return [None, Retry(delay_seconds=9), Reject("never"), ValueError("broken"), None]

    desk.create()
    for n in range(5):
        send.delay(n=n)
    desk.drain(queue)

    assert calls[0] == [0, 1, 2, 3, 4]
    assert sorted(n for call in calls[1:] for n in call) == [1, 3]
    assert desk.bodies("emails_dead") == ['{"n": 2}']


def test_a_batch_of_results_that_do_not_fit_fails_as_a_whole(desk: Desk) -> None:
    """Nobody could tell whose error it is."""
    queue = desk.env.queue("emails")
    queue.batch_processor("send")(lambda messages: [ValueError()])
    desk.create()
    for n in range(2):
        queue.add_job("send", n=n)
    result = drain(queue, raise_errors=False)

    assert result.failed == 2
    assert "returned 1 results for 2 jobs" in str(result.runs[0][1])


def test_typed_raw_messages(desk: Desk) -> None:
    """Body, attributes, sender and times, as a worker and a Lambda function see them."""
    queue, seen = desk.env.queue("events", RawQueue), []
    queue.raw_processor()(lambda message: seen.append(message))  # noqa: PLW0108 - the argument has a name
    desk.create()
    queue.add_raw_job("hello", message_attributes={"Tenant": "blue"}, group_id="g")
    desk.session.advance(3)
    drain(queue)

    (message,) = seen
    assert isinstance(message, ReceivedMessage)
    assert (message.body, message.attribute("Tenant"), message.group_id, message.receive_count) == (
        "hello",
        "blue",
        "g",
        1,
    )
    assert message.first_received_at - message.sent_at == timedelta(seconds=3)
    assert message.sender_id
    assert message.trace_header is None


def test_a_raw_queue_takes_one_function(desk: Desk) -> None:
    """A second is refused; batches of messages by the batching policy, async functions too."""
    single, many, seen = desk.env.queue("single", RawQueue), desk.env.queue("many", RawQueue, BatchMessages(10)), []

    @single.raw_processor()
    async def one(message: ReceivedMessage) -> None:
        seen.append(message.body)

    many.raw_processor()(lambda messages: seen.append(len(messages)))
    desk.create()
    for _ in range(3):
        many.add_raw_job("x")
    single.add_raw_job("y")
    drain(single)
    drain(many)

    assert seen == ["y", 3]
    with pytest.raises(ConfigurationError, match="a raw queue takes one"):
        single.raw_processor()(lambda message: None)


def test_context_for_all_tasks_is_a_middlewares_work() -> None:
    """Applied before the task and taken back after it, also when it fails."""
    current: list[Any] = []

    def with_user(job: Any) -> Any:
        return _pushed(current, job.context.get("user"))

    desk = Desk(middleware=[context_middleware(with_user)])
    queue, seen = desk.env.queue("emails"), []
    queue.processor("look")(lambda: seen.append(list(current)))
    desk.create()
    for user in ("a", "b"):
        with desk.env.context(user=user):
            queue.add_job("look")
    drain(queue)

    assert seen == [["a"], ["b"]]
    assert current == []


def test_an_unknown_task_comes_back_soon_and_ends_in_the_dead_letter_queue(desk: Desk) -> None:
    """A deploy may be under way; in the end the redrive policy decides, and post_task hears of each time."""
    queue, outcomes = desk.env.queue("emails", max_receive_count=3), []
    desk.create()
    desk.env.post_task(lambda job, outcome: outcomes.append(outcome))
    queue.add_job("gone")

    desk.drain(queue)

    assert [type(outcome) for outcome in outcomes] == [UnknownTask] * 3
    assert all(5 <= outcome.delay_seconds <= 900 for outcome in outcomes)
    assert len(desk.bodies("emails_dead")) == 1


def test_backoff_of_the_task_goes_before_the_queues_and_the_environments() -> None:
    """And Retry's own before all of them."""
    desk = Desk(backoff_policy=ConstantBackoff(10))
    plain, own = desk.env.queue("plain"), desk.env.queue("own", backoff_policy=ConstantBackoff(20))
    plain.processor("send")(lambda: 1 / 0)
    own.processor("send")(lambda: 1 / 0)
    own.processor("special", backoff_policy=ConstantBackoff(30))(lambda: 1 / 0)

    @own.processor("asks", backoff_policy=ConstantBackoff(30))
    def asks() -> None:
        raise Retry(ConstantBackoff(40))

    desk.create()
    seconds = []
    for queue, name in ((plain, "send"), (own, "send"), (own, "special"), (own, "asks")):
        queue.add_job(name)
        drain(queue, raise_errors=False)
        seconds.append(hidden(desk))

    assert seconds == [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ExponentialBackoff(jitter=0), [1, 2, 4, 1800]),
        (ExponentialBackoff(base=3, min_visibility_timeout=5, max_visibility_timeout=50, jitter=0), [6, 8, 14, 50]),
        (ConstantBackoff(7), [7, 7, 7, 7]),
        (LinearBackoff(10, max_seconds=100), [10, 20, 30, 100]),
        (TableBackoff((5, 60, 600)), [5, 60, 600, 600]),
        (ConstantBackoff(), [0, 0, 0, 0]),
        (LEAVE_TO_QUEUE, [None] * 4),
    ],
)
def test_backoff_policies_by_attempt(policy: BackoffPolicy, expected: list[float | None]) -> None:
    """Exponential, constant, linear, a table, at once, and the queue's own timeout."""
    assert [policy.delay_seconds(attempt) for attempt in (1, 2, 3, 10**6)] == expected


def test_exponential_backoff_is_spread() -> None:
    """Jobs that failed together do not come back together, and stay within a tenth of the mean."""
    delays = [ExponentialBackoff().delay_seconds(8) for _ in range(200)]

    assert len(set(delays)) > 100
    assert all(115.2 <= delay <= 140.8 for delay in delays)


@pytest.mark.parametrize("broken", [lambda n: 1 / 0, lambda n: "soon", lambda n: float("nan"), lambda n: 10**12])
def test_a_policy_of_ones_own_cannot_hurt_the_worker(desk: Desk, broken: Any) -> None:
    """An error leaves the message to the queue's timeout; a number is brought to what SQS takes."""

    class Own(BackoffPolicy):
        def delay_seconds(self, attempt: int) -> float | None:
            return broken(attempt)

    queue = desk.env.queue("emails", backoff_policy=Own())
    queue.processor("send")(lambda: 1 / 0)
    desk.create()
    queue.add_job("send")

    assert queue.process_batch().failed_count() == 1
    assert desk.states("emails")[0] in ("in_flight", "ready")


def test_a_retry_says_when(desk: Desk) -> None:
    """After seconds, after a moment, by another policy; it logs no traceback and counts as an attempt.

    One that is longer than SQS hides a message goes on by a copy, which is delayed and says when it is due.
    """
    queue = desk.env.queue("emails")
    hour = timedelta(hours=1)
    asked: list[Retry] = [
        Retry(delay_seconds=90),
        Retry(after=datetime.fromtimestamp(desk.session.clock.now(), UTC) + hour),
        Retry(TableBackoff((17,))),
        Retry(delay_seconds=10**9),
    ]
    queue.processor("send")(lambda n: (_ for _ in ()).throw(asked[n]))
    desk.create()
    seconds = []
    for n in range(4):
        queue.add_job("send", n=n)
        drain(queue)
        seconds.append(hidden(desk))

    assert seconds[0] == 90
    assert 3600 <= seconds[1] <= 3601
    assert seconds[2] == 17
    (copy,) = [one for one in desk.sqs.requests("send_message") if "Attempt" in one["MessageAttributes"]]
    assert copy["DelaySeconds"] == 900
    assert datetime.fromisoformat(copy["MessageAttributes"]["NotBefore"]["StringValue"]).year > 2050
    with pytest.raises(ConfigurationError, match="timezone-aware"):
        Retry(after=datetime.now())
    with pytest.raises(ConfigurationError, match="one of"):
        Retry(delay_seconds=1, after=datetime.now(UTC))


def test_a_job_is_given_up_after_its_attempts_or_at_once(desk: Desk) -> None:
    """max_attempts, no_retry_on and Reject: a copy with the reason is in the dead-letter queue before the delete."""
    queue = desk.env.queue("emails")
    queue.processor("thrice", max_attempts=3, backoff_policy=ConstantBackoff(1))(lambda: 1 / 0)
    queue.processor("never", no_retry_on=(ZeroDivisionError,))(lambda: 1 / 0)
    queue.processor("no")(lambda: (_ for _ in ()).throw(Reject("out of stock")))
    desk.create()
    for name in ("thrice", "never", "no"):
        queue.add_job(name)
    result = desk.drain(queue)

    assert [type(outcome) for _, outcome in result.runs].count(Rejected) == 3
    assert result.failed == 5
    letters = {one.message.job_name: one.message for one in desk.stored("emails_dead")}
    assert letters["no"].attribute("FailureReason") == "Reject: out of stock"
    assert letters["never"].attribute("FailureType") == "ZeroDivisionError"
    assert letters["thrice"].attribute("FailureAttempts") == "3"
    with pytest.raises(ConfigurationError, match="max_attempts=9 cannot be reached"):
        desk.env.queue("short", max_receive_count=5).processor("x", max_attempts=9)(lambda: None)


def test_nothing_is_deleted_before_the_dead_letter_queue_has_it(desk: Desk) -> None:
    """A refused copy leaves the message where it is, for its backoff."""
    queue = desk.env.queue("emails", backoff_policy=ConstantBackoff(60))
    queue.processor("no", max_attempts=1)(lambda: 1 / 0)
    desk.create()
    queue.add_job("no")
    desk.sqs.script("send_message", failing("KmsAccessDenied"))

    drain(queue, raise_errors=False)

    assert (desk.states("emails"), desk.bodies("emails_dead")) == (["in_flight"], [])
    assert hidden(desk) == 60


def test_sqs_itself_can_move_dead_letters_back(desk: Desk) -> None:
    """StartMessageMoveTask with its destination, which copies made here need."""
    queue = desk.env.queue("emails")
    dead = desk.env.queue("emails_dead", DeadLetterQueue.maker(queue))
    desk.create()
    for n in range(3):
        dead.add_raw_job(str(n))

    handle = dead.move_all(max_messages_per_second=500)
    desk.session.advance(60)

    assert handle
    assert (desk.bodies("emails"), desk.bodies("emails_dead")) == (["0", "1", "2"], [])


@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_some_dead_letters_are_pushed_back_at_a_pace(desk: Desk, suffix: str) -> None:
    """Counted first, then a limited number, slowly; a refused letter is back at once and the error is raised."""
    queue, pauses = desk.env.queue(f"emails{suffix}"), []
    dead = desk.env.queue(f"emails_dead{suffix}", DeadLetterQueue.maker(queue))
    desk.create()
    for n in range(25):
        dead.add_raw_job(str(n), group_id="g")

    counted = (dead.push_back(dry_run=True), dead.push_back(limit=3, dry_run=True))
    some = dead.push_back(limit=12, messages_per_second=4, sleep=pauses.append)
    desk.sqs.script("send_message_batch", desk.refusing("InvalidMessageContents", "0", sender_fault=True))
    with pytest.raises(BatchSendError, match="InvalidMessageContents"):
        dead.push_back()
    left = desk.states(f"emails_dead{suffix}")
    rest = dead.push_back()

    assert (counted, some, sum(pauses)) == ((25, 3), 12, 3.0)
    assert set(left) == {"ready"}
    assert rest == len(left)
    assert sorted(map(int, desk.bodies(f"emails{suffix}"))) == list(range(25))
    if suffix:
        assert desk.bodies(f"emails{suffix}") == [str(n) for n in range(25)]


def test_dead_letters_run_in_place_by_copied_processors(desk: Desk) -> None:
    """All tasks with their settings, on another queue; its task objects send there."""
    queue, dead, seen = desk.env.queue("emails"), desk.env.queue("emails_dead"), []
    queue.processor("send", aliases=["old"])(lambda n: seen.append(n))  # noqa: PLW0108 - the argument has a name
    queue.batch_processor("many")(lambda messages: seen.append(len(messages)))
    queue.copy_processors(dead)
    desk.create()
    dead.task("send").delay(1)
    dead.add_job("old", n=2)
    dead.add_job("many")
    drain(dead)

    assert sorted(seen) == [1, 1, 2]
    assert desk.bodies("emails") == []


def test_post_task_hears_of_every_ending(desk: Desk) -> None:
    """Success, retry, rejection, expiry and mismatch, each with its job."""
    queue, heard = desk.env.queue("emails"), []
    queue.processor("good")(lambda: None)
    queue.processor("bad")(lambda: 1 / 0)
    queue.processor("old", max_age=1)(lambda: None)
    queue.processor("strict")(lambda needed: None)
    desk.create()
    desk.env.post_task(lambda job, outcome: heard.append((job.job_name, type(outcome))))
    sender = SQSEnv(sqs_client=desk.memory).queue("emails")
    for name in ("good", "bad", "old", "strict"):
        sender.add_job(name)
    desk.session.advance(2)
    desk.drain(queue)

    assert heard.count(("bad", Retried)) > 1
    assert set(heard) == {("bad", Retried), ("good", Succeeded), ("old", Rejected), ("strict", Rejected)}


def test_a_failure_is_one_record_with_its_traceback(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """With the fields that a log search needs; one that is followed by another attempt has no traceback."""
    queue = desk.env.queue("emails")
    queue.processor("send", max_attempts=2, backoff_policy=ConstantBackoff(0))(lambda: 1 / 0)
    desk.create()
    queue.add_job("send")
    drain(queue, raise_errors=False)

    retried, record = [one for one in caplog.records if getattr(one, "task_name", None) == "send"]
    assert (retried.levelname, retried.action, retried.attempt, retried.exc_info) == ("WARNING", "job_retried", 1, None)
    assert "ZeroDivisionError: division by zero" in retried.getMessage()
    assert record.levelno == logging.ERROR
    assert record.exc_info[0] is ZeroDivisionError
    assert (record.action, record.queue_name, record.job_name, record.attempt) == ("job_rejected", "emails", "send", 2)
    assert record.message_id
    assert record.job_id


class _pushed:
    def __init__(self, stack: list[Any], value: Any) -> None:
        self.stack, self.value = stack, value

    def __enter__(self) -> None:
        self.stack.append(self.value)

    def __exit__(self, *error: object) -> None:
        self.stack.pop()
