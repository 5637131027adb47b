"""``sqs-tasks bundle``: the code of a function as a zip file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.app import split_app

EPILOG = """\b
Examples:
  $ sqs-tasks bundle myapp.tasks:env -o function.zip --python 3.13 --arch arm64
  $ sqs-tasks bundle myapp.tasks:env -o function.zip --package myapp --package mymodels --requirements lock.txt
  $ sqs-tasks bundle myapp.tasks:env -o function.zip --json | jq -r .sha256     # Terraform's source_code_hash

In it are this release of sqs_tasks with the handler sqs_tasks.lambda_handler.handler, the application's packages, and
what its lock file names as wheels for the function's Python and architecture, whatever machine makes it. The same input
gives the same bytes. APP is not imported. No call to AWS is made, and Docker is not needed.
"""


@click.command(epilog=EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="The zip file to write.",
)
@click.option("--python", default="3.13", show_default=True, metavar="VERSION", help="The function's Python.")
@click.option(
    "--arch",
    type=click.Choice(["arm64", "x86_64"]),
    default="arm64",
    show_default=True,
    help="The function's architecture.",
)
@click.option(
    "--source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    show_default=True,
    help="The project's directory.",
)
@click.option(
    "--package", "packages", multiple=True, help="A package or module to ship, in place of APP's; repeatable."
)
@click.option("--requirements", type=click.Path(path_type=Path), help="The lock file; found in the source if left out.")
@click.option("--without-requirements", is_flag=True, help="Install no dependencies: a layer brings them.")
@click.option("--include-boto3", is_flag=True, help="Ship the locked boto3; if left out, the runtime's is used.")
@click.option("--json", "as_json", is_flag=True, help="Print path, files, size and SHA-256 as JSON.")
def bundle(
    *,
    app: str | None,
    output: Path,
    python: str,
    arch: str,
    source: Path,
    packages: Sequence[str],
    requirements: Path | None,
    without_requirements: bool,
    include_boto3: bool,
    as_json: bool,
) -> None:
    """Write the code of APP's Lambda functions to a zip file."""
    from sqs_tasks.deployment.function_zip import write_function_zip

    path, _ = split_app([app] if app else [])
    made = write_function_zip(
        output,
        app=path,
        python=python,
        architecture=arch,
        source=source,
        packages=packages,
        requirements=requirements,
        without_requirements=without_requirements,
        include_boto3=include_boto3,
    )
    if as_json:
        click.echo(json.dumps(asdict(made), indent=2))
    else:
        click.echo(f"wrote {made.path}: {made.files} files, {made.size:,} bytes, SHA-256 {made.sha256}", err=True)
