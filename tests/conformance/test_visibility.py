"""The visibility timeout: who sees a message, and until when."""

from __future__ import annotations

import pytest

from tests.conformance.sqs import SQS, refused, rule


@rule("sqs-visibility-timeout")
def test_a_received_message_is_hidden(sqs: SQS) -> None:
    """Nobody else gets it."""
    url = sqs.queue()
    sqs.send(url)
    sqs.one(url)

    assert sqs.receive(url) == []


@rule("sqs-visibility-timeout")
def test_a_message_comes_back_after_the_timeout(sqs: SQS) -> None:
    """Not deleted means delivered again."""
    url = sqs.queue(VisibilityTimeout="1")
    sqs.send(url, "again")
    sqs.one(url)

    sqs.wait(1.1)

    assert sqs.bodies(url) == ["again"]


@rule("API_ReceiveMessage")
def test_a_receive_can_have_its_own_timeout(sqs: SQS) -> None:
    """VisibilityTimeout in the call goes before the queue's."""
    url = sqs.queue(VisibilityTimeout="1")
    sqs.send(url)
    sqs.one(url, VisibilityTimeout=100)

    sqs.wait(1.1)

    assert sqs.receive(url) == []


@rule("API_ReceiveMessage")
def test_a_timeout_of_zero_hides_nothing(sqs: SQS) -> None:
    """The message can be received again at once."""
    url = sqs.queue()
    sqs.send(url)

    sqs.one(url, VisibilityTimeout=0)

    assert len(sqs.receive(url)) == 1


@rule("S20", "API_ChangeMessageVisibility")
def test_visibility_can_be_ended(sqs: SQS) -> None:
    """Zero makes a message visible at once."""
    url = sqs.queue()
    sqs.send(url)

    sqs.hide(url, sqs.one(url), 0)

    assert len(sqs.receive(url)) == 1


@rule("S20", "API_ChangeMessageVisibility")
def test_visibility_can_be_extended(sqs: SQS) -> None:
    """The new timeout counts from the call."""
    url = sqs.queue(VisibilityTimeout="1")
    sqs.send(url)
    sqs.hide(url, sqs.one(url), 100)

    sqs.wait(1.1)

    assert sqs.receive(url) == []


@rule("S20", "API_ChangeMessageVisibility")
def test_visibility_can_be_shortened(sqs: SQS) -> None:
    """A long timeout becomes a short one."""
    url = sqs.queue()
    sqs.send(url, "soon")
    sqs.hide(url, sqs.one(url), 1)

    sqs.wait(1.1)

    assert sqs.bodies(url) == ["soon"]


@rule("S20", "API_ChangeMessageVisibility")
def test_a_change_is_not_remembered(sqs: SQS) -> None:
    """The next receive has the queue's timeout again."""
    url = sqs.queue(VisibilityTimeout="100")
    sqs.send(url)
    sqs.hide(url, sqs.one(url), 0)
    sqs.one(url)

    sqs.wait(1.1)

    assert sqs.receive(url) == []


@rule("S20")
@pytest.mark.parametrize("seconds", [-1, 43_201])
def test_timeouts_out_of_range_are_refused(sqs: SQS, seconds: int) -> None:
    """0 to 43,200."""
    url = sqs.queue()
    sqs.send(url)
    message = sqs.one(url)

    with refused("InvalidParameterValue"):
        sqs.hide(url, message, seconds)


@rule("S20")
def test_twelve_hours_count_from_the_receive(sqs: SQS) -> None:
    """More than the time left is an error, not clamped."""
    url = sqs.queue()
    sqs.send(url)
    message = sqs.one(url)
    sqs.wait(1.1)

    with refused("InvalidParameterValue"):
        sqs.hide(url, message, 43_200)

    sqs.hide(url, message, 43_100)


@rule("S20")
@pytest.mark.long_time
def test_twelve_hours_are_the_end_however_often_it_is_extended(sqs: SQS) -> None:
    """A heartbeat cannot go on for ever."""
    url = sqs.queue()
    sqs.send(url)
    message = sqs.one(url, VisibilityTimeout=40_000)
    sqs.wait(39_000)

    with refused("InvalidParameterValue"):
        sqs.hide(url, message, 4_201)
    sqs.hide(url, message, 4_200)
    sqs.wait(4_199)
    before = sqs.receive(url)
    sqs.wait(1)

    assert before == []
    assert len(sqs.receive(url)) == 1


@rule("S21", "API_ChangeMessageVisibility")
def test_a_handle_that_never_was_is_refused(sqs: SQS) -> None:
    """ReceiptHandleIsInvalid."""
    with refused("ReceiptHandleIsInvalid"):
        sqs.hide(sqs.queue(), {"ReceiptHandle": "garbage"}, 10)


@rule("S21", "API_ChangeMessageVisibility")
def test_the_visibility_of_a_deleted_message_cannot_change(sqs: SQS) -> None:
    """InvalidParameterValue, with the handle in the text."""
    url = sqs.queue()
    sqs.send(url)
    message = sqs.one(url)
    sqs.delete(url, message)

    with refused("InvalidParameterValue") as caught:
        sqs.hide(url, message, 42)

    assert "Message does not exist or is not available for visibility timeout change" in caught.message


@rule("API_ChangeMessageVisibility")
def test_an_old_handle_changes_the_visibility(sqs: SQS) -> None:
    """AWS takes any handle of the message on a standard queue.

    Observed on AWS by LocalStack's authors (test_terminate_visibility_timeout_after_receive).
    """
    url = sqs.queue()
    sqs.send(url)
    old = sqs.one(url, VisibilityTimeout=0)
    sqs.one(url, VisibilityTimeout=100)

    sqs.hide(url, old, 0)

    assert len(sqs.receive(url)) == 1


@rule("API_ChangeMessageVisibility")
def test_a_handle_whose_timeout_is_over_is_accepted(sqs: SQS) -> None:
    """AWS answers 200 on a standard queue, whatever the error MessageNotInflight suggests.

    Observed on AWS by LocalStack's authors (test_change_message_visibility_after_visibility_timeout_expiration) and by
    moto's (pull request 4655).
    """
    url = sqs.queue(VisibilityTimeout="1")
    sqs.send(url)
    message = sqs.one(url)
    sqs.wait(1.1)

    sqs.hide(url, message, 100)


@rule("API_ChangeMessageVisibility")
def test_a_message_that_is_visible_again_stays_visible(sqs: SQS) -> None:
    """The answer is OK, and nothing happens: the old handle cannot hide the message from everybody else.

    Observed on AWS by LocalStack's authors (pull request 9632).
    """
    url = sqs.queue(VisibilityTimeout="1")
    sqs.send(url, "again")
    message = sqs.one(url)
    sqs.wait(1.1)

    sqs.hide(url, message, 100)

    assert sqs.bodies(url) == ["again"]


@rule("API_ChangeMessageVisibilityBatch")
def test_a_batch_leaves_visible_messages_visible_too(sqs: SQS) -> None:
    """Each entry succeeds, as in a single call."""
    url = sqs.queue(VisibilityTimeout="1")
    sqs.send(url, "again")
    message = sqs.one(url)
    sqs.wait(1.1)

    answer = sqs.client.change_message_visibility_batch(
        QueueUrl=url, Entries=[{"Id": "0", "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 100}]
    )

    assert [entry["Id"] for entry in answer["Successful"]] == ["0"]
    assert sqs.bodies(url) == ["again"]


@rule("API_DeleteMessage")
def test_a_deleted_message_is_gone(sqs: SQS) -> None:
    """It does not come back after its timeout."""
    url = sqs.queue(VisibilityTimeout="1")
    sqs.send(url)
    sqs.delete(url, sqs.one(url))

    sqs.wait(1.1)

    assert sqs.receive(url) == []


@rule("API_DeleteMessage")
def test_a_message_can_be_deleted_again(sqs: SQS) -> None:
    """Deleting what is gone is no error."""
    url = sqs.queue()
    sqs.send(url)
    message = sqs.one(url)

    for _ in range(3):
        sqs.delete(url, message)


@rule("API_DeleteMessage")
def test_a_handle_that_never_was_cannot_delete(sqs: SQS) -> None:
    """ReceiptHandleIsInvalid."""
    with refused("ReceiptHandleIsInvalid"):
        sqs.delete(sqs.queue(), {"ReceiptHandle": "garbage"})


@rule("API_DeleteMessage")
def test_an_old_handle_deletes(sqs: SQS) -> None:
    """On a standard queue a handle whose timeout is over still deletes the message."""
    url = sqs.queue(VisibilityTimeout="1")
    sqs.send(url)
    message = sqs.one(url)
    sqs.wait(1.1)

    sqs.delete(url, message)

    assert sqs.receive(url) == []
    assert sqs.counts(url) == (0, 0, 0)


@rule("API_DeleteMessage")
def test_a_message_in_another_hand_can_be_deleted(sqs: SQS) -> None:
    """Even if a visibility timeout causes the message to be locked by another consumer."""
    url = sqs.queue()
    sqs.send(url)
    first = sqs.one(url, VisibilityTimeout=0)
    second = sqs.one(url)

    sqs.delete(url, first)

    assert sqs.counts(url) == (0, 0, 0)
    sqs.delete(url, second)


@rule("API_DeleteMessage", "sqs-queue-message-identifiers")
def test_a_handle_belongs_to_its_queue(sqs: SQS) -> None:
    """Another queue does not know it."""
    url = sqs.queue()
    sqs.send(url)
    message = sqs.one(url)

    with refused("ReceiptHandleIsInvalid"):
        sqs.delete(sqs.queue(), message)
