"""Times that messages of other libraries carry: honoured, or a job would run early, or after nobody wants it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from sqs_tasks import SQSEnv
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import Postponed, Rejected, Succeeded
from sqs_tasks.queue import JobQueue
from sqs_tasks.readers import ForeignJob


def queue_reading(**times: datetime) -> tuple[JobQueue, list[str]]:
    def reader(body: str, attributes: object, *, accept: frozenset[str]) -> ForeignJob:
        return ForeignJob(
            job_name=json.loads(body), args=(), kwargs={}, context={}, job_id=None, content_type="json", **times
        )

    ran: list[str] = []
    queue = SQSEnv().queue("foreign", readers=[reader])
    queue.processor("go")(lambda: ran.append("go"))
    return queue, ran


def execute(queue: JobQueue) -> object:
    return queue.executor().execute(ReceivedMessage(message_id="m", receipt_handle="r", body='"go"'))


def test_a_job_with_an_eta_waits_until_then() -> None:
    """A job with a Celery countdown is not run early, and has no attempt less for it."""
    queue, ran = queue_reading(eta=datetime.now(UTC) + timedelta(seconds=100))

    outcome = execute(queue)

    assert isinstance(outcome, Postponed)
    assert outcome.attempts == 0
    assert 99 <= outcome.delay_seconds <= 101
    assert ran == []


def test_a_job_past_its_expiry_is_rejected() -> None:
    """What nobody wants any more goes to the dead-letter queue instead of running."""
    queue, ran = queue_reading(expires=datetime.now(UTC) - timedelta(seconds=1))

    assert isinstance(execute(queue), Rejected)
    assert ran == []


def test_a_job_whose_times_are_fine_runs() -> None:
    """Past eta, future expiry."""
    now = datetime.now(UTC)
    queue, ran = queue_reading(eta=now - timedelta(seconds=1), expires=now + timedelta(seconds=100))

    assert execute(queue) == Succeeded()
    assert ran == ["go"]
