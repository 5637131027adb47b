"""The local SQS under clients that are broken, slow or greedy: it answers everybody else, and lets go of them."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from sqs_tasks.local.http import connection as limits
from sqs_tasks.local.server import LocalSQSServer

#: Seconds after which a test that hangs gives up.
PATIENCE = 10


@pytest.fixture(scope="module")
def server() -> Iterator[LocalSQSServer]:
    with LocalSQSServer() as running:
        yield running


@pytest.fixture
def raw(server: LocalSQSServer) -> Iterator[socket.socket]:
    with connect(server) as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalSQSServer]:
    """A server that waits for tenths of a second where another waits for minutes."""
    for name in ("IDLE_SECONDS", "REQUEST_SECONDS", "UNREAD_SECONDS", "REFUSED_SECONDS"):
        monkeypatch.setattr(limits, name, 0.3)
    monkeypatch.setattr(limits, "LOOK_SECONDS", 0.05)
    with LocalSQSServer() as running:
        yield running


def connect(server: LocalSQSServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def request(action: str, *headers: str, **params: Any) -> bytes:
    body = json.dumps(params).encode()
    lines = ["POST / HTTP/1.1", f"X-Amz-Target: AmazonSQS.{action}", "Content-Type: application/x-amz-json-1.0"]
    if "Transfer-Encoding: chunked" in headers:
        return "\r\n".join([*lines, *headers, "", ""]).encode()
    return "\r\n".join([*lines, *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body


def answers(raw: socket.socket, count: int = 1) -> list[tuple[int, Any]]:
    """Status and body of that many answers."""
    data, found = b"", []
    while len(found) < count:
        received = raw.recv(1 << 20)
        assert received, data
        data += received
        while b"\r\n\r\n" in data:
            head, _, rest = data.partition(b"\r\n\r\n")
            size = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
            if len(rest) < size:
                break
            found.append((int(head.split()[1]), rest[:size]))
            data = rest[size:]
    return found


def is_well(server: LocalSQSServer) -> bool:
    """Whether another client is answered at once."""
    with connect(server) as other:
        start = time.monotonic()
        other.sendall(request("ListQueues"))
        return answers(other)[0][0] == 200 and time.monotonic() - start < 2


def is_closed(raw: socket.socket) -> bool:
    """Whether the server lets go of the connection, sooner or later."""
    with contextlib.suppress(ConnectionError):
        while raw.recv(1 << 16):
            pass
    return True


def sends_until_cut_off(raw: socket.socket, data: bytes) -> bool:
    """Whether the server cuts a client off that sends the same again and again, and reads nothing."""
    start = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - start < PATIENCE:
            raw.sendall(data)
        return False
    return True


@pytest.mark.parametrize("size", [b"-6", b"-1", b"+3", b"0x3", b"1_1"])
def test_a_chunk_of_a_size_that_is_none_is_refused(server: LocalSQSServer, raw: socket.socket, size: bytes) -> None:
    """A chunk of size -6 used to hang the server: it began with its own line again."""
    raw.sendall(request("ListQueues", "Transfer-Encoding: chunked") + size + b"\r\n{}\r\n0\r\n\r\n")

    ((status, body),) = answers(raw)

    assert status == 400
    assert b"hexadecimal digits" in body
    assert is_closed(raw)
    assert is_well(server)


def test_a_body_of_many_small_chunks_costs_no_more_than_its_bytes(server: LocalSQSServer, raw: socket.socket) -> None:
    """Each byte is looked at once: 200,000 chunks of a byte, sent in small pieces, take no minutes."""
    body = json.dumps({"QueueName": "x" * 80 + "y" * 200_000}).encode()
    sent = request("CreateQueue", "Transfer-Encoding: chunked")
    sent += b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"

    start = time.monotonic()
    for at in range(0, len(sent), 5_000):
        raw.sendall(sent[at : at + 5_000])
    ((status, _),) = answers(raw)

    assert status == 400  # the name is too long
    assert time.monotonic() - start < 5
    assert is_well(server)


def test_chunks_without_end_are_refused(server: LocalSQSServer, raw: socket.socket) -> None:
    """Eight megabytes are the most, however they come."""
    with contextlib.suppress(ConnectionError):
        raw.sendall(request("ListQueues", "Transfer-Encoding: chunked"))
        for _ in range(200):
            raw.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    ((status, body),) = answers(raw)

    assert status == 413
    assert b"8,388,608 bytes at most" in body
    assert is_well(server)


def test_another_transfer_encoding_is_refused(raw: socket.socket) -> None:
    """It would be read as if there were none."""
    raw.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")

    assert answers(raw)[0][0] == 501


@pytest.mark.parametrize("head", [b"X: " + b"x" * 1_000_000, b"".join(b"X-%d: y\r\n" % at for at in range(20_000))])
def test_a_huge_head_is_refused(server: LocalSQSServer, raw: socket.socket, head: bytes) -> None:
    """By one header or by many; the answer says why, and is not lost by closing too early."""
    raw.sendall(b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n")

    ((status, body),) = answers(raw)

    assert status == 400
    assert b"longer than 65,536 bytes" in body
    assert is_closed(raw)
    assert is_well(server)


def test_a_length_of_thousands_of_digits_is_refused(raw: socket.socket) -> None:
    """Without an error of Python's in the log."""
    raw.sendall(b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 6_000 + b"\r\n\r\n")

    assert answers(raw)[0][0] == 413


def test_a_form_of_too_many_fields_is_refused(server: LocalSQSServer, raw: socket.socket) -> None:
    """A megabyte of ampersands would be a second of work."""
    body = b"Action=ListQueues&" + b"a&" * 500_000
    head = f"POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    raw.sendall(head.encode() + body)

    ((status, answer),) = answers(raw)

    assert status == 400
    assert b"more than 2,000 parameters" in answer


def test_the_largest_batch_fits_into_a_form(raw: socket.socket) -> None:
    """Ten messages with ten attributes each are well below the limit."""
    raw.sendall(request("CreateQueue", QueueName="largest"))
    answers(raw)
    fields = {"Action": "SendMessageBatch"}
    for entry in range(1, 11):
        one = f"SendMessageBatchRequestEntry.{entry}"
        fields |= {f"{one}.Id": str(entry), f"{one}.MessageBody": "x"}
        for at in range(1, 11):
            attribute = f"{one}.MessageAttribute.{at}"
            fields |= {f"{attribute}.Name": f"a{at}", f"{attribute}.Value.DataType": "String"}
            fields |= {f"{attribute}.Value.StringValue": "v"}
    body = urllib.parse.urlencode(fields).encode()
    head = "POST /000000000000/largest HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
    raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    ((status, answer),) = answers(raw)

    assert status == 200
    assert answer.count(b"<SendMessageBatchResultEntry>") == 10


def test_a_client_that_reads_no_answers_is_not_served_without_end(impatient: LocalSQSServer) -> None:
    """Its requests stay in its own buffers; after its time the connection is cut, and its memory is free again."""
    with connect(impatient) as greedy:
        greedy.sendall(request("CreateQueue", QueueName="big"))
        answers(greedy)
        greedy.sendall(request("SendMessage", QueueUrl="big", MessageBody="x" * 1_000_000))
        answers(greedy)

        # Each of these is answered with a megabyte, and none of the answers is read.
        assert sends_until_cut_off(greedy, request("ReceiveMessage", QueueUrl="big", VisibilityTimeout=0) * 100)
        assert is_well(impatient)


def test_a_client_that_sends_far_ahead_of_a_poll_waits_with_it(server: LocalSQSServer, raw: socket.socket) -> None:
    """Nothing is lost, and the server keeps no more than it has to."""
    raw.sendall(request("CreateQueue", QueueName="ahead"))
    answers(raw)
    raw.sendall(request("ReceiveMessage", QueueUrl="ahead", WaitTimeSeconds=1))
    ahead = request("GetQueueUrl", QueueName="ahead")
    raw.sendall(ahead * 3_000)

    found = answers(raw, 3_001)

    assert found[0] == (200, b"{}")
    assert [status for status, _ in found] == [200] * 3_001


@pytest.mark.parametrize(
    "begun", [b"POST / HT", request("ListQueues")[:-1], request("X", "Transfer-Encoding: chunked") + b"5\r\n"]
)
def test_a_request_that_is_never_finished_is_answered_and_closed(impatient: LocalSQSServer, begun: bytes) -> None:
    """408, however far it got, even if bytes go on coming."""
    with connect(impatient) as slow:
        slow.sendall(begun)
        for byte in b"aaa":
            time.sleep(0.02)
            slow.sendall(bytes([byte])) if begun[-1:] == b"T" else None

        assert answers(slow)[0][0] == 408
        assert is_closed(slow)


def test_a_connection_that_nobody_uses_is_closed(impatient: LocalSQSServer) -> None:
    """Before its first request as well as after one."""
    with connect(impatient) as unused, connect(impatient) as used:
        used.sendall(request("ListQueues"))
        answers(used)

        assert is_closed(unused)
        assert is_closed(used)


def test_a_long_poll_is_not_idle(impatient: LocalSQSServer) -> None:
    """It waits for its messages for as long as it asked to."""
    with connect(impatient) as polling:
        polling.sendall(request("CreateQueue", QueueName="polled"))
        answers(polling)
        start = time.monotonic()
        polling.sendall(request("ReceiveMessage", QueueUrl="polled", WaitTimeSeconds=1))

        assert answers(polling) == [(200, b"{}")]
        assert time.monotonic() - start >= 1


def test_a_refused_client_that_goes_on_sending_is_cut_off(impatient: LocalSQSServer) -> None:
    """What it sends is thrown away, and not for long."""
    with connect(impatient) as stubborn:
        stubborn.sendall(b"nonsense\r\n\r\n")

        assert sends_until_cut_off(stubborn, b"x" * 10_000)
    assert is_well(impatient)
