"""``sqs-tasks plan``: what an application needs when it is deployed."""

from __future__ import annotations

import json
from typing import Any

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.app import check_has_tasks, load, split_app
from sqs_tasks.cli.table import Table

EPILOG = """\b
Examples:
  $ sqs-tasks plan myapp.tasks:env
  $ sqs-tasks plan myapp.tasks:env --json | jq '.workers[] | {queue, timeout_seconds, environment}'

The numbers are those of the CDK stack with nothing set by hand. With --json also variables and policies; what is known
only in an account has placeholders: ${partition}, ${region}, ${account}, ${url_suffix}. No call to AWS is made.
"""


@click.command(epilog=EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@click.option("--json", "as_json", is_flag=True, help="The whole plan, as docs/without-cdk.md describes it.")
def plan(*, app: str | None, as_json: bool) -> None:
    """Print the queues, workers, time limits, variables and rights that APP needs when it is deployed."""
    found = plan_of(app)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    columns = ["queue", "in SQS", "runs on", "batch", "timeout s", "visibility s", "receives", "retention s"]
    table = Table(columns, texts=3)
    workers = {worker["queue"]: worker for worker in found["workers"]}
    for queue in found["queues"]:
        worker: dict[str, Any] = workers.get(queue["name"], {})
        table.add(
            queue["name"],
            queue["queue_name"],
            worker.get("runs_on"),
            worker.get("event_source", {}).get("batch_size"),
            worker.get("timeout_seconds"),
            queue["visibility_timeout_seconds"],
            queue["max_receive_count"],
            queue["message_retention_seconds"],
        )
    table.print()


def plan_of(app: str | None, *, kms_key_arn: str | None = None) -> dict[str, Any]:
    """The plan of the application of that name, with the key of its queues if they have one of your own.

    Raises:
        click.ClickException: It cannot be loaded.
        ConfigurationError: It has no task, or one that cannot be deployed.
    """
    from sqs_tasks.deployment.plan import plan as make_plan

    path, _ = split_app([app] if app else [])
    env = load(path)
    check_has_tasks(env, path)
    return make_plan(env.manifest(app=path), kms_key_arn=kms_key_arn)
