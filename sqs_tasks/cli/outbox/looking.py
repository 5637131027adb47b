"""``sqs-tasks outbox ls`` and ``count``: the jobs that wait, without what they say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from sqs_tasks.cli.outbox.place import database_option, stored_rows
from sqs_tasks.cli.table import Table

LIST_EPILOG = """\b
Examples:
  $ sqs-tasks outbox ls --database postgresql://app@db/shop
  $ sqs-tasks outbox ls --refused --json                      SQS_TASKS_OUTBOX_DATABASE_URL has the database

Rows that a relay is sending are shown too. Arguments are not.
"""

COUNT_EPILOG = """\b
Examples:
  $ sqs-tasks outbox count
  $ sqs-tasks outbox count --json | jq .oldest_age_seconds

ready: could be sent now. later: not due yet. refused: SQS will never take them; see 'outbox ls --refused'.
"""


@click.command("ls", epilog=LIST_EPILOG)
@database_option
@click.option("--refused", is_flag=True, help="Only those that SQS has refused for good.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Rows at most.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array with an object for each row.")
def list_rows(*, database: str, refused: bool, limit: int, as_json: bool) -> None:
    """List the jobs that wait in the outbox, in the order of their rows."""
    with stored_rows(database) as stored:
        rows = [_shown(row) for row in stored.listed(refused=refused, most=limit)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(("id", "queue", "group", "task", "job", "written", "due", "attempts", "state", "error"), texts=10)
    for row in rows:
        table.add(
            *(row["id"], row["queue_name"], row["group_id"], row["job_name"] or None, row["job_id"] or None),
            *(row["written"], row["due"], row["attempts"], row["state"], row["error"] or None),
        )
    table.print()


@click.command(epilog=COUNT_EPILOG)
@database_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def count(*, database: str, as_json: bool) -> None:
    """Count the jobs that wait in the outbox."""
    with stored_rows(database) as stored:
        depth = stored.depth()
    if as_json:
        click.echo(json.dumps(depth._asdict(), indent=2))
        return
    table = Table(("ready", "later", "refused", "oldest (s)"), texts=0)
    table.add(depth.ready, depth.later, depth.refused, round(depth.oldest_age_seconds, 1))
    table.print()


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row as people read it."""
    times = {name: _moment(row.pop(f"{name}_ms")) for name in ("created", "due", "refused")}
    state = "refused" if times["refused"] else ("failed" if row["error"] else "waiting")
    return {**row, "written": times["created"], "due": times["due"], "state": state}


def _moment(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
