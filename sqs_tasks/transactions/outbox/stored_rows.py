"""The rows that relays take, send and delete, and what people see of the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError, one_line
from sqs_tasks.transactions.outbox.database import Database, Transaction
from sqs_tasks.transactions.outbox.row import COLUMNS, Row
from sqs_tasks.transactions.outbox.schema import DIALECTS, TABLE
from sqs_tasks.transactions.outbox.sqlite_turn import sqlite_turn

#: Characters of a failure's text that a row keeps.
_ERROR_CHARS = 500

#: Message groups that are looked at before a relay takes it that all of them are busy.
_GROUPS = 200

_ROW = ", ".join(COLUMNS)
_READY = "queue_name = :queue_name AND refused_ms IS NULL AND ready_ms <= :now"

#: The queues that have a row that could be sent, from name to name along the index, however many rows there are.
_QUEUES = f"""
    WITH RECURSIVE names(name) AS (
        SELECT MIN(queue_name) FROM {TABLE}
        UNION ALL
        SELECT (SELECT MIN(queue_name) FROM {TABLE} WHERE queue_name > names.name) FROM names WHERE name IS NOT NULL
    )
    SELECT name FROM names WHERE name IS NOT NULL AND EXISTS (
        SELECT 1 FROM {TABLE} WHERE queue_name = names.name AND refused_ms IS NULL AND ready_ms <= :now
    )
"""  # noqa: S608

#: Times that the rows that SQS has accepted are deleted in SQLite, each after its own wait for whoever is writing, and
#: the pause between them in seconds. Otherwise they would be sent again.
_DELETES, _DELETE_PAUSE_SECONDS = 10, 0.2


class Depth(NamedTuple):
    """How full the table is.

    Attributes:
        ready: Jobs that could be sent now.
        later: Jobs that are not due yet.
        refused: Jobs that SQS has refused for good.
        oldest_age_seconds: How long the oldest of those that could be sent has waited; 0 without any.
    """

    ready: int
    later: int
    refused: int
    oldest_age_seconds: float


class Taken:
    """Rows that this relay alone has until the block ends.

    Attributes:
        rows: The rows, in their order.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.sent: list[int] = []
        self.failed: list[tuple[int, str, bool]] = []

    def fail(self, row: Row, why: str, *, refused: bool) -> None:
        """Leave a row where it is.

        Args:
            row: The row.
            why: What SQS has said.
            refused: Whether trying again cannot help.
        """
        self.failed.append((row.id, one_line(why, _ERROR_CHARS), refused))


class StoredRows:
    """The rows of a database.

    Args:
        database: The database.
        now: Gives the time in seconds.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        if database.dialect not in DIALECTS:
            raise ConfigurationError(
                f"there is no outbox for the database {database.dialect!r}; {' and '.join(DIALECTS)} are supported; "
                "with another database use OnCommit()"
            )
        self._database = database
        self._now = now
        self._locks = database.dialect == "postgresql"

    def queues(self) -> list[str]:
        """The queues for which a job could be sent now."""
        with self._database.transaction() as transaction:
            rows = transaction.rows(_QUEUES, now=self._milliseconds())
        return sorted(str(name) for (name,) in rows)

    @contextmanager
    def taken(self, queue_name: str, *, fifo: bool, most: int = limits.MAX_BATCH_ENTRIES) -> Iterator[Taken]:
        """Rows of a queue that no other relay has meanwhile; those that were sent are deleted when the block ends.

        On PostgreSQL the rows are locked, and deleted by the transaction that locked them. On SQLite, where a
        transaction would keep the application from writing, relays take turns and delete by a transaction of its own.
        A process that dies before the delete leaves the rows to the next relay, which sends them again.

        Args:
            queue_name: The queue.
            fifo: Whether it is FIFO: then all rows that are ready in a message group are taken, or none.
            most: Rows that are taken; with FIFO, message groups and rows.
        """
        with ExitStack() as stack:
            transaction: Transaction | None = None
            if self._locks:
                transaction = stack.enter_context(self._database.transaction())
                rows = self._select(transaction, queue_name, fifo=fifo, most=most)
            elif stack.enter_context(sqlite_turn(self._database)):
                with self._database.transaction() as reading:
                    rows = self._select(reading, queue_name, fifo=fifo, most=most)
            else:
                rows = []
            taken = Taken(rows)
            error: BaseException | None = None
            try:
                yield taken
            except BaseException as raised:  # noqa: BLE001 - what SQS has accepted is deleted all the same
                error = raised
            if transaction is not None:
                self._settle(transaction, taken)
            elif taken.sent or taken.failed:
                self._settle_later(taken)
        if error is not None:
            raise error

    def _select(self, transaction: Transaction, queue_name: str, *, fifo: bool, most: int) -> list[Row]:
        values: dict[str, Any] = {"queue_name": queue_name, "now": self._milliseconds()}
        if not fifo:
            skip = " FOR UPDATE SKIP LOCKED" if self._locks else ""
            statement = f"SELECT {_ROW} FROM {TABLE} WHERE {_READY} ORDER BY ready_ms, id LIMIT {most}{skip}"  # noqa: S608
            return [Row(*row) for row in transaction.rows(statement, **values)]
        groups = self._groups(transaction, values, most)
        if not groups:
            return []
        # Looked at after the groups were locked: what their last holder has sent is gone.
        names = {f"group_{number}": group for number, group in enumerate(groups)}
        lock = " FOR UPDATE" if self._locks else ""
        statement = (
            f"SELECT {_ROW} FROM {TABLE} WHERE {_READY} AND group_id IN ({_listed(names)}) "  # noqa: S608
            f"ORDER BY id LIMIT {most * most}{lock}"
        )
        return [Row(*row) for row in transaction.rows(statement, **values, **names)]

    def _groups(self, transaction: Transaction, values: dict[str, Any], most: int) -> list[str]:
        """Message groups that have rows and that nobody else sends; locked until the transaction ends."""
        ours: list[str] = []
        seen: dict[str, Any] = {}
        while len(seen) < _GROUPS and len(ours) < most:
            # A row that was refused stops its group, or the order would be lost.
            others = f" AND t.group_id NOT IN ({_listed(seen)})" if seen else ""
            statement = (
                f"SELECT DISTINCT group_id FROM (SELECT t.group_id FROM {TABLE} t WHERE {_READY}{others} "  # noqa: S608
                f"AND NOT EXISTS (SELECT 1 FROM {TABLE} r WHERE r.queue_name = t.queue_name "
                "AND r.group_id = t.group_id AND r.refused_ms IS NOT NULL) "
                f"ORDER BY t.ready_ms, t.id LIMIT {_GROUPS}) AS ready"
            )
            found = [str(group) for (group,) in transaction.rows(statement, **values, **seen)]
            if not found:
                break
            for group in found:
                seen[f"seen_{len(seen)}"] = group
                if len(ours) < most and (not self._locks or self._is_locked(transaction, values["queue_name"], group)):
                    ours.append(group)
        return ours

    def _is_locked(self, transaction: Transaction, queue_name: str, group: str) -> bool:
        """Whether this transaction now has a message group for itself."""
        [(is_ours,)] = transaction.rows(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))", name=f"{TABLE} {queue_name} {group}"
        )
        return bool(is_ours)

    def _settle(self, transaction: Transaction, taken: Taken) -> None:
        if taken.sent:
            ids = {f"id_{number}": one for number, one in enumerate(taken.sent)}
            transaction.run(f"DELETE FROM {TABLE} WHERE id IN ({_listed(ids)})", **ids)  # noqa: S608
        for row_id, why, refused in taken.failed:
            transaction.run(
                f"UPDATE {TABLE} SET attempts = attempts + 1, error = :error, refused_ms = :refused_ms WHERE id = :id",  # noqa: S608
                error=why,
                refused_ms=self._milliseconds() if refused else None,
                id=row_id,
            )

    def _settle_later(self, taken: Taken) -> None:
        for tries_left in reversed(range(_DELETES)):
            try:
                with self._database.transaction() as transaction:
                    self._settle(transaction, taken)
            except Exception:
                if not tries_left:
                    raise
                time.sleep(_DELETE_PAUSE_SECONDS)
            else:
                return

    def depth(self) -> Depth:
        """How full the table is."""
        now = self._milliseconds()
        waits = "refused_ms IS NULL AND ready_ms"
        with self._database.transaction() as transaction:
            [(ready, later, refused, oldest)] = transaction.rows(
                f"SELECT COUNT(CASE WHEN {waits} <= :now THEN 1 END), COUNT(CASE WHEN {waits} > :now THEN 1 END), "  # noqa: S608
                f"COUNT(refused_ms), MIN(CASE WHEN {waits} <= :now THEN ready_ms END) FROM {TABLE}",
                now=now,
            )
        return Depth(ready, later, refused, 0.0 if oldest is None else max(0, now - oldest) / 1000)

    def listed(self, *, refused: bool, most: int) -> list[dict[str, Any]]:
        """Rows as people see them, the first first, without what the jobs say.

        Args:
            refused: Only those that SQS has refused for good.
            most: How many at most.
        """
        names = ("id", "queue_name", "group_id", "job_name", "job_id", "created_ms", "due_ms", "attempts", "error")
        where = "WHERE refused_ms IS NOT NULL " if refused else ""
        with self._database.transaction() as transaction:
            rows = transaction.rows(
                f"SELECT {', '.join(names)}, refused_ms FROM {TABLE} {where}ORDER BY id LIMIT {int(most)}"  # noqa: S608
            )
        return [dict(zip((*names, "refused_ms"), row, strict=True)) for row in rows]

    def retry(self, ids: Sequence[int]) -> int:
        """Let relays try rows again that SQS has refused; all of them without ids. How many there were."""
        return self._change(
            f"UPDATE {TABLE} SET refused_ms = NULL, error = '' WHERE refused_ms IS NOT NULL",  # noqa: S608
            ids,
        )

    def drop(self, ids: Sequence[int]) -> int:
        """Delete rows, so that their jobs are never sent; all that SQS has refused without ids. How many."""
        where = "refused_ms IS NOT NULL" if not ids else "1 = 1"
        return self._change(f"DELETE FROM {TABLE} WHERE {where}", ids)  # noqa: S608

    def _change(self, statement: str, ids: Sequence[int]) -> int:
        values = {f"id_{number}": one for number, one in enumerate(ids)}
        only = f" AND id IN ({_listed(values)})" if ids else ""
        with self._database.transaction() as transaction:
            return transaction.run(f"{statement}{only}", **values)

    def _milliseconds(self) -> int:
        return round(self._now() * 1000)


def _listed(names: dict[str, Any]) -> str:
    return ", ".join(f":{name}" for name in names)
