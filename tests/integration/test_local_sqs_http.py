"""The local SQS over HTTP: what is on the wire, and what becomes of connections."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.etree import ElementTree as ET

import boto3
import pytest
from botocore.config import Config

from sqs_tasks.local.application import HEALTH_PATH
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.server import LocalSQSServer

NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


@contextlib.contextmanager
def boto3_client(server: LocalSQSServer) -> Iterator[Any]:
    """A boto3 client that is closed, and gives up at once."""
    client = boto3.client(
        "sqs",
        endpoint_url=server.endpoint_url,
        region_name="eu-central-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


@pytest.fixture(scope="module")
def server() -> Iterator[LocalSQSServer]:
    with LocalSQSServer() as running:
        yield running


@pytest.fixture
def connection(server: LocalSQSServer) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    yield opened
    opened.close()


@pytest.fixture
def raw(server: LocalSQSServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
        yield opened


def call(
    connection: http.client.HTTPConnection, action: str, more_headers: dict[str, str] | None = None, /, **params: Any
) -> tuple[int, Any, Any]:
    """Send a JSON request; status, headers and body of the answer."""
    headers = {"X-Amz-Target": f"AmazonSQS.{action}", "Content-Type": "application/x-amz-json-1.0"}
    connection.request("POST", "/", json.dumps(params), headers | (more_headers or {}))
    response = connection.getresponse()
    return response.status, response.headers, json.loads(response.read())


def query(
    connection: http.client.HTTPConnection, path: str = "/", method: str = "POST", **fields: str
) -> tuple[int, ET.Element]:
    """Send a request of the query protocol; status and XML of the answer."""
    text = urllib.parse.urlencode({name.replace("__", "."): value for name, value in fields.items()})
    connection.request("POST", path, text, {"Content-Type": "application/x-www-form-urlencoded"})
    response = connection.getresponse()
    return response.status, ET.fromstring(response.read())


def texts(element: ET.Element, name: str) -> list[str | None]:
    return [found.text for found in element.iter(f"{NAMESPACE}{name}")]


def request_bytes(action: str, params: dict[str, Any], *headers: str) -> bytes:
    body = json.dumps(params)
    lines = ["POST / HTTP/1.1", "Host: h.localhost", f"X-Amz-Target: AmazonSQS.{action}"]
    lines += ["Content-Type: application/x-amz-json-1.0", *headers]
    if not any(header.startswith(("Transfer-Encoding", "Content-Length")) for header in headers):
        lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_answers(raw: socket.socket, count: int) -> list[Any]:
    """That many JSON answers from a raw connection, in order."""
    data, answers = b"", []
    while len(answers) < count:
        received = raw.recv(65536)
        assert received, data
        data += received
        while b"\r\n\r\n" in data:
            head, _, rest = data.partition(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            if len(rest) < size:
                break
            answers.append(json.loads(rest[:size] or b"null"))
            data = rest[size:]
    return answers


# -- the JSON protocol


def test_an_answer_has_awss_headers(connection: http.client.HTTPConnection) -> None:
    """Content type, length, date and a request id."""
    status, headers, _ = call(connection, "CreateQueue", QueueName="headers")

    assert status == 200
    assert headers["Content-Type"] == "application/x-amz-json-1.0"
    assert headers["x-amzn-RequestId"]
    assert headers["Date"].endswith("GMT")


def test_an_error_names_its_type_and_the_code_of_the_query_protocol(connection: http.client.HTTPConnection) -> None:
    """__type in the body, x-amzn-query-error in the head, as AWS's page on JSON responses shows."""
    status, headers, body = call(connection, "GetQueueUrl", QueueName="unknown")

    assert status == 400
    assert headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
    assert body == {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."}


def test_urls_are_made_of_the_host_that_was_asked() -> None:
    """A container that knows the server by another name gets URLs it can use."""
    with LocalSQSServer(allowed_hosts=["sqs.internal"]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        _, _, body = call(connection, "CreateQueue", {"Host": "SQS.internal:9999"}, QueueName="by-host")
        connection.close()

    assert body["QueueUrl"] == "http://SQS.internal:9999/000000000000/by-host"


def test_the_region_is_the_signatures(server: LocalSQSServer) -> None:
    """Or us-east-1, when a request is not signed."""
    with boto3_client(server) as client:
        url = client.create_queue(QueueName="regional")["QueueUrl"]
        arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    assert arn == "arn:aws:sqs:eu-central-1:000000000000:regional"


@pytest.mark.parametrize(
    ("action", "params", "kind", "status"),
    [
        ("SendMessage", {"MessageBody": "x"}, "MissingRequiredParameterException", 400),
        ("SendMessage", {"QueueUrl": "wire", "MessageBody": 1}, "SerializationException", 400),
        ("SendMessage", {"QueueUrl": "wire", "MessageBody": "x", "DelaySeconds": 1.5}, "SerializationException", 400),
        ("SendMessage", {"QueueUrl": "wire", "MessageBody": "x", "DelaySeconds": "1"}, "SerializationException", 400),
        (
            "SendMessage",
            {
                "QueueUrl": "wire",
                "MessageBody": "x",
                "MessageAttributes": {"a": {"DataType": "String", "StringValue": 1}},
            },
            "SerializationException",
            400,
        ),
        (
            "SendMessage",
            {
                "QueueUrl": "wire",
                "MessageBody": "x",
                "MessageAttributes": {"a": {"DataType": "Binary", "BinaryValue": "*"}},
            },
            "SerializationException",
            400,
        ),
        (
            "SendMessage",
            {"QueueUrl": "wire", "MessageBody": "x", "MessageAttributes": ["x"]},
            "SerializationException",
            400,
        ),
        ("SendMessageBatch", {"QueueUrl": "wire", "Entries": ["x"]}, "SerializationException", 400),
        ("SendMessageBatch", {"QueueUrl": "wire", "Entries": [{"Id": "1"}]}, "MissingRequiredParameterException", 400),
        ("ReceiveMessage", {"QueueUrl": "wire", "MaxNumberOfMessages": "1"}, "SerializationException", 400),
        ("DeleteMessage", {"QueueUrl": "wire"}, "MissingRequiredParameterException", 400),
        ("Frobnicate", {}, "UnknownOperationException", 404),
    ],
)
def test_malformed_requests_are_refused(
    connection: http.client.HTTPConnection, action: str, params: dict[str, Any], kind: str, status: int
) -> None:
    """With an error about them, and nothing happens to the queue."""
    call(connection, "CreateQueue", QueueName="wire")

    found, _, body = call(connection, action, **params)

    assert found == status
    assert body["__type"].rpartition("#")[2] == kind
    assert "Messages" not in call(connection, "ReceiveMessage", QueueUrl="wire")[2]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff", b"[" * 200_000, b'{"a":' + b"9" * 5_000 + b"}"])
def test_bodies_that_are_no_json_objects_are_refused(connection: http.client.HTTPConnection, body: bytes) -> None:
    """SerializationException, for a send as for everything else."""
    for action in ("SendMessage", "CreateQueue"):
        headers = {"X-Amz-Target": f"AmazonSQS.{action}", "Content-Type": "application/x-amz-json-1.0"}
        connection.request("POST", "/", body, headers)
        response = connection.getresponse()

        assert response.status == 400
        assert b"SerializationException" in response.read()


def test_nulls_and_unknown_members_are_ignored(connection: http.client.HTTPConnection) -> None:
    """As AWS does; SDKs of some languages write nulls."""
    call(connection, "CreateQueue", QueueName="nulls", Attributes=None, Unknown=1)
    status, _, _ = call(
        connection,
        "SendMessage",
        QueueUrl="nulls",
        MessageBody="x",
        DelaySeconds=None,
        MessageAttributes={"a": {"DataType": "String", "StringValue": "v", "BinaryValue": None}},
        Unknown={"x": 1},
    )
    _, _, answer = call(
        connection, "ReceiveMessage", QueueUrl="nulls", WaitTimeSeconds=None, MessageAttributeNames=["All"]
    )

    assert status == 200
    assert answer["Messages"][0]["MessageAttributes"] == {"a": {"DataType": "String", "StringValue": "v"}}


def test_lone_surrogates_are_invalid_characters(connection: http.client.HTTPConnection) -> None:
    """JSON can escape what no UTF-8 can hold."""
    call(connection, "CreateQueue", QueueName="surrogates")

    _, _, one = call(connection, "SendMessage", QueueUrl="surrogates", MessageBody="\ud800")
    entries = [{"Id": "0", "MessageBody": "\udfff"}, {"Id": "1", "MessageBody": "fine"}]
    _, _, batch = call(connection, "SendMessageBatch", QueueUrl="surrogates", Entries=entries)

    assert one["__type"].endswith("InvalidMessageContents")
    assert [entry["Id"] for entry in batch["Failed"]] == ["0"]
    assert [entry["Id"] for entry in batch["Successful"]] == ["1"]


# -- the query protocol


def test_a_trace_header_is_unescaped(raw: socket.socket) -> None:
    """Botocore escapes the bars between the functions of a lineage (S36)."""
    url = "http://127.0.0.1/000000000000/traced"
    header = "X-Amzn-Trace-Id: Root=1-a;Lineage=x:1%7Cy:2"

    raw.sendall(request_bytes("CreateQueue", {"QueueName": "traced"}))
    raw.sendall(request_bytes("SendMessage", {"QueueUrl": url, "MessageBody": "x"}, header))
    raw.sendall(request_bytes("ReceiveMessage", {"QueueUrl": url, "AttributeNames": ["All"]}))
    received = read_answers(raw, 3)[2]

    assert received["Messages"][0]["Attributes"]["AWSTraceHeader"] == "Root=1-a;Lineage=x:1|y:2"


def test_a_session_in_the_query_protocol(connection: http.client.HTTPConnection) -> None:
    """Create, send with attributes, receive, delete: what SDKs from before the JSON protocol do."""
    _, made = query(
        connection, Action="CreateQueue", QueueName="old", Attribute__1__Name="DelaySeconds", Attribute__1__Value="0"
    )
    (url,) = texts(made, "QueueUrl")
    path = urllib.parse.urlsplit(url).path

    _, sent = query(
        connection,
        path,
        Action="SendMessage",
        MessageBody='a < b & c\r\n\t"ü"',
        MessageAttribute__1__Name="text",
        MessageAttribute__1__Value__DataType="String",
        MessageAttribute__1__Value__StringValue="<v>",
        MessageAttribute__2__Name="bytes",
        MessageAttribute__2__Value__DataType="Binary",
        MessageAttribute__2__Value__BinaryValue="AAH/",
    )
    _, received = query(
        connection, path, Action="ReceiveMessage", AttributeName__1="All", MessageAttributeName__1="All"
    )
    (handle,) = texts(received, "ReceiptHandle")
    _, deleted = query(connection, path, Action="DeleteMessage", ReceiptHandle=str(handle))

    assert texts(received, "Body") == ['a < b & c\r\n\t"ü"']
    assert texts(received, "MD5OfBody") == texts(sent, "MD5OfMessageBody")
    assert texts(received, "MD5OfMessageAttributes") == texts(sent, "MD5OfMessageAttributes")
    attributes = {
        found.findtext(f"{NAMESPACE}Name"): found.find(f"{NAMESPACE}Value")
        for found in received.iter(f"{NAMESPACE}MessageAttribute")
    }
    assert attributes["text"].findtext(f"{NAMESPACE}StringValue") == "<v>"
    assert attributes["bytes"].findtext(f"{NAMESPACE}BinaryValue") == "AAH/"
    names = [found.findtext(f"{NAMESPACE}Name") for found in received.iter(f"{NAMESPACE}Attribute")]
    assert {"SenderId", "SentTimestamp", "ApproximateReceiveCount"} <= set(names)
    assert deleted.tag == f"{NAMESPACE}DeleteMessageResponse"
    assert len(texts(deleted, "RequestId")) == 1


def test_a_batch_in_the_query_protocol(connection: http.client.HTTPConnection) -> None:
    """Entries by number, answers by id, failures among them."""
    query(connection, Action="CreateQueue", QueueName="old-batch")

    _, sent = query(
        connection,
        "/000000000000/old-batch",
        Action="SendMessageBatch",
        SendMessageBatchRequestEntry__1__Id="good",
        SendMessageBatchRequestEntry__1__MessageBody="a",
        SendMessageBatchRequestEntry__2__Id="late",
        SendMessageBatchRequestEntry__2__MessageBody="b",
        SendMessageBatchRequestEntry__2__DelaySeconds="901",
    )

    (good,) = sent.iter(f"{NAMESPACE}SendMessageBatchResultEntry")
    (late,) = sent.iter(f"{NAMESPACE}BatchResultErrorEntry")
    assert good.findtext(f"{NAMESPACE}Id") == "good"
    assert good.findtext(f"{NAMESPACE}MD5OfMessageBody") == "0cc175b9c0f1b6a831c399e269772661"
    assert late.findtext(f"{NAMESPACE}Id") == "late"
    assert late.findtext(f"{NAMESPACE}Code") == "InvalidParameterValue"
    assert late.findtext(f"{NAMESPACE}SenderFault") == "true"


def test_requests_on_a_queues_path(connection: http.client.HTTPConnection) -> None:
    """The queue is the path's, unless the request names another."""
    for name in ("got", "other"):
        query(connection, Action="CreateQueue", QueueName=name)

    _, here = query(connection, "/000000000000/got", Action="GetQueueAttributes", AttributeName__1="QueueArn")
    _, there = query(
        connection,
        "/000000000000/got",
        Action="GetQueueAttributes",
        QueueUrl="http://x/000000000000/other",
        AttributeName="All",
    )

    assert texts(here, "Value") == ["arn:aws:sqs:us-east-1:000000000000:got"]
    assert "arn:aws:sqs:us-east-1:000000000000:other" in texts(there, "Value")


def test_an_empty_receive_has_an_empty_result(connection: http.client.HTTPConnection) -> None:
    """The result element is there, with nothing in it."""
    query(connection, Action="CreateQueue", QueueName="empty")

    _, received = query(connection, "/000000000000/empty", Action="ReceiveMessage")

    (result,) = received.iter(f"{NAMESPACE}ReceiveMessageResult")
    assert len(result) == 0


@pytest.mark.parametrize(
    ("path", "fields", "status", "code"),
    [
        ("/", {"Action": "GetQueueUrl", "QueueName": "unknown"}, 400, "AWS.SimpleQueueService.NonExistentQueue"),
        ("/", {"Action": "FooBar"}, 400, "InvalidAction"),
        ("/000000000000/wire", {"Action": "CreateQueue", "QueueName": "x"}, 400, "InvalidAction"),
        ("/000000000000/wire", {"Action": "ListQueues"}, 400, "InvalidAction"),
        ("/", {"Action": "SendMessage", "QueueUrl": "wire"}, 400, "MissingParameter"),
        (
            "/",
            {"Action": "ReceiveMessage", "QueueUrl": "wire", "MaxNumberOfMessages": "x"},
            400,
            "InvalidParameterValue",
        ),
        ("/", {"Action": "CreateQueue", "QueueName": "x", "Attribute.x.Name": "y"}, 400, "InvalidParameterValue"),
        ("/", {"Action": "SendMessageBatch", "QueueUrl": "wire"}, 400, "AWS.SimpleQueueService.EmptyBatchRequest"),
        (
            "/",
            {"Action": "SendMessage", "QueueUrl": "wire", "MessageBody": "x", "MessageGroupId": "\b"},
            400,
            "InvalidParameterValue",
        ),
    ],
)
def test_errors_of_the_query_protocol(
    connection: http.client.HTTPConnection, path: str, fields: dict[str, str], status: int, code: str
) -> None:
    """Type, code and message, in XML."""
    call(connection, "CreateQueue", QueueName="wire")

    found, body = query(connection, path, **fields)

    assert found == status
    assert texts(body, "Code") == [code]
    assert texts(body, "Type") == ["Sender"]
    assert texts(body, "Message")[0]


def test_a_request_without_an_action_is_unknown(connection: http.client.HTTPConnection) -> None:
    """404, as AWS answers a browser."""
    connection.request("GET", "/000000000000/wire")
    response = connection.getresponse()

    assert response.status == 404
    assert b"<UnknownOperationException" in response.read()


# -- connections


def test_a_connection_is_kept(connection: http.client.HTTPConnection) -> None:
    """One connection for many calls: SDKs pool theirs."""
    call(connection, "CreateQueue", QueueName="kept")
    first = connection.sock

    for _ in range(3):
        call(connection, "SendMessage", QueueUrl="kept", MessageBody="x")

    assert connection.sock is first


def test_requests_can_be_sent_ahead(raw: socket.socket) -> None:
    """Pipelined requests are answered in order."""
    names = [f"ahead-{number}" for number in range(20)]

    raw.sendall(b"".join(request_bytes("CreateQueue", {"QueueName": name}) for name in names))

    assert [answer["QueueUrl"].rpartition("/")[2] for answer in read_answers(raw, 20)] == names


def test_a_request_behind_a_long_poll_waits_for_it(raw: socket.socket) -> None:
    """Order is kept, though the second could be answered at once."""
    raw.sendall(request_bytes("CreateQueue", {"QueueName": "behind"}))
    read_answers(raw, 1)

    raw.sendall(
        request_bytes("ReceiveMessage", {"QueueUrl": "behind", "WaitTimeSeconds": 1})
        + request_bytes("GetQueueUrl", {"QueueName": "behind"})
    )

    polled, found = read_answers(raw, 2)
    assert polled == {}
    assert found["QueueUrl"].endswith("/behind")


def test_a_request_may_come_in_pieces(raw: socket.socket) -> None:
    """Byte by byte, if need be."""
    for byte in request_bytes("CreateQueue", {"QueueName": "pieces"}):
        raw.sendall(bytes([byte]))

    assert read_answers(raw, 1)[0]["QueueUrl"].endswith("/pieces")


def test_a_request_may_be_larger_than_what_is_read_at_once(connection: http.client.HTTPConnection) -> None:
    """A message of a mebibyte, escaped to six."""
    call(connection, "CreateQueue", QueueName="large")
    body = "ü" * (512 * 1024)

    status, _, _ = call(connection, "SendMessage", QueueUrl="large", MessageBody=body)
    _, _, answer = call(connection, "ReceiveMessage", QueueUrl="large")

    assert status == 200
    assert answer["Messages"][0]["Body"] == body


def test_a_body_may_come_in_chunks(raw: socket.socket) -> None:
    """Transfer-Encoding: chunked, as some HTTP clients send streams."""
    body = json.dumps({"QueueName": "chunked"}).encode()
    head = request_bytes("CreateQueue", {}, "Transfer-Encoding: chunked")
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:])) + b"0\r\n\r\n"

    raw.sendall(head + chunks[:9])
    raw.sendall(chunks[9:] + request_bytes("GetQueueUrl", {"QueueName": "chunked"}))

    assert [answer["QueueUrl"].rpartition("/")[2] for answer in read_answers(raw, 2)] == ["chunked", "chunked"]


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(raw: socket.socket) -> None:
    """Expect: 100-continue."""
    body = json.dumps({"QueueName": "expected"}).encode()

    raw.sendall(request_bytes("CreateQueue", {}, "Expect: 100-continue", f"Content-Length: {len(body)}"))
    assert raw.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    raw.sendall(body)

    assert read_answers(raw, 1)[0]["QueueUrl"].endswith("/expected")


def test_a_connection_is_closed_when_the_client_asks_for_it(raw: socket.socket) -> None:
    """Connection: close, and HTTP/1.0."""
    raw.sendall(request_bytes("CreateQueue", {"QueueName": "closed"}, "Connection: close"))

    read_answers(raw, 1)

    assert raw.recv(10) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/2\r\n\r\n",
        b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_not_http_is_refused(raw: socket.socket, data: bytes) -> None:
    """400, and the connection is closed."""
    raw.sendall(data)

    assert raw.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert raw.recv(10) == b""


def test_a_body_without_end_is_refused(raw: socket.socket) -> None:
    """413, before it is read."""
    raw.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n")

    assert raw.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_the_server_says_that_it_is_well(connection: http.client.HTTPConnection) -> None:
    """For scripts that wait for it."""
    connection.request("GET", HEALTH_PATH)
    response = connection.getresponse()

    assert response.status == 200
    assert json.loads(response.read()) == {"status": "ok"}


def test_another_address_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    """Loudly: there are no credentials."""
    with LocalSQSServer("0.0.0.0"):
        pass

    assert "everyone who can reach this machine" in caplog.text


def test_a_port_in_use_is_an_error(server: LocalSQSServer) -> None:
    """In the thread that wanted to start it."""
    with pytest.raises(OSError, match="address already in use"):
        LocalSQSServer(port=server.port).start()


# -- long polls


def test_a_poll_is_answered_when_its_message_comes() -> None:
    """At once on a send, and exactly at the end of a delay and of a visibility timeout."""
    with LocalSQSServer() as server, boto3_client(server) as sqs:
        url = sqs.create_queue(QueueName="polled")["QueueUrl"]

        def took(act: Any) -> float:
            with ThreadPoolExecutor(1) as pool:
                poll = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=10, VisibilityTimeout=1)
                start = time.monotonic()
                act()
                assert poll.result()["Messages"]
                return time.monotonic() - start

        delayed = took(lambda: sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=1))
        returned = took(lambda: None)
        arrived = took(lambda: sqs.send_message(QueueUrl=url, MessageBody="y"))

    assert 1 <= delayed < 1.2
    assert 0.9 <= returned < 1.2
    assert arrived < 0.5


def test_a_poll_whose_client_went_away_gets_no_message(server: LocalSQSServer, raw: socket.socket) -> None:
    """The message goes to somebody who is there."""
    raw.sendall(request_bytes("CreateQueue", {"QueueName": "gone"}))
    read_answers(raw, 1)
    with socket.create_connection(("127.0.0.1", server.port)) as leaving:
        leaving.sendall(request_bytes("ReceiveMessage", {"QueueUrl": "gone", "WaitTimeSeconds": 20}))
        # The next answer on another connection shows that the server has read this far.
        raw.sendall(request_bytes("GetQueueUrl", {"QueueName": "gone"}))
        read_answers(raw, 1)
    raw.sendall(request_bytes("ReceiveMessage", {"QueueUrl": "gone", "WaitTimeSeconds": 1}))
    read_answers(raw, 1)

    raw.sendall(
        request_bytes("SendMessage", {"QueueUrl": "gone", "MessageBody": "x"})
        + request_bytes("ReceiveMessage", {"QueueUrl": "gone"})
    )

    _, received = read_answers(raw, 2)
    assert len(received["Messages"]) == 1


def test_a_poll_takes_all_that_a_batch_brings() -> None:
    """Not just its first message."""
    with LocalSQSServer() as server, boto3_client(server) as sqs:
        url = sqs.create_queue(QueueName="batch")["QueueUrl"]
        with ThreadPoolExecutor(1) as pool:
            poll = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=10, MaxNumberOfMessages=10)
            time.sleep(0.2)
            sqs.send_message_batch(
                QueueUrl=url, Entries=[{"Id": str(number), "MessageBody": "x"} for number in range(10)]
            )
            received = poll.result()["Messages"]

    assert len(received) == 10


def test_polls_on_a_deleted_queue_end() -> None:
    """With the error that every other call gets."""
    with LocalSQSServer() as server, boto3_client(server) as sqs:
        url = sqs.create_queue(QueueName="deleted")["QueueUrl"]
        with ThreadPoolExecutor(1) as pool:
            poll = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=10)
            time.sleep(0.2)
            sqs.delete_queue(QueueUrl=url)

            with pytest.raises(sqs.exceptions.QueueDoesNotExist):
                poll.result()


def test_a_servers_manual_clock_ends_polls() -> None:
    """A test moves an hour of the server's time in no time."""
    with LocalSQSServer(clock=ManualClock()) as server, boto3_client(server) as sqs:
        url = sqs.create_queue(QueueName="clock")["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=900)
        server.advance(890)
        with ThreadPoolExecutor(1) as pool:
            poll = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
            time.sleep(0.2)
            server.advance(10)

            assert poll.result(timeout=5)["Messages"][0]["Body"] == "x"


def test_stopping_cuts_polls() -> None:
    """At once: a developer who stops the server does not wait for 20 seconds."""
    with ThreadPoolExecutor(1) as pool, LocalSQSServer() as server, boto3_client(server) as sqs:
        url = sqs.create_queue(QueueName="stopped")["QueueUrl"]
        poll = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
        time.sleep(0.2)
        start = time.monotonic()
        server.stop()
        stopped = time.monotonic() - start
        assert poll.exception(timeout=5) is not None

    assert stopped < 1
