"""The faults of SQuidS, Q1 to Q10: each is provoked here, and does not happen."""

from __future__ import annotations

import asyncio
import pickle
import threading
from dataclasses import replace

import pytest

from sqs_tasks.client import ClientProvider
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.message import Job, OutgoingMessage, ReceivedMessage
from sqs_tasks.outcome import Retried, Succeeded
from sqs_tasks.shutdown_policies import ASAP_SHUTDOWN, MaxTasksShutdown
from sqs_tasks.testing import drain
from sqs_tasks.worker.consumer import Consumer
from tests.support.queues import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_q1_a_message_is_deleted_after_its_task(desk: Desk) -> None:
    """While the task runs its message is in flight, so a crash brings it back."""
    queue, seen = desk.env.queue("emails"), []
    queue.processor("send")(lambda: seen.append(desk.states("emails")))
    desk.create()
    queue.add_job("send")

    queue.process_batch()

    assert seen == [["in_flight"]]
    assert desk.bodies("emails") == []


def test_q2_what_fails_outside_the_task_is_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """An unknown task and a body that cannot be read each leave an error in the log."""
    queue = desk.env.queue("emails")
    desk.create()
    queue.add_job("gone")
    desk.memory.send_message(QueueUrl=queue.queue_url, MessageBody="{")

    queue.process_batch()

    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2
    assert "unknown task 'gone'" in errors[0]
    assert "no JobName" in errors[1]


@pytest.mark.parametrize("end", [SystemExit(1), MemoryError(), RecursionError(), asyncio.CancelledError()])
def test_q3_a_task_that_ends_its_thread_does_not_end_the_pool(desk: Desk, end: BaseException) -> None:
    """Whatever a task raises, the jobs after it run."""
    queue, ran = desk.env.queue("emails"), []

    @queue.processor("die")
    def die():
        raise end

    queue.processor("live")(lambda: ran.append(1))
    desk.create()
    for name in ("die", "die", "die", "live"):
        queue.add_job(name)

    queue.process_queue(MaxTasksShutdown(4), concurrency=2)

    assert ran == [1]


def test_q4_a_failure_does_not_strand_the_rest_of_its_receive(desk: Desk) -> None:
    """The messages after the failing one of a receive run in the same turn."""
    queue, ran = desk.env.queue("emails"), []
    queue.processor("send")(lambda n: ran.append(1 // (n - 1)))
    desk.create()
    for n in (2, 1, 2, 2):
        queue.add_job("send", n=n)

    result = queue.process_batch()

    assert ran == [1, 1, 1]
    assert (result.succeeded_count(), result.failed_count()) == (3, 1)


def test_q5_hooks_registered_late_run_all_of_them_and_after_failures_too(desk: Desk) -> None:
    """Registered after the task was declared, two on one event, and post_task knows how it ended."""
    queue, calls = desk.env.queue("emails"), []
    queue.processor("send")(lambda fail: 1 / (not fail))
    desk.create()
    desk.env.pre_task(lambda job: calls.append(("first", job.job_name)))
    desk.env.pre_task(lambda job: calls.append(("second", job.job_name)))
    desk.env.post_task(lambda job, outcome: calls.append(type(outcome)))
    queue.add_job("send", fail=False)
    queue.add_job("send", fail=True)

    drain(queue, raise_errors=False)

    assert calls == [("first", "send"), ("second", "send"), Succeeded, ("first", "send"), ("second", "send"), Retried]


def test_q6_automatic_names_are_addresses_that_last(desk: Desk) -> None:
    """``module.function`` where there is one; local functions, lambdas and scripts must be named."""
    queue = desk.env.queue("emails")

    assert queue.processor()(test_q6_automatic_names_are_addresses_that_last).name == (
        f"{__name__}.test_q6_automatic_names_are_addresses_that_last"
    )

    def local():
        return None

    script = type(local)(local.__code__, {}, "happy")
    script.__module__, script.__qualname__ = "__main__", "happy"
    for fn in (local, lambda: None, script):
        with pytest.raises(ConfigurationError, match="no lasting address"):
            queue.processor()(fn)


def test_q7_keywords_stay_keywords_on_the_wire(desk: Desk) -> None:
    """And positional arguments become keywords, so that parameters may change places."""
    queue = desk.env.queue("emails")
    send = queue.processor("send")(lambda to, subject: None)
    desk.create()
    send.delay("a", subject="b")

    assert desk.bodies("emails") == ['{"to": "a", "subject": "b"}']


def test_q8_no_more_is_received_than_can_start(desk: Desk) -> None:
    """Two running jobs of two at once: the rest stays in the queue for other workers."""
    queue, running, go_on = desk.env.queue("emails"), threading.Semaphore(0), threading.Event()

    @queue.processor("send")
    def send():
        running.release()
        go_on.wait(10)

    desk.create()
    for _ in range(10):
        send.delay()
    worker = threading.Thread(target=queue.process_queue, args=(ASAP_SHUTDOWN,), kwargs={"concurrency": 2})
    worker.start()
    assert running.acquire(timeout=10)
    assert running.acquire(timeout=10)

    states = desk.states("emails")
    go_on.set()
    worker.join()

    assert sorted(states) == ["in_flight"] * 2 + ["ready"] * 8


def test_q9_values_come_back_from_a_pickle_as_they_were(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages and jobs may cross processes; a forked child gets a client of its own."""
    message = ReceivedMessage(message_id="m", receipt_handle="r", body="{}")
    job = Job(job_name="send", kwargs={"a": 1}, context={}, queue_name="emails", message=message)
    outgoing = OutgoingMessage(body="{}", job_name="send")
    for value in (message, job, outgoing):
        assert pickle.loads(pickle.dumps(value)) == value
    assert replace(job, job_name="other") != job

    provider = ClientProvider(session=desk.session)
    ours = provider()
    assert provider() is ours
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert provider() is not ours


def test_q10_the_stop_has_a_deadline(desk: Desk) -> None:
    """A task that does not end holds the worker up for the grace period and no longer."""
    queue, begun, go_on = desk.env.queue("emails"), threading.Event(), threading.Event()

    @queue.processor("send")
    def send():
        begun.set()
        go_on.wait(30)

    desk.create()
    send.delay()
    consumer = Consumer([queue], concurrency=2, grace_seconds=0.05)
    worker = threading.Thread(target=consumer.run)
    worker.start()
    assert begun.wait(10)
    consumer.stop()
    worker.join(10)
    ended = not worker.is_alive()
    states = desk.states("emails")
    go_on.set()

    assert ended
    assert states == ["in_flight"]  # it comes back when its lease ends
