"""The client of an environment: it follows the queue's URL to its region, and renewed credentials reach all its users."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.client import account_of, neighbour_of, region_of
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.queue import JobQueue

REPORTS = "https://sqs.us-west-2.amazonaws.com/123456789012/reports"


class Stopped(Exception):
    """Ends a request before it leaves the machine."""


@pytest.fixture
def europe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose own region is eu-west-1, with an empty configuration."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")


def stopped(client: Any) -> list[tuple[str, str]]:
    """Where each request of a client goes, and the region that it is signed for."""
    seen: list[tuple[str, str]] = []

    def watch(request: Any, **_: Any) -> None:
        scope = request.headers["Authorization"]
        scope = scope.decode() if isinstance(scope, bytes) else scope
        seen.append((request.url.split("/")[2], scope.split("Credential=")[1].split("/")[2]))
        raise Stopped

    client.meta.events.register("before-send.sqs.*", watch)
    return seen


def every_request(queue: JobQueue) -> list[Callable[[], Any]]:
    """One call for each kind of request that names a queue."""
    task = queue.processor("build")(lambda n: None)
    return [lambda: task.delay(1), lambda: queue.get_raw_messages(0), queue.statistics, queue.purge]


@pytest.mark.usefixtures("europe")
@pytest.mark.parametrize("given", ["session", "client"])
def test_requests_go_to_the_region_that_the_queues_url_names(given: str) -> None:
    """SQS answers NonExistentQueue in any other; the request is signed for that region too (mapsnap#436)."""
    env = SQSEnv() if given == "session" else SQSEnv(sqs_client=boto3.client("sqs"))
    queue = env.queue(REPORTS)
    seen = stopped(env.client())

    for call in every_request(queue):
        with pytest.raises(Stopped):
            call()

    # The dead-letter queue, which statistics() asks first, is beside its queue.
    assert set(seen) == {("sqs.us-west-2.amazonaws.com", "us-west-2")}
    assert len(seen) == 5


@pytest.mark.usefixtures("europe")
def test_a_queue_of_another_partition_is_reached_under_its_domain() -> None:
    """The domain is not amazonaws.com everywhere (S5)."""
    env = SQSEnv()
    queue = env.queue("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/reports")
    seen = stopped(env.client())

    with pytest.raises(Stopped):
        queue.get_raw_messages(0)

    assert seen == [("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1")]


@pytest.mark.usefixtures("europe")
@pytest.mark.parametrize("by", ["argument", "variable"])
def test_an_endpoint_that_is_given_is_kept(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulators hand out URLs with regions in them and are reached under one address."""
    if by == "variable":
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://localhost:4566")
    env = SQSEnv(endpoint_url="http://localhost:4566" if by == "argument" else None)
    queue = env.queue("http://sqs.us-west-2.localhost.localstack.cloud:4566/000000000000/reports")
    seen = stopped(env.client())

    with pytest.raises(Stopped):
        queue.get_raw_messages(0)

    assert seen == [("localhost:4566", "eu-west-1")]


@pytest.mark.parametrize(
    ("url", "region", "account"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/emails", "eu-west-1", "123456789012"),
        ("https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/emails.fifo", "us-gov-west-1", "123456789012"),
        ("https://sqs.us-iso-east-1.c2s.ic.gov/123456789012/a", "us-iso-east-1", "123456789012"),
        ("https://sqs.eusc-de-east-1.amazonaws.eu/123456789012/a", "eusc-de-east-1", "123456789012"),
        ("https://sqs.us-east-1.api.aws/123456789012/a", "us-east-1", "123456789012"),
        ("https://vpce-1a-2b.sqs.us-east-1.vpce.amazonaws.com/123456789012/a", "us-east-1", "123456789012"),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/a", "eu-west-1", "123456789012"),
        ("https://queue.amazonaws.com/123456789012/a", "us-east-1", "123456789012"),
        ("http://localhost:4566/000000000000/a/", None, "000000000000"),
        ("http://localhost:9324/queue/a", None, None),
    ],
)
def test_what_a_queues_url_says(url: str, region: str | None, account: str | None) -> None:
    """Region and account, in every partition and at every endpoint; None where it says nothing."""
    assert (region_of(url), account_of(url)) == (region, account)
    assert neighbour_of(url, "b").endswith("/b")
    assert account_of(neighbour_of(url, "b")) == account


def test_dead_letters_stay_in_the_account_and_region_of_their_queue() -> None:
    """A dead-letter queue is beside its queue; the same name in the caller's own account is another queue."""
    env = SQSEnv(MemorySession(), queue_prefix="shop-")
    queue = env.queue(REPORTS, dead_letter_queue="failures")

    assert queue.dead_letter_queue_url() == "https://sqs.us-west-2.amazonaws.com/123456789012/shop-failures"
    assert env.get_queue_url("reports") == REPORTS


def test_dead_letters_of_a_function_go_to_the_account_of_the_message() -> None:
    """One function may be fed by queues of other accounts, known by the ARNs of its messages alone (boto#3112)."""
    env = SQSEnv(MemorySession())
    queue = env.queue("orders")

    url = queue.dead_letter_queue_url(beside="https://sqs.us-east-1.amazonaws.com/222222222222/orders")

    assert url == "https://sqs.us-east-1.amazonaws.com/222222222222/orders_dead"


def test_urls_of_one_name_in_two_accounts_are_two() -> None:
    """A name says which queue it is within one account alone."""
    asked = []

    class Client:
        def get_queue_url(self, **request: Any) -> dict[str, str]:
            asked.append(request)
            return {"QueueUrl": f"https://sqs/{request.get('QueueOwnerAWSAccountId', 'own')}/{request['QueueName']}"}

    urls = SQSEnv(sqs_client=Client()).urls  # type: ignore[arg-type]

    found = [urls.get("orders", account_id=account) for account in ("2", "3", None, "2")]

    assert found == ["https://sqs/2/orders", "https://sqs/3/orders", "https://sqs/own/orders", "https://sqs/2/orders"]
    assert len(asked) == 3


class Gate:
    """Stands before the local SQS and refuses requests that are signed with an old key, as SQS would.

    Attributes:
        refused: The operations that were refused.
    """

    def __init__(self, endpoint_url: str) -> None:
        port = int(endpoint_url.rpartition(":")[2])
        self.expired = threading.Event()
        self.refused: list[str] = []
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Nothing."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if gate.expired.is_set() and "Credential=OLD/" in self.headers["Authorization"]:
                    gate.refused.append(self.headers["X-Amz-Target"].partition(".")[2])
                    out = b'{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"expired"}'
                    status, kind = 403, "application/x-amz-json-1.0"
                else:
                    behind = http.client.HTTPConnection("127.0.0.1", port)
                    behind.request("POST", "/", body, dict(self.headers.items()))
                    answer = behind.getresponse()
                    status, kind, out = answer.status, answer.getheader("Content-Type") or "", answer.read()
                    behind.close()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Credentials:
    """A shared credentials file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, key: str) -> None:
        self._path.write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key=s\naws_session_token=t\n")


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Credentials:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return Credentials(tmp_path / "credentials")


@pytest.fixture
def gate() -> Iterator[Gate]:
    with LocalSQSServer() as server:
        gate = Gate(server.endpoint_url)
        yield gate
        gate.close()


USERS: dict[str, Callable[[Any, JobQueue, Any], Any]] = {
    "SendMessage": lambda task, queue, message: task.delay(2),
    "SendMessageBatch": lambda task, queue, message: task.map([{"n": 2}]),
    "ReceiveMessage": lambda task, queue, message: queue.get_raw_messages(0),
    "DeleteMessageBatch": lambda task, queue, message: _nothing_lost(queue.settlement().delete([message])),
    "ChangeMessageVisibilityBatch": lambda task, queue, message: _nothing_lost(
        queue.settlement().change_visibility([(message, 60)], action="extend", retries=0)
    ),
    "GetQueueAttributes": lambda task, queue, message: queue.statistics(),
}


def _nothing_lost(unsettled: list[Any]) -> None:
    assert unsettled == []


@pytest.mark.parametrize("operation", USERS)
def test_renewed_credentials_reach_every_user_of_the_client(
    operation: str, credentials: Credentials, gate: Gate
) -> None:
    """Whoever meets the expiry first has its request made once more; nobody has to wait for a receive (kombu#2217)."""
    credentials.write("OLD")
    env = SQSEnv(endpoint_url=gate.endpoint_url)
    queue = env.queue("jobs")
    task = queue.processor("report")(lambda n: None)
    env.create_queues()
    task.delay(1)
    [message] = queue.get_raw_messages(1)
    credentials.write("NEW")
    gate.expired.set()

    USERS[operation](task, queue, message)
    USERS[operation](task, queue, message)

    assert gate.refused == [operation]


def test_credentials_that_come_late_are_found(credentials: Credentials, gate: Gate) -> None:
    """A sidecar may write them after the process has started, and after its first request failed."""
    env = SQSEnv(endpoint_url=gate.endpoint_url)
    queue = env.queue("jobs", dead_letter_queue=None)
    with pytest.raises(NoCredentialsError):
        env.create_queues()

    credentials.write("NEW")
    env.client._renewed_at -= 10  # seconds later

    assert env.create_queues() == ["jobs"]
    assert queue.statistics().total == 0


def test_credentials_that_nobody_renews_are_not_asked_for_without_end(
    credentials: Credentials, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request more, and one client in a while at most; the error is SQS's own."""
    monkeypatch.setattr("sqs_tasks.client.RENEWAL_SECONDS", 3_600)
    credentials.write("OLD")
    env = SQSEnv(endpoint_url=gate.endpoint_url)
    env.queue("jobs", dead_letter_queue=None)
    env.create_queues()
    gate.expired.set()

    for _ in range(3):
        with pytest.raises(ClientError, match="ExpiredToken"):
            env.queue("jobs").statistics()

    assert len(gate.refused) == 4


def test_the_client_is_boto3s_to_whoever_looks_into_it(credentials: Credentials) -> None:
    """Its metadata, its exceptions and its further operations are there."""
    credentials.write("NEW")
    client: Any = SQSEnv().client()

    assert client.meta.service_model.service_name == "sqs"
    assert issubclass(client.exceptions.QueueDoesNotExist, ClientError)
    assert client.can_paginate("list_queues")
