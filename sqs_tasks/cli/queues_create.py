"""``sqs-tasks queues create``: the queues of a registry, made or brought up to date."""

from __future__ import annotations

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import QueueNotFoundError
from sqs_tasks.operations.queue_state import SettingDifference, queue_attributes, setting_differences

EPILOG = """\b
Examples:
  $ sqs-tasks queues create myapp.tasks:env --dry-run
  $ sqs-tasks queues create myapp.tasks:env --endpoint-url http://127.0.0.1:9324

For laptops, tests and small installations. In production the CDK stack makes the queues, with alarms and permissions.
"""


@click.command("create", epilog=EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@click.option("--dry-run", is_flag=True, help="Change nothing, and print what would be done.")
@endpoint_options
def create(*, app: str | None, dry_run: bool) -> None:
    """Create the queues of APP and their dead-letter queues.

    A queue that exists gets the attributes of the registry, and what differs is printed. Nothing is ever deleted, and
    no message is changed.
    """
    env = load(split_app([app] if app else [])[0])
    if dry_run:
        for name in _names(env):
            click.echo(f"would {'update' if _exists(env, name) else 'create'} {env.get_sqs_queue_name(name)}")
            for one in _differing(env, name):
                click.echo(f"  {one}")
        return
    changed = {env.get_sqs_queue_name(name): _differing(env, name) for name in _names(env)}
    for name in env.create_queues():
        click.echo(name)
        for one in changed.get(name, ()):
            click.echo(f"  changed {one}", err=True)


def _exists(env: SQSEnv, queue_name: str) -> bool:
    try:
        env.get_queue_url(queue_name)
    except QueueNotFoundError:
        return False
    return True


def _differing(env: SQSEnv, queue_name: str) -> list[SettingDifference]:
    """What is not as registered of a queue that is there."""
    queue = env.queues.get(queue_name)
    attributes = None if queue is None else queue_attributes(queue)
    return [] if queue is None or attributes is None else list(setting_differences(queue, attributes))


def _names(env: SQSEnv) -> list[str]:
    """What would be created, dead-letter queues before the queues that name them."""
    dead = {queue.settings.dead_letter_queue for queue in env.queues.values()}
    names: list[str] = []
    for name, queue in env.queues.items():
        if name not in dead:
            own = queue.settings.dead_letter_queue
            names += [own] if own is not None and "://" not in own and own not in names else []
            names.append(name)
    return names
