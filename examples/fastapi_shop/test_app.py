"""The application with FastAPI's test client, and its jobs without a worker."""

# ruff: noqa: S101, PLR2004 - tests assert

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from examples.fastapi_shop.app import app
from examples.fastapi_shop.tasks import emails, env, greet, send_receipt
from sqs_tasks.testing import assert_enqueued, drain, in_memory, refute_enqueued


@pytest.fixture
def client() -> Iterator[TestClient]:
    """The application, started and stopped by its lifespan, with queues in memory."""
    with in_memory(env), TestClient(app) as client:
        yield client


def test_an_order_gets_its_receipt(client: TestClient) -> None:
    """The endpoint saves and sends; the job finds the order."""
    order = client.post("/orders", params={"article": "book", "email": "a@example.com"}).json()["order"]
    assert_enqueued(send_receipt, order_id=order)

    drain(emails)

    assert client.get(f"/orders/{order}").json() == {"article": "book", "receipt": "book to a@example.com"}


def test_a_failed_request_sends_nothing(client: TestClient) -> None:
    """The session was rolled back, and with it the job."""
    assert client.post("/orders", params={"article": "moon", "email": "b@example.com"}).status_code == 409

    refute_enqueued(send_receipt)


def test_without_a_session_a_job_is_sent_at_once(client: TestClient) -> None:
    """The caller gets the job's id."""
    assert client.post("/customers", params={"email": "c@example.com"}).json()["job"]

    assert_enqueued(greet, email="c@example.com")
