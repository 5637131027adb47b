"""The lean client beside boto3's: the same requests, answers, errors and second tries, over real HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from sqs_tasks.client import region_of
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.transport.lean_client import OPERATIONS, LeanClient
from sqs_tasks.transport.lean_settings import LeanSettings
from sqs_tasks.transport.signature import Credentials

QUEUE = "http://127.0.0.1/000000000000/q"


@dataclass
class Answer:
    """What the scripted endpoint answers once."""

    status: int = 200
    body: dict[str, Any] | str = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cuts: bool = False


class Endpoint(ThreadingHTTPServer):
    """Answers in the order of a script, and remembers what it was asked; the last answer stands for all after it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Answer] = [Answer()]
        self.asked: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One connection of it."""

    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(({k.lower(): v for k, v in self.headers.items()}, body))
        answer = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
        if answer.cuts:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        text = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
        self.send_response(answer.status)
        for name, value in {**answer.headers, "content-length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which take no time here."""
    waits: list[float] = []
    monkeypatch.setattr("sqs_tasks.transport.lean_client.time.sleep", waits.append)
    return waits


@contextmanager
def lean(url: str | None, *, token: str | None = None, **settings: Any) -> Iterator[LeanClient]:
    def nothing() -> Any:
        raise AssertionError("boto3 is not needed")

    client = LeanClient(
        LeanSettings(region="us-east-1", endpoint_url=url, **settings),
        lambda: Credentials("test", "secret", token),
        region_of,
        nothing,
        threading.Lock(),
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def of_boto3(url: str, **config: Any) -> Iterator[Any]:
    client = boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="secret",
        config=Config(**{"retries": {"total_max_attempts": 1, "mode": "standard"}, **config}),
    )
    try:
        yield client
    finally:
        client.close()


def test_answers_are_boto3s() -> None:
    """Every operation, with what the embedded SQS says to both."""
    retries = {"mode": "standard"}
    with (
        LocalSQSServer() as server,
        lean(server.endpoint_url) as ours,
        of_boto3(server.endpoint_url, retries=retries) as theirs,
    ):
        url = theirs.create_queue(QueueName="q")["QueueUrl"]
        attributes = {
            "n": {"DataType": "Number", "StringValue": "1"},
            "b": {"DataType": "Binary", "BinaryValue": b"\0"},
        }
        entries = [{"Id": "1", "MessageBody": "é", "MessageAttributes": attributes}]
        requests: list[tuple[str, dict[str, Any]]] = [
            ("get_queue_url", {"QueueName": "q"}),
            ("get_queue_attributes", {"QueueUrl": url, "AttributeNames": ["All"]}),
            ("send_message", {"QueueUrl": url, "MessageBody": "x", "MessageAttributes": attributes}),
            ("send_message_batch", {"QueueUrl": url, "Entries": entries}),
        ]
        for method, request in requests:
            assert without_ids(getattr(ours, method)(**request)) == without_ids(getattr(theirs, method)(**request))
        receive = {"QueueUrl": url, "MaxNumberOfMessages": 1, "MessageAttributeNames": ["All"], "VisibilityTimeout": 0}
        assert without_ids(ours.receive_message(**receive)) == without_ids(theirs.receive_message(**receive))
        receipt = theirs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"]
        entry = {"Id": "1", "ReceiptHandle": receipt}
        for method, request in [
            ("change_message_visibility", {"ReceiptHandle": receipt, "VisibilityTimeout": 5}),
            ("change_message_visibility_batch", {"Entries": [{**entry, "VisibilityTimeout": 5}]}),
            ("delete_message", {"ReceiptHandle": receipt}),
            ("delete_message_batch", {"Entries": [entry]}),
        ]:
            answers = [getattr(client, method)(QueueUrl=url, **request) for client in (ours, theirs)]
            assert without_ids(answers[0]) == without_ids(answers[1])


def without_ids(answer: dict[str, Any]) -> Any:
    """An answer without what differs from request to request."""
    differing = {"MessageId", "ReceiptHandle", "RequestId", "x-amzn-requestid", "date", "content-length"}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(one) for name, one in value.items() if name not in differing}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return plain(answer)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            Answer(
                400,
                {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no"},
                {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender", "x-amzn-requestid": "r"},
            ),
            id="a modelled error",
        ),
        pytest.param(Answer(403, {"__type": "ExpiredTokenException", "message": "old"}), id="one that is in no model"),
        pytest.param(Answer(413, {}), id="no code"),
    ],
)
def test_errors_are_boto3s(endpoint: Endpoint, answer: Answer) -> None:
    """The same class, whose bases are the same too, the same text and the same ``response``."""
    endpoint.script = [answer]
    with lean(endpoint.url, max_attempts=1) as ours, of_boto3(endpoint.url) as theirs:
        caught = []
        for client in (ours, theirs):
            with pytest.raises(ClientError) as error:
                client.send_message(QueueUrl=QUEUE, MessageBody="x")
            caught.append(error.value)

    assert type(caught[0]).__name__ == type(caught[1]).__name__
    assert str(caught[0]) == str(caught[1])
    assert without_ids(caught[0].response) == without_ids(caught[1].response)
    assert ours.exceptions.QueueDoesNotExist.__mro__[1] is ClientError


def nobody(_: Endpoint) -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def cut_off(endpoint: Endpoint) -> str:
    endpoint.script = [Answer(cuts=True)]
    return endpoint.url


@pytest.mark.parametrize("place", [nobody, cut_off])
def test_errors_of_the_network_are_boto3s(endpoint: Endpoint, place: Callable[[Endpoint], str]) -> None:
    """The same class of botocore, with the same endpoint in it."""
    url = place(endpoint)
    with lean(url, max_attempts=1) as ours, of_boto3(url) as theirs:
        caught = []
        for client in (ours, theirs):
            with pytest.raises(BotoCoreError) as error:
                client.send_message(QueueUrl=QUEUE, MessageBody="x")
            caught.append(error.value)

    assert type(caught[0]) is type(caught[1])
    assert url in str(caught[0])


@pytest.mark.parametrize("body", ["[]", "<html>Welcome</html>"])
def test_what_is_no_sqs(endpoint: Endpoint, body: str) -> None:
    """Botocore's ResponseParserError, which means that something else listens there."""
    endpoint.script = [Answer(200, body)]
    with lean(endpoint.url) as ours, pytest.raises(ResponseParserError):
        ours.send_message(QueueUrl=QUEUE, MessageBody="x")


def test_an_answer_that_is_late(endpoint: Endpoint) -> None:
    """Botocore's ReadTimeoutError."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with lean(url, max_attempts=1, read_timeout=0.05) as ours, pytest.raises(BotoCoreError) as caught:
            ours.send_message(QueueUrl=QUEUE, MessageBody="x")

    assert type(caught.value).__name__ == "ReadTimeoutError"


@pytest.mark.parametrize(
    ("passing", "longest"),
    [
        (Answer(500), 0.05),
        (Answer(503), 0.05),
        (Answer(cuts=True), 0.05),
        (Answer(400, {"__type": "ThrottlingException"}), 1),
        (Answer(429), 1),
    ],
)
def test_what_may_pass_is_sent_again(
    endpoint: Endpoint, no_waits: list[float], passing: Answer, longest: float
) -> None:
    """Twice at most, after a moment; after a throttle the moment is longer."""
    endpoint.script = [passing, passing, Answer(200, {"MessageId": "m"})]
    with lean(endpoint.url) as client:
        answer = client.send_message(QueueUrl=QUEUE, MessageBody="x")

    assert answer["MessageId"] == "m"
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2
    assert len({body for _, body in endpoint.asked}) == 1
    assert all(0 <= wait <= longest * 2**place for place, wait in enumerate(no_waits))


def test_what_will_not_pass_is_sent_once(endpoint: Endpoint) -> None:
    """A request that is wrong stays wrong."""
    endpoint.script = [Answer(400, {"__type": "InvalidParameterValue"})]
    with lean(endpoint.url) as client, pytest.raises(ClientError):
        client.send_message(QueueUrl=QUEUE, MessageBody="x")

    assert len(endpoint.asked) == 1


def test_an_outage_costs_few_requests(endpoint: Endpoint) -> None:
    """The quota of second tries is used up after 35; then each request is sent once, until some are answered."""
    endpoint.script = [Answer(503)]
    with lean(endpoint.url, max_attempts=3) as client:
        for _ in range(40):
            with pytest.raises(ClientError):
                client.send_message(QueueUrl=QUEUE, MessageBody="x")
        assert len(endpoint.asked) == 40 + 500 // 14
        endpoint.script = [Answer()]
        for _ in range(20):
            client.send_message(QueueUrl=QUEUE, MessageBody="x")
        endpoint.script = [Answer(503)]
        endpoint.asked.clear()

        with pytest.raises(ClientError):
            client.send_message(QueueUrl=QUEUE, MessageBody="x")

    assert len(endpoint.asked) == 3


def test_the_endpoint_says_how_long_to_wait(endpoint: Endpoint, no_waits: list[float]) -> None:
    """Up to five seconds longer than the client's own wait."""
    endpoint.script = [
        Answer(503, headers={"x-amz-retry-after": "2500"}),
        Answer(503, headers={"x-amz-retry-after": "60000"}),
        Answer(),
    ]
    with lean(endpoint.url) as client:
        client.send_message(QueueUrl=QUEUE, MessageBody="x")

    assert no_waits[0] == 2.5
    assert 5 <= no_waits[1] <= 5.1


def test_a_clock_that_is_wrong_is_corrected_once(endpoint: Endpoint) -> None:
    """By the time in the answer; the next requests are right from the start."""
    endpoint.script = [
        Answer(403, {"__type": "SignatureDoesNotMatch"}, {"Date": "Sat, 01 Jan 2050 00:00:00 GMT"}),
        Answer(),
    ]
    with lean(endpoint.url) as client:
        client.send_message(QueueUrl=QUEUE, MessageBody="x")
        client.send_message(QueueUrl=QUEUE, MessageBody="y")

    times = [headers["x-amz-date"][:8] for headers, _ in endpoint.asked]
    assert times[0] < "20490000"
    assert times[1:] == ["20500101", "20500101"]


def test_a_signature_that_is_wrong_for_another_reason_is_refused(endpoint: Endpoint) -> None:
    """A right clock is not the reason: no second request."""
    endpoint.script = [Answer(403, {"__type": "SignatureDoesNotMatch"})]
    with lean(endpoint.url) as client, pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client.send_message(QueueUrl=QUEUE, MessageBody="x")

    assert len(endpoint.asked) == 1


def test_temporary_credentials_send_their_token(endpoint: Endpoint) -> None:
    """Signed with the rest."""
    with lean(endpoint.url, token="temporary") as client:
        client.send_message(QueueUrl=QUEUE, MessageBody="x")

    headers, _ = endpoint.asked[0]
    assert headers["x-amz-security-token"] == "temporary"
    assert ";x-amz-security-token;" in headers["authorization"]


def test_in_lambda_the_trace_goes_along(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda finds functions that feed themselves by it (S36)."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-2-3;Lineage=a:1")
    with lean(endpoint.url) as client:
        client.send_message(QueueUrl=QUEUE, MessageBody="x")
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
        client.send_message(QueueUrl=QUEUE, MessageBody="x")

    outside, inside = (headers for headers, _ in endpoint.asked)
    assert "x-amzn-trace-id" not in outside
    assert inside["x-amzn-trace-id"] == "Root=1-2-3;Lineage=a:1"


def test_a_request_goes_to_the_region_of_its_queue() -> None:
    """As with boto3's client here; an endpoint that was given stays the only one."""
    with lean(None) as client:
        assert client._endpoint(None).url == "https://sqs.us-east-1.amazonaws.com"
        assert client._endpoint("https://sqs.eu-west-1.amazonaws.com/1/q").url == "https://sqs.eu-west-1.amazonaws.com"
        assert client._endpoint("https://sqs.cn-north-1.amazonaws.com.cn/1/q").host == "sqs.cn-north-1.amazonaws.com.cn"
    with lean("http://127.0.0.1:9324") as client:
        assert client._endpoint("https://sqs.eu-west-1.amazonaws.com/1/q").url == "http://127.0.0.1:9324"


def test_other_requests_are_boto3s() -> None:
    """Made when one is asked for, and once."""
    made = []

    class Boto3:
        def create_queue(self, **_: object) -> str:
            return "created"

    def make() -> Boto3:
        made.append(1)
        return Boto3()

    client = LeanClient(
        LeanSettings(region="us-east-1", endpoint_url="http://127.0.0.1:1"),
        lambda: Credentials("test", "secret"),
        region_of,
        make,
        threading.Lock(),
    )

    assert not made
    assert [client.create_queue(QueueName="q"), client.create_queue(QueueName="q")] == ["created", "created"]
    assert len(made) == 1
    assert all(callable(getattr(client, method)) for method in OPERATIONS)


def test_who_looks_into_the_client_sees_all_requests(endpoint: Endpoint) -> None:
    """Events are boto3's: from then on boto3 makes the requests, so that no listener misses one."""
    heard = []
    with of_boto3(endpoint.url) as theirs:
        client = LeanClient(
            LeanSettings(region="us-east-1", endpoint_url=endpoint.url),
            lambda: Credentials("test", "secret"),
            region_of,
            lambda: theirs,
            threading.Lock(),
        )
        client.send_message(QueueUrl=QUEUE, MessageBody="x")
        client.meta.events.register("before-send.sqs", lambda **_: heard.append(1))
        client.send_message(QueueUrl=QUEUE, MessageBody="y")
        client.close()

    assert len(endpoint.asked) == 2
    assert len(heard) == 1
