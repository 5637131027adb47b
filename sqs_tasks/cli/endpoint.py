"""Where SQS is: the options that every command has for it, and how they reach boto3."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from sqs_tasks.client import is_loopback

Command = TypeVar("Command", bound=Callable[..., Any])

#: What boto3 needs in order to sign for a local SQS, which does not look at signatures.
LOCAL_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}

#: The region for an SQS on this machine, if none is given.
_LOCAL_REGION = "us-east-1"


def endpoint_options(command: Command) -> Command:
    """Add ``--endpoint-url`` and ``--region``; they are set for boto3 before the command runs."""
    region = click.option(
        "--region",
        envvar=["SQS_TASKS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"],
        expose_value=False,
        callback=_set_region,
        help="The AWS region.  [env: SQS_TASKS_REGION, AWS_REGION, AWS_DEFAULT_REGION]",
    )
    endpoint = click.option(
        "--endpoint-url",
        envvar=["SQS_TASKS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"],
        expose_value=False,
        callback=_set_endpoint,
        is_eager=True,
        help="The URL of SQS, when it is not AWS.  [env: SQS_TASKS_ENDPOINT_URL, AWS_ENDPOINT_URL_SQS]",
    )
    return endpoint(region(command))


def _set_endpoint(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        use_endpoint(value)


def use_endpoint(value: str) -> None:
    """Set SQS's URL where boto3 reads it, and so does what the tasks themselves start.

    Raises:
        click.BadParameter: It is no URL.
    """
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.BadParameter(f"{value!r} must be a URL such as http://127.0.0.1:9324")
    os.environ["AWS_ENDPOINT_URL_SQS"] = value
    if is_loopback(parts.hostname) and not _has_credentials():
        os.environ.update(LOCAL_CREDENTIALS)


def _set_region(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    use_region(value)


def use_region(value: str | None) -> None:
    """Set the region; for an SQS on this machine a default, if none is given.

    boto3 for Python reads AWS_DEFAULT_REGION alone; other SDKs read AWS_REGION.
    """
    if value is None and is_loopback(urlsplit(os.environ.get("AWS_ENDPOINT_URL_SQS", "")).hostname or ""):
        value = None if "AWS_PROFILE" in os.environ else _LOCAL_REGION
    if value is not None:
        os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = value


def _has_credentials() -> bool:
    """Whether the environment names any; a local SQS gets no others than those."""
    return any(name in os.environ for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"))
