"""``sqs-tasks schedules pause``, ``resume`` and ``run``: one schedule, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from sqs_tasks.cli.app import split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.schedules.place import chosen, deployed, group_option, load_app

PAUSE_EPILOG = """\b
Example:
  $ sqs-tasks schedules pause myapp.tasks:env reports.nightly --group shop

It stays paused until 'resume', or until a deploy changes it: 'apply' and the stack bring it back to what is registered.
To switch it off for good register it with enabled=False.
"""

RUN_EPILOG = """\b
Example:
  $ sqs-tasks schedules run myapp.tasks:env reports.nightly

The job is what the schedule sends, for a run at this second. The schedule itself goes on as before, also one that is
paused or not deployed.
"""


def _one(words: Sequence[str], command: str) -> tuple[str, str]:
    app, rest = split_app(words)
    if len(rest) != 1:
        raise click.UsageError(
            f"one SCHEDULE is needed, for example: sqs-tasks schedules {command} myapp.tasks:env reports.nightly"
        )
    return app, rest[0]


@click.command(epilog=PAUSE_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] SCHEDULE")
@group_option(required=True)
@endpoint_options
def pause(*, words: Sequence[str], group: str) -> None:
    """Switch off a deployed schedule of APP, whether the stack made it or 'apply'."""
    _set_state(words, group, enabled=False)


@click.command()
@click.argument("words", nargs=-1, metavar="[APP] SCHEDULE")
@group_option(required=True)
@endpoint_options
def resume(*, words: Sequence[str], group: str) -> None:
    """Switch a deployed schedule of APP on again. Runs that were due meanwhile are not made up for."""
    _set_state(words, group, enabled=True)


@click.command(epilog=RUN_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] SCHEDULE")
@endpoint_options
def run(*, words: Sequence[str]) -> None:
    """Add the job of a schedule of APP to its queue now."""
    app, name = _one(words, "run")
    _, env = load_app(app)
    schedule = chosen(env, name)
    message = schedule.message_at(datetime.now(UTC))
    receipt = env.queue(schedule.queue_name).outbox.send(message)
    click.echo(f"{message.job_id}  {receipt.message_id}")


def _set_state(words: Sequence[str], group: str, *, enabled: bool) -> None:
    app, name = _one(words, "resume" if enabled else "pause")
    path, env = load_app(app)
    changed = deployed(env, path, group=group).set_state(chosen(env, name).name, enabled=enabled)
    click.echo(f"{name}: {'' if changed else 'already '}{'on' if enabled else 'paused'}")
