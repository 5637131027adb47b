"""``sqs-tasks outbox relay``: the process that sends what was committed."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.logs import after_application, configure_logging
from sqs_tasks.cli.options import LogFormat, log_format, log_level, setting
from sqs_tasks.cli.outbox.place import database_of, database_option, one_line_for_failures, prepare_django
from sqs_tasks.transactions.outbox.relay import POLL_SECONDS, Relay

logger = logging.getLogger(__name__)

EPILOG = """\b
Examples:
  $ export SQS_TASKS_OUTBOX_DATABASE_URL=postgresql://app:...@db/shop
  $ sqs-tasks outbox relay myapp.tasks:env
  $ sqs-tasks outbox relay myapp.tasks:env --once                          for a cron job
  $ sqs-tasks outbox relay myapp.tasks:env --database django:default

\b
Any number of relays share the work. SIGTERM and SIGINT stop one after the request that is under way.

\b
Exit codes: 0 after a stop; with --once 1 if a job was not sent; 2 for wrong usage.
"""


@click.command(epilog=EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@database_option
@click.option("--once", is_flag=True, help="Send what is ready now, and end.")
@setting(
    "--poll-seconds",
    type=click.FloatRange(min=0.01),
    default=POLL_SECONDS,
    help="Seconds between two looks at the table.",
)
@setting(
    "--health-port",
    type=click.IntRange(1, 65535),
    help="Serve /live, /ready and /metrics (Prometheus) on this port.",
)
@setting(
    "--health-host",
    "health_hosts",
    multiple=True,
    metavar="NAME",
    help="A name of a public domain by which probes reach the health port; addresses and private names always may.",
)
@log_level(setting)
@log_format(setting, help_text="Lines for people, or a JSON object for each record with its fields.")
@endpoint_options
def relay(
    *,
    app: str | None,
    database: str,
    once: bool,
    poll_seconds: float,
    health_port: int | None,
    health_hosts: Sequence[str],
    log_level: str,
    log_format: LogFormat,
) -> None:
    """Send the jobs that APP has written into its database, and delete what SQS has accepted."""
    configure_logging(log_level.upper(), log_format)
    prepare_django(database)
    path = split_app([app] if app else [])[0]
    env = load(path)
    env.load_tasks()
    after_application(log_level.upper(), log_format)
    relay = Relay(env, database_of(database))
    with ExitStack() as stack:
        stop = stack.enter_context(_stopped_by_signals())
        if health_port is not None:
            from sqs_tasks.cli.outbox.relay_health import RelayHealth
            from sqs_tasks.worker.health import serving_health

            stack.enter_context(serving_health(RelayHealth(relay), health_port, allowed_hosts=health_hosts))
        if not once:
            logger.info("relay of %s started", path, extra={"action": "relay_started", "app": path})
            relay.run(stop, poll_seconds=poll_seconds)
            logger.info("relay of %s stopped", path, extra={"action": "relay_stopped", "app": path})
            return
        with one_line_for_failures():
            done = relay.run_once(stop)
    click.echo(f"{done.sent} sent, {done.failed} to be tried again, {done.refused} refused")
    if done.failed or done.refused:
        sys.exit(1)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second one of them ends the process as it would without this."""
    stop = threading.Event()
    before: dict[int, Any] = {}

    def handle(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[number] or signal.SIG_DFL)

    before.update({number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)})
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
