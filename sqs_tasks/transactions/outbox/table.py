"""The table of the outbox for SQLAlchemy."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, MetaData, String, Table, Text, text

from sqs_tasks.transactions.outbox.schema import GROUP_ID_CHARS, GROUP_INDEX, QUEUE_NAME_CHARS, READY_INDEX, TABLE


def outbox_table(metadata: MetaData) -> Table:
    """The table in an application's metadata, for ``metadata.create_all()`` and for Alembic's autogenerate.

    Args:
        metadata: The application's: ``Base.metadata``, for example.
    """
    known = metadata.tables.get(TABLE)
    if known is not None:
        return known
    return Table(
        TABLE,
        metadata,
        Column("id", BigInteger().with_variant(Integer(), "sqlite"), Identity(), primary_key=True),
        Column("queue_name", String(QUEUE_NAME_CHARS), nullable=False),
        Column("group_id", String(GROUP_ID_CHARS)),
        Column("job_name", Text, nullable=False),
        Column("job_id", Text, nullable=False),
        Column("message", Text, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        Column("due_ms", BigInteger),
        Column("ready_ms", BigInteger, nullable=False),
        Column("attempts", Integer, nullable=False, server_default=text("0")),
        Column("error", Text, nullable=False, server_default=text("''")),
        Column("refused_ms", BigInteger),
        Index(READY_INDEX, "queue_name", "ready_ms", "id"),
        Index(GROUP_INDEX, "queue_name", "group_id", "id"),
        sqlite_autoincrement=True,  # a number that is free again would be that of a job that was sent
    )
