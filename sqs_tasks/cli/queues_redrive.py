"""``sqs-tasks queues redrive``: dead letters back to the queue they came from."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.queue_names import queue_named
from sqs_tasks.deadletter_queue import DeadLetterQueue
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.settings import QueueSettings, queue_name_in

EPILOG = """\b
Examples:
  $ sqs-tasks queues redrive myapp.tasks:env emails --dry-run
  $ sqs-tasks queues redrive myapp.tasks:env emails --limit 1      try one before the others
  $ sqs-tasks queues redrive myapp.tasks:env emails --rate 10

The messages that are in the dead-letter queue at the start are moved; those that arrive there meanwhile stay. A message
leaves the dead-letter queue when its queue has accepted it. Its arguments, job id and message group stay the same; its
receive count starts again.
"""


@click.command("redrive", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] QUEUE")
@click.option("--limit", type=click.IntRange(min=1), help="Move at most so many.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Move at most so many in a second.")
@click.option("--dry-run", is_flag=True, help="Move nothing, and print how many would be moved.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@endpoint_options
def redrive(*, words: Sequence[str], limit: int | None, rate: float | None, dry_run: bool, as_json: bool) -> None:
    """Move the dead letters of QUEUE back to it, so that its workers run them again.

    APP is module:attribute, for example myapp.tasks:env. QUEUE is the name of a registered queue.
    """
    app, rest = split_app(words)
    if len(rest) != 1:
        raise click.UsageError("one QUEUE is needed, for example: sqs-tasks queues redrive myapp.tasks:env emails")
    env = load(app)
    dead = _dead_letters(env, rest[0])
    counted = dead.statistics()
    waiting, held = counted.available, counted.in_flight + counted.delayed
    if limit is not None:
        waiting = min(waiting, limit)
    # Where workers fail them as fast as they come back, there would be no end.
    moved = waiting if dry_run else dead.push_back(limit=waiting, messages_per_second=rate)
    source, target = dead.queue_url.rpartition("/")[2], dead.upstream_queue.get_sqs_queue_name()
    if as_json:
        report = {
            "queue_name": target,
            "dead_letter_queue": source,
            "moved": moved,
            "dry_run": dry_run,
            **({"not_visible": held} if held else {}),
        }
        click.echo(json.dumps(report, indent=2))
        return
    click.echo(f"{moved} {'would be ' if dry_run else ''}moved from {source} to {target}")
    if held:
        click.echo(
            f"{held} more cannot be received at present: somebody has received them, or they are delayed; "
            "move them when their visibility timeout is over"
        )


def _dead_letters(env: SQSEnv, name: str) -> DeadLetterQueue:
    """The dead-letter queue of a registered queue, registered or not."""
    queue = queue_named(env, name)
    if isinstance(queue, DeadLetterQueue):
        return queue
    dead = queue.settings.dead_letter_queue
    if dead is None:
        raise click.UsageError(f"queue {name!r} has no dead-letter queue")
    _check_not_shared(env, queue, dead)
    registered = env.queues.get(dead)
    if isinstance(registered, DeadLetterQueue) and registered.upstream_queue is queue:
        return registered
    # By its URL, which is the only one to say in whose account and region it is.
    name = queue_name_in(dead) if "://" in dead else dead
    settings = QueueSettings(name=name, queue_url=queue.dead_letter_queue_url(), dead_letter_queue=None)
    return DeadLetterQueue(env, settings, upstream_queue=queue)


def _check_not_shared(env: SQSEnv, queue: GenericQueue, dead: str) -> None:
    others = [one.name for one in env.queues.values() if one is not queue and one.settings.dead_letter_queue == dead]
    if others:
        raise ConfigurationError(
            f"{dead} also holds the dead letters of {', '.join(others)}; which belongs to which queue is "
            "not known; give each queue its own dead-letter queue"
        )
