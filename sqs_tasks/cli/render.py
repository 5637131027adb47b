"""``sqs-tasks render``: what an application needs, as a template that other tools deploy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.plan import plan_of

EPILOG = """\b
Examples:
  $ sqs-tasks render myapp.tasks:env --format cloudformation -o template.yaml
  $ sqs-tasks render myapp.tasks:env --format sam --code function.zip -o template.yaml && sqs-tasks check template.yaml
  $ sqs-tasks render myapp.tasks:env --format terraform -o tasks.tf.json --max-concurrency emails=50

The numbers, rights and variables are those of 'sqs-tasks plan': queues with dead-letter queues, functions with roles,
logs and event source mappings, schedules. The code of functions is a parameter of the template: the zip file of
'sqs-tasks bundle'. What is not in the template, such as services of containers, is named on standard error and in its
first lines.
The same registry gives the same text. No call to AWS is made.

\b
Exit code: 0 it is written, 1 the registry or an option is refused, 2 the command line is wrong.
"""


class _QueueNumber(click.ParamType[tuple[str, int]]):
    """``QUEUE=N``."""

    name = "QUEUE=N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Split it."""
        queue, equals, number = str(value).rpartition("=")
        if not (queue and equals and number.isdecimal()):
            self.fail(
                f"{value!r} is not QUEUE=N; give a queue's name in code and a number, as in emails=50", param, ctx
            )
        return queue, int(number)


class _Variable(click.ParamType[tuple[str, str]]):
    """``NAME=VALUE``."""

    name = "NAME=VALUE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split it."""
        name, equals, text = str(value).partition("=")
        if not equals or re.fullmatch(r"[A-Za-z]\w+", name) is None:
            self.fail(f"{value!r} is not NAME=VALUE; give a name of letters, digits and '_' and a value", param, ctx)
        return name, text


@click.command(epilog=EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["cloudformation", "sam", "terraform"]),
    help="What the template is for.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="The file to write; standard output if left out.",
)
@click.option("--python", default="3.13", show_default=True, metavar="VERSION", help="The functions' Python.")
@click.option(
    "--arch",
    type=click.Choice(["arm64", "x86_64"]),
    default="arm64",
    show_default=True,
    help="The functions' architecture.",
)
@click.option("--code", metavar="PATH", help="The zip file of 'sqs-tasks bundle', for sam and terraform.")
@click.option("--kms-key-arn", metavar="ARN", help="The queues' KMS key, if it is one of your own.")
@click.option(
    "--memory",
    type=_QueueNumber(),
    multiple=True,
    metavar="QUEUE=MB",
    help="The memory of a queue's function; 512 MB if left out; repeatable.",
)
@click.option(
    "--max-concurrency",
    type=_QueueNumber(),
    multiple=True,
    metavar="QUEUE=N",
    help="Concurrent invocations of a queue's function at most; repeatable.",
)
@click.option(
    "--reserved-concurrency",
    type=_QueueNumber(),
    multiple=True,
    metavar="QUEUE=N",
    help="The share of the account's concurrency that a queue's function has; repeatable.",
)
@click.option(
    "--variable",
    "variables",
    type=_Variable(),
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable of every function, in plain text; repeatable.",
)
def render(
    *,
    app: str | None,
    form: str,
    output: Path | None,
    python: str,
    arch: str,
    code: str | None,
    kms_key_arn: str | None,
    memory: Sequence[tuple[str, int]],
    max_concurrency: Sequence[tuple[str, int]],
    reserved_concurrency: Sequence[tuple[str, int]],
    variables: Sequence[tuple[str, str]],
) -> None:
    """Write what APP needs as a template of CloudFormation, AWS SAM or Terraform."""
    from sqs_tasks.deployment.rendering.render import render as make_rendering
    from sqs_tasks.deployment.rendering.settings import RenderSettings

    made = make_rendering(
        plan_of(app, kms_key_arn=kms_key_arn),
        RenderSettings(
            form=form,  # type: ignore[arg-type]  # click has checked it
            python=python,
            architecture=arch,
            code=code,
            memory=dict(memory),
            max_concurrency=dict(max_concurrency),
            reserved_concurrency=dict(reserved_concurrency),
            variables=dict(variables),
        ),
    )
    if output is None:
        click.echo(made.text, nl=False)
    else:
        _write(output, made.text)
        click.echo(f"wrote {output}", err=True)
    for note in made.notes:
        click.echo(f"note: {note}", err=True)


def _write(path: Path, text: str) -> None:
    # Under another name first: who reads the file sees the former one or the whole new one.
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise click.ClickException(
            f"{str(path)!r} cannot be written ({error}); give a file in a directory that you may write to"
        ) from error
