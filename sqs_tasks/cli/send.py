"""``sqs-tasks send``: add jobs from a shell."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import click

from sqs_tasks import limits
from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.arguments import ArgumentReader
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.queue_names import queue_named
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.queue import JobQueue
from sqs_tasks.receipts import Receipt
from sqs_tasks.sending.send_options import SendOptionsDict
from sqs_tasks.task import AsyncTask
from sqs_tasks.wire.signature import RESERVED_NAMES

EPILOG = """\b
Examples:
  $ sqs-tasks send myapp.tasks:env emails send_email to=a@example.com subject=Hi body=Hello
  $ sqs-tasks send myapp.tasks:env emails send_email '{"to": "a@example.com", "cc": ["b@example.com"]}'
  $ sqs-tasks send myapp.tasks:env emails send_email - < jobs.jsonl
  $ sqs-tasks send myapp.tasks:env emails send_email - --delay-seconds 60 <<< '{"to": "a@example.com"}'

\b
VALUE is read by the annotation of the task's parameter: text for str, 12.50 for Decimal, 2026-01-31 for date. Without
an annotation it is JSON, or else text. The values of a JSON object are converted and checked in the same way.

\b
Other users of the machine can see its command lines. Give secrets on standard input, with - as the only argument: each
line is then a JSON object with the arguments of one job. Jobs are sent in tens.

\b
It prints the message id of each job. Exit codes: 0 if all were sent, 1 if not, 2 if the arguments do not fit the task's
signature.
"""


@click.command(epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] QUEUE TASK [KEY=VALUE|JSON]...|-")
@click.option(
    "--delay-seconds",
    type=click.IntRange(0, limits.MAX_DELAY_SECONDS),
    help="How long SQS delays the jobs; standard queues only.",
)
@click.option("--group-id", help="The message group: the order on FIFO queues, the tenant on standard ones.")
@click.option("--deduplication-id", help="FIFO queues: a second job with this id within five minutes is not delivered.")
@endpoint_options
def send(
    *, words: Sequence[str], delay_seconds: int | None, group_id: str | None, deduplication_id: str | None
) -> None:
    """Add a job to a queue, or one for each line of standard input.

    APP is module:attribute, for example myapp.tasks:env. QUEUE and TASK are the names in the registry. The arguments
    are checked against the task's signature before anything is sent.
    """
    app, rest = split_app(words)
    if len(rest) < 2:  # noqa: PLR2004 - QUEUE and TASK
        raise click.UsageError(
            "QUEUE and TASK are needed, for example: sqs-tasks send myapp.tasks:env emails send_email"
        )
    queue_name, task_name, *given = rest
    env = load(app)
    queue, task = _task(env, queue_name, task_name)
    options: SendOptionsDict = {
        "delay_seconds": delay_seconds,
        "group_id": group_id,
        "deduplication_id": deduplication_id,
    }
    reader = ArgumentReader(task.fn, env.codecs.get("json"))
    if given == ["-"]:
        _send_lines(queue, task, reader, options)
        return
    try:
        arguments = reader.read(given)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _check(task, arguments)
    click.echo(task.options(**options).delay(**arguments))


def _send_lines(queue: JobQueue, task: AsyncTask[..., Any], reader: ArgumentReader, options: SendOptionsDict) -> None:
    """Send a job for each line of standard input, and print ids in their order as soon as SQS gives them."""
    waiting: deque[Receipt] = deque()
    try:
        with queue.add_batch():
            for number, arguments in _lines(reader):
                _check(task, arguments, f"line {number}: ")
                waiting.append(task.options(**options).delay(**arguments))
                _print_known(waiting)
    finally:
        # Also after a line that was refused: what came before it has been sent.
        _print_known(waiting)


def _lines(reader: ArgumentReader) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(sys.stdin, start=1):
        if not line.strip():
            continue
        try:
            yield number, reader.read_object(line)
        except ValueError as error:
            raise click.UsageError(f"line {number}: {error}") from error


def _print_known(waiting: deque[Receipt]) -> None:
    while waiting and waiting[0].message_id is not None:
        click.echo(waiting.popleft().message_id)


def _check(task: AsyncTask[..., Any], arguments: dict[str, Any], where: str = "") -> None:
    """Refuse arguments that do not fit, before they are sent; the text names parameters, never values."""
    reserved = RESERVED_NAMES & arguments.keys()
    if reserved:
        raise click.UsageError(f"{where}{min(reserved)} is reserved; this command has options for what it means")
    try:
        task.bake(**arguments)
    except TypeError as error:
        raise click.UsageError(f"{where}{error}") from error


def _task(env: SQSEnv, queue_name: str, task_name: str) -> tuple[JobQueue, AsyncTask[..., Any]]:
    queue = queue_named(env, queue_name)
    if not isinstance(queue, JobQueue):
        raise ConfigurationError(f"queue {queue_name!r} is a {type(queue).__name__} and has no tasks by name")
    registered = queue.registry.get(task_name)
    if registered is None:
        known = ", ".join(task.name for task in queue.tasks) or "none"
        raise click.UsageError(f"queue {queue_name!r} has no task {task_name!r}; there are {known}")
    return queue, queue.task(registered.name)
