"""Sizes count after the last addition, against what the queue takes; what can be left out is left out, with a word."""

from __future__ import annotations

import logging

import pytest

from sqs_tasks import DeadLetterQueue, MemorySession, Reject, SQSEnv
from sqs_tasks.errors import ConfigurationError, MessageTooLargeError
from sqs_tasks.limits import MAX_MESSAGE_BYTES
from sqs_tasks.message import OutgoingMessage, ReceivedMessage, string_attribute
from sqs_tasks.queue import JobQueue
from sqs_tasks.task import AsyncTask

TRACE = "0" * 400


@pytest.fixture
def env() -> SQSEnv:
    return SQSEnv(MemorySession())


def traced(env: SQSEnv) -> None:
    """A hook as telemetry has it: it adds an attribute to each message."""

    @env.pre_send
    def trace(message: OutgoingMessage) -> None:
        message.attributes["traceparent"] = string_attribute(TRACE)  # type: ignore[index]


def take(queue: JobQueue) -> AsyncTask[..., None]:
    task = queue.processor("take", backoff_policy=None)(lambda text: None)
    queue.env.create_queues()  # type: ignore[attr-defined]
    return task


def set_size(queue: JobQueue, size: int, *, dead: bool = False) -> None:
    """Have a queue take messages of so many bytes, whatever its registration says."""
    url = queue.dead_letter_queue_url() if dead else queue.queue_url
    queue.env.client().set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": str(size)})


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__["action"] for record in caplog.records if "action" in record.__dict__]


@pytest.mark.parametrize("way", ["delay", "map", "batch"])
def test_a_trace_that_does_not_fit_is_left_out(env: SQSEnv, caplog: pytest.LogCaptureFixture, way: str) -> None:
    """The job fits without it, and is worth more."""
    queue = env.queue("jobs", compress_above_bytes=None)
    task = take(queue)
    traced(env)
    text = "x" * (MAX_MESSAGE_BYTES - 300)

    if way == "delay":
        task.delay(text)
    elif way == "map":
        task.map([{"text": text}])
    else:
        with task.batch():
            task.delay(text)

    [message] = queue.get_raw_messages()
    assert message.attribute("traceparent") is None
    assert actions(caplog) == ["attributes_left_out"]


def test_an_eleventh_attribute_is_left_out(env: SQSEnv, caplog: pytest.LogCaptureFixture) -> None:
    """SQS takes ten; four are ours and six the sender's."""
    queue = env.queue("jobs")
    task = take(queue)
    traced(env)

    task.options(message_attributes={f"own{n}": "x" for n in range(6)}).delay("a")

    [message] = queue.get_raw_messages()
    assert {f"own{n}" for n in range(6)} < message.message_attributes.keys()
    assert message.attribute("traceparent") is None
    assert actions(caplog) == ["attributes_left_out"]


def test_a_hook_that_makes_the_body_of_attributes_too_large_is_said(env: SQSEnv) -> None:
    """What was there before is not left out: it is the sender's."""
    queue = env.queue("jobs", max_message_bytes=1_024)
    task = take(queue)

    @env.pre_send
    def grow(message: OutgoingMessage) -> None:
        message.attributes["own"] = string_attribute("x" * 2_000)  # type: ignore[index]

    with pytest.raises(MessageTooLargeError, match="at most 1024 are allowed; store large data elsewhere"):
        task.options(message_attributes={"own": "x"}).delay("a")


def test_the_limit_of_the_queue_itself_counts(env: SQSEnv, caplog: pytest.LogCaptureFixture) -> None:
    """A queue made years ago takes 256 KiB; its registration need not say so (S38)."""
    queue = env.queue("jobs", compress_above_bytes=None)
    task = take(queue)
    set_size(queue, 262_144)
    traced(env)
    fits = "x" * (262_144 - 300)

    task.delay(fits)
    with pytest.raises(MessageTooLargeError, match=r"at most 262144 are allowed.*or raise the queue's MaximumMessageS"):
        task.delay("x" * 262_144)

    [message] = queue.get_raw_messages()
    assert message.attribute("traceparent") is None
    assert set(actions(caplog)) == {"attributes_left_out"}


def test_a_dead_letter_without_room_goes_without_its_reason(env: SQSEnv, caplog: pytest.LogCaptureFixture) -> None:
    """The dead-letter queue may take less than the queue; the job is worth more than what is said of its end."""
    caplog.set_level(logging.INFO)
    queue = env.queue("jobs", compress_above_bytes=None)
    queue.processor("refuse")(refuse)
    env.create_queues()
    set_size(queue, 2_048, dead=True)
    queue.add_job("refuse", text="x" * 1_850)

    queue.process_batch()

    [letter] = env.queue("jobs_dead").get_raw_messages()
    assert letter.job_name == "refuse"
    assert letter.attribute("FailureReason") is None
    assert "failure_attributes_left_out" in actions(caplog)


def refuse(text: str) -> None:
    raise Reject("no" * 200)


def test_attributes_of_the_sender_that_are_named_like_ours_survive(env: SQSEnv) -> None:
    """A dead letter is not told apart by names: what the sender wrote is there on the way out and on the way back."""
    queue = env.queue("jobs")
    dead = env.queue("jobs_dead", DeadLetterQueue.maker(queue))
    task = queue.processor("refuse")(refuse)
    env.create_queues()
    task.options(message_attributes={"FailureReason": "the bank said no"}).delay("a")

    queue.process_batch()
    [letter] = dead.get_raw_messages()
    env.client().change_message_visibility_batch(
        QueueUrl=dead.queue_url,
        Entries=[{"Id": "0", "ReceiptHandle": letter.receipt_handle, "VisibilityTimeout": 0}],
    )
    assert dead.push_back() == 1
    back = waited_for(queue)

    assert letter.attribute("FailureReason") == "the bank said no"
    assert letter.attribute("FailureType") == "Reject"
    assert back.attribute("FailureReason") == "the bank said no"
    assert back.attribute("FailureType") is None


def waited_for(queue: JobQueue) -> ReceivedMessage:
    [message] = queue.get_raw_messages(5)
    return message


def test_what_our_dead_letters_say_is_taken_off_and_said_anew(env: SQSEnv) -> None:
    """On the way back, and at the next death."""
    queue = env.queue("jobs")
    dead = env.queue("jobs_dead", DeadLetterQueue.maker(queue))
    queue.processor("refuse")(refuse)
    env.create_queues()
    queue.add_job("refuse", text="a")

    for _ in range(2):
        queue.process_batch(5)
        [letter] = dead.get_raw_messages()
        assert letter.attribute("FailureReason") is not None
        env.client().change_message_visibility_batch(
            QueueUrl=dead.queue_url,
            Entries=[{"Id": "0", "ReceiptHandle": letter.receipt_handle, "VisibilityTimeout": 0}],
        )
        assert dead.push_back() == 1


def test_an_attribute_with_the_name_of_one_that_the_library_writes_is_refused(env: SQSEnv) -> None:
    """It used to be replaced without a word."""
    task = take(env.queue("jobs"))

    with pytest.raises(ConfigurationError, match=r"'JobId' is written by the library; .* any other name is free"):
        task.options(message_attributes={"JobId": "mine"}).delay("a")
