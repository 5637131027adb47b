"""The faults of simple-worker, S1 to S8: each is provoked here, and does not happen."""

from __future__ import annotations

import threading

import pytest

from sqs_tasks import MemorySession, SQSEnv, readers
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.outcome import BatchProcessingResult
from sqs_tasks.shutdown_policies import ASAP_SHUTDOWN, MaxTasksShutdown
from sqs_tasks.testing import drain
from tests.support.queues import Desk, Terminated
from tests.support.scripted_client import failing, failing_entries

TEXT = {"DataType": "String"}


@pytest.fixture
def desk() -> Desk:
    return Desk()


class Polls:
    """Stops after so many polls."""

    def __init__(self, polls: int) -> None:
        self.left = polls

    def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
        self.left -= 1

    def need_shutdown(self) -> bool:
        return self.left <= 0


def test_s1_poison_does_not_end_the_worker(desk: Desk) -> None:
    """After an unknown task, a broken body, missing keys and a missing argument, the good job runs."""
    queue, ran = desk.env.queue("emails", readers=[readers.simple_worker]), []
    queue.processor("send")(lambda to: ran.append(to))  # noqa: PLW0108 - the argument has a name
    desk.create()
    for body in ('{"task_name": "gone", "task_payload": {}}', "{", "[]", '{"task_name": "send"}', "null", '"x"'):
        desk.memory.send_message(QueueUrl=queue.queue_url, MessageBody=body)
    desk.memory.send_message(
        QueueUrl=queue.queue_url,
        MessageBody='{"task_name": "send", "task_payload": {"frm": "x"}}',
    )
    desk.memory.send_message(
        QueueUrl=queue.queue_url,
        MessageBody='{"task_name": "send", "task_payload": {"to": "a"}}',
    )

    queue.process_queue(MaxTasksShutdown(8))

    assert ran == ["a"]
    assert desk.states("emails") == ["in_flight"]  # the unknown task: a deploy may be under way
    assert len(desk.bodies("emails_dead")) == 6


def test_s2_an_idle_worker_waits_in_long_polls_and_asks_for_the_url_once(desk: Desk) -> None:
    """Five idle turns are five receives of ten messages and, after the first, twenty seconds each."""
    queue = desk.env.queue("emails")
    queue.processor("send")(lambda: None)
    desk.create()
    desk.env.urls.forget("emails")

    queue.process_queue(Polls(5))

    asked = desk.sqs.requests("receive_message")
    assert [request["WaitTimeSeconds"] for request in asked] == [0, 20, 20, 20, 20]
    assert desk.sqs.counts == {"get_queue_url": 1, "receive_message": 5}


def test_s3_sigterm_finishes_the_task_and_stops(desk: Desk) -> None:
    """The worker that gets SIGTERM in the middle of a task finishes it, settles it and returns."""
    queue, steps = desk.env.queue("emails"), []

    @queue.processor("send")
    def send():
        steps.append("begun")
        worker.kill()
        steps.append("ended")

    worker = Terminated(queue)
    desk.create()
    send.delay()
    worker.run()

    assert steps == ["begun", "ended"]
    assert desk.bodies("emails") == []


def test_s4_arguments_are_checked_where_the_job_is_added(desk: Desk) -> None:
    """A misspelt argument is a TypeError that names it; a producer without the code can send by name."""
    queue = desk.env.queue("emails")
    send = queue.processor("send")(lambda to, subject="": None)
    desk.create()

    with pytest.raises(TypeError, match="unexpected keyword argument 'nope'"):
        send.delay(to="a", nope=1)
    with pytest.raises(TypeError, match="missing a required argument: 'to'"):
        queue.add_job("send")
    with pytest.raises(TypeError, match="too many positional"):
        send.delay("a", "b", "c")
    assert desk.bodies("emails") == []

    SQSEnv(sqs_client=desk.memory).queue("emails").add_job("send", to="a")
    assert desk.bodies("emails") == ['{"to": "a"}']


def test_s5_a_busy_queue_does_not_starve_another(desk: Desk) -> None:
    """The job of the busy queue waits for the job of the other; with a fixed order it would wait for ever."""
    busy, other = desk.env.queue("busy"), desk.env.queue("other")
    done, waited = threading.Event(), []
    busy.processor("work")(lambda: waited.append(done.wait(10)))
    other.processor("work")(done.set)
    desk.create()
    for _ in range(3):
        busy.add_job("work")
    other.add_job("work")

    desk.env.process_queues(shutdown_policy_maker=lambda: ASAP_SHUTDOWN)

    assert waited == [True] * 3


def test_s6_no_argument_reaches_the_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Success, failure, rejection and unknown tasks are logged with names and ids only."""
    caplog.set_level("INFO")
    queue = desk.env.queue("emails")
    queue.processor("good")(lambda secret: None)
    queue.processor("bad")(lambda secret: 1 / 0)
    queue.processor("spent", max_attempts=1)(lambda secret: 1 / 0)
    desk.create()
    for name in ("good", "bad", "spent", "unknown"):
        queue.add_job(name, secret="hunter2")
    desk.memory.send_message(
        QueueUrl=queue.queue_url,
        MessageBody='{"secret": "hunter2"',
        MessageAttributes={"JobName": {**TEXT, "StringValue": "good"}},
    )

    drain(queue, raise_errors=False)

    told = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert {record.action for record in caplog.records} >= {
        "job_succeeded",
        "job_retried",
        "job_rejected",
        "unknown_task",
    }
    assert not [text for text in told if "hunter2" in text]


def test_s7_the_memory_queue_redelivers_and_honours_the_prefix() -> None:
    """A failed job comes back, and the prefix is part of the name; counts are those of a real client."""
    session = MemorySession(ManualClock())
    env = SQSEnv(session, queue_prefix="test-")
    queue, attempts = env.queue("emails"), []

    @queue.processor("send")
    def send():
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError

    env.create_queues()
    send.delay()
    result = drain(queue, raise_errors=False, wait=True)

    assert len(attempts) == 3
    assert (result.succeeded, result.failed) == (1, 2)
    assert queue.queue_url.endswith("/test-emails")
    assert queue.statistics().total == 0


@pytest.mark.parametrize("code", ["ReceiptHandleIsInvalid", "InvalidParameterValue"])
def test_s8_an_expired_handle_does_not_end_the_loop(desk: Desk, caplog: pytest.LogCaptureFixture, code: str) -> None:
    """The delete that SQS refuses for good is logged, not raised and not repeated, and the next job runs."""
    queue, ran = desk.env.queue("emails"), []
    queue.processor("send")(lambda n: ran.append(n))  # noqa: PLW0108 - the argument has a name
    desk.create()
    queue.add_job("send", n=1)
    desk.sqs.script("delete_message_batch", failing_entries(code, "0", sender_fault=True))
    queue.process_queue(MaxTasksShutdown(1))
    assert desk.sqs.counts["delete_message_batch"] == 1

    queue.add_job("send", n=2)
    desk.sqs.script("delete_message_batch", failing(code))
    queue.process_queue(MaxTasksShutdown(1))

    assert ran == [1, 2]
    assert caplog.text.count("could not delete") == 2
