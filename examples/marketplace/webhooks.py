"""Webhooks: each event at each endpoint is a job, signed and tried for a day; endpoints that stay dead are disabled."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sqs_tasks import Cron, Reject, Retry, TableBackoff, current_job

from .database import Delivery, Endpoint, Event, transaction
from .environment import env

webhooks = env.queue("webhooks", runs_on="fargate", max_receive_count=12)

#: Dead letters in a row after which an endpoint is told of nothing more.
MOST_FAILURES = 3

#: Seconds between the attempts: a deploy of the receiver, its lunch break, its night.
WAITS = TableBackoff([5, 60, 600, 3_600, 14_400, 43_200])


def publish(session: Session, kind: str, payload: Mapping[str, Any]) -> None:
    """Tell all endpoints of an event, in the transaction that it belongs to."""
    event = Event(kind=kind, payload=json.dumps(payload))
    session.add(event)
    session.flush()
    for endpoint in session.scalars(select(Endpoint).where(Endpoint.enabled)):
        session.add(Delivery(event_id=event.id, endpoint_id=endpoint.id))
        deliver.options(on_failure=note_failure.bake(endpoint.id)).delay(event.id, endpoint.id)


# fair_by: one seller with a slow endpoint and many events does not hold up the others.
@webhooks.processor(
    "deliver", max_attempts=7, backoff_policy=WAITS, fair_by="endpoint_id", timeout=15, enqueues=["webhooks"]
)
def deliver(event_id: int, endpoint_id: int) -> None:
    """Post an event to an endpoint; a transaction before and after, none while the endpoint thinks."""
    with transaction() as session:
        event, endpoint = session.get_one(Event, event_id), session.get_one(Endpoint, endpoint_id)
        if not endpoint.enabled or session.get_one(Delivery, (event_id, endpoint_id)).delivered_at is not None:
            return
    status, wait = post(endpoint, event)
    with transaction() as session:
        delivery = session.get_one(Delivery, (event_id, endpoint_id))
        job = current_job()
        delivery.attempts, delivery.status = 1 if job is None else job.attempt, status
        if status < HTTPStatus.MULTIPLE_CHOICES:
            delivery.delivered_at = datetime.now(UTC)
            session.get_one(Endpoint, endpoint_id).failures = 0
    if status == HTTPStatus.GONE:
        raise Reject("the endpoint is gone")
    if wait is not None:
        raise Retry(delay_seconds=wait, reason=f"the endpoint answers {status} and asks for {wait} s")
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise RuntimeError(f"the endpoint answers {status}")


@webhooks.processor("note_failure", enqueues=[])
def note_failure(endpoint_id: int) -> None:
    """Count what was given up, and disable an endpoint that takes nothing any more."""
    with transaction() as session:
        endpoint = session.get_one(Endpoint, endpoint_id)
        endpoint.failures += 1
        endpoint.enabled = endpoint.failures < MOST_FAILURES


@webhooks.processor("forget_deliveries", schedule=Cron("0 3 * * ? *"), enqueues=[])
def forget_deliveries() -> None:
    """Remove what was delivered, every night."""
    with transaction() as session:
        for delivery in session.scalars(select(Delivery).where(Delivery.delivered_at.is_not(None))):
            session.delete(delivery)


def post(endpoint: Endpoint, event: Event) -> tuple[int, float | None]:
    """Post an event; the status, and the seconds after which the endpoint asks to be tried again."""
    body, now = event.payload.encode(), int(datetime.now(UTC).timestamp())
    headers = {
        "Content-Type": "application/json",
        "Webhook-Id": f"evt_{event.id}",  # the same for each attempt, so that the receiver knows a second one
        "Webhook-Timestamp": str(now),
        "Webhook-Signature": signature(endpoint.secret, f"evt_{event.id}", now, body),
    }
    request = urllib.request.Request(endpoint.url, data=body, headers=headers)  # noqa: S310 - checked when registered
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return answer.status, None
    except urllib.error.HTTPError as error:
        wait = error.headers.get("Retry-After", "")
        return error.code, float(wait) if wait.isdecimal() else None


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """What the receiver checks: the event, its time and its body, by the secret that only it knows."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()
