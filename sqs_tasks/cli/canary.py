"""``sqs-tasks canary``: whether deployed workers receive."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.queue_names import queue_named
from sqs_tasks.deployment.canary import Canaries
from sqs_tasks.deployment.deployed_stacks import DeployedStacks
from sqs_tasks.queue import JobQueue

EPILOG = """\b
Examples:
  $ sqs-tasks canary myapp.tasks:env                         all queues with tasks
  $ sqs-tasks canary myapp.tasks:env emails --timeout 60
  $ sqs-tasks canary myapp.tasks:env --stack shop-tasks      services too: their log groups are those of the stack

\b
A canary is a job that runs nothing. A worker that receives it says so in its log and deletes it; the command looks for
that line. It needs the permissions of a producer, lambda:ListEventSourceMappings, lambda:GetFunctionConfiguration and
logs:FilterLogEvents.

\b
Exit codes: 0 when all were received, 1 when one was not, 2 for wrong usage.
"""


@click.command(epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE]...")
@click.option("--timeout", "timeout_seconds", type=click.FloatRange(min=0), default=120, show_default=True)
@click.option("--log-group", "log_groups", multiple=True, help="Where workers log that are no functions. Repeatable.")
@click.option("--stack", "stacks", multiple=True, help="A stack: looks into all its log groups. Repeatable.")
@endpoint_options
def canary(*, words: Sequence[str], timeout_seconds: float, log_groups: Sequence[str], stacks: Sequence[str]) -> None:
    """Send a job that runs nothing to the queues of APP, and wait until their workers have received it.

    APP is module:attribute, for example myapp.tasks:env. Without QUEUE, all queues that have tasks are asked.
    """
    import boto3

    app, names = split_app(words)
    env = load(app)
    queues = [queue_named(env, name) for name in names] or [one for one in env.queues.values() if one.tasks]
    asked = [queue for queue in queues if isinstance(queue, JobQueue)]
    if len(asked) < len(queues) and names:
        raise click.UsageError("raw queues take the messages of others, and no canary; name queues of jobs")
    if not asked:
        raise click.UsageError(f"{app} has no queue of jobs with tasks")
    groups = [*log_groups]
    if stacks:
        deployed = DeployedStacks(names=stacks, cloudformation=boto3.client("cloudformation"), s3=boto3.client("s3"))
        groups += [one.physical_id for one in deployed.resources("AWS::Logs::LogGroup")]
    canaries = Canaries(
        sqs=env.client(), lambda_client=boto3.client("lambda"), logs=boto3.client("logs"), log_groups=groups
    )
    sent = [canaries.send(queue) for queue in asked]
    for received in canaries.wait(timeout_seconds=timeout_seconds):
        click.echo(f"{received.queue}: received after {received.seconds:.0f} s")
    missing = [one for one in sent if one.seconds is None]
    for one in missing:
        click.echo(
            f"{one.queue}: job {one.job_id} was not seen in {', '.join(one.log_groups)} within {timeout_seconds:g} s; "
            "look there, and at the state of the mapping or service ('sqs-tasks diff')",
            err=True,
        )
    if missing:
        sys.exit(1)
