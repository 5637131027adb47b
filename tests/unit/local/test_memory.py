"""MemorySession: boto3's shape, one SQS for all its clients, a clock that can be moved."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError

from sqs_tasks.local.clock import ManualClock, SystemClock
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.protocols import SQSClient


@pytest.fixture
def session() -> MemorySession:
    return MemorySession(clock=ManualClock(start=1_700_000_000))


@pytest.fixture
def url(session: MemorySession) -> str:
    found: str = session.client("sqs").create_queue(QueueName="emails")["QueueUrl"]
    return found


def test_a_client_is_an_sqs_client(session: MemorySession) -> None:
    """It has every method that this library calls, and takes boto3's options."""
    client = session.client("sqs", region_name="eu-west-1", config=object(), endpoint_url="http://x")

    operations = [name for name in vars(SQSClient) if not name.startswith("_")]
    assert "receive_message" in operations
    assert [name for name in operations if not callable(getattr(client, name, None))] == []


def test_clients_of_a_session_share_their_queues(session: MemorySession, url: str) -> None:
    """And sessions do not."""
    session.client("sqs").send_message(QueueUrl=url, MessageBody="hi")

    assert session.client("sqs").receive_message(QueueUrl=url)["Messages"][0]["Body"] == "hi"
    with pytest.raises(ClientError):
        MemorySession().client("sqs").send_message(QueueUrl=url, MessageBody="hi")


def test_there_is_no_other_service(session: MemorySession) -> None:
    """The error says so."""
    with pytest.raises(ValueError, match="service_name='s4': a MemorySession has 'sqs', 'scheduler' and 's3'"):
        session.client("s4")


def test_an_unknown_method_is_an_attribute_error(session: MemorySession) -> None:
    """As on a boto3 client."""
    with pytest.raises(AttributeError, match="sent_message"):
        session.client("sqs").sent_message()


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("send_message", {"MessageBody": "x"}),
        ("send_message", {"QueueUrl": "u", "MessageBody": 3}),
        ("send_message", {"QueueUrl": "u", "MessageBody": "x", "Delay": 1}),
        ("send_message", {"QueueUrl": "u", "MessageBody": "x", "DelaySeconds": "1"}),
        ("send_message", {"QueueUrl": "u", "MessageBody": "x", "MessageAttributes": {"a": {"StringValue": "x"}}}),
        ("send_message_batch", {"QueueUrl": "u", "Entries": [{"Id": "1"}, {"MessageBody": 1, "Id": 2}]}),
        ("receive_message", {"QueueUrl": "u", "MaxNumberOfMessages": 1.5, "AttributeNames": "All"}),
    ],
)
def test_wrong_parameters_are_reported_in_botocores_words(action: str, params: dict[str, Any]) -> None:
    """A test that passes here does not fail on boto3's own validation."""
    real = boto3.client("sqs", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")

    with pytest.raises(ParamValidationError) as theirs:
        getattr(real, action)(**params)
    with pytest.raises(ParamValidationError) as ours:
        getattr(MemorySession().client("sqs"), action)(**params)
    real.close()

    assert sorted(str(ours.value).splitlines()) == sorted(str(theirs.value).splitlines())


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("get_queue_url", {"QueueName": "unknown"}),
        ("create_queue", {"QueueName": "bad name"}),
        ("get_queue_attributes", {"QueueUrl": "emails", "AttributeNames": ["Foobar"]}),
        ("delete_message", {"QueueUrl": "emails", "ReceiptHandle": "garbage"}),
        ("send_message_batch", {"QueueUrl": "emails", "Entries": []}),
        ("start_message_move_task", {"SourceArn": "arn:aws:sqs:us-east-1:000000000000:none"}),
    ],
)
def test_errors_are_boto3s(session: MemorySession, url: str, action: str, params: dict[str, Any]) -> None:
    """The class's name, the code, the text and the response are those of boto3 against the server."""
    client = session.client("sqs")
    with pytest.raises(ClientError) as ours:
        getattr(client, action)(**params)

    with LocalSQSServer() as server:
        real = boto3.client(
            "sqs",
            endpoint_url=server.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        real.create_queue(QueueName="emails")
        with pytest.raises(ClientError) as theirs:
            getattr(real, action)(**params)
        real.close()

    assert type(ours.value).__name__ == type(theirs.value).__name__
    assert str(ours.value) == str(theirs.value)
    for response in (ours.value.response, theirs.value.response):
        response["ResponseMetadata"] = {"HTTPStatusCode": response["ResponseMetadata"]["HTTPStatusCode"]}
    assert ours.value.response == theirs.value.response


def test_exceptions_can_be_caught_by_class(session: MemorySession) -> None:
    """client.exceptions has a class for each modelled error, and every one is a ClientError."""
    client = session.client("sqs")

    with pytest.raises(client.exceptions.QueueDoesNotExist):
        client.get_queue_url(QueueName="unknown")
    assert issubclass(client.exceptions.PurgeQueueInProgress, ClientError)


def test_what_is_sent_and_received_can_be_changed_by_the_caller(session: MemorySession, url: str) -> None:
    """Neither reaches the stored message."""
    client = session.client("sqs")
    attributes = {"k": {"DataType": "String", "StringValue": "v" * 50}}
    client.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=attributes)

    attributes["k"]["StringValue"] = "changed"
    ask = {"QueueUrl": url, "MessageAttributeNames": ["All"], "VisibilityTimeout": 0}
    client.receive_message(**ask)["Messages"][0]["MessageAttributes"]["k"]["StringValue"] = "changed"

    found = client.receive_message(**ask)["Messages"][0]["MessageAttributes"]
    assert found == {"k": {"DataType": "String", "StringValue": "v" * 50}}


def test_tuples_and_bytearrays_are_taken_as_boto3_takes_them(session: MemorySession, url: str) -> None:
    """Lists may be tuples, bytes may be text or a bytearray."""
    client = session.client("sqs")
    attributes = {
        "a": {"DataType": "Binary", "BinaryValue": bytearray(b"\x01")},
        "b": {"DataType": "Binary", "BinaryValue": "text"},
    }
    client.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=attributes)

    (message,) = client.receive_message(QueueUrl=url, MessageAttributeNames=("All",))["Messages"]

    assert {name: value["BinaryValue"] for name, value in message["MessageAttributes"].items()} == {
        "a": b"\x01",
        "b": b"text",
    }


def test_advancing_lets_everything_happen_at_its_own_moment(session: MemorySession, url: str) -> None:
    """Two messages whose delays end at different times come in that order after one long jump."""
    client = session.client("sqs")
    client.send_message(QueueUrl=url, MessageBody="second", DelaySeconds=60)
    client.send_message(QueueUrl=url, MessageBody="first", DelaySeconds=30)

    session.advance(3_600)

    messages = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert {message["Body"] for message in messages} == {"first", "second"}


def test_a_long_poll_moves_a_manual_clock_to_the_next_message(session: MemorySession, url: str) -> None:
    """And not a moment further; nothing is waited for in earnest."""
    client = session.client("sqs")
    client.send_message(QueueUrl=url, MessageBody="soon", DelaySeconds=7)
    start, real = session.clock.now(), time.monotonic()

    messages = client.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]

    assert messages[0]["Body"] == "soon"
    assert session.clock.now() - start == 7
    assert time.monotonic() - real < 1


def test_a_long_poll_moves_a_manual_clock_to_the_end_of_the_wait(session: MemorySession, url: str) -> None:
    """When nothing comes."""
    start = session.clock.now()

    answer = session.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=20)

    assert "Messages" not in answer
    assert session.clock.now() - start == 20


def test_a_long_poll_sees_what_a_move_task_brings(session: MemorySession) -> None:
    """Whatever makes a message available ends the wait."""
    client = session.client("sqs")
    dead = client.create_queue(QueueName="dead")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}'
    live = client.create_queue(QueueName="live", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    client.send_message(QueueUrl=live, MessageBody="poison")
    client.receive_message(QueueUrl=live, VisibilityTimeout=0)
    client.receive_message(QueueUrl=live)
    client.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=1)

    messages = client.receive_message(QueueUrl=live, WaitTimeSeconds=20)["Messages"]

    assert [message["Body"] for message in messages] == ["poison"]


def test_only_a_manual_clock_can_be_advanced() -> None:
    """The error says how to have one."""
    with pytest.raises(TypeError, match="ManualClock"):
        MemorySession().advance(1)


def test_a_clock_cannot_go_back() -> None:
    """Neither by advancing nor by itself."""
    clock = ManualClock(start=10)

    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)
    assert clock.advance_to(5) == 10
    assert SystemClock().now() == pytest.approx(time.time(), abs=5)


def test_a_long_poll_in_one_thread_is_woken_by_a_send_in_another() -> None:
    """At once, in real time."""
    session = MemorySession()
    client = session.client("sqs")
    url = client.create_queue(QueueName="emails")["QueueUrl"]
    polling = threading.Event()

    def poll() -> tuple[str, float]:
        polling.set()
        messages = client.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
        return messages[0]["Body"], time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(poll)
        polling.wait()
        sent = time.monotonic()
        client.send_message(QueueUrl=url, MessageBody="now")
        body, got = future.result(timeout=5)

    assert body == "now"
    assert got - sent < 1


def test_two_polls_share_what_arrives() -> None:
    """Each message goes to one of them, and nobody waits in vain."""
    session = MemorySession()
    client = session.client("sqs")
    url = client.create_queue(QueueName="emails")["QueueUrl"]

    with ThreadPoolExecutor(4) as pool:
        polls = [pool.submit(client.receive_message, QueueUrl=url, WaitTimeSeconds=20) for _ in range(4)]
        for number in range(4):
            client.send_message(QueueUrl=url, MessageBody=str(number))
        bodies = [poll.result(timeout=5)["Messages"][0]["Body"] for poll in polls]

    assert sorted(bodies) == ["0", "1", "2", "3"]


def test_threads_get_every_message_once() -> None:
    """Senders and receivers at the same time, without a lock of their own."""
    session = MemorySession()
    client = session.client("sqs")
    url = client.create_queue(QueueName="emails")["QueueUrl"]

    def send(sender: int) -> None:
        for number in range(200):
            client.send_message(QueueUrl=url, MessageBody=f"{sender}-{number}")

    def receive() -> list[str]:
        bodies = []
        while True:
            messages = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages")
            if not messages:
                return bodies
            bodies += [message["Body"] for message in messages]

    with ThreadPoolExecutor(8) as pool:
        receivers = [pool.submit(receive) for _ in range(4)]
        for sender in [pool.submit(send, number) for number in range(4)]:
            sender.result()
        received = [body for receiver in receivers for body in receiver.result()]

    assert sorted(received) == sorted(f"{sender}-{number}" for sender in range(4) for number in range(200))


def test_queues_can_be_paged_through(session: MemorySession) -> None:
    """get_paginator, as on a boto3 client."""
    client = session.client("sqs")
    for number in range(5):
        client.create_queue(QueueName=f"q{number}")

    pages = list(client.get_paginator("list_queues").paginate(PaginationConfig={"PageSize": 2}))

    assert [len(page["QueueUrls"]) for page in pages] == [2, 2, 1]
    assert client.can_paginate("list_queues")
    assert not client.can_paginate("send_message")


def test_the_quota_of_messages_in_flight() -> None:
    """S37: a standard queue answers OverLimit, a FIFO queue hands out nothing; a delete makes room."""
    client = MemorySession(clock=ManualClock(), max_in_flight=3).client("sqs")
    standard = client.create_queue(QueueName="q")["QueueUrl"]
    fifo = client.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    for number in range(5):
        client.send_message(QueueUrl=standard, MessageBody="x")
        client.send_message(
            QueueUrl=fifo, MessageBody="x", MessageGroupId=str(number), MessageDeduplicationId=str(number)
        )

    received = client.receive_message(QueueUrl=standard, MaxNumberOfMessages=10)["Messages"]
    ordered = client.receive_message(QueueUrl=fifo, MaxNumberOfMessages=10)["Messages"]
    with pytest.raises(client.exceptions.OverLimit) as caught:
        client.receive_message(QueueUrl=standard)
    nothing = client.receive_message(QueueUrl=fifo)
    client.delete_message(QueueUrl=standard, ReceiptHandle=received[0]["ReceiptHandle"])

    assert len(received) == len(ordered) == 3
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "Messages" not in nothing
    assert len(client.receive_message(QueueUrl=standard)["Messages"]) == 1


@pytest.mark.parametrize("delay_seconds", [0, 5])
def test_a_long_backlog_of_one_group_hides_the_groups_behind_it(delay_seconds: int) -> None:
    """S37: a FIFO queue looks for groups among its first messages only, and further when one of those is gone."""
    session = MemorySession(clock=ManualClock(), max_in_flight=3)
    client = session.client("sqs")
    attributes = {"FifoQueue": "true", "DelaySeconds": str(delay_seconds)}
    url = client.create_queue(QueueName="q.fifo", Attributes=attributes)["QueueUrl"]
    for number, group_id in enumerate(["long", "long", "long", "late", "later"]):
        client.send_message(
            QueueUrl=url, MessageBody=group_id, MessageGroupId=group_id, MessageDeduplicationId=str(number)
        )
    session.advance(delay_seconds)

    def receive() -> list[Any]:
        return list(client.receive_message(QueueUrl=url).get("Messages", []))

    (first,) = receive()
    hidden = receive()
    client.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    (second,), (third,) = receive(), receive()

    assert first["Body"] == "long"
    assert hidden == []
    assert sorted([second["Body"], third["Body"]]) == ["late", "long"]
    assert receive() == []
    counts = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == "2"


@pytest.mark.parametrize("seed", range(5))
def test_everything_arrives_in_order_from_behind_a_long_backlog(seed: int) -> None:
    """S37: deleting, returning and losing messages to age in any order, nothing stays out of sight for ever."""
    chance = random.Random(seed)
    session = MemorySession(clock=ManualClock(), max_in_flight=4)
    client = session.client("sqs")
    url = client.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "30"})[
        "QueueUrl"
    ]
    sent: dict[str, list[str]] = {}
    for number in range(60):
        group_id = chance.choice("aaaab")
        sent.setdefault(group_id, []).append(str(number))
        client.send_message(
            QueueUrl=url, MessageBody=str(number), MessageGroupId=group_id, MessageDeduplicationId=str(number)
        )

    done: dict[str, list[str]] = {}
    for _ in range(2_000):
        messages = client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=chance.randint(1, 4), AttributeNames=["All"]
        ).get("Messages", [])
        for message in messages:
            if chance.random() < 0.2:
                break
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            done.setdefault(message["Attributes"]["MessageGroupId"], []).append(message["Body"])
        session.advance(chance.choice([0, 31]))

    assert done == sent


def test_waits_of_a_minute_are_enforced_only_when_asked_for(session: MemorySession, url: str) -> None:
    """A developer purges and recreates queues all the time; AWS's waits are an option."""
    client = session.client("sqs")
    client.purge_queue(QueueUrl=url)
    client.purge_queue(QueueUrl=url)
    client.delete_queue(QueueUrl=url)

    assert client.create_queue(QueueName="emails")["QueueUrl"] == url
