"""``sqs-tasks outbox sql``: the table's statements, for those who migrate by hand."""

from __future__ import annotations

import click

from sqs_tasks.transactions.outbox.schema import DIALECTS, outbox_sql

EPILOG = """\b
Examples:
  $ sqs-tasks outbox sql --dialect postgresql | psql "$DATABASE"
  $ sqs-tasks outbox sql --dialect sqlite | sqlite3 shop.db
"""


@click.command(epilog=EPILOG)
@click.option("--dialect", type=click.Choice(DIALECTS), default=DIALECTS[0], show_default=True, help="The database.")
def sql(*, dialect: str) -> None:
    """Print the statements that make the table of the outbox."""
    for statement in outbox_sql(dialect):
        click.echo(f"{statement};")
