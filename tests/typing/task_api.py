"""The types of the task API, checked by mypy and not run: each wrong use is marked with the error it must give."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, assert_type

from sqs_tasks import (
    At,
    BatchMessages,
    ConstantBackoff,
    Cron,
    DeadLetterQueue,
    Every,
    JobQueue,
    MemorySession,
    RawQueue,
    ReceivedMessage,
    Reject,
    Retry,
    Schedule,
    Scheduler,
    SQSEnv,
    envelopes,
)
from sqs_tasks.queue_statistics import QueueStatistics
from sqs_tasks.receipts import MessageId
from sqs_tasks.task import AsyncTask, BakedAsyncTask
from sqs_tasks.testing import DrainResult, assert_enqueued, drain, eager, in_memory, lambda_event

env = SQSEnv(MemorySession(), queue_prefix="shop-")
emails = env.queue("emails", max_receive_count=8, backoff_policy=ConstantBackoff(5))
assert_type(emails, JobQueue)
assert_type(env.queue("events", RawQueue), RawQueue)
assert_type(env.queue("many", batching_policy=BatchMessages(10)), JobQueue)
dead = env.queue("emails_dead", DeadLetterQueue.maker(emails))

env.queue("emails", max_recieve_count=8)  # type: ignore[call-overload]
env.queue("emails", visibility_timeout_seconds="30")  # type: ignore[call-overload]


@emails.processor("send_email", max_attempts=5, timeout=30, no_retry_on=(ValueError,), aliases=["send_mail"])
def send_email(to: str, /, subject: str, *tags: str, urgent: bool = False) -> int:
    """A task with every kind of parameter."""
    if not to:
        raise Reject("no address")
    if urgent:
        raise Retry(after=datetime.now(UTC))
    return len(subject) + len(tags)


@emails.processor("wait")
async def wait(seconds: float) -> str:
    """An async task."""
    return str(seconds)


@emails.processor("send_email", max_atempts=5)  # type: ignore[call-arg]
def misspelt_option() -> None: ...


# A task keeps the signature of its function, wherever it is sent from.
assert_type(send_email.delay("a@example.com", "Hi", "x", urgent=True), MessageId)
message_id: str = send_email.delay("a@example.com", "Hi")
assert_type(send_email.run("a@example.com", "Hi"), int)
assert_type(send_email.bake("a@example.com", subject="Hi"), BakedAsyncTask)
# sqs-workers' underscored options beside the arguments.
assert_type(send_email.delay("a@example.com", "Hi", _delay_seconds=60), MessageId)
assert_type(send_email.delay("a@example.com", "Hi", _group_id="g", _deduplication_id="d"), MessageId)
send_email.delay("a@example.com", "Hi", _deduplication_id="d")
send_email.delay("a@example.com", "Hi", _content_type="pickle", _delay_seconds=0.5)
assert_type(send_email.bake("a@example.com", "Hi", _delay_seconds=60), BakedAsyncTask)
send_email.delay("a@example.com", "Hi", _delay_seconds="60")  # type: ignore[call-overload]
send_email.options(delay_seconds=60, group_id="g", message_attributes={"Tenant": "blue"}).delay("a@example.com", "Hi")

send_email.delay("a@example.com")  # type: ignore[call-overload]
send_email.delay("a@example.com", 5)  # type: ignore[call-overload]
send_email.delay("a@example.com", "Hi", nope=1)  # type: ignore[call-overload]
send_email.delay(to="a@example.com", subject="Hi")  # type: ignore[call-overload]
send_email.bake()  # type: ignore[call-overload]
send_email.options(then=wait.bake(5), on_failure=wait.options(delay_seconds=5).bake(1)).delay("a@example.com", "Hi")
send_email.options(then=wait)  # type: ignore[arg-type]
send_email.options(outbox="default", delay_seconds=60).delay("a@example.com", "Hi")
send_email.options(delay_secs=60)  # type: ignore[call-arg]
send_email.options(delay_seconds=60).delay(1, "Hi")  # type: ignore[arg-type]
wait.delay("soon")  # type: ignore[call-overload]
wait.options(run_at="soon")  # type: ignore[arg-type]
assert_type(wait.options(run_at=datetime.now(UTC)).delay(5).run_at, datetime | None)
assert_type(wait.options(delay_seconds=86_400.5).delay(5).cancel(), bool)
assert_type(env.cancel("job"), bool)
SQSEnv(scheduler=Scheduler(group="shop", role_arn="arn:aws:iam::123456789012:role/shop"))


async def produce() -> None:
    """Coroutines send with the same types."""
    assert_type(await send_email.adelay("a@example.com", "Hi", "x", urgent=True), MessageId)
    assert_type(await send_email.options(delay_seconds=60).adelay("a@example.com", "Hi"), MessageId)
    assert_type(await send_email.bake("a@example.com", "Hi").adelay(), MessageId)
    assert_type(await send_email.amap([{"to": "a@example.com"}], max_in_flight=2), int)
    assert_type(await emails.add_job_async("send_email", to="a@example.com"), MessageId)
    async with send_email.abatch(), emails.add_batch_async():
        send_email.delay("a@example.com", "Hi")
    await send_email.adelay("a@example.com")  # type: ignore[call-arg]
    await send_email.adelay("a@example.com", 5)  # type: ignore[arg-type]
    await send_email.adelay("a@example.com", "Hi", nope=1)  # type: ignore[call-arg]
    await wait.options(run_at=None).adelay("soon")  # type: ignore[arg-type]
    await send_email.amap([["a@example.com"]])  # type: ignore[list-item]


# Schedules are part of a registration, and a task stays the task it was.
@emails.processor("nightly", schedule=Cron("0 2 * * ? *", timezone="Europe/Berlin"))
def scheduled(full: bool = False) -> None: ...


assert_type(scheduled.schedule("monday", Every(minutes=15), arguments={"full": True}).run(), None)
scheduled.schedule("once", At(datetime.now(UTC)), late_seconds=600, overlap="allow")
emails.processor("often", schedule=Schedule(Every(hours=1), enabled=False))
emails.processor("often", schedule="0 2 * * ? *")  # type: ignore[arg-type]
scheduled.schedule("twice", Every(minutes=15), argumnets={})  # type: ignore[call-arg]
Retry(delay_seconds="5")  # type: ignore[arg-type]

assert_type(send_email.delay("a", "b").job_id, str | None)
assert_type(emails.statistics(), QueueStatistics)


@env.queue("cron", RawQueue).raw_processor()
def nightly(message: ReceivedMessage) -> datetime:
    """A raw processor stays the function it is."""
    return envelopes.eventbridge(message).time


assert_type(nightly(ReceivedMessage(message_id="", receipt_handle="", body="")), datetime)


jobs = env.priority_queues("jobs", high=8, low=1, options={"runs_on": "fargate"})


@jobs.processor("resize", max_attempts=3, memory_mib=512, log_retries="traceback")
def resize(path: str, width: int = 100) -> int:
    """A task of several classes keeps its signature."""
    return len(path) * width


assert_type(resize.delay("a.jpg", width=5), MessageId)
assert_type(resize.options(priority="high").delay("a.jpg"), MessageId)
assert_type(resize.map([{"path": "a"}], spread_seconds=60, delay_seconds=lambda call: len(call["path"])), int)
assert_type(jobs["high"], JobQueue)
resize.delay(5)  # type: ignore[call-overload]


@env.pre_task
def watch(job: Any) -> None: ...


@env.report_queue_stats
def report(queue_name: str, statistics: QueueStatistics) -> None:
    """A hook stays the function it is."""
    assert_type(statistics.dead_letters, int | None)


with in_memory(env) as session, eager(env) as delivery:
    assert_type(session, MemorySession)
    assert_type(drain(emails), DrainResult)
    assert_enqueued(send_email, subject="Hi")
    lambda_event(send_email.bake("a", "b"), emails)
    assert_type(len(delivery.outcomes), int)


def takes_any_task(tasks: Sequence[AsyncTask[..., object]]) -> None:
    """Tasks of different signatures fit into one list."""
    for task in tasks:
        task.batch()


takes_any_task([send_email, wait])


def calls_a_task_by_mistake() -> str:
    """A call never returns, which type checkers say of what follows; so nothing is missing here."""
    send_email("a@example.com", "Hi")
