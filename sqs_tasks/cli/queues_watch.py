"""``sqs-tasks queues watch``: the numbers of queues over time."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import click

from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.dead.interruption import Interruption
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.options import option
from sqs_tasks.cli.queue_names import queue_named
from sqs_tasks.cli.sparkline import sparkline
from sqs_tasks.cli.table import Table
from sqs_tasks.env import SQSEnv
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.queue_statistics import QueueStatistics

EPILOG = """\b
Examples:
  $ sqs-tasks queues watch myapp.tasks:env
  $ sqs-tasks queues watch myapp.tasks:env emails --interval 10 --json

ready/min: how fast the messages that are ready become more or fewer. It ends by Ctrl-C, or after --times.
"""

#: Looks that a sparkline shows.
_LOOKS = 16


@click.command("watch", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE]...")
@option("--interval", type=click.FloatRange(min=0.1), default=5.0, help="Seconds between two looks.")
@click.option("--times", type=click.IntRange(min=1), help="End after so many looks.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each queue and look.")
@endpoint_options
def watch(*, words: Sequence[str], interval: float, times: int | None, as_json: bool) -> None:
    """Watch how full the queues of APP are."""
    app, names = split_app(words)
    env = load(app)
    env.load_tasks()
    queues = _queues(env, names)
    history: dict[str, deque[QueueStatistics]] = {queue.name: deque(maxlen=_LOOKS) for queue in queues}
    looks = 0
    with Interruption() as interruption:
        while not interruption.is_asked:
            for queue in queues:
                history[queue.name].append(queue.statistics())
            looks += 1
            _print(env, queues, history, interval, as_json=as_json)
            if times is not None and looks >= times:
                break
            interruption.sleep(interval)
    sys.exit(0)  # Ctrl-C is how it ends


def _queues(env: SQSEnv, names: Sequence[str]) -> list[GenericQueue]:
    if names:
        return [queue_named(env, name) for name in names]
    dead = {queue.settings.dead_letter_queue for queue in env.queues.values()}
    return [queue for name, queue in env.queues.items() if name not in dead]


def _print(
    env: SQSEnv,
    queues: Sequence[GenericQueue],
    history: Mapping[str, Sequence[QueueStatistics]],
    interval: float,
    *,
    as_json: bool,
) -> None:
    now = datetime.fromtimestamp(env.client.now(), UTC)
    table = Table(("queue", "over time", "ready", "ready/min", "in flight", "delayed", "dead"), texts=2)
    for queue in queues:
        counts = history[queue.name][-1]
        ready = [one.available for one in history[queue.name]]
        per_minute = (ready[-1] - ready[0]) * 60 / (interval * (len(ready) - 1)) if len(ready) > 1 else None
        if as_json:
            row = {"at": now.isoformat(timespec="seconds"), "queue": queue.get_sqs_queue_name()}
            numbers = {"ready": counts.available, "in_flight": counts.in_flight, "delayed": counts.delayed}
            click.echo(json.dumps({**row, **numbers, "dead": counts.dead_letters, "ready_per_minute": per_minute}))
            continue
        rate = None if per_minute is None else f"{per_minute:+.0f}"
        name, line = queue.get_sqs_queue_name(), sparkline(ready)
        table.add(name, line, counts.available, rate, counts.in_flight, counts.delayed, counts.dead_letters)
    if as_json:
        return
    if sys.stdout.isatty():
        click.clear()
    click.echo(f"{now:%H:%M:%S} UTC")
    table.print()
