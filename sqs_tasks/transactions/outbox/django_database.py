"""A database of the outbox by Django's connection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction

_VALUE = re.compile(r"(?<!:):(\w+)")


class DjangoDatabase:
    """A database of the outbox.

    Args:
        alias: Its alias in Django's settings.
    """

    def __init__(self, alias: str = "default") -> None:
        self._alias = alias
        self.dialect: str = connections[alias].vendor

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """A transaction that commits at the end of the block, and is rolled back when the block raises."""
        connection = connections[self._alias]
        connection.close_if_unusable_or_obsolete()
        with transaction.atomic(using=self._alias), connection.cursor() as cursor:
            yield _Transaction(cursor)


class _Transaction:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def rows(self, statement: str, /, **values: Any) -> Sequence[Sequence[Any]]:
        self._cursor.execute(_VALUE.sub(r"%(\1)s", statement), values)
        rows: Sequence[Sequence[Any]] = self._cursor.fetchall()
        return rows

    def run(self, statement: str, /, **values: Any) -> int:
        self._cursor.execute(_VALUE.sub(r"%(\1)s", statement), values)
        return int(self._cursor.rowcount)
