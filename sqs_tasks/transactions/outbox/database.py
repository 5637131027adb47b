"""The database as a relay uses it: transactions in which statements run, by SQLAlchemy or by Django."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Transaction(Protocol):
    """An open transaction. Statements have their values as ``:name``."""

    def rows(self, statement: str, /, **values: Any) -> Sequence[Sequence[Any]]:
        """The rows that a statement gives."""

    def run(self, statement: str, /, **values: Any) -> int:
        """Run a statement; how many rows it changed."""


class Database(Protocol):
    """A database with the table."""

    @property
    def dialect(self) -> str:
        """``"postgresql"`` or ``"sqlite"``."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """A transaction that commits at the end of the block, and is rolled back when the block raises."""
