"""Receiving: how many, what is shown, in which order."""

from __future__ import annotations

import time

import pytest

from tests.conformance.sqs import SQS, refused, rule


@rule("API_ReceiveMessage")
def test_an_empty_queue_returns_no_list(sqs: SQS) -> None:
    """The key is missing, as boto3's users know it."""
    assert "Messages" not in sqs.client.receive_message(QueueUrl=sqs.queue())


@rule("API_ReceiveMessage")
def test_one_message_by_default(sqs: SQS) -> None:
    """MaxNumberOfMessages is 1 unless said otherwise."""
    url = sqs.queue()
    sqs.batch(url, "a", "b")

    assert len(sqs.client.receive_message(QueueUrl=url)["Messages"]) == 1


@rule("API_ReceiveMessage")
def test_up_to_ten_messages(sqs: SQS) -> None:
    """Never more than asked for."""
    url = sqs.queue()
    for batch in ("abcdef", "ghijkl"):
        sqs.batch(url, *batch)

    assert len(sqs.receive(url, 10)) <= 10
    assert len(sqs.receive(url, 10)) >= 1


@rule("API_ReceiveMessage")
@pytest.mark.parametrize("most", [0, 11, -1])
def test_counts_out_of_range_are_refused(sqs: SQS, most: int) -> None:
    """1 to 10."""
    with refused("InvalidParameterValue"):
        sqs.receive(sqs.queue(), most)


@rule("API_ReceiveMessage")
@pytest.mark.parametrize(("name", "value"), [("WaitTimeSeconds", 21), ("VisibilityTimeout", 43_201)])
def test_seconds_out_of_range_are_refused(sqs: SQS, name: str, value: int) -> None:
    """20 seconds of waiting and 12 hours of invisibility are the most."""
    url = sqs.queue()
    sqs.send(url)

    with refused("InvalidParameterValue"):
        sqs.receive(url, **{name: value})


@rule("API_ReceiveMessage")
def test_an_attempt_id_is_for_fifo_queues(sqs: SQS) -> None:
    """ReceiveRequestAttemptId applies to FIFO queues only."""
    with refused("InvalidParameterValue"):
        sqs.receive(sqs.queue(), ReceiveRequestAttemptId="a")


@rule("S2", "API_ReceiveMessage")
def test_system_attributes(sqs: SQS) -> None:
    """All strings; times are milliseconds since the epoch."""
    url = sqs.queue()
    before = time.time()
    sqs.send(url)

    system = sqs.system(url)

    assert set(system) == {
        "SenderId",
        "SentTimestamp",
        "ApproximateReceiveCount",
        "ApproximateFirstReceiveTimestamp",
    }
    assert system["ApproximateReceiveCount"] == "1"
    assert abs(int(system["SentTimestamp"]) / 1000 - before) < 3600 * 24 * 365
    assert int(system["ApproximateFirstReceiveTimestamp"]) >= int(system["SentTimestamp"])


@rule("API_ReceiveMessage")
def test_system_attributes_come_only_when_asked_for(sqs: SQS) -> None:
    """Names select; the older and the newer parameter mean the same."""
    url = sqs.queue(VisibilityTimeout="0")
    sqs.send(url)

    none = sqs.one(url)
    old = sqs.one(url, AttributeNames=["SenderId", "SequenceNumber"])
    new = sqs.one(url, MessageSystemAttributeNames=["ApproximateReceiveCount"])

    assert "Attributes" not in none
    assert set(old["Attributes"]) == {"SenderId"}
    assert new["Attributes"] == {"ApproximateReceiveCount": "3"}


@rule("S2", "API_ReceiveMessage")
def test_receive_counts_grow_and_the_first_time_stays(sqs: SQS) -> None:
    """ApproximateReceiveCount counts; ApproximateFirstReceiveTimestamp is of the first receive."""
    url = sqs.queue(VisibilityTimeout="0")
    sqs.send(url)

    first = sqs.system(url)
    second = sqs.system(url)

    assert [first["ApproximateReceiveCount"], second["ApproximateReceiveCount"]] == ["1", "2"]
    assert first["ApproximateFirstReceiveTimestamp"] == second["ApproximateFirstReceiveTimestamp"]


@rule("sqs-queue-message-identifiers")
def test_every_receive_has_its_own_handle(sqs: SQS) -> None:
    """The message id stays, the receipt handle changes."""
    url = sqs.queue(VisibilityTimeout="0")
    sqs.send(url)

    first, second = sqs.one(url), sqs.one(url)

    assert first["MessageId"] == second["MessageId"]
    assert first["ReceiptHandle"] != second["ReceiptHandle"]


@rule("API_ReceiveMessage")
def test_queues_are_separate(sqs: SQS) -> None:
    """A message is in the queue it was sent to."""
    one, other = sqs.queue(), sqs.queue()
    sqs.send(one)

    assert sqs.receive(other) == []
    assert len(sqs.receive(one)) == 1


@rule("API_GetQueueAttributes")
def test_counts_follow_the_states(sqs: SQS) -> None:
    """Visible, in flight, delayed."""
    url = sqs.queue()
    sqs.batch(url, "a", "b", "c")
    sqs.send(url, DelaySeconds=900)
    message = sqs.one(url)

    received = sqs.counts(url)
    sqs.delete(url, message)

    assert received == (2, 1, 1)
    assert sqs.counts(url) == (2, 0, 1)


@rule("sqs-short-and-long-polling")
@pytest.mark.wall_clock
def test_a_long_poll_waits_and_gives_up(sqs: SQS) -> None:
    """WaitTimeSeconds is how long the call takes when nothing comes."""
    url = sqs.queue()
    start = time.monotonic()

    messages = sqs.receive(url, WaitTimeSeconds=1)

    assert messages == []
    assert 0.9 <= time.monotonic() - start < 3


@rule("sqs-short-and-long-polling")
@pytest.mark.wall_clock
def test_a_long_poll_returns_at_once_when_there_is_a_message(sqs: SQS) -> None:
    """It does not wait for more than one."""
    url = sqs.queue()
    sqs.send(url)
    start = time.monotonic()

    messages = sqs.receive(url, 10, WaitTimeSeconds=10)

    assert len(messages) == 1
    assert time.monotonic() - start < 5


@rule("sqs-short-and-long-polling")
@pytest.mark.wall_clock
def test_the_queue_can_make_polls_long(sqs: SQS) -> None:
    """ReceiveMessageWaitTimeSeconds applies when the call says nothing, and zero in the call overrides it."""
    url = sqs.queue(ReceiveMessageWaitTimeSeconds="1")
    start = time.monotonic()

    sqs.client.receive_message(QueueUrl=url)
    waited = time.monotonic() - start
    sqs.client.receive_message(QueueUrl=url, WaitTimeSeconds=0)

    assert 0.9 <= waited < 3
    assert time.monotonic() - start - waited < 0.9


@rule("sqs-short-and-long-polling")
@pytest.mark.wall_clock
def test_a_long_poll_sees_the_end_of_a_delay(sqs: SQS) -> None:
    """A delayed message ends the wait when its time has come."""
    url = sqs.queue()
    sqs.send(url, "delayed", DelaySeconds=1)

    assert sqs.bodies(url, WaitTimeSeconds=5) == ["delayed"]


@rule("sqs-short-and-long-polling")
@pytest.mark.wall_clock
def test_a_long_poll_sees_the_end_of_a_visibility_timeout(sqs: SQS) -> None:
    """A message in flight ends the wait when it comes back."""
    url = sqs.queue()
    sqs.send(url, "again")
    sqs.one(url, VisibilityTimeout=1)

    assert sqs.bodies(url, WaitTimeSeconds=5) == ["again"]


@rule("API_ReceiveMessage")
def test_receiving_from_an_unknown_queue_is_refused(sqs: SQS) -> None:
    """No queue, no messages."""
    with refused("QueueDoesNotExist"):
        sqs.receive(sqs.queue() + "x")
