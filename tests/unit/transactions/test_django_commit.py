"""``SQSEnv(send=OnCommit())`` with Django: jobs leave after the commit, and never for what was rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from sqs_tasks import AsyncTask, SQSEnv
from sqs_tasks.testing import in_memory
from sqs_tasks.transactions import OnCommit
from tests.support import django_project
from tests.support.counting_client import CountingClient

django_project.configure()


class Shop:
    """An application, its queue in memory, and the requests that send."""

    def __init__(self, env: SQSEnv, client: CountingClient, email: AsyncTask[..., Any]) -> None:
        self.env = env
        self.client = client
        self.email = email

    @property
    def sent(self) -> int:
        return self.env.queue("emails").statistics().total


@pytest.fixture
def unsent() -> list[Any]:
    """What could not be sent."""
    return []


@pytest.fixture
def shop(unsent: list[Any]) -> Iterator[Shop]:
    """An application that sends on commit."""
    env = SQSEnv(send=OnCommit(on_unsent=lambda messages, error: unsent.extend([*messages, error])))

    @env.processor("emails", "email")
    def email(to: str) -> None: ...

    with in_memory(env) as session:
        client = CountingClient(session.client("sqs"))
        with env.connected_to(client.as_client):
            yield Shop(env, client, email)


def test_jobs_leave_in_tens_after_the_commit(shop: Shop) -> None:
    """Nothing before; receipts have their message ids afterwards."""
    with transaction.atomic():
        receipts = [shop.email.delay(str(number)) for number in range(12)]
        assert shop.sent == 0
        assert all(receipt.job_id and receipt.message_id is None for receipt in receipts)

    assert shop.client.batches == [10, 2]
    assert all(receipt.message_id for receipt in receipts)


def test_outside_of_a_transaction_a_job_leaves_at_once(shop: Shop) -> None:
    """And a send that fails raises where it is."""
    assert shop.email.delay("a").message_id
    assert shop.sent == 1


def test_what_is_rolled_back_is_never_sent(shop: Shop) -> None:
    """A whole transaction, and a savepoint whose transaction commits."""

    class Nope(Exception):
        """What rolls back."""

    def fail(**options: Any) -> None:
        with transaction.atomic(**options):
            shop.email.delay("rolled back")
            raise Nope

    with pytest.raises(Nope):
        fail()
    with transaction.atomic():
        shop.email.delay("kept")
        with pytest.raises(Nope):
            fail()
        with transaction.atomic():
            shop.email.delay("kept too")

    assert shop.sent == 2
    with transaction.atomic():
        shop.email.delay("next")
    assert shop.sent == 3


def test_a_callback_of_the_application_that_raises_loses_no_job_behind_a_called_one(shop: Shop) -> None:
    """Django calls none after it; the transaction has committed all the same."""

    def raises() -> None:
        raise ValueError("no")

    def commit() -> None:
        with transaction.atomic():
            shop.email.delay("before")
            transaction.on_commit(raises)
            shop.email.delay("behind")

    with pytest.raises(ValueError, match="no") as caught:
        commit()
    caught.value.__traceback__ = None
    del caught

    assert shop.sent == 2


def test_what_sqs_refuses_after_a_commit_reaches_the_hook_and_raises_nothing(
    shop: Shop, unsent: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The request has succeeded; its job can be sent again with the same id."""
    shop.client.refuses = "b@"
    with transaction.atomic():
        shop.email.delay("a@example.com")
        refused = shop.email.delay("b@example.com")

    message, error = unsent
    assert (message.job_id, shop.sent) == (refused.job_id, 1)
    assert "InvalidMessageContents" in str(error)
    assert "1 jobs could not be sent after their commit" in caplog.text

    shop.client.refuses = ""
    assert shop.env.queue("emails").outbox.forward([message]) == [None]
    assert shop.sent == 2


def test_a_deferred_block_in_a_transaction_waits_for_the_commit(shop: Shop) -> None:
    """Its end alone is not the end of the transaction."""
    with transaction.atomic():
        with shop.env.deferred():
            shop.email.delay("a")
        assert shop.sent == 0
    assert shop.sent == 1
