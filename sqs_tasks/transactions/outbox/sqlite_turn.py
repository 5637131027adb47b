"""Whose turn it is to send what is in a file of SQLite: one relay's, while the application goes on writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sqs_tasks.transactions.outbox.database import Database


@contextmanager
def sqlite_turn(database: Database) -> Iterator[bool]:
    """Whether it is the caller's turn for the length of the block.

    The lock is one of SQLite on a file beside the database's, so the system releases it when the process dies. A lock
    in the database itself would keep the application from writing while a request is under way.
    """
    with database.transaction() as transaction:
        file = next((str(row[2]) for row in transaction.rows("PRAGMA database_list") if row[1] == "main"), "")
    if not file:  # in memory, where no other process is
        yield True
        return
    with closing(sqlite3.connect(f"{file}-sqs-tasks-relay", timeout=0, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            yield False
            return
        yield True
