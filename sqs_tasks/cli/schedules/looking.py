"""``sqs-tasks schedules ls`` and ``next``: what is registered, and when it runs."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import islice

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.app import split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.options import option
from sqs_tasks.cli.schedules.place import chosen, deployed, group_option, load_app
from sqs_tasks.cli.table import Table
from sqs_tasks.scheduling.moments import time_zone
from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule

LIST_EPILOG = """\b
Examples:
  $ sqs-tasks schedules ls myapp.tasks:env
  $ sqs-tasks schedules ls myapp.tasks:env --group shop      asks EventBridge Scheduler for their state as well

A rate without a start counts from its deploy; its next run is shown as if that were now.
"""

NEXT_EPILOG = """\b
Examples:
  $ sqs-tasks schedules next myapp.tasks:env                 the next ten runs of all
  $ sqs-tasks schedules next myapp.tasks:env reports.nightly --count 3
"""


@click.command("ls", epilog=LIST_EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@group_option(required=False)
@click.option("--json", "as_json", is_flag=True, help="A JSON array with an object for each schedule.")
@endpoint_options
def list_schedules(*, app: str | None, group: str | None, as_json: bool) -> None:
    """List the schedules of APP, with their next runs."""
    path, env = load_app(app)
    now = datetime.now(UTC)
    there = None if group is None else deployed(env, path, group=group)
    rows = []
    for one in env.schedules.values():
        schedule = one.schedule
        run = next(schedule.runs(now), None)
        row = {
            "name": one.name,
            "queue": one.queue_name,
            "task": one.job_name,
            "expression": schedule.expression.expression,
            "timezone": schedule.expression.timezone,
            "enabled": schedule.enabled,
            "next": None if run is None else run.isoformat(),
        }
        if there is not None:
            row["deployed"] = there.state(one.name)
        rows.append((row, one, run))
    if as_json:
        click.echo(json.dumps([row for row, _, _ in rows], indent=2))
        return
    header = ["schedule", "expression", "zone", "next run"]
    table = Table(header if there is None else [*header, "deployed"], texts=5)
    for row, one, run in rows:
        shown = "off" if not one.schedule.enabled else "-" if run is None else _local(run, one)
        state = () if there is None else (str(row["deployed"] or "not there").lower(),)
        table.add(one.name, row["expression"], row["timezone"], shown, *state)
    table.print()


@click.command("next", epilog=NEXT_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [SCHEDULE]...")
@option("--count", type=click.IntRange(min=1, max=10_000), default=10, help="How many runs.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array with an object for each run.")
def upcoming(*, words: Sequence[str], count: int, as_json: bool) -> None:
    """Show when the schedules of APP run next, in order; those that are named, or all."""
    app, names = split_app(words)
    _, env = load_app(app)
    listed = [chosen(env, name) for name in names] if names else list(env.schedules.values())
    now = datetime.now(UTC)
    found = list(islice(heapq.merge(*(_runs(one, now) for one in listed), key=lambda run: run[0]), count))
    if as_json:
        runs = [{"at": run.isoformat(), "name": one.name, "task": one.job_name} for run, one in found]
        click.echo(json.dumps(runs, indent=2))
        return
    table = Table(("next run", "zone", "schedule", "task"), texts=4)
    for run, one in found:
        table.add(_local(run, one), one.schedule.expression.timezone, one.name, one.job_name)
    table.print()


def _runs(one: RegisteredSchedule, now: datetime) -> Iterator[tuple[datetime, RegisteredSchedule]]:
    return ((run, one) for run in one.schedule.runs(now))


def _local(run: datetime, one: RegisteredSchedule) -> str:
    """The time on the clock of the schedule's zone, with the offset, which tells the two hours of autumn apart."""
    zone: tzinfo = time_zone(one.schedule.expression.timezone)
    return run.astimezone(zone).strftime("%a %Y-%m-%d %H:%M %z")
