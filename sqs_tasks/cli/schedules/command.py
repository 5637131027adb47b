"""``sqs-tasks schedules``: the group of commands about schedules."""

from __future__ import annotations

import click

from sqs_tasks.cli.schedules.deploying import apply, diff
from sqs_tasks.cli.schedules.looking import list_schedules, upcoming
from sqs_tasks.cli.schedules.steering import pause, resume, run


@click.group()
def schedules() -> None:
    """See when an application's tasks run by themselves, and deploy that to EventBridge Scheduler without the CDK."""


for one in (list_schedules, upcoming, apply, diff, pause, resume, run):
    schedules.add_command(one)
