"""FIFO queues: order, groups, and what a receive may take."""

from __future__ import annotations

import pytest

from tests.conformance.sqs import SQS, refused, rule


@rule("FIFO-queues-understanding-logic")
def test_messages_of_a_group_come_in_order(sqs: SQS) -> None:
    """First in, first out."""
    url = sqs.fifo()
    for number in range(5):
        sqs.send(url, str(number), "g")

    assert sqs.bodies(url) == ["0", "1", "2", "3", "4"]


@rule("FIFO-queues-understanding-logic")
def test_a_batch_is_stored_in_order(sqs: SQS) -> None:
    """The entries are enqueued in the order they are sent."""
    url = sqs.fifo()
    sqs.batch(url, *"abcdefghij", MessageGroupId="g")

    assert "".join(sqs.bodies(url)) == "abcdefghij"


@rule("FIFO-queues-understanding-logic")
def test_a_receive_takes_a_group_together(sqs: SQS) -> None:
    """As many messages of one group as possible, then the next group."""
    url = sqs.fifo()
    for body in ("g1-a", "g2-a", "g1-b", "g1-c"):
        sqs.send(url, body, body[:2])

    assert sqs.bodies(url) == ["g1-a", "g1-b", "g1-c", "g2-a"]


@rule("FIFO-queues-understanding-logic")
def test_a_group_in_flight_is_locked(sqs: SQS) -> None:
    """No later message of the group is delivered, other groups are."""
    url = sqs.fifo()
    for body in ("g1-a", "g1-b", "g2-a"):
        sqs.send(url, body, body[:2])

    first = sqs.bodies(url, 1)

    assert first == ["g1-a"]
    assert sqs.bodies(url) == ["g2-a"]
    assert sqs.bodies(url) == []


@rule("FIFO-queues-understanding-logic")
def test_a_delete_unlocks_the_group(sqs: SQS) -> None:
    """The next message follows at once."""
    url = sqs.fifo()
    for body in ("a", "b"):
        sqs.send(url, body, "g")

    sqs.delete(url, sqs.one(url))

    assert sqs.bodies(url) == ["b"]


@rule("FIFO-queues-understanding-logic")
def test_a_group_stays_locked_until_all_are_deleted(sqs: SQS) -> None:
    """One message still in flight is enough."""
    url = sqs.fifo()
    for body in ("a", "b", "c"):
        sqs.send(url, body, "g")
    first, second = sqs.receive(url, 2)

    sqs.delete(url, first)
    locked = sqs.bodies(url)
    sqs.delete(url, second)

    assert locked == []
    assert sqs.bodies(url) == ["c"]


@rule("FIFO-queues-understanding-logic")
def test_the_timeout_brings_a_group_back_in_order(sqs: SQS) -> None:
    """The same messages, in the same order."""
    url = sqs.fifo(VisibilityTimeout="1")
    for body in ("a", "b", "c"):
        sqs.send(url, body, "g")
    sqs.receive(url, 2)

    sqs.wait(1.1)

    assert sqs.bodies(url) == ["a", "b", "c"]


@rule("S22", "FIFO-queues-understanding-logic")
def test_a_later_message_that_is_released_waits_for_the_earlier(sqs: SQS) -> None:
    """Strict order: the second cannot overtake the first."""
    url = sqs.fifo()
    for body in ("a", "b"):
        sqs.send(url, body, "g")
    first, second = sqs.receive(url, 2)

    sqs.hide(url, second, 0)
    overtaking = sqs.bodies(url)
    sqs.hide(url, first, 0)

    assert overtaking == []
    assert sqs.bodies(url) == ["a", "b"]


@rule("FIFO-queues-understanding-logic")
def test_an_earlier_message_that_is_released_comes_at_once(sqs: SQS) -> None:
    """It comes first anyway, so later ones still in flight do not hold it back.

    Observed on AWS by LocalStack's authors (test_fifo_message_group_visibility_after_terminate_visibility_timeout).
    """
    url = sqs.fifo()
    for body in ("a", "b", "c"):
        sqs.send(url, body, "g")
    first, _ = sqs.receive(url, 2)

    sqs.hide(url, first, 0)

    assert sqs.bodies(url) == ["a"]


@rule("FIFO-queues-understanding-logic")
def test_many_groups_are_served_side_by_side(sqs: SQS) -> None:
    """A lock is on a group, not on the queue."""
    url = sqs.fifo()
    for number in range(5):
        sqs.send(url, f"m{number}", f"g{number}")

    received = [sqs.bodies(url, 1) for _ in range(5)]

    assert sorted(body for (body,) in received) == [f"m{number}" for number in range(5)]


@rule("API_SendMessage")
def test_a_group_is_needed(sqs: SQS) -> None:
    """MissingParameter without one."""
    with refused("MissingParameter"):
        sqs.send(sqs.fifo())


@rule("API_SendMessageBatch")
def test_a_group_is_needed_for_every_entry_of_a_batch(sqs: SQS) -> None:
    """The whole batch is refused, and the code is another.

    Observed on AWS by LocalStack's authors (test_send_batch_missing_message_group_id_for_fifo_queue).
    """
    url = sqs.fifo()
    entries = [{"Id": "0", "MessageBody": "a", "MessageGroupId": "g"}, {"Id": "1", "MessageBody": "b"}]

    with refused("InvalidParameterValue"):
        sqs.client.send_message_batch(QueueUrl=url, Entries=entries)

    assert sqs.receive(url) == []


@rule("API_SendMessage")
def test_a_message_cannot_have_its_own_delay(sqs: SQS) -> None:
    """Zero is accepted, anything else refused."""
    url = sqs.fifo()
    sqs.send(url, "at once", "g", DelaySeconds=0)

    with refused("InvalidParameterValue"):
        sqs.send(url, "later", "g", DelaySeconds=1)


@rule("sqs-delay-queues")
def test_the_queue_can_delay(sqs: SQS) -> None:
    """The queue's delay keeps the order."""
    url = sqs.fifo(DelaySeconds="1")
    for body in ("a", "b", "c"):
        sqs.send(url, body, "g")

    early = sqs.bodies(url)
    sqs.wait(1.2)

    assert early == []
    assert sqs.bodies(url) == ["a", "b", "c"]


@rule("sqs-delay-queues")
@pytest.mark.long_time
def test_a_changed_delay_applies_to_messages_already_sent(sqs: SQS) -> None:
    """On a FIFO queue the delay is retroactive."""
    url = sqs.fifo(DelaySeconds="900")
    sqs.send(url, "a", "g")
    sqs.wait(10)

    sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "5"})

    assert sqs.bodies(url) == ["a"]


@rule("S2", "API_SendMessage")
def test_sequence_numbers_grow(sqs: SQS) -> None:
    """Every message has one, of 128 bits as text, larger than the one before."""
    url = sqs.fifo()

    numbers = [int(sqs.send(url, str(at), "g")["SequenceNumber"]) for at in range(3)]

    assert numbers == sorted(set(numbers))
    received = sqs.receive(url, 3, AttributeNames=["All"])
    assert [int(message["Attributes"]["SequenceNumber"]) for message in received] == numbers


@rule("S2")
def test_fifo_system_attributes(sqs: SQS) -> None:
    """Group, deduplication id and sequence number beside the usual ones."""
    url = sqs.fifo()
    sqs.send(url, "a", "g", MessageDeduplicationId="d")

    system = sqs.system(url)

    assert system["MessageGroupId"] == "g"
    assert system["MessageDeduplicationId"] == "d"
    assert system["SequenceNumber"].isdecimal()


@rule("API_DeleteMessage", "API_ReceiveMessage")
def test_a_handle_expires_with_its_timeout(sqs: SQS) -> None:
    """A consumer that took too long cannot delete: its message is free for others."""
    url = sqs.fifo(VisibilityTimeout="1")
    sqs.send(url, "a", "g")
    message = sqs.one(url)
    sqs.wait(1.1)

    with refused("InvalidParameterValue") as caught:
        sqs.delete(url, message)

    assert "The receipt handle has expired" in caught.message
    assert sqs.bodies(url) == ["a"]


@rule("API_DeleteMessage")
def test_a_fifo_message_can_be_deleted_again(sqs: SQS) -> None:
    """Gone is gone, also here."""
    url = sqs.fifo()
    sqs.send(url, "a", "g")
    message = sqs.one(url)

    sqs.delete(url, message)
    sqs.delete(url, message)


@rule("using-receiverequestattemptid-request-parameter", "API_ReceiveMessage")
def test_a_receive_can_be_repeated(sqs: SQS) -> None:
    """The same attempt id returns the same messages and handles, and counts no receive."""
    url = sqs.fifo()
    for body in ("a", "b"):
        sqs.send(url, body, "g")

    first = sqs.receive(url, 2, ReceiveRequestAttemptId="try", AttributeNames=["ApproximateReceiveCount"])
    again = sqs.receive(url, 2, ReceiveRequestAttemptId="try", AttributeNames=["ApproximateReceiveCount"])

    assert [message["Body"] for message in first] == ["a", "b"]
    assert again == first


@rule("using-receiverequestattemptid-request-parameter")
def test_a_repeated_receive_starts_the_timeout_anew(sqs: SQS) -> None:
    """If a retry occurs within the interval, it resets the visibility timeout."""
    url = sqs.fifo(VisibilityTimeout="2")
    sqs.send(url, "a", "g")
    sqs.receive(url, ReceiveRequestAttemptId="try")
    sqs.wait(1.2)
    sqs.receive(url, ReceiveRequestAttemptId="try")

    sqs.wait(1.2)

    assert sqs.receive(url) == []


@rule("using-receiverequestattemptid-request-parameter")
def test_a_receive_cannot_be_repeated_once_a_message_was_touched(sqs: SQS) -> None:
    """None of the messages may have been deleted or had its visibility changed."""
    url = sqs.fifo()
    sqs.send(url, "a", "g")
    message = sqs.one(url, ReceiveRequestAttemptId="try")
    sqs.hide(url, message, 100)

    with refused("InvalidParameterValue"):
        sqs.receive(url, ReceiveRequestAttemptId="try")


@rule("using-receiverequestattemptid-request-parameter")
def test_another_attempt_gets_other_messages(sqs: SQS) -> None:
    """The id names the attempt."""
    url = sqs.fifo()
    sqs.send(url, "a", "g1")
    sqs.send(url, "b", "g2")

    assert sqs.bodies(url, 1, ReceiveRequestAttemptId="one") == ["a"]
    assert sqs.bodies(url, 1, ReceiveRequestAttemptId="two") == ["b"]


@rule("using-receiverequestattemptid-request-parameter")
def test_an_attempt_is_over_with_its_visibility_timeout(sqs: SQS) -> None:
    """Then the same id is a receive like any other, and counts."""
    url = sqs.fifo(VisibilityTimeout="1")
    sqs.send(url, "a", "g")
    ask = {"ReceiveRequestAttemptId": "try", "AttributeNames": ["ApproximateReceiveCount"]}
    first = sqs.one(url, **ask)
    sqs.wait(1.1)

    again = sqs.one(url, **ask)

    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    assert again["ReceiptHandle"] != first["ReceiptHandle"]


@rule("using-receiverequestattemptid-request-parameter")
@pytest.mark.long_time
def test_an_attempt_can_be_repeated_for_five_minutes(sqs: SQS) -> None:
    """Even if the messages are still invisible afterwards."""
    url = sqs.fifo(VisibilityTimeout="3600")
    sqs.send(url, "a", "g")
    sqs.send(url, "b", "h")
    sqs.bodies(url, 1, ReceiveRequestAttemptId="try")

    sqs.wait(299)
    within = sqs.bodies(url, 1, ReceiveRequestAttemptId="try")
    sqs.wait(2)

    assert within == ["a"]
    assert sqs.bodies(url, 1, ReceiveRequestAttemptId="try") == ["b"]
