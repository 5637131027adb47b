"""Where schedules are deployed: the options for it, and the client."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from sqs_tasks.cli.app import check_has_tasks, load, split_app
from sqs_tasks.cli.options import Declaration, option
from sqs_tasks.deployment.schedules import DeployedSchedules
from sqs_tasks.env import SQSEnv
from sqs_tasks.scheduling.clients import scheduler_endpoint
from sqs_tasks.scheduling.eventbridge import (
    DEAD_LETTER_VARIABLE,
    GROUP_VARIABLE,
    ROLE_VARIABLE,
    Scheduler,
    SchedulerClient,
)
from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule

#: Stands for a role where none is needed: switching a schedule on or off leaves its own.
_NO_ROLE = "arn:aws:iam::000000000000:role/none"


def group_option(*, required: bool) -> Declaration[Any]:
    """``--group``."""
    return option(
        "--group",
        envvar=GROUP_VARIABLE,
        show_envvar=True,
        required=required,
        help="The schedule group; one for each application in each stage.",
    )


def role_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--role-arn`` and ``--dead-letter-arn``."""
    role = option(
        "--role-arn",
        envvar=ROLE_VARIABLE,
        show_envvar=True,
        required=True,
        help="The role that Scheduler sends with; trusted by scheduler.amazonaws.com, with sqs:SendMessage.",
    )
    dead = option(
        "--dead-letter-arn",
        envvar=DEAD_LETTER_VARIABLE,
        show_envvar=True,
        help="A standard queue for what could not be sent.",
    )
    return role(dead(command))  # type: ignore[no-any-return]


def deployed(
    env: SQSEnv, app: str, *, group: str, role_arn: str = _NO_ROLE, dead_letter_arn: str | None = None
) -> DeployedSchedules:
    """The application's schedules in a group."""
    return DeployedSchedules(
        client=scheduler_client(),
        scheduler=Scheduler(group=group, role_arn=role_arn, dead_letter_arn=dead_letter_arn),
        app=app,
        queue_prefix=env.queue_prefix,
        queue_url=env.get_queue_url,
    )


def scheduler_client() -> SchedulerClient:
    """boto3's client; where SQS is no AWS endpoint but a local one, Scheduler is asked there too."""
    import boto3

    client: SchedulerClient = boto3.client("scheduler", endpoint_url=scheduler_endpoint(os.environ))
    return client


def load_app(app: str | None) -> tuple[str, SQSEnv]:
    """APP's name and its environment.

    Raises:
        ConfigurationError: It has no task; to apply its schedules would delete all that are deployed.
    """
    path, _ = split_app([app] if app else [])
    env = load(path)
    check_has_tasks(env, path)
    return path, env


def chosen(env: SQSEnv, name: str) -> RegisteredSchedule:
    """The registered schedule of that name.

    Raises:
        click.UsageError: There is none.
    """
    known = env.schedules
    if name not in known:
        raise click.UsageError(f"there is no schedule {name!r}; there are {', '.join(known) or 'none'}")
    return known[name]
