"""For the tests of applications: queues in memory, jobs run to the end, and assertions about what was enqueued.

::

    def test_signing_up_sends_a_welcome() -> None:
        with in_memory(env) as session:
            sign_up("a@example.com")

            assert_enqueued(send_email, to="a@example.com")
            drain(env.queue("emails"))

Nothing here sleeps: delays and retries are waited for by moving the clock of the queues in memory. The pytest plugin
:mod:`sqs_tasks.pytest_plugin` has the same as fixtures.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqs_tasks import limits
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import UndecodableMessageError
from sqs_tasks.execution.eager import EagerDelivery, raise_failure, received_from
from sqs_tasks.execution.event_loop import run_coroutine
from sqs_tasks.execution.lanes import plan, run_lane
from sqs_tasks.execution.settlement import Delete, Hide, Settlement, Verdict
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.local import peek
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.function.context import LambdaContext
from sqs_tasks.local.function.event_record import EventRecord, record_from_message
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.message import Job, ReceivedMessage, from_sqs, receive_request
from sqs_tasks.outcome import NotStarted, Outcome, Retried, Retry, Succeeded
from sqs_tasks.provisioning import queue_arn
from sqs_tasks.queue import JobQueue
from sqs_tasks.settings import queue_name_in
from sqs_tasks.task import AsyncTask, BakedAsyncTask

#: Jobs that :func:`drain` runs before it gives up: a task that adds itself again would keep it going for ever.
MAX_JOBS = 1_000

#: The region and account of ARNs in events that no queue stands behind.
_ARN = "arn:aws:sqs:us-east-1:000000000000:"


@contextmanager
def in_memory(env: SQSEnv, *, clock: ManualClock | None = None) -> Iterator[MemorySession]:
    """Put queues in memory in the place of SQS for the length of a block, and give their session.

    All registered queues are there with their dead-letter queues and redrive policies, empty. ``session.advance(60)``
    moves their clock on.

    Args:
        env: The environment of the application, as it is imported by it.
        clock: The clock of the queues; a new one that stands at the present moment when left out.
    """
    session = MemorySession(clock or ManualClock())
    client = session.client("sqs")
    with env.connected_to(client):
        env.create_queues()
        for queue in env.queues.values():
            if queue.settings.queue_url is not None:
                name = queue_name_in(queue.settings.queue_url)
                client.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if queue.settings.fifo else {})
        yield session


@contextmanager
def eager(env: SQSEnv, *, raise_errors: bool = True) -> Iterator[EagerDelivery]:
    """Run each job where it is sent, for the length of a block; what became of them is in ``.outcomes``.

    Jobs pass through their codec, hooks and middleware as they would on their way to a worker. There is no second
    attempt, delays are not waited for, and a batch processor gets lists of one.

    Args:
        env: The environment.
        raise_errors: Let ``delay()`` raise what the task raised.
    """
    before, env.deliver = env.deliver, (delivery := EagerDelivery(raise_errors=raise_errors))
    try:
        yield delivery
    finally:
        env.deliver = before


@dataclass(frozen=True, slots=True)
class DrainResult:
    """What :func:`drain` ran.

    Attributes:
        runs: Each message with the outcome of its run, in their order; a job that was retried is in it several times.
    """

    runs: list[tuple[ReceivedMessage, Outcome]] = field(default_factory=list)

    @property
    def succeeded(self) -> int:
        """How many runs succeeded."""
        return sum(isinstance(outcome, Succeeded) for _, outcome in self.runs)

    @property
    def failed(self) -> int:
        """How many did not."""
        return len(self.runs) - self.succeeded

    def __repr__(self) -> str:
        return f"DrainResult(succeeded={self.succeeded}, failed={self.failed})"


def drain(
    queue: GenericQueue, *, raise_errors: bool = True, wait: bool = False, max_jobs: int = MAX_JOBS
) -> DrainResult:
    """Run the jobs of a queue in this thread until nothing is left to run, those included that its tasks add.

    Args:
        queue: The queue.
        raise_errors: Raise what the first failing task raised, once its job is settled; what ``Retry`` asks for is no
            error. Without it failed jobs wait for their next attempt, and can be looked at in the result.
        wait: Run what is delayed and what waits for a retry too, by moving the clock of the queues in memory on to
            each. A job that never succeeds ends in the dead-letter queue, or is stopped by ``max_jobs``.
        max_jobs: How many runs are too many.

    Raises:
        AssertionError: There were more runs than ``max_jobs``.
        Exception: What a task raised.
    """
    client, result = queue.env.client(), DrainResult()
    while True:
        while batch := _run_once(queue):
            result.runs.extend(batch)
            if raise_errors:
                for _, outcome in batch:
                    if not (isinstance(outcome, Retried) and _asked_for(outcome)):
                        raise_failure(outcome, queue.name)
            if len(result.runs) > max_jobs:
                raise AssertionError(
                    f"queue {queue.name!r} is not empty after {max_jobs} runs; does a task add itself again, or fail "
                    "for ever without a dead-letter queue? max_jobs= allows more"
                )
        if not wait or not any(one.state != "ready" for one in peek.stored_messages(client, queue.queue_url)):
            return result
        _advance_to_next_moment(client)


def assert_enqueued(task: AsyncTask[..., Any], /, **kwargs: Any) -> list[Job]:
    """The jobs of a task in its queue that have these arguments, among others maybe; there is at least one.

    The queue is looked into, not received from. Jobs that are delayed or wait for a retry are found too.

    Raises:
        AssertionError: There is none; the text lists what the queue has instead.
    """
    found = _matching(task, kwargs)
    if not found:
        raise AssertionError(
            f"no job {task.name!r} with {_told(kwargs)} in queue {task.queue.name!r}; {_contents(task)}"
        )
    return found


def refute_enqueued(task: AsyncTask[..., Any], /, **kwargs: Any) -> None:
    """Make sure that no job of the task in its queue has these arguments.

    Raises:
        AssertionError: There is one.
    """
    found = _matching(task, kwargs)
    if found:
        raise AssertionError(f"{len(found)} jobs {task.name!r} with {_told(kwargs)} in queue {task.queue.name!r}")


def enqueued(queue: JobQueue) -> list[Job]:
    """All jobs in a queue in memory, in the order of their arrival, whether they can be received now or not."""
    return [queue.job(one.message) for one in peek.stored_messages(queue.env.client(), queue.queue_url)]


def lambda_event(*jobs: BakedAsyncTask | GenericQueue, receive_count: int = 1) -> dict[str, list[EventRecord]]:
    """The event that Lambda would hand to the function for these jobs.

    Args:
        *jobs: Baked tasks, of which nothing is sent: ``lambda_event(send_email.bake(to="a@example.com"))``; or a queue,
            from which up to ten messages are received.
        receive_count: How many times SQS has handed each of the baked tasks' messages out, this time included.
    """
    records: list[EventRecord] = []
    for job in jobs:
        if isinstance(job, BakedAsyncTask):
            records.append(_record_of(job, receive_count))
        else:
            records.extend(_records_of(job))
    return {"Records": records}


def lambda_context(remaining_seconds: float = 30, *, request_id: str = "test-request") -> LambdaContext:
    """The context object of an invocation whose time stands still, so that tests do not depend on the machine."""
    clock = ManualClock()
    return LambdaContext(
        aws_request_id=request_id,
        function_name="test",
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:test",
        memory_limit_in_mb="128",
        deadline=clock.now() + remaining_seconds,
        log_group_name="/aws/lambda/test",
        log_stream_name="test",
        clock=clock,
    )


def _run_once(queue: GenericQueue) -> list[tuple[ReceivedMessage, Outcome]]:
    """Receive, run and settle once; without threads, so that a test's breakpoints and patches are in force."""
    client, settlement = queue.env.client(), queue.settlement()
    executor = queue.executor(run_coroutine=run_coroutine, now=_clock_of(client))
    batch_size = max((task.batch_size for task in queue.tasks), default=0)
    messages: list[ReceivedMessage] = []
    # A FIFO queue is received from one by one, as workers do: followers of a failure must not be received with it.
    want = batch_size or (1 if queue.settings.fifo else limits.MAX_BATCH_ENTRIES)
    while len(messages) < want:
        count = min(want - len(messages), limits.MAX_BATCH_ENTRIES)
        answer = client.receive_message(**receive_request(queue.queue_url, count, wait_seconds=0))
        received = [from_sqs(raw) for raw in answer.get("Messages") or ()]
        messages.extend(received)
        if not received or not batch_size:
            break
    runs: list[tuple[ReceivedMessage, Outcome]] = []
    for lane in plan(messages, executor, fifo=queue.settings.fifo):
        for message, outcome, verdict in run_lane(lane, executor, settlement, _go_on):
            _settle(settlement, message, verdict)
            runs.append((message, outcome))
    return runs


def _settle(settlement: Settlement, message: ReceivedMessage, verdict: Verdict) -> None:
    if isinstance(verdict, Delete):
        settlement.delete([message])
    elif isinstance(verdict, Hide):
        settlement.hide([(message, verdict.seconds)])


def _go_on(_message: ReceivedMessage) -> NotStarted | None:
    return None


def _clock_of(client: Any) -> Any:
    try:
        return peek.clock_of(client).now
    except TypeError:  # a real endpoint, on real time
        return None


def _asked_for(outcome: Retried) -> bool:
    return isinstance(outcome.error, Retry)


def _advance_to_next_moment(client: Any) -> None:
    session, moment = peek.session_of(client), peek.next_moment(client)
    if moment is None:
        raise AssertionError("messages wait in the queue and nothing will ever make them visible")
    session.advance(max(moment - session.clock.now(), 0))


def _matching(task: AsyncTask[..., Any], kwargs: Mapping[str, Any]) -> list[Job]:
    queue = _job_queue(task)
    # As they look after their journey: a tuple arrives as a list.
    codec = queue.env.codecs.get(queue.env.codec)
    expected = codec.deserialize(codec.serialize(kwargs))
    names = {task.name, *task.settings.aliases}
    return [
        job
        for job in _readable(queue)
        if job.job_name in names and all(n in job.kwargs and job.kwargs[n] == v for n, v in expected.items())
    ]


def _readable(queue: JobQueue) -> Iterator[Job]:
    for one in peek.stored_messages(queue.env.client(), queue.queue_url):
        try:
            yield queue.job(one.message)
        except UndecodableMessageError:
            continue


def _job_queue(task: AsyncTask[..., Any]) -> JobQueue:
    if not isinstance(task.queue, JobQueue):
        raise TypeError(f"task {task.name!r} is on {task.queue!r}, which holds no jobs")
    return task.queue


def _told(kwargs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in kwargs.items()) or "any arguments"


def _contents(task: AsyncTask[..., Any]) -> str:
    jobs = [f"{job.job_name}({_told(job.kwargs) if job.kwargs else ''})" for job in _readable(_job_queue(task))]
    return f"it has {len(jobs)}: {'; '.join(jobs[:10])}" if jobs else "it is empty"


def _record_of(job: BakedAsyncTask, receive_count: int) -> EventRecord:
    message = job.message()
    received = received_from(message, message_id=str(uuid.uuid4()), receive_count=receive_count)
    queue = job.queue
    raw = {
        "MessageId": received.message_id,
        "ReceiptHandle": received.receipt_handle,
        "Body": received.body,
        "Attributes": {"SenderId": "000000000000", **received.attributes},
        "MessageAttributes": received.message_attributes,
        "MD5OfBody": _md5(received.body),
    }
    name = queue.get_sqs_queue_name() if isinstance(queue, GenericQueue) else queue.name
    return record_from_message(raw, queue_arn=f"{_ARN}{name}")


def _records_of(queue: GenericQueue) -> list[EventRecord]:
    client = queue.env.client()
    answer = client.receive_message(**receive_request(queue.queue_url, limits.MAX_BATCH_ENTRIES))
    arn = queue_arn(client, queue.queue_url)
    return [record_from_message(raw, queue_arn=arn) for raw in answer.get("Messages") or ()]


def _md5(text: str) -> str:
    import hashlib

    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
