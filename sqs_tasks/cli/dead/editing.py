"""``sqs-tasks dead edit``: a letter sent again with other arguments."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Unpack

import click

from sqs_tasks.cli.arguments import ArgumentReader
from sqs_tasks.cli.dead.place import (
    SelectionOptions,
    environment,
    one_queue,
    selection_of,
    selection_options,
    target_of,
)
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.operations.editing import EditedJob
from sqs_tasks.operations.editing import edit as send_edited
from sqs_tasks.operations.letter import Letter
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.look import look
from sqs_tasks.operations.selection import Selection

EPILOG = """\b
Examples:
  $ sqs-tasks dead edit myapp.tasks:env emails --id 8f0c2d51
  $ sqs-tasks dead edit myapp.tasks:env emails --task send_email --limit 1 --set to=b@example.com --yes

The arguments are opened as JSON in $EDITOR and checked against the task's signature. The new job is sent first, with an
id that begins with the old one, and the letter is dropped then. While the editor is open, nothing is hidden.
"""


@click.command("edit", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] QUEUE")
@selection_options
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="Change this argument, without an editor.")
@click.option("--to", metavar="QUEUE", help="Another queue than the letter's own; a name or a URL.")
@click.option("--dry-run", is_flag=True, help="Check the arguments, and send nothing.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@endpoint_options
def edit(
    *,
    words: Sequence[str],
    given: Sequence[str],
    to: str | None,
    dry_run: bool,
    yes: bool,
    **options: Unpack[SelectionOptions],
) -> None:
    """Send one letter again with other arguments."""
    env, names = environment(words)
    queue = one_queue(env, names, "edit")
    letter = _chosen(queue, selection_of(options))
    edited = EditedJob.of(queue, letter)
    arguments = _set(edited, given) if given else _edited(edited, can_ask=not yes)
    if arguments is None:
        click.echo("0 edited: nothing was changed")
        return
    if dry_run:
        edited.message(arguments)
        click.echo(f"letter {letter.id} would be sent to {edited.queue.get_sqs_queue_name()} with other arguments")
        return
    edited.message(arguments)
    changed = ", ".join(sorted(_changed(edited, arguments))) or "nothing"
    if not yes and not click.confirm(
        f"Send {letter.task} with another {changed}, and drop letter {letter.id}?", err=True
    ):
        click.echo("0 edited: not confirmed")
        return
    click.echo(f"editing {letter.id} {letter.task}", err=True)
    report, job_id = send_edited(queue, letter, arguments, to=target_of(env, to))
    if report.problem:
        click.echo(f"in doubt: letter {letter.id}, new job {job_id}: {report.problem}", err=True)
        sys.exit(1)
    if not report.done:
        raise click.ClickException(
            f"letter {letter.id} cannot be received any more: somebody else has it, or has retried or dropped it; "
            "nothing was sent"
        )
    click.echo(f"1 edited: job {job_id}")


def _chosen(queue: LetterQueue, selection: Selection) -> Letter:
    with look(queue, selection) as letters:
        found = list(letters)[:2]
    if not found:
        raise click.ClickException(
            f"no letter of {queue.name} fits; 'sqs-tasks dead ls --letters' shows those that there are"
        )
    if len(found) > 1:
        raise click.UsageError("several letters fit; name one by --id, or take the first by --limit 1")
    return found[0]


def _set(edited: EditedJob, given: Sequence[str]) -> dict[str, Any]:
    task = edited.queue.task(edited.letter.task)
    try:
        words = ArgumentReader(task.fn, edited.queue.env.codecs.get("json")).read(list(given))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return {**edited.job.kwargs, **words}


def _edited(edited: EditedJob, *, can_ask: bool) -> dict[str, Any] | None:
    """The arguments as somebody has written them; None where nothing was changed."""
    text = edited.text
    while True:
        written = click.edit(text, extension=".json", require_save=True)
        if written is None or written == edited.text:
            return None
        try:
            arguments = edited.arguments_in(written)
            edited.message(arguments)
        except ConfigurationError as error:
            if not can_ask:
                raise
            click.echo(str(error), err=True)
            if not click.confirm("Edit again?", default=True, err=True):
                return None
            text = written
        else:
            return arguments


def _changed(edited: EditedJob, arguments: dict[str, Any]) -> set[str]:
    """The names of the arguments that differ; never their values."""
    codec = edited.queue.env.codecs.get("json")
    new, old = json.loads(codec.serialize(arguments)), edited.letter.arguments
    return {name for name in {*new, *old} if new.get(name, ...) != old.get(name, ...)}
