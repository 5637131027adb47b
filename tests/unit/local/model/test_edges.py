"""Edges of the model that no other server can be asked about."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.local.model import receipt
from sqs_tasks.local.model.faults import SQSFault
from sqs_tasks.local.server import LocalSQSServer


@pytest.fixture
def session() -> MemorySession:
    return MemorySession(clock=ManualClock())


@pytest.fixture
def sqs(session: MemorySession) -> Any:
    return session.client("sqs")


def with_dead_letters(sqs: Any) -> tuple[str, str]:
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    attributes = {"RedrivePolicy": policy, "VisibilityTimeout": "0"}
    return sqs.create_queue(QueueName="live", Attributes=attributes)["QueueUrl"], dead


def test_a_message_without_a_dead_letter_queue_is_delivered_on(sqs: Any) -> None:
    """The dead-letter queue was deleted: better delivered too often than lost."""
    live, dead = with_dead_letters(sqs)
    sqs.send_message(QueueUrl=live, MessageBody="x")
    sqs.delete_queue(QueueUrl=dead)

    received = [sqs.receive_message(QueueUrl=live)["Messages"][0]["Body"] for _ in range(3)]

    assert received == ["x"] * 3


def test_a_message_whose_dead_letter_queue_does_not_want_it_any_more_is_delivered_on(sqs: Any) -> None:
    """RedriveAllowPolicy was changed after the redrive policy was set."""
    live, dead = with_dead_letters(sqs)
    sqs.send_message(QueueUrl=live, MessageBody="x")
    deny = json.dumps({"redrivePermission": "denyAll"})
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": deny})

    received = [sqs.receive_message(QueueUrl=live)["Messages"][0]["Body"] for _ in range(3)]

    assert received == ["x"] * 3


def test_a_move_task_ends_when_its_source_is_deleted(session: MemorySession, sqs: Any) -> None:
    """And what is left of it is harmless."""
    live, dead = with_dead_letters(sqs)
    for _ in range(3):
        sqs.send_message(QueueUrl=live, MessageBody="x")
    while sqs.receive_message(QueueUrl=live, MaxNumberOfMessages=10).get("Messages"):
        pass
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=1)
    session.advance(1)

    sqs.delete_queue(QueueUrl=dead)
    session.advance(10)

    assert len(sqs.receive_message(QueueUrl=live, MaxNumberOfMessages=10).get("Messages", [])) == 1


def test_a_large_move_is_done_in_portions(session: MemorySession, sqs: Any) -> None:
    """Others are served in between; progress can be seen."""
    live, dead = with_dead_letters(sqs)
    for _ in range(120):
        entries = [{"Id": str(at), "MessageBody": "x"} for at in range(10)]
        sqs.send_message_batch(QueueUrl=live, Entries=entries)
    for _ in range(121):
        sqs.receive_message(QueueUrl=live, MaxNumberOfMessages=10, VisibilityTimeout=100)
    session.advance(101)
    assert "Messages" not in sqs.receive_message(QueueUrl=live)
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    sqs.start_message_move_task(SourceArn=arn)
    progress = []
    for _ in range(4):
        (task,) = sqs.list_message_move_tasks(SourceArn=arn)["Results"]
        progress.append((task["Status"], task["ApproximateNumberOfMessagesMoved"]))
        session.advance(0.01)

    assert progress == [("RUNNING", 500), ("RUNNING", 1000), ("COMPLETED", 1200), ("COMPLETED", 1200)]


def test_expired_messages_leave_no_trace(session: MemorySession, sqs: Any) -> None:
    """A queue that lives for months does not grow."""
    url = sqs.create_queue(QueueName="q", Attributes={"MessageRetentionPeriod": "60"})["QueueUrl"]
    queue = session._service._account.queues["q"]

    for _ in range(50):
        for _ in range(100):
            sqs.send_message(QueueUrl=url, MessageBody="x")
        session.advance(61)
    sqs.receive_message(QueueUrl=url)

    assert not queue._messages
    assert len(queue._retention) < 2_000
    assert not queue._backlog


def test_deleted_messages_leave_no_trace(session: MemorySession, sqs: Any) -> None:
    """Neither in the retention order nor in the agenda nor in the backlog."""
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="stays", DelaySeconds=900)
    queue = session._service._account.queues["q"]

    for _ in range(5_000):
        sqs.send_message(QueueUrl=url, MessageBody="x")
        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    assert len(queue._messages) == 1
    assert len(queue._retention) < 3_000
    assert len(session._service._agenda._heap) < 1_000


def test_messages_deleted_while_they_wait_leave_no_trace(session: MemorySession, sqs: Any) -> None:
    """A late delete with an old handle takes a message out of the middle of the backlog."""
    url = sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    queue = session._service._account.queues["q"]
    for _ in range(1_000):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    handles = []
    for _ in range(100):
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=10)["Messages"]
        handles += [message["ReceiptHandle"] for message in messages]
    session.advance(10)

    for handle in handles[:900]:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)

    assert len(queue._backlog._nobody._returned) <= 400
    received = 0
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60).get("Messages"):
        received += len(messages)
    assert received == 100


def test_a_waiting_message_keeps_its_place_whatever_its_old_handle_asks_for(session: MemorySession, sqs: Any) -> None:
    """A handle whose timeout is over changes nothing, and messages come back in their order each time."""
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    for body in ("a", "b"):
        sqs.send_message(QueueUrl=url, MessageBody=body)

    for _ in range(2):
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1)["Messages"]
        session.advance(1)
        for message in reversed(messages):
            for seconds in (1, 0, 43_200):
                sqs.change_message_visibility(
                    QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
                )

    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in received] == ["a", "b"]


def test_a_delayed_message_takes_its_place_by_age(session: MemorySession, sqs: Any) -> None:
    """It was sent first, so it goes before those sent while it was delayed."""
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="delayed", DelaySeconds=10)
    session.advance(5)
    for body in ("a", "b"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    session.advance(5)
    sqs.send_message(QueueUrl=url, MessageBody="c")

    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]

    assert [message["Body"] for message in received] == ["delayed", "a", "b", "c"]


def test_a_message_received_three_times_goes_to_the_back(session: MemorySession, sqs: Any) -> None:
    """S25: it does not stand in the way of others."""
    url = sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    for body in ("poison", "a", "b"):
        sqs.send_message(QueueUrl=url, MessageBody=body)

    received = [sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] for _ in range(6)]

    assert received == ["poison", "poison", "poison", "a", "a", "a"]


def test_processing_time_is_what_passed_since_the_receive(session: MemorySession, sqs: Any) -> None:
    """Not the visibility timeout, when a message is released early."""
    url = sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
    for group in ("quick", "slow"):
        sqs.send_message(QueueUrl=url, MessageBody=group, MessageGroupId=group)
        sqs.send_message(QueueUrl=url, MessageBody=group, MessageGroupId=group)
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=4)["Messages"]
    fairness = session._service._account.queues["q"]._backlog.fairness
    session.advance(1)
    for message in messages[:2]:
        handle = message["ReceiptHandle"]
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
    session.advance(99)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[2]["ReceiptHandle"])

    now = session.clock.now()
    assert not fairness.is_noisy("quick", now)
    assert fairness.is_noisy("slow", now)


@pytest.mark.parametrize("text", ["", "AQEB", "AQEB" + "0" * 40, "x" * 44])
def test_handles_that_were_never_issued(text: str) -> None:
    """Whatever they look like."""
    with pytest.raises(SQSFault, match="not a valid receipt handle"):
        receipt.parse(receipt.new_tag(), text)


def test_a_handle_with_another_number_is_refused() -> None:
    """Right queue, no hexadecimal number."""
    tag = receipt.new_tag()

    assert receipt.parse(tag, receipt.handle(tag, 5, 2)) == (5, 2)
    with pytest.raises(SQSFault):
        receipt.parse(tag, tag + "z" * 24)


def test_a_bug_is_an_answer_and_a_log_entry(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """500, with the traceback in the log; the server lives on."""
    import http.client

    with LocalSQSServer() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        monkeypatch.setattr(server._service, "call", lambda *_: 1 / 0)
        headers = {"X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": "application/x-amz-json-1.0"}
        with caplog.at_level(logging.ERROR):
            connection.request("POST", "/", "{}", headers)
            response = connection.getresponse()
            body = json.loads(response.read())
        monkeypatch.undo()
        connection.request("POST", "/", "{}", headers)
        after = connection.getresponse()
        after.read()
        connection.close()

    assert response.status == 500
    assert body["__type"] == "InternalFailure"
    assert "ZeroDivisionError" in caplog.text
    assert after.status == 200
