"""``sqs-tasks queues list``: how much waits in each queue."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import click

from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.queue_names import queue_named
from sqs_tasks.cli.table import Table
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import QueueNotFoundError
from sqs_tasks.generic_queue import GenericQueue

EPILOG = """\b
Examples:
  $ sqs-tasks queues list myapp.tasks:env
  $ sqs-tasks queues list myapp.tasks:env --json | jq '.[] | select(.dead > 0)'

ready: can be received now. in flight: received and not yet settled. delayed: becomes visible later, as its sender
asked. dead: in the dead-letter queue. The numbers of SQS are approximate.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Depths:
    """One queue's line; numbers are None for a queue that does not exist."""

    name: str
    queue_name: str
    ready: int | None = None
    in_flight: int | None = None
    delayed: int | None = None
    dead: int | None = None
    dead_letter_queue: str | None = None


@click.command("list", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE]...")
@click.option("--json", "as_json", is_flag=True, help="A JSON array with an object for each queue.")
@endpoint_options
def list_queues(*, words: Sequence[str], as_json: bool) -> None:
    """List the queues of APP, or some of them, with the numbers of their messages."""
    app, names = split_app(words)
    env = load(app)
    dead = {queue.settings.dead_letter_queue for queue in env.queues.values()}
    chosen = [queue_named(env, name) for name in names]
    chosen = chosen or [queue for name, queue in env.queues.items() if name not in dead]
    depths = [_depths(env, queue) for queue in chosen]
    if as_json:
        click.echo(json.dumps([asdict(one) for one in depths], indent=2))
    else:
        table = Table(("queue", "ready", "in flight", "delayed", "dead"))
        for one in depths:
            table.add(one.queue_name, one.ready, one.in_flight, one.delayed, one.dead)
        table.print()
    missing = [one.queue_name for one in depths if one.ready is None]
    if missing:
        click.echo(f"not found: {', '.join(missing)}; create them with 'sqs-tasks queues create'", err=True)
        sys.exit(1)


def _depths(env: SQSEnv, queue: GenericQueue) -> Depths:
    dead = queue.settings.dead_letter_queue
    about = Depths(
        name=queue.name,
        queue_name=queue.get_sqs_queue_name(),
        dead_letter_queue=dead if dead is None or "://" in dead else env.get_sqs_queue_name(dead),
    )
    try:
        counted = queue.statistics()
    except QueueNotFoundError:
        return about
    return replace(
        about,
        ready=counted.available,
        in_flight=counted.in_flight,
        delayed=counted.delayed,
        dead=counted.dead_letters,
    )
