"""``sqs-tasks diff``: what is deployed against what is registered."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.app import check_has_tasks, load, split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.schedules.place import scheduler_client
from sqs_tasks.client import error_code
from sqs_tasks.deployment.deployed_stacks import DeployedStacks
from sqs_tasks.deployment.difference import Difference
from sqs_tasks.deployment.drift import differences
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError

EPILOG = """\b
Examples:
  $ sqs-tasks diff myapp.tasks:env
  $ sqs-tasks diff myapp.tasks:env --stack shop-tasks    also schedules, code, and what is no longer registered
  $ sqs-tasks diff myapp.tasks:env --json | jq '.[].resource'

\b
Exit codes: 0 when everything is as registered, 1 when something is not, 2 when they cannot be compared: wrong
usage, an application that cannot be loaded, missing rights, no answer from AWS.
Nothing is changed; 'cdk deploy' or 'sqs-tasks queues create' does that.
"""


class NotComparedError(click.ClickException):
    """What is registered or deployed is not known; a build must not take it for a difference."""

    exit_code = 2


@click.command(epilog=EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@click.option(
    "--stack",
    "stacks",
    multiple=True,
    help="A stack: compares its schedules, and finds code that it did not deploy and queues that are not registered. "
    "Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON array with an object for each difference.")
@endpoint_options
def diff(*, app: str | None, stacks: Sequence[str], as_json: bool) -> None:
    """Compare APP's queues, mappings, functions and schedules with what is deployed."""
    import boto3

    path, _ = split_app([app] if app else [])
    env = _load(path)
    try:
        found = differences(
            env.manifest(app=path),
            sqs=env.client(),
            lambda_client=boto3.client("lambda"),
            stacks=DeployedStacks(names=stacks, cloudformation=boto3.client("cloudformation"), s3=boto3.client("s3"))
            if stacks
            else None,
            scheduler=scheduler_client() if stacks else None,
        )
    except Exception as error:
        if not error_code(error) and type(error).__module__.partition(".")[0] != "botocore":
            raise
        raise NotComparedError(f"{error_code(error) or type(error).__name__}: {error}") from error
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        _print(found)
    if found:
        sys.exit(1)


def _load(path: str) -> SQSEnv:
    """The environment; one that cannot be had, or has no task, can be compared with nothing."""
    try:
        env = load(path)
        check_has_tasks(env, path)
    except ConfigurationError as error:
        raise NotComparedError(str(error)) from error
    except click.ClickException as error:
        raise NotComparedError(error.format_message()) from error
    return env


def _print(found: list[Difference]) -> None:
    resource = ""
    for one in found:
        if one.resource != resource:
            resource = one.resource
            click.echo(resource)
        click.echo(f"  {one.field}: registered {_shown(one.registered)}, deployed {_shown(one.deployed)}")
    if not found:
        click.echo("everything is as registered")


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
