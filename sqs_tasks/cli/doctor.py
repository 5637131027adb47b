"""``sqs-tasks doctor``: what is wrong, why it matters, and the fix."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.schedules.place import group_option, scheduler_client
from sqs_tasks.client import is_loopback
from sqs_tasks.deployment.deployed_stacks import DeployedStacks
from sqs_tasks.env import SQSEnv
from sqs_tasks.operations.doctor import Examination, Finding, examine

EPILOG = """\b
Examples:
  $ sqs-tasks doctor myapp.tasks:env
  $ sqs-tasks doctor myapp.tasks:env --stack shop-tasks      also schedules, and what is no longer registered
  $ sqs-tasks doctor myapp.tasks:env --role producer --json | jq -r .kind

\b
Exit codes: 0 when all is well, 1 when an error was found, 3 when there are warnings only, or something could not be
examined, 2 for wrong usage. Nothing is changed, and no message is received; --look receives dead letters.
"""

#: What is exited with when nothing worse than a warning was found.
_WARNINGS = 3


@click.command("doctor", epilog=EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@click.option("--stack", "stacks", multiple=True, help="A stack: its schedules and queues are looked at too.")
@group_option(required=False)
@click.option(
    "--role",
    type=click.Choice(["producer", "worker", "redrive"]),
    default="worker",
    show_default=True,
    help="Whose rights the caller should have.",
)
@click.option("--look", is_flag=True, help="Look at some dead letters, for tasks that are not registered.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each finding.")
@endpoint_options
def doctor(*, app: str | None, stacks: Sequence[str], group: str | None, role: str, look: bool, as_json: bool) -> None:
    """Examine APP and its deployment."""
    path, _ = split_app([app] if app else [])
    env = load(path)
    counts: Counter[str] = Counter()
    for finding in examine(
        Examination(env=env, app=path, role=role, looks=look, schedule_group=group, **_clients(env, stacks, group))
    ):
        counts[finding.severity] += 1
        if as_json:
            click.echo(json.dumps(finding.as_dict()))
        else:
            _print(finding)
    if not as_json:
        click.echo(_summary(counts))
    if counts:
        sys.exit(1 if counts["error"] else _WARNINGS)


def _clients(env: SQSEnv, stacks: Sequence[str], group: str | None) -> dict[str, Any]:
    """Clients of the other services; none where SQS is on this machine, which has no IAM and no Lambda."""
    endpoint = env.client.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_SQS") or ""
    if env.client.is_in_memory or is_loopback(urlsplit(endpoint).hostname or ""):
        click.echo("SQS is on this machine: credentials, rights, mappings and functions are not examined", err=True)
        return {}
    import boto3

    found: dict[str, Any] = {name: boto3.client(name) for name in ("sts", "iam")}
    found["lambda_client"] = boto3.client("lambda")
    if stacks or group:
        found["scheduler"] = scheduler_client()
    if stacks:
        found["stacks"] = DeployedStacks(
            names=stacks, cloudformation=boto3.client("cloudformation"), s3=boto3.client("s3")
        )
    return found


def _print(finding: Finding) -> None:
    click.echo(f"{finding.severity}: {finding.subject}: {finding.what}")
    click.echo(f"  why  {finding.why}")
    click.echo(f"  fix  {finding.fix}")


def _summary(counts: Counter[str]) -> str:
    if not counts:
        return "all is well"
    names = (("error", "error"), ("warning", "warning"), ("unknown", "not examined"))
    return ", ".join(
        f"{counts[one]} {word}" + "s" * (counts[one] > 1 and one != "unknown") for one, word in names if counts[one]
    )
