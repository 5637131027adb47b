"""``sqs-tasks outbox retry`` and ``drop``: what becomes of jobs that SQS has refused for good."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sqs_tasks.cli.outbox.place import database_option, stored_rows

RETRY_EPILOG = """\b
Examples:
  $ sqs-tasks outbox retry                all that were refused
  $ sqs-tasks outbox retry 17 18
"""

DROP_EPILOG = """\b
Examples:
  $ sqs-tasks outbox drop 17              this job is never sent, refused or not
  $ sqs-tasks outbox drop --all-refused
"""


@click.command(epilog=RETRY_EPILOG)
@click.argument("ids", nargs=-1, type=int)
@database_option
def retry(*, ids: Sequence[int], database: str) -> None:
    """Let relays try refused jobs again: those with the numbers IDS, or all."""
    with stored_rows(database) as stored:
        click.echo(f"{stored.retry(ids)} jobs are tried again")


@click.command(epilog=DROP_EPILOG)
@click.argument("ids", nargs=-1, type=int)
@click.option("--all-refused", is_flag=True, help="All that SQS has refused for good.")
@database_option
def drop(*, ids: Sequence[int], all_refused: bool, database: str) -> None:
    """Delete jobs from the outbox, so that they are never sent: those with the numbers IDS, or all refused ones."""
    if bool(ids) == all_refused:
        raise click.UsageError("give the numbers of rows, or --all-refused; 'sqs-tasks outbox ls' shows them")
    with stored_rows(database) as stored:
        click.echo(f"{stored.drop(ids)} jobs were deleted")
