"""``sqs-tasks dead``: the group of commands about dead letters."""

from __future__ import annotations

import click

from sqs_tasks.cli.dead.archiving import export_letters, import_letters
from sqs_tasks.cli.dead.editing import edit
from sqs_tasks.cli.dead.listing import list_letters
from sqs_tasks.cli.dead.showing import show
from sqs_tasks.cli.dead.steering import drop, move, retry
from sqs_tasks.cli.dead.watching import watch


@click.group()
def dead() -> None:
    """Find out what is dead and why, and retry, edit, drop, move or keep it."""


for one in (list_letters, show, retry, edit, drop, move, export_letters, import_letters, watch):
    dead.add_command(one)
