"""Databases with an outbox, for tests: a PostgreSQL of their own, and a file of SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, create_engine, func, select
from sqlalchemy.orm import Session

from sqs_tasks.transactions.outbox.sqlalchemy_database import SQLAlchemyDatabase
from sqs_tasks.transactions.outbox.table import outbox_table
from tests.support.postgres import Postgres

TABLE = outbox_table(MetaData())

DATABASES = ("postgresql", "sqlite")


class OutboxPlace:
    """A database with an empty table.

    Attributes:
        kind: One of ``DATABASES``.
        url: For a process; with the password, where there is one.
    """

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        driver = url.replace("postgresql:", "postgresql+psycopg:")
        # A relay that waits for another's locks is a mistake, and no reason to hang.
        options = {"options": "-c lock_timeout=5s"} if kind == "postgresql" else {}
        self.engine: Engine = create_engine(driver, connect_args=options)
        self.database = SQLAlchemyDatabase(self.engine)

    def session(self) -> Session:
        return Session(self.engine)

    def rows(self) -> list[Any]:
        """What has been committed."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(TABLE).order_by(TABLE.c.id)))

    def count(self) -> int:
        with self.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(TABLE)).scalar_one()


@contextmanager
def outbox_place(kind: str, directory: Path, server: Postgres) -> Iterator[OutboxPlace]:
    """A database of one of the kinds, whose table is made anew."""
    place = OutboxPlace(kind, server.url if kind == "postgresql" else f"sqlite:///{directory / 'outbox.db'}")
    TABLE.metadata.drop_all(place.engine)
    TABLE.metadata.create_all(place.engine)
    try:
        yield place
    finally:
        place.engine.dispose()
