"""Events as Lambda sends them, one file for each shape, through the handler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sqs_tasks import RawQueue, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.lambda_runtime.records import read_messages, read_records
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.message import from_sqs
from tests.support.lambda_app import LambdaApp

EVENTS = Path(__file__).parents[2] / "events"
FILES = sorted(path.stem for path in EVENTS.glob("sqs_*.json"))


def load(name):
    return json.loads((EVENTS / f"{name}.json").read_text())


def messages_of(name):
    return list(read_messages(read_records(load(name))))


@pytest.fixture
def ran():
    return []


@pytest.fixture
def handler(ran):
    env = SQSEnv(session=MemorySession())
    for name in ("emails", "emails.fifo", "emails2", "e-mails_2.fifo", "emails_dead"):

        @env.queue(name).processor("send_email")
        def send_email(to):
            ran.append(to)

    env.queue("uploads", RawQueue).raw_processor()(lambda message: ran.append(json.loads(message.body)))
    return SQSEventHandler(env)


@pytest.mark.parametrize("name", FILES)
def test_event_of_every_shape_is_worked(handler, ran, name):
    """Events of all partitions and kinds of queue run their jobs."""
    event = load(name)

    assert handler(event, None) == {"batchItemFailures": []}
    assert len(ran) == len(event["Records"])


@pytest.mark.parametrize("name", FILES)
def test_event_is_left_as_it_was(handler, name):
    """The handler changes nothing in the event."""
    event = load(name)
    handler(event, None)

    assert event == load(name)


def test_group_of_a_standard_queue_is_read_s2():
    """Fair queues have a message group, too."""
    assert [message.group_id for message in messages_of("sqs_fair_queue")] == ["tenant-42", "tenant-42"]


def test_attributes_of_every_type_are_read_s3():
    """As boto3's receive has them: capital names, binary values in bytes."""
    attributes = messages_of("sqs_attributes_of_every_type")[0].message_attributes

    assert attributes["count"] == {"DataType": "Number", "StringValue": "7"}
    assert attributes["price"] == {"DataType": "Number.float", "StringValue": "-1.5e3"}
    assert attributes["unit"] == {"DataType": "String.currency", "StringValue": "EUR"}
    assert attributes["picture"] == {"DataType": "Binary", "BinaryValue": b"\x89PNG\r\n\x1a\n\x00"}
    assert attributes["letter"] == {"DataType": "Binary.pdf", "BinaryValue": b"%PDF"}


def test_counts_and_times_are_read():
    """Lambda's numbers, which come as text, arrive as numbers and times."""
    message = messages_of("sqs_standard")[1]

    assert message.receive_count == 3
    assert message.sent_at.isoformat() == "2026-01-01T00:00:00+00:00"
    assert message.first_received_at.isoformat() == "2026-01-01T00:00:00.012000+00:00"


def test_redriven_message_keeps_its_job_id_s56():
    """A redriven message has its own job id, and the queue that it came from."""
    message = messages_of("sqs_redriven")[0]

    assert message.attribute("JobId") == "5f0c8a52-94c8-4d51-9f5b-3a6c1d7e8b90"
    assert message.attributes["DeadLetterQueueSourceArn"].endswith(":emails")


def test_both_doors_give_the_same_message_s3():
    """What the simulator makes of a receive, read again, is what the receive itself is."""
    app = LambdaApp()
    app.queue.processor("work")(lambda: None)
    seen = []
    app.deploy()
    app.handler.on_start(lambda messages, _: seen.extend(messages))
    app.client.send_message(
        QueueUrl=app.queue.queue_url,
        MessageBody="{}",
        MessageAttributes={
            "JobName": {"DataType": "String", "StringValue": "work"},
            "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
            "number": {"DataType": "Number", "StringValue": "1"},
        },
    )
    received = app.session.client("sqs").receive_message(
        QueueUrl=app.queue.queue_url, AttributeNames=["All"], MessageAttributeNames=["All"], VisibilityTimeout=0
    )
    polled = from_sqs(received["Messages"][0])
    app.drain()

    (message,) = seen
    assert (message.message_id, message.body) == (polled.message_id, polled.body)
    assert message.message_attributes == polled.message_attributes
    assert {**message.attributes, "ApproximateReceiveCount": "1"} == dict(polled.attributes)


def test_records_without_attributes_are_read():
    """A hand-made test event of the console."""
    records = read_records(
        {"Records": [{"messageId": "m", "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:r:1:q", "body": "{}"}]}
    )
    (message,) = read_messages(records)

    assert (message.receive_count, message.receipt_handle, message.sent_at) == (1, "", None)


def test_error_for_another_event_says_what_it_found():
    """The error lists the keys, or the source, of what came instead."""
    with pytest.raises(ConfigurationError, match="it has no list of Records, it has 'version', 'detail'; "):
        read_records({"version": "0", "detail": {}})
    with pytest.raises(ConfigurationError, match="the eventSource of a record is 'aws:kinesis'; "):
        read_records({"Records": [{"eventSource": "aws:kinesis"}]})


@pytest.mark.parametrize(
    "event",
    [
        "x" * 1_000_000,
        {"x" * 1_000_000: 1},
        {f"key{n}": n for n in range(100_000)},
        {"Records": ["x" * 1_000_000]},
        {"Records": [{"eventSource": "x\n" * 1_000_000}]},
        {"Records": [{"eventSource": ["x" * 1_000_000]}]},
        {"Records": [{"eventSource": "aws:sqs", "messageId": {"secret": "x" * 1_000_000}}]},
        {"Records": [{"eventSource": "aws:sqs", "messageId": "m", "eventSourceARN": 10**1000}]},
    ],
    ids=["text", "long key", "many keys", "record", "source", "source of a list", "id", "arn"],
)
def test_error_quotes_little_of_what_came(event):
    """Whatever the sender wrote: the error stays one short line of ASCII, and holds no value that is no text."""
    with pytest.raises(ConfigurationError) as caught:
        read_records(event)

    text = str(caught.value)
    assert len(text) < 1_000
    assert text.isascii()
    assert text.isprintable()
    assert "secret" not in text
