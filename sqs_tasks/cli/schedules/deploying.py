"""``sqs-tasks schedules apply`` and ``diff``: the registered schedules in EventBridge Scheduler."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.schedules.place import deployed, group_option, load_app, role_options
from sqs_tasks.client import error_code
from sqs_tasks.deployment.schedules import Change

APPLY_EPILOG = """\b
Examples:
  $ sqs-tasks schedules apply myapp.tasks:env --group shop --role-arn arn:aws:iam::123456789012:role/shop --dry-run
  $ sqs-tasks schedules apply myapp.tasks:env --group shop --role-arn arn:aws:iam::123456789012:role/shop

What is missing is made, what differs is changed, and what this command made for APP and is registered no more is
deleted. Everything else in the group is left alone. A schedule that was paused is switched on again, unless it is
registered with enabled=False. The queues must be there.
"""

DIFF_EPILOG = """\b
Exit codes: 0 when everything is as registered, 1 when something is not, 2 when there is no telling: wrong usage, no
rights, no answer. Nothing is changed.
"""

#: What is said of an action that has been done, and of one that would be.
_DONE = {"create": "created", "update": "changed", "delete": "deleted", "keep": "as registered"}


class NotComparedError(click.ClickException):
    """AWS did not tell what is deployed; a build must not take it for a difference."""

    exit_code = 2


@click.command(epilog=APPLY_EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@group_option(required=True)
@role_options
@click.option("--dry-run", is_flag=True, help="Change nothing, and say what would be.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array with an object for each schedule.")
@endpoint_options
def apply(
    *, app: str | None, group: str, role_arn: str, dead_letter_arn: str | None, dry_run: bool, as_json: bool
) -> None:
    """Bring the schedules in EventBridge Scheduler to what APP registers."""
    path, env = load_app(app)
    there = deployed(env, path, group=group, role_arn=role_arn, dead_letter_arn=dead_letter_arn)
    changes: Iterable[Change] = there.plan(env.schedules.values())
    _tell(changes if dry_run else there.apply(changes), as_json=as_json, dry_run=dry_run)


@click.command(epilog=DIFF_EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@group_option(required=True)
@role_options
@click.option("--json", "as_json", is_flag=True, help="A JSON array with an object for each schedule.")
@endpoint_options
def diff(*, app: str | None, group: str, role_arn: str, dead_letter_arn: str | None, as_json: bool) -> None:
    """Compare the schedules that APP registers with those in EventBridge Scheduler."""
    path, env = load_app(app)
    there = deployed(env, path, group=group, role_arn=role_arn, dead_letter_arn=dead_letter_arn)
    try:
        changes = there.plan(env.schedules.values())
    except Exception as error:
        if not error_code(error) and type(error).__module__.partition(".")[0] != "botocore":
            raise
        raise NotComparedError(f"{error_code(error) or type(error).__name__}: {error}") from error
    _tell(changes, as_json=as_json, dry_run=True)
    if any(change.action != "keep" for change in changes):
        sys.exit(1)


def _tell(changes: Iterable[Change], *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        click.echo(json.dumps([_plain(change, dry_run=dry_run) for change in changes], indent=2))
        return
    is_any = False
    for change in changes:
        is_any = True
        would = "would be " if dry_run and change.action != "keep" else ""
        click.echo(f"{change.name}: {would}{_DONE[change.action]}")
        for name, (before, after) in change.differences.items():
            click.echo(f"  {name}: deployed {_shown(before)}, registered {_shown(after)}")
    if not is_any:
        click.echo("no schedules are registered, and none were made for this application")


def _plain(change: Change, *, dry_run: bool) -> dict[str, Any]:
    return {
        "name": change.name,
        "action": change.action,
        "dry_run": dry_run,
        "differences": {
            name: {"deployed": _moment(before), "registered": _moment(after)}
            for name, (before, after) in change.differences.items()
        },
    }


def _moment(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _shown(value: Any) -> str:
    value = _moment(value)
    return value if isinstance(value, str) else json.dumps(value)
