"""``task.options(outbox="default")`` with Django: a job is a row of the transaction, and Django's connection relays it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from sqs_tasks import AsyncTask, SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.testing import drain, in_memory
from sqs_tasks.transactions import Outbox
from sqs_tasks.transactions.outbox import Relay
from sqs_tasks.transactions.outbox.django_database import DjangoDatabase
from tests.support import django_project

django_project.configure()


class Shop:
    """An application, its queue in memory, and its relay."""

    def __init__(self, env: SQSEnv) -> None:
        self.env = env
        self.ran: list[str] = []
        self.email: AsyncTask[..., Any] = env.queue("emails").processor("email")(self.ran_email)

    def ran_email(self, to: str) -> None:
        """The task."""
        self.ran.append(to)

    def relayed(self) -> list[str]:
        """What runs after the relay was there."""
        self.ran.clear()
        Relay(self.env, DjangoDatabase()).run_once()
        drain(self.env)
        return self.ran


@pytest.fixture
def table() -> Iterator[None]:
    """The app's migration, made and taken back."""
    call_command("migrate", "sqs_tasks_outbox", verbosity=0)
    yield
    call_command("migrate", "sqs_tasks_outbox", "zero", verbosity=0)


@pytest.fixture
def shop(table: None) -> Iterator[Shop]:
    """An application that names the database with each send."""
    shop = Shop(SQSEnv())
    with in_memory(shop.env):
        yield shop


class Nope(Exception):
    """What rolls back."""


def _fail(shop: Shop, **options: Any) -> None:
    with transaction.atomic():
        shop.email.options(**options).delay("rolled back")
        raise Nope


@pytest.mark.parametrize("target", ["default", connection])
def test_a_row_is_written_by_the_transaction(shop: Shop, target: object) -> None:
    """Nothing is left of a transaction or a savepoint that is rolled back; without one a row is committed at once."""
    with pytest.raises(Nope):
        _fail(shop, outbox=target)
    with transaction.atomic():
        receipt = shop.email.options(outbox=target).delay("kept")
        with pytest.raises(Nope):
            _fail(shop, outbox=target)
        assert shop.email.map([{"to": "b"}, {"to": "c"}], outbox=target) == 2
    shop.email.options(outbox=target).delay("no transaction")

    assert receipt.job_id is not None
    assert shop.relayed() == ["kept", "b", "c", "no transaction"]
    assert shop.relayed() == []


def test_an_environment_writes_all_its_jobs(table: None) -> None:
    """``SQSEnv(send=Outbox())``, with a deferred block in the transaction, and a job that is due in a day."""
    shop = Shop(SQSEnv(send=Outbox()))
    with in_memory(shop.env, schedules=False):
        with transaction.atomic():
            shop.email.delay("a")
            with shop.env.deferred():
                shop.email.delay("b")
                later = shop.email.options(delay_seconds=86_400).delay("tomorrow")
        with pytest.raises(Nope):
            _fail(shop)

        assert later.run_at is not None
        assert shop.relayed() == ["a", "b"]


def test_without_the_app_the_error_says_what_to_add(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where."""
    monkeypatch.setattr("sqs_tasks.transactions.outbox.django_rows.LABEL", "sqs_tasks_nothing")

    with pytest.raises(ConfigurationError, match=r"add 'sqs_tasks.integrations.django_outbox' to INSTALLED_APPS"):
        shop.email.options(outbox="default").delay("a")


def test_the_migration_is_that_of_the_model() -> None:
    """``makemigrations`` finds nothing to do in an application's project."""
    call_command("makemigrations", "sqs_tasks_outbox", check=True, dry_run=True, verbosity=0)
