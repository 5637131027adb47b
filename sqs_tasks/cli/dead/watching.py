"""``sqs-tasks dead watch``: how many letters there are, again and again, without receiving one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from sqs_tasks.cli.dead import words as said
from sqs_tasks.cli.dead.interruption import Interruption
from sqs_tasks.cli.dead.place import environment, queues_of
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.options import option
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.queue_statistics import QueueStatistics

EPILOG = """\b
Examples:
  $ sqs-tasks dead watch myapp.tasks:env
  $ sqs-tasks dead watch myapp.tasks:env emails --interval 30 --json

It counts, and receives nothing: no letter is hidden and no receive counted. A line is printed when a number changes. It
ends by Ctrl-C, or after --times.
"""


@click.command("watch", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE|URL]...")
@option("--interval", type=click.FloatRange(min=0.1), default=5.0, help="Seconds between two looks.")
@click.option("--times", type=click.IntRange(min=1), help="End after so many looks.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each change.")
@endpoint_options
def watch(*, words: Sequence[str], interval: float, times: int | None, as_json: bool) -> None:
    """Watch the numbers of dead letters."""
    env, names = environment(words)
    queues, known, looks = queues_of(env, names), dict[str, QueueStatistics](), 0
    with Interruption() as interruption:
        while not interruption.is_asked:
            for queue in queues:
                counts = queue.counts()
                if counts != known.get(queue.name):
                    _print(queue, counts, known.get(queue.name), as_json=as_json)
                    known[queue.name] = counts
            looks += 1
            if times is not None and looks >= times:
                break
            interruption.sleep(interval)
    sys.exit(0)  # Ctrl-C is how it ends


def _print(queue: LetterQueue, counts: QueueStatistics, before: QueueStatistics | None, *, as_json: bool) -> None:
    now = datetime.fromtimestamp(queue.env.client.now(), UTC)
    if as_json:
        row = {"at": now.isoformat(timespec="seconds"), "queue": queue.name, "letters": counts.total}
        click.echo(json.dumps({**row, "in_flight": counts.in_flight, "delayed": counts.delayed}))
        return
    change = "" if before is None else f" ({counts.total - before.total:+d})"
    click.echo(f"{now:%H:%M:%S}  {said.heading(queue, counts)}{change}")
