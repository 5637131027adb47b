"""Deduplication on FIFO queues: by id or content, for five minutes, by queue or group."""

from __future__ import annotations

import hashlib

import pytest

from tests.conformance.sqs import SQS, refused, rule


@rule("S31", "FIFO-queues-exactly-once-processing")
def test_a_repeated_id_is_accepted_and_not_delivered(sqs: SQS) -> None:
    """The second send succeeds, and there is one message."""
    url = sqs.fifo()
    first = sqs.send(url, "a", "g", MessageDeduplicationId="d")

    second = sqs.send(url, "b", "g", MessageDeduplicationId="d")

    assert second["MD5OfMessageBody"] == hashlib.md5(b"b").hexdigest()
    assert second["MessageId"] == first["MessageId"]
    assert second["SequenceNumber"] == first["SequenceNumber"]
    assert sqs.bodies(url) == ["a"]


@rule("S31", "API_SendMessage")
def test_ids_are_remembered_after_a_delete(sqs: SQS) -> None:
    """SQS continues to keep track of the id even after the message is received and deleted."""
    url = sqs.fifo()
    sqs.send(url, "a", "g", MessageDeduplicationId="d")
    sqs.delete(url, sqs.one(url))

    sqs.send(url, "a", "g", MessageDeduplicationId="d")

    assert sqs.receive(url) == []


@rule("S31")
@pytest.mark.long_time
def test_ids_are_forgotten_after_five_minutes(sqs: SQS) -> None:
    """Counted from the first send, to the second."""
    url = sqs.fifo()
    sqs.send(url, "first", "g", MessageDeduplicationId="d")
    sqs.wait(299)
    sqs.send(url, "duplicate", "g", MessageDeduplicationId="d")
    sqs.wait(1)

    sqs.send(url, "second", "g", MessageDeduplicationId="d")

    assert sqs.bodies(url) == ["first", "second"]


@rule("S31", "FIFO-queues-exactly-once-processing")
def test_content_is_an_id(sqs: SQS) -> None:
    """ContentBasedDeduplication takes the SHA-256 of the body, not the attributes."""
    url = sqs.fifo()
    sqs.send(url, "same", "g", MessageAttributes={"k": {"DataType": "String", "StringValue": "1"}})
    sqs.send(url, "same", "g", MessageAttributes={"k": {"DataType": "String", "StringValue": "2"}})

    messages = sqs.receive(url, 10, AttributeNames=["MessageDeduplicationId"])

    (message,) = messages
    assert message["Attributes"]["MessageDeduplicationId"] == hashlib.sha256(b"same").hexdigest()


@rule("API_SendMessage")
def test_a_given_id_goes_before_the_content(sqs: SQS) -> None:
    """Your MessageDeduplicationId overrides the generated one."""
    url = sqs.fifo()
    sqs.send(url, "same", "g", MessageDeduplicationId="1")
    sqs.send(url, "same", "g", MessageDeduplicationId="2")

    assert sqs.bodies(url) == ["same", "same"]


@rule("API_SendMessage")
def test_an_id_like_the_contents_is_the_same(sqs: SQS) -> None:
    """Content first, then its hash given as an id: two of a kind."""
    url = sqs.fifo()
    sqs.send(url, "same", "g")

    sqs.send(url, "other", "g", MessageDeduplicationId=hashlib.sha256(b"same").hexdigest())

    assert sqs.bodies(url) == ["same"]


@rule("API_SendMessage")
def test_an_id_is_needed_unless_content_will_do(sqs: SQS) -> None:
    """InvalidParameterValue without either."""
    with refused("InvalidParameterValue"):
        sqs.send(sqs.fifo(ContentBasedDeduplication="false"), "a", "g")


@rule("API_SendMessageBatch")
def test_an_id_is_needed_for_every_entry_of_a_batch(sqs: SQS) -> None:
    """The whole batch is refused."""
    url = sqs.fifo(ContentBasedDeduplication="false")
    entries = [
        {"Id": "0", "MessageBody": "a", "MessageGroupId": "g", "MessageDeduplicationId": "d"},
        {"Id": "1", "MessageBody": "b", "MessageGroupId": "g"},
    ]

    with refused("InvalidParameterValue"):
        sqs.client.send_message_batch(QueueUrl=url, Entries=entries)

    assert sqs.receive(url) == []


@rule("API_SendMessageBatch")
def test_duplicates_within_a_batch(sqs: SQS) -> None:
    """Both entries succeed, one message is stored."""
    url = sqs.fifo()

    answer = sqs.batch(url, "same", "same", MessageGroupId="g")

    assert len(answer["Successful"]) == 2
    assert sqs.bodies(url) == ["same"]


@rule("S31", "FIFO-queues-exactly-once-processing")
def test_the_scope_is_the_queue_by_default(sqs: SQS) -> None:
    """The same id in another group is a duplicate."""
    url = sqs.fifo()
    sqs.send(url, "a", "g1", MessageDeduplicationId="d")

    sqs.send(url, "b", "g2", MessageDeduplicationId="d")

    assert sqs.bodies(url) == ["a"]


@rule("S31", "FIFO-queues-high-throughput")
def test_the_scope_can_be_the_group(sqs: SQS) -> None:
    """DeduplicationScope messageGroup: the same id in another group is another message."""
    url = sqs.fifo(DeduplicationScope="messageGroup")
    sqs.send(url, "a", "g1", MessageDeduplicationId="d")
    sqs.send(url, "b", "g2", MessageDeduplicationId="d")
    sqs.send(url, "c", "g1", MessageDeduplicationId="d")

    assert sorted(sqs.bodies(url)) == ["a", "b"]


@rule("API_SendMessage", "R7")
@pytest.mark.parametrize("bad", ["x" * 129, "with space", "ctrl\x08"], ids=["long", "space", "control"])
def test_bad_deduplication_ids_are_refused(sqs: SQS, bad: str) -> None:
    """1 to 128 alphanumeric characters and punctuation."""
    with refused("InvalidParameterValue"):
        sqs.send(sqs.fifo(), "a", "g", MessageDeduplicationId=bad)
