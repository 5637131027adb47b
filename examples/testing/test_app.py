"""The fixtures and functions of sqs_tasks.testing at work."""

# ruff: noqa: S101, ARG001, PLR2004 - tests assert, and ask for fixtures by name

from __future__ import annotations

import pytest

from examples.testing.app import MailServerDownError, emails, env, outbox, remind, send_welcome, sign_up
from sqs_tasks import MemorySession
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.execution.eager import EagerDelivery
from sqs_tasks.testing import assert_enqueued, drain, lambda_context, lambda_event, refute_enqueued


def test_signing_up_enqueues_the_mails(sqs: MemorySession) -> None:
    """What was enqueued, without running it; arguments that do not matter are left out."""
    sign_up("a@example.com")

    assert_enqueued(send_welcome, to="a@example.com")
    assert_enqueued(remind, to="a@example.com")
    refute_enqueued(send_welcome, language="en")


def test_the_welcome_is_sent_at_once_and_the_reminder_later(sqs: MemorySession) -> None:
    """The clock of the queues moves when the test says so."""
    sign_up("a@example.com")

    drain(emails)
    assert outbox == ["a@example.com: welcome (fr)"]

    sqs.advance(900)
    drain(emails)
    assert outbox[1:] == ["a@example.com: still there?"]


def test_a_mail_is_tried_again(sqs: MemorySession) -> None:
    """The first attempt fails; the second comes after its backoff, which nobody waits for."""
    send_welcome.delay("a@slow.example")
    with pytest.raises(MailServerDownError):
        drain(emails)

    outbox.append("the server is up again")
    result = drain(emails, wait=True)

    assert result.succeeded == 1
    assert outbox[-1] == "a@slow.example: welcome (en)"


def test_a_mail_without_address_is_given_up(sqs: MemorySession) -> None:
    """Rejected jobs are in the dead-letter queue."""
    send_welcome.delay("nobody")

    drain(emails, raise_errors=False)

    assert emails.statistics().dead_letters == 1


def test_eager_mode_runs_jobs_where_they_are_sent(sqs_eager: EagerDelivery) -> None:
    """No queues at all: the quickest way to see what a request does in the end."""
    sign_up("a@example.com")

    assert outbox == ["a@example.com: welcome (fr)", "a@example.com: still there?"]
    assert len(sqs_eager.outcomes) == 2


def test_the_lambda_function(sqs: MemorySession) -> None:
    """The handler with an event as Lambda would make it."""
    handler = SQSEventHandler(env)

    answer = handler(lambda_event(send_welcome.bake("a@example.com")), lambda_context())

    assert answer == {"batchItemFailures": []}
    assert outbox == ["a@example.com: welcome (en)"]
