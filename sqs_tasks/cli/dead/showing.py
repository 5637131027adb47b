"""``sqs-tasks dead show``: all that is known of a letter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Unpack

import click

from sqs_tasks.cli.dead import words as said
from sqs_tasks.cli.dead.interruption import Interruption
from sqs_tasks.cli.dead.place import SelectionOptions, environment, queues_of, selection_of, selection_options
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.execution.dead_letter_copier import without_failure
from sqs_tasks.operations.letter import Letter
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.look import look
from sqs_tasks.operations.redaction import redacted

EPILOG = """\b
Examples:
  $ sqs-tasks dead show myapp.tasks:env emails --id 8f0c2d51
  $ sqs-tasks dead show myapp.tasks:env --task send_email --limit 1 --arguments

Arguments and the sender's own attributes are shown with --arguments alone; a task's redact= hides parts of them there.
Letters of a pickled content type are not opened, since that would run their code.
"""

_ENDINGS = {
    "rejected": "rejected by a worker",
    "moved by SQS": "moved by SQS, as its receives were used up; no worker says why",
    "unknown": "nobody says; it was sent here as it is, or by an older worker",
}


@click.command("show", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE|URL]...")
@selection_options
@click.option("--arguments", "with_arguments", is_flag=True, help="Show the arguments and the sender's attributes.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each letter.")
@endpoint_options
def show(*, words: Sequence[str], with_arguments: bool, as_json: bool, **options: Unpack[SelectionOptions]) -> None:
    """Show letters with all that is known of them; without --limit the first ten that fit."""
    options["limit"] = options["limit"] or 10
    env, names = environment(words)
    selection, count = selection_of(options), 0
    with Interruption() as interruption:
        for queue in queues_of(env, names):
            with look(queue, selection, should_stop=interruption.asked) as letters:
                for letter in letters:
                    arguments = redacted(queue, letter) if with_arguments else None
                    if as_json:
                        row = {"queue": queue.name, **letter.as_dict(arguments=arguments)}
                        click.echo(json.dumps({**row, "attributes": _attributes(letter)} if with_arguments else row))
                    else:
                        if count:
                            click.echo()
                        _print(queue, letter, arguments, with_arguments=with_arguments)
                    count += 1
    interruption.leave()
    if not count:
        raise click.ClickException("no letter fits; 'sqs-tasks dead ls --letters' shows those that there are")


def _print(queue: LetterQueue, letter: Letter, arguments: Any, *, with_arguments: bool) -> None:
    for name, value in _lines(queue, letter):
        click.echo(f"{name:<12}{value}")
    if not with_arguments:
        click.echo(f"{'arguments':<12}hidden; --arguments shows them")
        return
    for name, value in _attributes(letter).items():
        click.echo(f"{'attribute':<12}{name} = {said.cut(value, 500)}")
    click.echo(f"{'arguments':<12}{_shown(arguments)}")


def _lines(queue: LetterQueue, letter: Letter) -> Iterator[tuple[str, str]]:
    now, message = queue.env.client.now(), letter.message
    yield "letter", f"{letter.id} in {queue.name}"
    yield "job", letter.job_id
    yield "task", said.cut(letter.task or "none", 256) + (f", from {letter.source}" if letter.source else "")
    if letter.content != "job":
        yield "content", f"{letter.content}: {said.cut(letter.problem, 500)}"
    yield "ended", _ENDINGS[letter.ending]
    if letter.reason:
        yield "why", said.cut(letter.reason, 600)
    if letter.earlier_reason:
        yield "before", f"it was dead once already: {said.cut(letter.earlier_reason, 600)}"
    if letter.cause:
        yield "caused by", letter.cause
    yield "first sent", said.moment(letter.first_sent_at, now)
    if letter.failed_at is not None:
        yield "failed", said.moment(letter.failed_at, now)
    if letter.attempts is not None:
        yield "attempts", str(letter.attempts)
    for name, value in (("worker", letter.worker), ("request", letter.request_id), ("trace", letter.trace_id)):
        if value:
            yield name, said.cut(value, 200)
    for index, frame in enumerate(reversed(letter.frames)):
        yield "" if index else "raised at", said.cut(frame, 200)
    if message.group_id:
        yield "group", message.group_id
    yield "receives", f"{message.receive_count}, this look included"
    yield "size", f"{len(message.body.encode()):,} bytes"


def _attributes(letter: Letter) -> dict[str, str]:
    given = without_failure(letter.message.message_attributes)
    return {name: str(one.get("StringValue", "(binary)")) for name, one in sorted(given.items())}


def _shown(arguments: Any) -> str:
    if isinstance(arguments, str):
        return said.cut(arguments, 4_000)
    return json.dumps(arguments, indent=2, ensure_ascii=True).replace("\n", "\n" + " " * 12)
