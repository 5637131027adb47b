"""``sqs-tasks queues show``: one queue, its settings against the registry, and who takes its messages."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.aws_clients import cloudwatch_of, lambda_of
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.queue_names import queue_named
from sqs_tasks.env import SQSEnv
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.operations.letter_queue import letter_queues
from sqs_tasks.operations.move_task import MoveTask
from sqs_tasks.operations.queue_state import (
    mappings_of,
    oldest_age_seconds,
    paused_since,
    queue_attributes,
    setting_differences,
)
from sqs_tasks.queue_statistics import count_messages

EPILOG = """\b
Examples:
  $ sqs-tasks queues show myapp.tasks:env emails
  $ sqs-tasks queues show myapp.tasks:env emails --json | jq .differences

Exit code 1 when the queue is not there, or its settings are not as registered.
"""


@click.command("show", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] QUEUE")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@endpoint_options
def show(*, words: Sequence[str], as_json: bool) -> None:
    """Show one queue: its numbers, its settings against the registry, its mappings."""
    app, rest = split_app(words)
    if len(rest) != 1:
        raise click.UsageError("one QUEUE is needed, for example: sqs-tasks queues show myapp.tasks:env emails")
    env = load(app)
    env.load_tasks()
    queue = queue_named(env, rest[0])
    attributes = queue_attributes(queue)
    if attributes is None:
        raise click.ClickException(
            f"{queue.get_sqs_queue_name()} is not there; create it with 'sqs-tasks queues create'"
        )
    row = _row(env, queue, attributes)
    if as_json:
        click.echo(json.dumps(row, indent=2))
    else:
        for name, value in _lines(row):
            click.echo(f"{name:<14}{value}")
    if row["differences"]:
        sys.exit(1)


def _row(env: SQSEnv, queue: GenericQueue, attributes: Mapping[str, str]) -> dict[str, Any]:
    counts = count_messages(queue.env.client(), queue.queue_url)
    row: dict[str, Any] = {
        "name": queue.name,
        "queue_name": queue.get_sqs_queue_name(),
        "queue_url": queue.queue_url,
        "arn": attributes.get("QueueArn"),
        "ready": counts.available,
        "in_flight": counts.in_flight,
        "delayed": counts.delayed,
        "tasks": [task.name for task in queue.tasks],
        "runs_on": queue.settings.runs_on,
        "paused_since": paused_since(queue),
        "visibility_timeout_seconds": int(attributes.get("VisibilityTimeout", 0)),
        "message_retention_seconds": int(attributes.get("MessageRetentionPeriod", 0)),
        "differences": [str(one) for one in setting_differences(queue, attributes)],
        "dead_letter_queue": None,
    }
    if queue.settings.dead_letter_queue is not None:
        [dead] = letter_queues(env, queue.name)
        letters = dead.counts()
        moving = MoveTask.running(dead)
        row["dead_letter_queue"] = {
            "queue_name": dead.name,
            "letters": letters.total,
            "in_flight": letters.in_flight,
            "moved": None if moving is None else moving.progress().moved,
        }
    cloudwatch = cloudwatch_of(env)
    if cloudwatch is not None:
        row["oldest_age_seconds"] = oldest_age_seconds(cloudwatch, row["queue_name"], env.client.now())
    client = lambda_of(env)
    if client is not None:
        row["mappings"] = [
            {"function": str(one.get("FunctionArn", "")).split(":", 6)[-1], "state": one.get("State")}
            for one in mappings_of(client, str(row["arn"]))
        ]
    return row


def _lines(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "queue", row["queue_name"]
    yield "url", row["queue_url"]
    yield "messages", f"{row['ready']:,} ready, {row['in_flight']:,} in flight, {row['delayed']:,} delayed"
    if row.get("oldest_age_seconds") is not None:
        yield "oldest", f"{row['oldest_age_seconds']:,.0f} s old, as CloudWatch had it last"
    dead = row["dead_letter_queue"]
    if dead is None:
        yield "dead letters", "no dead-letter queue"
    else:
        hidden = f", {dead['in_flight']:,} of them in flight" if dead["in_flight"] else ""
        yield "dead letters", f"{dead['letters']:,} in {dead['queue_name']}{hidden}"
        if dead["moved"] is not None:
            yield "", f"SQS is moving them: {dead['moved']:,} moved so far"
    yield "tasks", ", ".join(row["tasks"]) or "none"
    yield "runs on", row["runs_on"]
    if row["paused_since"]:
        yield "paused", f"since {row['paused_since']}, for workers with --heed-pause"
    for one in row.get("mappings", ()):
        yield "mapping", f"{one['function']}: {str(one['state']).lower()}"
    yield "visibility", f"{row['visibility_timeout_seconds']:,} s"
    yield "retention", f"{row['message_retention_seconds']:,} s"
    for index, one in enumerate(row["differences"]):
        yield "" if index else "differs", one
