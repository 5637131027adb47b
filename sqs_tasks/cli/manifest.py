"""``sqs-tasks manifest``: the registry as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.app import load, split_app

EPILOG = """\b
Examples:
  $ sqs-tasks manifest myapp.tasks:env --output manifest.json
  $ sqs-tasks manifest myapp.tasks:env | jq '.queues[].queue_name'

The same registry gives the same text, so a manifest can be committed and compared. No call to AWS is made.
"""


@click.command(epilog=EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write to this file instead of standard output.",
)
@click.option("--without-tasks", is_flag=True, help="Allow an APP that registers no task: a stack of queues alone.")
def manifest(*, app: str | None, output: Path | None, without_tasks: bool) -> None:
    """Print the queues and tasks of APP as JSON: what the CDK stack, Terraform or SAM build from.

    A registry without any task is refused: the modules that register tasks were not imported, and a deploy would remove
    all workers.
    """
    path, _ = split_app([app] if app else [])
    text = json.dumps(load(path).manifest(app=path, without_tasks=without_tasks), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    click.echo(f"wrote {output}", err=True)
