"""``sqs-tasks dead export`` and ``import``: letters in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, Unpack

import click

from sqs_tasks.cli.dead import words as said
from sqs_tasks.cli.dead.interruption import Interruption
from sqs_tasks.cli.dead.place import (
    SelectionOptions,
    environment,
    one_queue,
    queues_of,
    selection_of,
    selection_options,
    target_of,
)
from sqs_tasks.cli.dead.progress import Progress
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.operations import archive

EXPORT_EPILOG = """\b
Examples:
  $ sqs-tasks dead export myapp.tasks:env emails -o letters.jsonl
  $ sqs-tasks dead export myapp.tasks:env --task old_report > old.jsonl

A line of JSON for each letter, with its body and all attributes: keep the file as you keep the data in it. The letters
stay in their queue.
"""

IMPORT_EPILOG = """\b
Examples:
  $ sqs-tasks dead import myapp.tasks:env emails letters.jsonl
  $ sqs-tasks dead import myapp.tasks:env emails letters.jsonl --start 118     after an interruption at line 117

The letters go to the dead-letter queue of QUEUE as they were; 'sqs-tasks dead retry' sends them to work.
"""


@click.command("export", epilog=EXPORT_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE|URL]...")
@selection_options
@click.option("-o", "--output", type=click.File("w", encoding="utf-8"), default="-", help="The file; standard output.")
@endpoint_options
def export_letters(*, words: Sequence[str], output: IO[str], **options: Unpack[SelectionOptions]) -> None:
    """Write letters to a file; they stay where they are."""
    env, names = environment(words)
    selection = selection_of(options)
    with Interruption() as interruption:
        for queue in queues_of(env, names):
            report = archive.export_letters(queue, output, selection, should_stop=interruption.asked)
            why = report.why_none()
            click.echo(f"{report.done} exported from {queue.name}" + (f": {why}" if why else ""), err=True)
            if report.done and report.hidden:
                click.echo(f"{said.letters(report.hidden)} in flight or delayed: not exported", err=True)
    interruption.leave()


@click.command("import", epilog=IMPORT_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] QUEUE FILE")
@click.option("--to", metavar="QUEUE", help="Another queue than the dead-letter queue; a name or a URL.")
@click.option("--start", type=click.IntRange(min=1), default=1, help="The line to begin with.", show_default=True)
@endpoint_options
def import_letters(*, words: Sequence[str], to: str | None, start: int) -> None:
    """Put the letters of a file into a dead-letter queue."""
    *others, file = words or ("",)
    env, names = environment(others)
    queue = one_queue(env, names, "import")
    last = 0

    def before(number: int) -> None:
        nonlocal last
        last = number
        progress.note(f"line {number}")

    interruption, progress = Interruption(), Progress("importing", 0)
    with interruption, click.open_file(file, encoding="utf-8") as lines, progress:
        report = archive.import_letters(
            queue, lines, to=target_of(env, to), start=start, before=before, should_stop=interruption.asked
        )
    click.echo(f"{report.done} imported to {queue.name}")
    if report.problem:
        click.echo(f"in doubt: {report.problem}; look for it, then go on with --start {last} or {last + 1}", err=True)
        sys.exit(1)
    if report.stopped:
        click.echo(f"stopped as asked; go on with --start {last + 1}", err=True)
    interruption.leave()
