"""One table, made in four ways: by SQLAlchemy, by Alembic, by Django and by the printed SQL."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from django.core.management import call_command
from django.db import connections
from sqlalchemy import Connection, Engine, MetaData, create_engine, inspect, text
from sqlalchemy.orm import Session

from sqs_tasks import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.testing import in_memory
from sqs_tasks.transactions.outbox import Relay, create_outbox, drop_outbox, outbox_sql
from sqs_tasks.transactions.outbox.django_database import DjangoDatabase
from sqs_tasks.transactions.outbox.table import outbox_table
from tests.support import django_project
from tests.support.outboxes import DATABASES
from tests.support.postgres import PASSWORD, Postgres, postgres

django_project.configure()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Postgres]:
    """A PostgreSQL of this module's own."""
    with postgres() as server:
        yield server


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Postgres) -> Iterator[Engine]:
    """An empty database, which Django knows as "other"."""
    if request.param == "postgresql":
        engine = create_engine(postgresql.url.replace("postgresql:", "postgresql+psycopg:"))
        name = {"NAME": "postgres", "USER": "postgres", "PASSWORD": PASSWORD, "HOST": "127.0.0.1"}
        theirs = {"ENGINE": "django.db.backends.postgresql", "PORT": postgresql.port, **name}
    else:
        engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
        theirs = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "a.db")}
    with engine.begin() as connection:
        for table in ("sqs_tasks_outbox", "django_migrations"):
            connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    connections.settings["other"] = connections.configure_settings({"default": {}, "other": theirs})["other"]
    yield engine
    connections["other"].close()
    del connections["other"]
    del connections.settings["other"]
    engine.dispose()


def _by_sqlalchemy(connection: Connection) -> None:
    outbox_table(MetaData()).create(connection)


def _by_alembic(connection: Connection) -> None:
    create_outbox(Operations(MigrationContext.configure(connection)))


def _by_sql(connection: Connection) -> None:
    for statement in outbox_sql(connection.dialect.name):
        connection.execute(text(statement))


def _shape(engine: Engine) -> Any:
    """The columns and indexes that a database has."""
    looking = inspect(engine)
    columns = {
        one["name"]: (str(one["type"]), one["nullable"], str(one["default"]).partition("::")[0])
        for one in looking.get_columns("sqs_tasks_outbox")
        if one["name"] != "id"
    }
    indexes = {str(one["name"]): one["column_names"] for one in looking.get_indexes("sqs_tasks_outbox")}
    return columns, indexes, looking.get_pk_constraint("sqs_tasks_outbox")["constrained_columns"]


def _writes(engine: Engine) -> None:
    """A job is written by SQLAlchemy and by Django, and relayed by Django's connection."""
    env = SQSEnv()

    @env.queue("emails").processor("email")
    def email(to: str) -> None: ...

    with in_memory(env):
        with Session(engine) as session:
            email.options(outbox=session).delay("a")
            session.commit()
        email.options(outbox="other").delay("b")
        assert Relay(env, DjangoDatabase("other")).run_once().sent == 2


def test_the_four_ways_make_the_same_table(engine: Engine) -> None:
    """Columns, types, defaults and indexes; and each of them takes rows."""
    shapes: list[Any] = []
    ways: list[Callable[[Connection], None]] = [_by_sqlalchemy, _by_alembic, _by_sql]
    for make in ways:
        with engine.begin() as connection:
            make(connection)
        shapes.append(_shape(engine))
        _writes(engine)
        with engine.begin() as connection:
            drop_outbox(Operations(MigrationContext.configure(connection)))
    call_command("migrate", "sqs_tasks_outbox", database="other", verbosity=0)
    shapes.append(_shape(engine))
    _writes(engine)
    connections["other"].close()

    assert len(shapes[0][0]) == 11
    assert set(shapes[0][1]) == {"sqs_tasks_outbox_ready", "sqs_tasks_outbox_group"}
    assert shapes[1:] == [shapes[0]] * 3


def test_numbers_are_never_given_twice(engine: Engine) -> None:
    """A row that was sent and deleted must not lend its number to one that was not."""
    for make in (_by_sqlalchemy, _by_sql):
        with engine.begin() as connection:
            make(connection)
            insert = (
                "INSERT INTO sqs_tasks_outbox (queue_name, job_name, job_id, message, created_ms, ready_ms) "
                "VALUES ('q', 'j', 'i', '{}', 0, 0) RETURNING id"
            )
            first = connection.execute(text(insert)).scalar_one()
            connection.execute(text("DELETE FROM sqs_tasks_outbox"))
            assert connection.execute(text(insert)).scalar_one() > first
            connection.execute(text("DROP TABLE sqs_tasks_outbox"))


def test_alembic_writes_the_statements_where_migrations_are_printed() -> None:
    """As with ``alembic upgrade --sql``."""
    printed = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": printed})

    create_outbox(Operations(context))

    assert [one.strip() for one in printed.getvalue().split(";") if one.strip()] == outbox_sql("postgresql")


def test_other_databases_are_refused() -> None:
    """With those that are supported."""
    with pytest.raises(ConfigurationError, match="no outbox for the database 'mysql'; postgresql and sqlite are"):
        outbox_sql("mysql")
