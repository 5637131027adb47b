"""``sqs-tasks queues purge``, ``pause`` and ``resume``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.aws_clients import lambda_of
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.queue_names import queue_named
from sqs_tasks.env import SQSEnv
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.operations.queue_state import set_pause_tag, switch_mappings
from sqs_tasks.provisioning import queue_arn

PURGE_EPILOG = """\b
Examples:
  $ sqs-tasks queues purge myapp.tasks:env emails

SQS deletes all messages of the queue, those in flight too, within a minute; what is sent in that minute may be deleted
as well. It does so once a minute at most. Dead letters stay: 'sqs-tasks dead drop' deletes those.
"""

PAUSE_EPILOG = """\b
Examples:
  $ sqs-tasks queues pause myapp.tasks:env emails
  $ sqs-tasks queues resume myapp.tasks:env emails

It switches the queue's event source mappings off: Lambda lets running invocations finish, and messages wait. The next
deploy may switch them on again. It also tags the queue, which workers heed that run with --heed-pause: they receive
nothing, and finish what they have. Senders are not paused, and messages expire as ever.
"""


@click.command("purge", epilog=PURGE_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] QUEUE")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@endpoint_options
def purge(*, words: Sequence[str], yes: bool) -> None:
    """Delete all messages of a queue."""
    _, queue = _queue(words, "purge")
    count = queue.statistics().total
    name = queue.get_sqs_queue_name()
    if not yes:
        try:
            is_meant = click.confirm(f"Delete all {count:,} messages of {name}? This cannot be undone.", err=True)
        except click.Abort:
            raise click.UsageError("nobody answered the question; --yes answers it in advance") from None
        if not is_meant:
            click.echo("0 deleted: not confirmed")
            return
    queue.purge()
    click.echo(f"SQS deletes {count:,} messages of {name}; it may take a minute")


@click.command("pause", epilog=PAUSE_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] QUEUE")
@endpoint_options
def pause(*, words: Sequence[str]) -> None:
    """Have functions and workers take no more messages of a queue."""
    _switch(*_queue(words, "pause"), enabled=False)


@click.command("resume", epilog=PAUSE_EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] QUEUE")
@endpoint_options
def resume(*, words: Sequence[str]) -> None:
    """Have functions and workers take the messages of a queue again."""
    _switch(*_queue(words, "resume"), enabled=True)


def _queue(words: Sequence[str], command: str) -> tuple[SQSEnv, GenericQueue]:
    app, rest = split_app(words)
    if len(rest) != 1:
        raise click.UsageError(f"one QUEUE is needed, for example: sqs-tasks queues {command} myapp.tasks:env emails")
    env = load(app)
    env.load_tasks()
    return env, queue_named(env, rest[0])


def _switch(env: SQSEnv, queue: GenericQueue, *, enabled: bool) -> None:
    client = lambda_of(env)
    arn = queue_arn(queue.env.client(), queue.queue_url)
    names = [] if client is None else switch_mappings(client, arn, enabled=enabled)
    for name in names:
        click.echo(f"{name}: {'on' if enabled else 'off'}; Lambda takes up to a minute")
    set_pause_tag(queue, paused=not enabled)
    done = "resumed" if enabled else "paused"
    click.echo(f"{queue.get_sqs_queue_name()}: {done} for workers that run with --heed-pause")
    if not names and not enabled:
        click.echo("no function is mapped to it; workers without --heed-pause go on", err=True)
