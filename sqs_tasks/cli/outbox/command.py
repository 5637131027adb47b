"""``sqs-tasks outbox``: the group of commands about the transactional outbox."""

from __future__ import annotations

import click

from sqs_tasks.cli.outbox.looking import count, list_rows
from sqs_tasks.cli.outbox.relay import relay
from sqs_tasks.cli.outbox.repair import drop, retry
from sqs_tasks.cli.outbox.statements import sql


@click.group()
def outbox() -> None:
    """Send the jobs that an application has written into its database, and see those that wait there."""


for one in (relay, list_rows, count, retry, drop, sql):
    outbox.add_command(one)
