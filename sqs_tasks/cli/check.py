"""``sqs-tasks check``: the rules over templates that anybody wrote."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from sqs_tasks.cli.table import Table
from sqs_tasks.deployment.template_file import check_file
from sqs_tasks.errors import ConfigurationError

EPILOG = """\b
Examples:
  $ sqs-tasks check template.yaml
  $ sqs-tasks check cdk.out/*.template.json --strict
  $ sqs-tasks check template.json --ignore R3-few-receives --json

What is checked: time limits and visibility timeouts that fit each other, redrive and retention, batches, concurrency,
rights, names. What an intrinsic function or a parameter decides at deployment passes. No call to AWS is made.

\b
Exit code: 0 nothing is refused, 1 there are errors (with --strict: or warnings), 2 a file is no template.
"""


class _NoTemplateError(click.ClickException):
    """A file that cannot be checked."""

    exit_code = 2


@click.command(epilog=EPILOG)
@click.argument("templates", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TEMPLATE...")
@click.option("--strict", is_flag=True, help="Warnings count as errors do for the exit code.")
@click.option("--ignore", "ignored", multiple=True, metavar="ID", help="A finding that is meant; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON list.")
def check(*, templates: Sequence[Path], strict: bool, ignored: Sequence[str], as_json: bool) -> None:
    """Check queues, functions and event source mappings in CloudFormation or AWS SAM templates, JSON or YAML."""
    try:
        found = [(path, one) for path in templates for one in check_file(path) if one.id not in ignored]
    except ConfigurationError as error:
        raise _NoTemplateError(str(error)) from error
    if as_json:
        click.echo(json.dumps([{"template": str(path), **asdict(one)} for path, one in found], indent=2))
    elif found:
        several = len(templates) > 1
        table = Table([*(["template"] if several else []), "severity", "id", "resource", "what"], texts=5)
        for path, one in found:
            table.add(*([path] if several else []), one.severity, one.id, one.resource, one.text)
        table.print()
    else:
        click.echo("nothing is found")
    if any(strict or one.severity == "error" for _, one in found):
        sys.exit(1)
