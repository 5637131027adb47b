"""The marketplace in a test: real endpoints on this machine, queues and clock in memory."""

# ruff: noqa: S101, PLR2004 - tests assert

from __future__ import annotations

import smtplib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete

from examples.marketplace import app, mail, newsletters
from examples.marketplace.database import Base, Delivery, Endpoint, Letter, Subscriber, engine, sessions
from examples.marketplace.environment import env
from examples.marketplace.webhooks import signature
from sqs_tasks.testing import DrainResult, drain, in_memory

SECRET = "s3cret"  # noqa: S105 - of a test


class Seller(BaseHTTPRequestHandler):
    """A seller's endpoint: it checks signatures, and answers as a test says."""

    received: ClassVar[list[bytes]] = []
    answers: ClassVar[list[tuple[int, dict[str, str]]]] = []

    def do_POST(self) -> None:
        """Take an event."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = self.headers["Webhook-Id"], int(self.headers["Webhook-Timestamp"])
        assert self.headers["Webhook-Signature"] == signature(SECRET, *told, body)
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        if status == 200:
            self.received.append(body)
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


class Outbound:
    """A mail server that keeps what it gets."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str]] = []
        self.refuses: dict[str, tuple[int, bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def send_message(self, message: Any) -> None:
        """Take a mail."""
        if message["To"] in self.refuses:
            raise smtplib.SMTPRecipientsRefused({message["To"]: self.refuses[message["To"]]})
        self.mails.append((message["To"], message["Subject"]))


@pytest.fixture
def smtp(monkeypatch: pytest.MonkeyPatch) -> Outbound:
    """The mail server."""
    server = Outbound()
    monkeypatch.setattr(mail, "server", lambda: server)
    return server


@pytest.fixture(scope="module")
def seller_url() -> Iterator[str]:
    """Where the seller listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Seller) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/events"
        server.shutdown()
        thread.join()


@pytest.fixture
def web(smtp: Outbound, seller_url: str) -> Iterator[TestClient]:
    """The application with empty tables, queues in memory, and a seller who wants to be told."""
    assert smtp.mails == []
    Seller.received.clear()
    Seller.answers.clear()
    with in_memory(env, schedules=False), TestClient(app.app) as client:
        with sessions.begin() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(delete(table))
        client.post("/endpoints", params={"url": seller_url, "secret": SECRET})
        yield client
    engine.dispose()


def work() -> DrainResult:
    """Send what was committed, and run it, until there is no more."""
    return drain(env, raise_errors=False, wait=True, outbox=engine)


def order(web: TestClient, *, cents: int = 1_200, article: str = "book") -> Any:
    """Place an order."""
    return web.post("/orders", params={"email": "a@example.com", "article": article, "cents": cents})


def state(web: TestClient, number: int) -> str:
    """What became of it."""
    return str(web.get(f"/orders/{number}").json()["state"])


def test_order_is_charged_packed_and_told_of(web: TestClient, smtp: Outbound) -> None:
    """One after the other, after the commit: the customer and the seller hear of it once."""
    number = order(web).json()["order"]
    assert state(web, number) == "placed"

    work()

    assert state(web, number) == "packed"
    assert Seller.received == [f'{{"order": {number}}}'.encode()]
    assert smtp.mails == [("a@example.com", "Your book is on its way")]


def test_order_that_was_rolled_back_starts_nothing(web: TestClient, smtp: Outbound) -> None:
    """What a failed request added is gone with it."""
    assert order(web, article="moon").status_code == 409

    assert work().runs == []
    assert smtp.mails == []


def test_declined_order_is_cancelled(web: TestClient, smtp: Outbound) -> None:
    """The card will be declined again, so there is one attempt, a dead letter, and what follows a failure."""
    number = order(web, cents=1_313).json()["order"]

    work()

    assert state(web, number) == "cancelled"
    assert smtp.mails == [("a@example.com", "Your book was cancelled")]
    assert env.queue("orders").statistics().dead_letters == 1


def test_webhook_is_tried_until_it_is_taken(web: TestClient) -> None:
    """After the seconds that the endpoint asks for, and then by the backoff."""
    Seller.answers[:] = [(503, {"Retry-After": "30"}), (500, {}), (429, {"Retry-After": "7"})]
    before = datetime.now(UTC)
    order(web)

    work()

    assert len(Seller.received) == 1
    with sessions() as session:
        (delivery,) = session.query(Delivery).all()
        assert (delivery.attempts, delivery.status) == (4, 200)
    assert (datetime.now(UTC) - before).total_seconds() < 30, "nobody has waited"


def test_endpoint_that_is_gone_is_disabled(web: TestClient) -> None:
    """Three dead letters in a row; then it is told of nothing more."""
    Seller.answers[:] = [(410, {})] * 3
    for _ in range(4):
        order(web)
        work()

    with sessions() as session:
        (endpoint,) = session.query(Endpoint).all()
        assert (endpoint.enabled, endpoint.failures) == (False, 3)
        assert session.query(Delivery).count() == 3
    assert env.queue("webhooks").statistics().dead_letters == 3


def test_mail_to_an_address_that_does_not_exist_is_given_up(web: TestClient, smtp: Outbound) -> None:
    """A full mailbox is tried again; an unknown address is not."""
    smtp.refuses["a@example.com"] = (550, b"no such user")
    order(web)

    runs = work().runs

    assert [type(outcome).__name__ for message, outcome in runs if message.job_name == "send_mail"] == ["Rejected"]


def test_newsletter_goes_to_ten_thousand(web: TestClient, smtp: Outbound) -> None:
    """One job adds ten thousand in tens; each call of the task sends ten letters, and a second delivery none."""
    with sessions.begin() as session:
        session.add_all(Subscriber(email=f"reader{number}@example.com") for number in range(10_000))
    web.post("/newsletters", params={"name": "May"})
    queue = newsletters.newsletters
    queue.process_batch()
    assert queue.statistics().total == 10_000

    for _ in range(5):
        queue.process_batch()

    assert queue.statistics().total == 9_950
    assert len(set(smtp.mails)) == 50
    with sessions() as session:
        done = session.query(Letter).first()
    assert done is not None
    newsletters.write_letters.run(newsletter="May", subscriber_id=done.subscriber_id)
    assert len(smtp.mails) == 50
