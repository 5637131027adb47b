"""Batches: ten at most, each entry for itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.sqs import SQS, refused, rule

LIMIT = 1_048_576

#: The three batches, with an entry that needs no message.
KINDS: dict[str, dict[str, Any]] = {
    "send_message_batch": {"MessageBody": "x"},
    "delete_message_batch": {"ReceiptHandle": "x"},
    "change_message_visibility_batch": {"ReceiptHandle": "x", "VisibilityTimeout": 1},
}


@rule("API_SendMessageBatch")
def test_a_batch_answers_for_every_entry(sqs: SQS) -> None:
    """By the entries' ids, with message ids and digests."""
    url = sqs.queue()

    answer = sqs.batch(url, "a", "b", "c")

    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "1", "2"]
    assert len({entry["MessageId"] for entry in answer["Successful"]}) == 3
    assert answer["Successful"][0]["MD5OfMessageBody"] == "0cc175b9c0f1b6a831c399e269772661"
    assert not answer.get("Failed")
    assert sorted(sqs.bodies(url)) == ["a", "b", "c"]


@rule("API_SendMessageBatch")
def test_a_bad_entry_fails_alone(sqs: SQS) -> None:
    """The call succeeds, and Failed tells which entry did not, with a code and whose fault it is."""
    url = sqs.queue()

    answer = sqs.batch(url, "good", "bad \x01", "fine")

    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "2"]
    (failed,) = answer["Failed"]
    assert failed["Id"] == "1"
    assert failed["Code"] == "InvalidMessageContents"
    assert failed["SenderFault"] is True
    assert sorted(sqs.bodies(url)) == ["fine", "good"]


@rule("API_SendMessageBatch")
def test_entries_have_their_own_delays(sqs: SQS) -> None:
    """DelaySeconds is per entry."""
    url = sqs.queue()
    entries = [
        {"Id": "now", "MessageBody": "now"},
        {"Id": "later", "MessageBody": "later", "DelaySeconds": 1},
        {"Id": "never", "MessageBody": "never", "DelaySeconds": 901},
    ]

    answer = sqs.client.send_message_batch(QueueUrl=url, Entries=entries)
    early = sqs.bodies(url)
    sqs.wait(1.1)

    assert [entry["Id"] for entry in answer["Failed"]] == ["never"]
    assert answer["Failed"][0]["Code"] == "InvalidParameterValue"
    assert early == ["now"]
    assert sqs.bodies(url) == ["later"]


@rule("API_SendMessageBatch")
def test_entries_have_their_own_attributes(sqs: SQS) -> None:
    """Attributes and their digest are per entry."""
    url = sqs.queue()
    attributes = {"k": {"DataType": "String", "StringValue": "x"}}
    entries = [{"Id": "with", "MessageBody": "a", "MessageAttributes": attributes}, {"Id": "bare", "MessageBody": "b"}]

    answer = sqs.client.send_message_batch(QueueUrl=url, Entries=entries)

    by_id = {entry["Id"]: entry for entry in answer["Successful"]}
    assert by_id["with"]["MD5OfMessageAttributes"] == "a45daa70926828a2f0a1db3418e6feb4"
    assert "MD5OfMessageAttributes" not in by_id["bare"]


@rule("S38", "API_SendMessageBatch")
def test_a_batch_may_have_a_mebibyte_in_all(sqs: SQS) -> None:
    """The sum of the messages, attributes included."""
    url = sqs.queue()

    answer = sqs.batch(url, "x" * (LIMIT // 2), "x" * (LIMIT // 2))

    assert len(answer["Successful"]) == 2


@rule("S38", "API_SendMessageBatch")
def test_a_larger_batch_is_refused_as_a_whole(sqs: SQS) -> None:
    """BatchRequestTooLong, and nothing is stored."""
    url = sqs.queue()

    with refused("BatchRequestTooLong"):
        sqs.batch(url, "x" * (LIMIT // 2), "x" * (LIMIT // 2 + 1))

    assert sqs.receive(url) == []


@rule("API_SendMessageBatch")
def test_the_queues_limit_is_for_each_message(sqs: SQS) -> None:
    """Two messages may be longer together than MaximumMessageSize; one may not."""
    url = sqs.queue(MaximumMessageSize="1024")

    together = sqs.batch(url, "x" * 1024, "y" * 1024)
    alone = sqs.batch(url, "x" * 1025, "y")

    assert len(together["Successful"]) == 2
    assert [entry["Id"] for entry in alone["Failed"]] == ["0"]


@rule("API_SendMessageBatch", "API_DeleteMessageBatch", "API_ChangeMessageVisibilityBatch")
@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_is_refused(sqs: SQS, kind: str) -> None:
    """EmptyBatchRequest."""
    url = sqs.queue()

    with refused("EmptyBatchRequest"):
        getattr(sqs.client, kind)(QueueUrl=url, Entries=[])


@rule("API_SendMessageBatch", "API_DeleteMessageBatch", "API_ChangeMessageVisibilityBatch")
@pytest.mark.parametrize("kind", KINDS)
def test_more_than_ten_entries_are_refused(sqs: SQS, kind: str) -> None:
    """TooManyEntriesInBatchRequest."""
    url = sqs.queue()
    entries = [{"Id": str(number), **KINDS[kind]} for number in range(11)]

    with refused("TooManyEntriesInBatchRequest"):
        getattr(sqs.client, kind)(QueueUrl=url, Entries=entries)


@rule("API_SendMessageBatch", "API_DeleteMessageBatch", "API_ChangeMessageVisibilityBatch")
@pytest.mark.parametrize("kind", KINDS)
def test_ids_must_differ(sqs: SQS, kind: str) -> None:
    """BatchEntryIdsNotDistinct."""
    url = sqs.queue()
    entries = [{"Id": "same", **KINDS[kind]}, {"Id": "same", **KINDS[kind]}]

    with refused("BatchEntryIdsNotDistinct"):
        getattr(sqs.client, kind)(QueueUrl=url, Entries=entries)


@rule("API_SendMessageBatch", "API_DeleteMessageBatch", "API_ChangeMessageVisibilityBatch")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("entry_id", ["", "a:b", "x" * 81], ids=["empty", "colon", "long"])
def test_bad_entry_ids_are_refused(sqs: SQS, kind: str, entry_id: str) -> None:
    """Up to 80 letters, digits, hyphens and underscores."""
    url = sqs.queue()

    with refused("InvalidBatchEntryId"):
        getattr(sqs.client, kind)(QueueUrl=url, Entries=[{"Id": entry_id, **KINDS[kind]}])


@rule("API_DeleteMessageBatch")
def test_deletes_fail_one_by_one(sqs: SQS) -> None:
    """A bad handle does not keep the others from being deleted."""
    url = sqs.queue()
    sqs.batch(url, "a", "b")
    first, second = sqs.receive(url, 2)
    entries = [
        {"Id": "first", "ReceiptHandle": first["ReceiptHandle"]},
        {"Id": "bad", "ReceiptHandle": "garbage"},
        {"Id": "second", "ReceiptHandle": second["ReceiptHandle"]},
    ]

    answer = sqs.client.delete_message_batch(QueueUrl=url, Entries=entries)

    assert {entry["Id"] for entry in answer["Successful"]} == {"first", "second"}
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("bad", "ReceiptHandleIsInvalid")]
    assert sqs.counts(url) == (0, 0, 0)


@rule("S21", "API_ChangeMessageVisibilityBatch")
def test_changes_fail_one_by_one(sqs: SQS) -> None:
    """Each entry has its own timeout and its own error."""
    url = sqs.queue()
    sqs.batch(url, "a", "b", "c")
    free, hidden, wrong = sqs.receive(url, 3)
    entries = [
        {"Id": "free", "ReceiptHandle": free["ReceiptHandle"], "VisibilityTimeout": 0},
        {"Id": "hidden", "ReceiptHandle": hidden["ReceiptHandle"], "VisibilityTimeout": 600},
        {"Id": "wrong", "ReceiptHandle": wrong["ReceiptHandle"], "VisibilityTimeout": 43_201},
        {"Id": "bad", "ReceiptHandle": "garbage", "VisibilityTimeout": 0},
    ]

    answer = sqs.client.change_message_visibility_batch(QueueUrl=url, Entries=entries)

    assert {entry["Id"] for entry in answer["Successful"]} == {"free", "hidden"}
    assert {entry["Id"] for entry in answer["Failed"]} == {"wrong", "bad"}
    assert sqs.bodies(url) == [free["Body"]]


@rule("API_SendMessageBatch")
def test_a_batch_to_an_unknown_queue_is_refused(sqs: SQS) -> None:
    """The call fails, not the entries."""
    with refused("QueueDoesNotExist"):
        sqs.batch(sqs.queue() + "x", "a")
