"""The application with Flask's test client, and its jobs without a worker."""

# ruff: noqa: S101, PLR2004 - tests assert

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from examples.flask_shop.app import app
from examples.flask_shop.tasks import emails, env, send_receipt
from sqs_tasks.testing import assert_enqueued, drain, in_memory, refute_enqueued


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    """The application, with queues in memory."""
    with in_memory(env), app.test_client() as client:
        yield client


def test_an_order_gets_its_receipt(client: FlaskClient) -> None:
    """The view saves and sends; the job finds the order, and the application's configuration."""
    order = client.post("/orders", data={"article": "book", "email": "a@example.com"}).json["order"]
    assert_enqueued(send_receipt, order_id=order)

    drain(emails)

    shown = client.get(f"/orders/{order}").json
    assert shown == {"article": "book", "receipt": "book to a@example.com, by the shop"}


def test_a_failed_request_sends_nothing(client: FlaskClient) -> None:
    """The session was rolled back, and with it the job."""
    assert client.post("/orders", data={"article": "moon", "email": "b@example.com"}).status_code == 409

    refute_enqueued(send_receipt)
