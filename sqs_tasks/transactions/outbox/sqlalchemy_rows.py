"""Rows of the outbox through SQLAlchemy's sessions and connections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import Connection, MetaData
from sqlalchemy import insert as insert_into
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, registry, scoped_session

from sqs_tasks.transactions.outbox.schema import TABLE
from sqs_tasks.transactions.outbox.table import outbox_table

_TABLE = outbox_table(MetaData())


class _Row:
    """A row as an object of a session."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


@cache
def _row_class() -> type[_Row]:
    registry().map_imperatively(_Row, _TABLE)
    return _Row


def insert(target: object, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows into the transaction of a session or a connection, which begins if there is none.

    An async session writes them with its next flush, its commit at the latest: nothing here can be awaited.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(target, (scoped_session, async_scoped_session)):
        target = target()
    if isinstance(target, AsyncSession):
        row = _row_class()
        target.add_all([row(**values) for values in rows])
        return
    if isinstance(target, AsyncConnection):
        raise TypeError(
            "outbox= is an AsyncConnection, on which delay() cannot wait; write 'await task.options(outbox=connection)"
            ".adelay(...)'"
        )
    if not isinstance(target, (Session, Connection)):
        raise TypeError(
            f"outbox= is {type(target).__name__}, in which no row can be written; give a Session, an AsyncSession or a "
            "Connection of SQLAlchemy, or the alias of a database of Django"
        )
    with _explained():
        target.execute(insert_into(_TABLE), list(rows))


async def insert_async(target: object, rows: Sequence[dict[str, Any]]) -> bool:
    """Write rows into the transaction of an async connection; False for anything else."""
    if not isinstance(target, AsyncConnection):
        return False
    with _explained():
        await target.execute(insert_into(_TABLE), list(rows))
    return True


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        error.add_note(
            f"The job was not written. If there is no table {TABLE}, make it: create_outbox(op) in an Alembic "
            "migration, or the statements that 'sqs-tasks outbox sql' prints."
        )
        raise
