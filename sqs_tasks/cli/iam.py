"""``sqs-tasks iam``: the least rights as a policy document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

import click

from sqs_tasks.cli.app import check_has_tasks, load, split_app
from sqs_tasks.cli.queue_names import names_in_code
from sqs_tasks.deployment.iam_policy import Role, iam_policy

EPILOG = """\b
Examples:
  $ sqs-tasks iam myapp.tasks:env --for producer
  $ sqs-tasks iam myapp.tasks:env emails --for worker --account 123456789012 --region eu-west-1
  $ sqs-tasks iam myapp.tasks:env --for redrive > policy.json

A worker may also send to its dead-letter queues and to the queues that its tasks declare in enqueues=[...]; tasks that
declare nothing may send to every queue. No call to AWS is made.
"""


@click.command(epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE]...")
@click.option(
    "--for",
    "role",
    type=click.Choice(["producer", "worker", "redrive", "scheduler"]),
    required=True,
    help="Who adds jobs, who works queues, who moves dead letters back, or the role of EventBridge Scheduler.",
)
@click.option("--account", default="*", show_default=True, help="The queues' account.")
@click.option("--region", default="*", show_default=True, help="The queues' region.")
@click.option("--partition", default="aws", show_default=True, help="aws, aws-cn or aws-us-gov.")
@click.option("--kms-key-arn", help="The key that encrypts the queues, if it is your own.")
@click.option("--schedule-group", help="The group for jobs that are due later; a producer may then hold them there.")
@click.option("--scheduler-role-arn", help="With it, the role that EventBridge Scheduler sends them with.")
def iam(
    *,
    words: Sequence[str],
    role: str,
    account: str,
    region: str,
    partition: str,
    kms_key_arn: str | None,
    schedule_group: str | None,
    scheduler_role_arn: str | None,
) -> None:
    """Print the least permissions on APP's queues as an IAM policy."""
    app, queues = split_app(words)
    env = load(app)
    if role == "worker":
        check_has_tasks(env, app)
    document = iam_policy(
        env.manifest(),
        role=cast("Role", role),
        queues=names_in_code(env, queues),
        partition=partition,
        region=region,
        account=account,
        kms_key_arn=kms_key_arn,
        schedule_group=schedule_group,
        scheduler_role_arn=scheduler_role_arn,
    )
    click.echo(json.dumps(document, indent=2))
