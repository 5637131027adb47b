"""``sqs-tasks dead ls``: what is dead, why, since when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Unpack

import click

from sqs_tasks.cli.dead import words as said
from sqs_tasks.cli.dead.interruption import Interruption
from sqs_tasks.cli.dead.place import SelectionOptions, environment, queues_of, selection_of, selection_options
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.errors import QueueNotFoundError
from sqs_tasks.operations.groups import grouped
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.look import look
from sqs_tasks.operations.selection import Selection

EPILOG = """\b
Examples:
  $ sqs-tasks dead ls myapp.tasks:env                     all queues, grouped by task, failure and reason
  $ sqs-tasks dead ls myapp.tasks:env emails --letters    one by one, the oldest first
  $ sqs-tasks dead ls myapp.tasks:env --error 'SMTP*' --newer 2h
  $ sqs-tasks dead ls https://sqs.eu-west-1.amazonaws.com/123456789012/emails_dead --json

A letter is hidden from others while it is looked at, and no longer. SQS counts the look as a receive; that decides
nothing, unless the dead-letter queue has a redrive policy itself.
"""


@click.command("ls", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE|URL]...")
@selection_options
@click.option("--letters", "singly", is_flag=True, help="Single letters, the oldest first.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each letter, as soon as it is received.")
@endpoint_options
def list_letters(*, words: Sequence[str], singly: bool, as_json: bool, **options: Unpack[SelectionOptions]) -> None:
    """List dead letters: by task, failure and reason, or one by one."""
    env, names = environment(words)
    selection, queues = selection_of(options), queues_of(env, names)
    with Interruption() as interruption:
        for index, queue in enumerate(queues):
            if interruption.is_asked:
                break
            try:
                if as_json:
                    _stream(queue, selection, interruption)
                    continue
                if index:
                    click.echo()
                _list(queue, selection, interruption, singly=singly)
            except QueueNotFoundError:
                if names:
                    raise
                click.echo(f"{queue.name}: not found; create it with 'sqs-tasks queues create'", err=True)
    interruption.leave()


def _stream(queue: LetterQueue, selection: Selection, interruption: Interruption) -> None:
    with look(queue, selection, should_stop=interruption.asked) as letters:
        for letter in letters:
            click.echo(json.dumps({"queue": queue.name, **letter.as_dict()}))


def _list(queue: LetterQueue, selection: Selection, interruption: Interruption, *, singly: bool) -> None:
    counts, now = queue.counts(), queue.env.client.now()
    click.echo(said.heading(queue, counts))
    with look(queue, selection, should_stop=interruption.asked) as letters:
        if singly:
            # Without their bodies, which may be a megabyte each.
            lines = sorted((0 if one.at is None else one.at.timestamp(), said.letter_line(one, now)) for one in letters)
            shown = [line for _, line in lines]
        else:
            shown = said.group_lines(grouped(letters), now)
    for line in shown:
        click.echo(line)
    if not shown and letters.seen:
        click.echo(f"none of {said.letters(letters.seen)} fits the selection")
    for line in said.forced(letters):
        click.echo(line, err=True)
    limit = queue.max_receive_count() if letters.seen else None
    if limit is not None:
        click.echo(
            f"careful: {queue.name} has a redrive policy itself; after {limit} receives, looks counted, SQS moves its "
            "letters on",
            err=True,
        )
