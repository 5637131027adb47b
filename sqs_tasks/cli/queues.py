"""``sqs-tasks queues``: the group of commands about queues."""

from __future__ import annotations

import click

from sqs_tasks.cli.queues_create import create
from sqs_tasks.cli.queues_list import list_queues
from sqs_tasks.cli.queues_redrive import redrive
from sqs_tasks.cli.queues_show import show
from sqs_tasks.cli.queues_steering import pause, purge, resume
from sqs_tasks.cli.queues_watch import watch


@click.group()
def queues() -> None:
    """See how full an application's queues are, create, purge and pause them, and move dead letters back."""


for one in (create, list_queues, show, watch, redrive, purge, pause, resume):
    queues.add_command(one)
queues.add_command(list_queues, "ls")
