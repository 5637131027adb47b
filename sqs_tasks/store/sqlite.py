"""The store in one file of SQLite: the embedded default, for tests, a laptop and a single machine."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from sqs_tasks.errors import StoreUnavailableError
from sqs_tasks.store.protocol import Condition, Item, Value, Written, holds, whole_seconds

if TYPE_CHECKING:
    import sqlite3

#: Seconds for which a write waits for those of other processes.
BUSY_SECONDS = 10.0

#: Writes between two looks for items that have expired.
_WRITES_BETWEEN_SWEEPS = 1_000

_TABLE = """
CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, item TEXT NOT NULL, expires INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_expires ON items (expires) WHERE expires IS NOT NULL;
"""

_PUT = "INSERT INTO items VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET item = ?2, expires = ?3"

#: The same, where without a new expiry the item's own holds.
_KEEP = _PUT.replace("expires = ?3", "expires = coalesce(?3, expires)")

#: Connections of a parent process: closing one in a child would take the parent's locks from it.
_of_parents: list[Any] = []


class SQLiteStore:
    """Items in a file, or in memory; safe with several threads and processes of one machine, not over a network.

    Write-ahead logging, so that readers wait for nobody; a write waits at most ten seconds for others.

    Args:
        path: The file, made with the first use; ``:memory:`` for this process alone.
        now: The wall clock in seconds.
    """

    def __init__(self, path: str | os.PathLike[str], *, now: Callable[[], float] = time.time) -> None:
        self.path = os.fspath(path)
        self._now = now
        self._file = _File(self.path)

    def for_environment(self, of_service: Callable[[str], Any], now: Callable[[], float]) -> Self:  # noqa: ARG002
        """The same file, by another clock."""
        twin = copy(self)
        twin._now = now  # noqa: SLF001 - its own
        return twin

    def get(self, key: str) -> Item | None:
        """The item, or None."""
        with self._file.transaction(writes=False) as connection:
            return self._read(connection, key)

    def put_if_absent(self, key: str, item: Item, *, expires_at: float | None = None) -> Written:
        """Make an item, unless there is one."""
        with self._file.transaction() as connection:
            there = self._read(connection, key)
            if there is not None:
                return Written(done=False, item=there)
            self._write(connection, key, item, expires_at)
            return Written(done=True, item=dict(item))

    def update(
        self,
        key: str,
        changes: Mapping[str, Value | None],
        *,
        add: Mapping[str, float] | None = None,
        when: Sequence[Condition] = (),
        expires_at: float | None = None,
    ) -> Written:
        """Change attributes of an item if all conditions hold."""
        with self._file.transaction() as connection:
            there = self._read(connection, key)
            if not all(holds(one, there) for one in when):
                return Written(done=False, item=there)
            item: dict[str, Value | None] = {**(there or {}), **changes}
            for name, amount in (add or {}).items():
                before: Any = (there or {}).get(name, 0)
                item[name] = before + amount
            kept = {name: value for name, value in item.items() if value is not None}
            self._write(connection, key, kept, expires_at, keeps=there is not None)
            return Written(done=True, item=kept)

    def delete(self, key: str, *, when: Sequence[Condition] = ()) -> Written:
        """Delete an item if all conditions hold."""
        with self._file.transaction() as connection:
            there = self._read(connection, key)
            if there is not None and not all(holds(one, there) for one in when):
                return Written(done=False, item=there)
            connection.execute("DELETE FROM items WHERE key = ?", (key,))
            return Written(done=True, item=None)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._file.close()

    def _read(self, connection: sqlite3.Connection, key: str) -> dict[str, Value] | None:
        row = connection.execute("SELECT item, expires FROM items WHERE key = ?", (key,)).fetchone()
        if row is None or (row[1] is not None and row[1] <= self._now()):
            return None
        item: dict[str, Value] = json.loads(row[0], object_hook=_bytes_from)
        return item

    def _write(
        self, connection: sqlite3.Connection, key: str, item: Item, expires_at: float | None, *, keeps: bool = False
    ) -> None:
        text = json.dumps(item, default=_bytes_to, separators=(",", ":"))
        expires = None if expires_at is None else whole_seconds(expires_at)
        connection.execute(_KEEP if keeps else _PUT, (key, text, expires))
        if self._file.is_sweep_due():
            connection.execute("DELETE FROM items WHERE expires <= ?", (self._now(),))

    def __repr__(self) -> str:
        return f"SQLiteStore({self.path!r})"


class _File:
    """The connection of this process, which its threads share; a forked child opens its own."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._pid = 0
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._writes = 0

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[sqlite3.Connection]:
        """A block that is carried out whole or not at all.

        Raises:
            StoreUnavailableError: The file cannot be opened, read or written, or others write for too long.
        """
        import sqlite3  # a task that remembers nothing needs none

        if self._pid != os.getpid():
            # The lock may be held by a thread that the child does not have, the connection is the parent's.
            _of_parents.append(self._connection)
            self._pid, self._lock, self._connection = os.getpid(), threading.Lock(), None
        with self._lock:
            try:
                connection = self._connection or self._open()
                connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
            except sqlite3.Error as error:
                raise StoreUnavailableError(
                    f"the store in {self._path!r} did not answer: {type(error).__name__}: {error}; see that its folder "
                    "exists, that this process may write there, and that no program holds the file locked"
                ) from error

    def is_sweep_due(self) -> bool:
        """Whether it is time to delete what has expired."""
        self._writes += 1
        return self._writes % _WRITES_BETWEEN_SWEEPS == 0

    def close(self) -> None:
        """Close the connection of this process."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        import sqlite3

        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_TABLE)
        self._connection = connection
        return connection

    def __del__(self) -> None:
        # Of a parent's connection a child knows by the process id.
        if self._connection is not None and self._pid == os.getpid():
            self._connection.close()


def _bytes_to(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"a store cannot hold {type(value).__name__}; it takes str, int, float, bool and bytes")


def _bytes_from(found: dict[str, Any]) -> Any:
    return base64.b64decode(found["$bytes"]) if len(found) == 1 and "$bytes" in found else found
