"""``sqs-tasks queues``: the group of commands about queues."""

from __future__ import annotations

import click

from sqs_tasks.cli.queues_create import create
from sqs_tasks.cli.queues_list import list_queues
from sqs_tasks.cli.queues_redrive import redrive


@click.group()
def queues() -> None:
    """Create an application's queues, list them, and move dead letters back."""


queues.add_command(create)
queues.add_command(list_queues)
queues.add_command(redrive)
