"""``sqs-tasks dead retry``, ``drop`` and ``move``: what becomes of letters."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, Unpack

import click

from sqs_tasks.cli.dead import words as said
from sqs_tasks.cli.dead.interruption import Interruption
from sqs_tasks.cli.dead.moving import move_by_sqs
from sqs_tasks.cli.dead.place import (
    SelectionOptions,
    environment,
    queues_of,
    selection_of,
    selection_options,
    target_of,
)
from sqs_tasks.cli.dead.progress import Progress
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.operations.dropping import drop as drop_letters
from sqs_tasks.operations.groups import grouped
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.look import look
from sqs_tasks.operations.report import Report
from sqs_tasks.operations.retrying import move as move_letters
from sqs_tasks.operations.retrying import retry as retry_letters
from sqs_tasks.operations.selection import Selection

RETRY_EPILOG = """\b
Examples:
  $ sqs-tasks dead retry myapp.tasks:env emails --limit 1          one, before the others
  $ sqs-tasks dead retry myapp.tasks:env --error 'SMTP*' --rate 5
  $ sqs-tasks dead retry myapp.tasks:env emails --yes              all, without a question

A letter goes to the queue that it comes from, keeps its arguments, job id and message group, and has all attempts of
its task again. Letters that die again meanwhile are not retried twice. One letter is copied and deleted before the next
is touched: whatever interrupts the command, nothing is lost, and at most the letter that was named last is doubled.
"""

DROP_EPILOG = """\b
Examples:
  $ sqs-tasks dead drop myapp.tasks:env emails --id 8f0c2d51
  $ sqs-tasks dead drop myapp.tasks:env --task old_report --older 7d --dry-run

Nothing brings a dropped letter back: 'sqs-tasks dead export' keeps a copy.
"""

MOVE_EPILOG = """\b
Examples:
  $ sqs-tasks dead move myapp.tasks:env emails                     all, by SQS itself
  $ sqs-tasks dead move myapp.tasks:env emails --to quarantine --task send_email

Without a selection SQS moves all letters of a queue itself, and Ctrl-C cancels that. Letters are moved as they are: a
job that has gone on by copies keeps the attempts that it had; 'sqs-tasks dead retry' gives it all of them again.
"""


#: What is done with the letters of one queue that are selected; counted on the report that it is given.
Operation: TypeAlias = Callable[..., Report]


def _steering_options(command: Any) -> Any:
    for declare in reversed(
        (
            click.option("--dry-run", is_flag=True, help="Change nothing, and say what would be done."),
            click.option("--yes", is_flag=True, help="Ask nothing."),
            click.option("--json", "as_json", is_flag=True, help="A line of JSON for each queue."),
        )
    ):
        command = declare(command)
    return command


@click.command("retry", epilog=RETRY_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE|URL]...")
@selection_options
@click.option("--to", metavar="QUEUE", help="Another queue than the one that each letter comes from; a name or a URL.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many in a second.")
@_steering_options
@endpoint_options
def retry(
    *,
    words: Sequence[str],
    to: str | None,
    rate: float | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **options: Unpack[SelectionOptions],
) -> None:
    """Send letters back to work."""
    env, names = environment(words)
    target = target_of(env, to)
    with Interruption() as interruption:

        def operation(queue: LetterQueue, selection: Selection, **more: Any) -> Report:
            return retry_letters(
                queue, selection, to=target, messages_per_second=rate, sleep=interruption.sleep, **more
            )

        steering = _Steering("retry", "retried", interruption, dry_run=dry_run, yes=yes, as_json=as_json)
        steering.run(queues_of(env, names), selection_of(options), operation)
    steering.leave()


@click.command("drop", epilog=DROP_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE|URL]...")
@selection_options
@_steering_options
@endpoint_options
def drop(*, words: Sequence[str], dry_run: bool, yes: bool, as_json: bool, **options: Unpack[SelectionOptions]) -> None:
    """Delete letters for good."""
    env, names = environment(words)
    with Interruption() as interruption:
        steering = _Steering("drop", "dropped", interruption, dry_run=dry_run, yes=yes, as_json=as_json)
        steering.run(queues_of(env, names), selection_of(options), drop_letters)
    steering.leave()


@click.command("move", epilog=MOVE_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE|URL]...")
@selection_options
@click.option("--to", metavar="QUEUE", help="Another queue than the one that each letter comes from; a name or a URL.")
@click.option("--rate", type=click.IntRange(min=1, max=500), help="At most so many in a second.")
@_steering_options
@endpoint_options
def move(
    *,
    words: Sequence[str],
    to: str | None,
    rate: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **options: Unpack[SelectionOptions],
) -> None:
    """Move letters as they are: all of a queue by SQS itself, or some."""
    env, names = environment(words)
    target, selection, queues = target_of(env, to), selection_of(options), queues_of(env, names)
    with Interruption() as interruption:
        steering = _Steering("move", "moved", interruption, dry_run=dry_run, yes=yes, as_json=as_json)
        if selection.is_everything and selection.limit is None:

            def by_sqs(queue: LetterQueue, _: Selection, **more: Any) -> Report:
                return move_by_sqs(queue, interruption, to=target, rate=rate, **more)

            steering.names_each = False
            steering.run(queues, selection, by_sqs)
        else:

            def operation(queue: LetterQueue, some: Selection, **more: Any) -> Report:
                return move_letters(queue, some, to=target, messages_per_second=rate, sleep=interruption.sleep, **more)

            steering.run(queues, selection, operation)
    steering.leave()


_PARTICIPLES = {"retry": "retrying", "drop": "dropping", "move": "moving"}


class _Steering:
    """Does something with the letters of queues: shows which, asks, does it, says what was done."""

    def __init__(
        self, verb: str, done: str, interruption: Interruption, *, dry_run: bool, yes: bool, as_json: bool
    ) -> None:
        self._verb = verb
        self._done = done
        self._interruption = interruption
        self._dry_run = dry_run
        self._yes = yes or dry_run
        self._as_json = as_json
        self._problems = 0
        self.names_each = True

    def run(self, queues: Sequence[LetterQueue], selection: Selection, operation: Operation) -> None:
        """Do it, queue by queue; a limit is for all of them together."""
        matched = 0
        for queue in queues:
            if self._interruption.is_asked:
                break
            if selection.limit is not None and matched >= selection.limit:
                break
            chosen = selection if selection.limit is None else selection.limited(selection.limit - matched)
            matched += self._one(queue, chosen, operation)
        if selection.ids and not matched and not self._interruption.is_asked:
            self._problems += 1

    def leave(self) -> None:
        """Exit with what it came to."""
        self._interruption.leave()
        if self._problems:
            sys.exit(1)

    def _one(self, queue: LetterQueue, selection: Selection, operation: Operation) -> int:
        report, counts = Report(), queue.counts()
        count = counts.available
        if not self._yes and counts.available:
            found = self._looked_at(queue, selection, report)
            if found is None:
                return report.matched
            selection, count = found
        with Progress(_PARTICIPLES[self._verb], count) as progress:
            try:
                operation(
                    queue,
                    selection,
                    dry_run=self._dry_run,
                    before=progress.before if self.names_each else (lambda _: None),
                    should_stop=self._interruption.asked,
                    report=report,
                )
            except BaseException as error:
                self._say_doubt(queue, report)
                if report.done and isinstance(error, Exception):
                    click.echo(f"{report.done} {self._done} from {queue.name} before that", err=True)
                raise
        self._say(queue, report)
        return report.matched

    def _looked_at(self, queue: LetterQueue, selection: Selection, report: Report) -> tuple[Selection, int] | None:
        """What was chosen and how many, if the answer is yes; all of a queue is not looked through before."""
        if selection.is_everything and selection.limit is None:
            count = queue.counts().available
            what = f"all {said.letters(count)}"
            chosen = selection
        else:
            ids: list[str] = []
            with look(queue, selection, should_stop=self._interruption.asked) as letters:
                groups = grouped(_noted(letters, ids))
                report.seen, report.hidden, report.behind = letters.seen, letters.hidden, letters.behind
            if not ids or self._interruption.is_asked:
                self._say(queue, report)
                return None
            for line in said.group_lines(groups, queue.env.client.now()):
                click.echo(line, err=True)
            count, chosen, what = len(ids), Selection.only(ids), said.letters(len(ids))
            report.seen = 0
        warning = " This cannot be undone." if self._verb == "drop" else ""
        try:
            with self._interruption.set_aside():
                is_meant = click.confirm(f"{self._verb.capitalize()} {what} of {queue.name}?{warning}", err=True)
        except click.Abort:
            if sys.stdin.isatty():
                raise
            raise click.UsageError("nobody answered the question; --yes answers it in advance") from None
        report.matched = 0
        if not is_meant:
            click.echo(f"0 {self._done}: not confirmed", err=True)
            return None
        return chosen, count

    def _say(self, queue: LetterQueue, report: Report) -> None:
        if not report.is_whole:
            self._problems += 1
        if self._as_json:
            click.echo(json.dumps(_row(queue, report, self._done, dry_run=self._dry_run)))
            self._say_doubt(queue, report)
            return
        if self._dry_run and report.matched:
            click.echo(f"{said.letters(report.matched)} of {queue.name} would be {self._done}")
            return
        why = report.why_none()
        click.echo(f"{report.done} {self._done} from {queue.name}" + (f": {why}" if why else ""))
        if report.done and report.hidden:
            click.echo(f"{report.hidden} more cannot be received at present: in flight or delayed", err=True)
        if report.done and report.behind:
            click.echo(f"{said.letters(report.behind)} stand behind others of their group, and were not seen", err=True)
        if report.stopped:
            click.echo("stopped as asked; the same command goes on", err=True)
        self._say_doubt(queue, report)

    def _say_doubt(self, queue: LetterQueue, report: Report) -> None:
        if report.doubtful is None:
            if report.problem:
                click.echo(report.problem, err=True)
            return
        letter = report.doubtful
        why = report.problem or "interrupted"
        click.echo(
            f"in doubt: letter {letter.id} (job {letter.job_id}) of {queue.name}: {why}. Look for the job in the "
            "worker's log; if it ran, drop the letter, otherwise do this again",
            err=True,
        )


def _noted(letters: Any, ids: list[str]) -> Any:
    for letter in letters:
        ids.append(letter.id)
        yield letter


def _row(queue: LetterQueue, report: Report, done: str, *, dry_run: bool) -> dict[str, Any]:
    return {
        "queue": queue.name,
        done: report.done,
        "matched": report.matched,
        "seen": report.seen,
        "hidden": report.hidden,
        "behind": report.behind,
        "dry_run": dry_run,
        "stopped": report.stopped,
        "in_doubt": None if report.doubtful is None else report.doubtful.id,
        "problem": report.problem or None,
        "why_none": report.why_none() or None,
    }
