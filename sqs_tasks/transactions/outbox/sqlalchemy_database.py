"""A database of the outbox by SQLAlchemy's engine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from sqs_tasks.errors import ConfigurationError


class SQLAlchemyDatabase:
    """A database of the outbox.

    Args:
        engine: The engine. Relays use one connection of it at a time.
    """

    def __init__(self, engine: Engine) -> None:
        self.dialect = engine.dialect.name
        # What another relay has deleted must not be seen once its locks are gone.
        options = {"isolation_level": "READ COMMITTED"} if self.dialect == "postgresql" else {}
        self._engine = engine.execution_options(**options)

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """A transaction that commits at the end of the block, and is rolled back when the block raises."""
        with self._engine.begin() as connection:
            yield _Transaction(connection)


class _Transaction:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, /, **values: Any) -> Sequence[Sequence[Any]]:
        return self._connection.execute(text(statement), values).all()

    def run(self, statement: str, /, **values: Any) -> int:
        return self._connection.execute(text(statement), values).rowcount


def database_at(url: str) -> SQLAlchemyDatabase:
    """The database at a URL; of PostgreSQL's drivers psycopg is taken, if it is installed and the URL names none.

    Raises:
        ConfigurationError: It is no URL that SQLAlchemy can use. The text has no part of the URL that may be secret.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            driver = "+psycopg" if importlib.util.find_spec("psycopg") else ""
            parsed = parsed.set(drivername=f"postgresql{driver}")
        return SQLAlchemyDatabase(create_engine(parsed, pool_pre_ping=True))
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        # SQLAlchemy quotes the URL in some of them.
        why = f"No module named {error.name!r}" if isinstance(error, ImportError) else type(error).__name__
        raise ConfigurationError(
            f"the URL of the outbox's database cannot be used ({why}); it must be one of SQLAlchemy, such as "
            "postgresql+psycopg://user@host/name or sqlite:///file.db, and its driver be installed"
        ) from None
