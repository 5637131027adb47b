"""A letter is shown for what it is: rejected, moved by SQS, foreign, unreadable."""

from __future__ import annotations

import pickle

import pytest

from sqs_tasks import ConstantBackoff, Postpone, SQSEnv, readers
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.operations import EditedJob, letter_queues, look, retry
from sqs_tasks.testing import drain


def test_a_rejected_job_says_everything(shop):
    """Who, when, why, where in the code, how often; and its arguments as plain data."""
    shop.queue.add_job("ship", number=3)
    shop.session.advance(60)
    drain(shop.queue, raise_errors=False)

    [letter] = shop.seen()

    assert (letter.ending, letter.content, letter.task, letter.source) == ("rejected", "job", "ship", "orders")
    assert letter.reason == "1 attempts used up: LookupError: no parcel 3"
    assert (letter.failure_type, letter.attempts) == ("LookupError", 1)
    assert (letter.failed_at - letter.first_sent_at).total_seconds() == 60
    assert letter.frames[-1].endswith(":ship")
    assert letter.arguments == {"number": 3}
    assert "number" not in repr(letter), "arguments are in no log"


def test_what_sqs_moved_is_no_rejection(shop):
    """A worker that is killed each time says nothing; SQS says where the letter comes from, and when it was sent."""
    shop.queue.add_job("ship", number=1)
    for _ in range(6):
        shop.queue.get_raw_messages()
        shop.session.advance(43_200)

    [letter] = shop.seen()

    assert (letter.ending, letter.source, letter.reason, letter.failed_at) == ("moved by SQS", "s-orders", "", None)
    assert letter.why == "moved by SQS: its receives were used up, and no worker says why"
    assert letter.first_sent_at == letter.message.sent_at


def test_an_earlier_death_is_not_taken_for_the_last(shop):
    """SQS's own redrive keeps what a letter said; when SQS moves it again, that is about the time before."""
    shop.bury(1)
    shop.env.client().start_message_move_task(
        SourceArn=arn(shop, shop.letters.url), DestinationArn=arn(shop, shop.queue.queue_url)
    )
    shop.session.advance(1)
    for _ in range(6):
        shop.queue.get_raw_messages()
        shop.session.advance(43_200)

    [letter] = shop.seen()

    assert letter.ending == "moved by SQS"
    assert "no parcel 1" in letter.earlier_reason
    assert (letter.reason, letter.frames, letter.attempts) == ("", (), None)


def arn(shop, url):
    answer = shop.env.client().get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


@pytest.mark.parametrize("body", ["plain text", '{"Records": []}', "[1, 2", "\u2603" * 10, "1" * 5_000, "[" * 5_000])
def test_a_foreign_message_is_foreign(shop, body):
    """Whatever somebody else has sent here is shown as such, and nothing fails."""
    shop.raw(body)

    [letter] = shop.seen()

    assert (letter.content, letter.ending, letter.task) == ("foreign", "unknown", "")
    assert letter.why == "no job of this library: there is no JobName attribute"


@pytest.mark.parametrize(
    ("content_type", "body", "problem"),
    [
        ("json", "{nope", "the body is not json"),
        ("json", "[1]", "no arguments by name"),
        ("json+zlib", "????", "the body is not json"),
        ("json+zlib", "AAAA", "not zlib data"),
        ("pickle", "gASVAAAA", "pickles are not opened for a look"),
        ("their own", "x", "is read by the application alone"),
    ],
)
def test_an_unreadable_job_says_why(shop, content_type, body, problem):
    """Its task's name is known; its arguments cannot be shown."""
    names = {"JobName": "ship", "ContentType": content_type}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in names.items()}
    shop.raw(body, MessageAttributes=attributes)

    [letter] = shop.seen()

    assert (letter.content, letter.task) == ("unreadable", "ship")
    assert problem in letter.problem


def test_arguments_in_s3_are_said_to_be_there(shop):
    """The letter is a job, can be retried as it is, and cannot be edited."""
    pointer = '["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "b", "s3Key": "k"}]'
    names = {"JobName": "ship", "ExtendedPayloadSize": "1500000"}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in names.items()}
    shop.raw(pointer, MessageAttributes=attributes)

    [letter] = shop.seen()

    assert (letter.content, letter.arguments) == ("job", None)
    assert letter.problem.endswith("s3://b/k")
    with pytest.raises(ConfigurationError, match="cannot be edited: the arguments are in S3"):
        EditedJob.of(shop.letters, letter)
    retry(shop.letters, to=shop.queue.queue_url)
    [message] = shop.queue.get_raw_messages()
    assert message.body == pointer
    assert set(message.message_attributes) == set(names)


def test_no_pickle_runs_by_being_looked_at(shop, tmp_path):
    """Not even on a queue whose worker accepts pickles."""

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "boom"), "w"))

    import base64
    import zlib

    body = base64.urlsafe_b64encode(zlib.compress(pickle.dumps(Bomb()))).decode()
    attributes = {
        "JobName": {"DataType": "String", "StringValue": "ship"},
        "ContentType": {"DataType": "String", "StringValue": "pickle"},
    }
    shop.raw(body, MessageAttributes=attributes)

    shop.seen()

    assert not (tmp_path / "boom").exists()


def test_a_job_of_another_library_is_a_job(shop):
    """Where its queue has a reader for it."""
    env = SQSEnv(shop.session, queue_prefix="s-")
    env.queue("orders", readers=[readers.pyqs])
    shop.raw('{"task": "ship", "args": [1], "kwargs": {"number": 2}}')

    [queue] = letter_queues(env)
    with look(queue) as letters:
        [letter] = letters

    assert (letter.content, letter.task) == ("job", "ship")
    assert letter.arguments == {"number": 2, "*args": [1]}


def test_a_copy_that_sqs_moved_says_when_its_job_was_first_sent(shop):
    """A job that was put off goes on by copies, each sent later than the first."""

    def wait() -> None:
        raise Postpone(60)

    shop.queue.processor("wait", backoff_policy=ConstantBackoff(1))(wait)
    first = shop.session.clock.now()
    shop.queue.add_job("wait")
    shop.session.advance(5)
    shop.queue.process_batch()
    shop.session.advance(61)
    for _ in range(6):
        shop.queue.get_raw_messages()
        shop.session.advance(43_200)

    [letter] = shop.seen()

    assert letter.first_sent_at.timestamp() == first
    assert letter.message.sent_at.timestamp() > first


def test_its_trace_is_found(shop):
    """By the header of W3C or that of X-Ray."""
    shop.raw(
        "x",
        MessageAttributes={
            "traceparent": {
                "DataType": "String",
                "StringValue": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            }
        },
    )
    shop.raw(
        "y",
        MessageSystemAttributes={
            "AWSTraceHeader": {
                "DataType": "String",
                "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
            }
        },
    )

    assert {one.trace_id for one in shop.seen()} == {
        "0af7651916cd43dd8448eb211c80319c",
        "1-5759e988-bd862e3fe1be46a994272793",
    }
