"""``sqs-tasks local-sqs``: an SQS and an EventBridge Scheduler on this machine."""

from __future__ import annotations

import errno
import logging

import click

from sqs_tasks.cli.options import option, setting
from sqs_tasks.local.server import DEFAULT_PORT, serve

#: What to do about a listener that was refused.
_HINTS = {
    errno.EADDRINUSE: "try --port 0",
    errno.EACCES: "try a port above 1023",
    errno.EADDRNOTAVAIL: "--host must be an address of this machine, such as 127.0.0.1 or 0.0.0.0",
}


EPILOG = """\b
Examples:
  $ sqs-tasks local-sqs
  $ sqs-tasks local-sqs --port 0                                   a free port, which is printed
  $ sqs-tasks local-sqs --host 0.0.0.0 --allow-host sqs            in a container that others reach as "sqs"

It checks no credentials, so it listens on this machine alone by default. 'sqs-tasks dev' starts one of its own.
"""


@click.command("local-sqs", epilog=EPILOG)
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    help="Port to listen on; 0 for a free one.",
)
@option("--host", default="127.0.0.1", help="Address to listen on.")
@option(
    "--enforce-waits",
    is_flag=True,
    help="Refuse for 60 seconds, as AWS does, a second purge and a queue with the name of a deleted one.",
)
@setting(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A further name by which clients reach the server, such as that of a container. Repeatable.",
)
def local_sqs(host: str, port: int, allowed_hosts: tuple[str, ...], *, enforce_waits: bool) -> None:
    """Serve an SQS in memory, for boto3, the AWS CLI and every other SDK.

    EventBridge Scheduler is served on the same port; its schedules send to these queues. Everything is gone when it
    stops.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        serve(host, port, on_ready=_announce, enforce_waits=enforce_waits, allowed_hosts=allowed_hosts)
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "try another --port or --host")
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}; {hint}") from error


def _announce(endpoint_url: str) -> None:
    click.echo(f"local SQS at {endpoint_url} (Ctrl-C stops it; nothing is kept). For another terminal:")
    click.echo(
        f"export AWS_ENDPOINT_URL_SQS={endpoint_url} AWS_ENDPOINT_URL_SCHEDULER={endpoint_url} "
        "AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 "
        "AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local"
    )
