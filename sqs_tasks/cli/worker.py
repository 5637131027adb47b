"""``sqs-tasks worker``: the container runtime."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import click

from sqs_tasks import limits
from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.logs import LogFormat, configure_logging
from sqs_tasks.cli.worker_limits import WorkerLimits
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.queue_stats import reporting

logger = logging.getLogger(__name__)

EPILOG = """\b
Examples:
  $ sqs-tasks worker myapp.tasks:env                     every queue that has tasks
  $ sqs-tasks worker myapp.tasks:env emails 'mail-*'     some of them
  $ sqs-tasks worker myapp.tasks:env --idle-seconds 5    until there is nothing left to do
  $ SQS_TASKS_APP=myapp.tasks:env sqs-tasks worker       as in a Dockerfile

\b
SIGTERM, SIGINT and SIGQUIT stop it in order: no more messages are received, running jobs get --grace-seconds to
finish, what never started goes back to its queue at once. A second signal ends it there and then.

\b
Exit codes: 0 after a stop, 1 when the application cannot be loaded or a queue does not exist, 2 for wrong usage.
"""


@click.command(epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE]...")
@click.option(
    "-c",
    "--concurrency",
    type=click.IntRange(min=1),
    default=10,
    envvar="SQS_TASKS_CONCURRENCY",
    show_default=True,
    show_envvar=True,
    help="Jobs at once in this process, shared by its queues; 1 with one queue runs them in the main thread.",
)
@click.option(
    "--wait-seconds",
    type=click.IntRange(0, limits.MAX_WAIT_SECONDS),
    default=limits.MAX_WAIT_SECONDS,
    envvar="SQS_TASKS_WAIT_SECONDS",
    show_default=True,
    show_envvar=True,
    help="How long one long poll waits for a message.",
)
@click.option(
    "--grace-seconds",
    type=click.FloatRange(min=0),
    default=25,
    envvar="SQS_TASKS_GRACE_SECONDS",
    show_default=True,
    show_envvar=True,
    help="How long running jobs may take to finish after a signal; ECS kills after 30.",
)
@click.option(
    "--max-tasks",
    type=click.IntRange(min=1),
    envvar="SQS_TASKS_MAX_TASKS",
    show_envvar=True,
    help="Stop after this many jobs, for example to bound what a leak can leak.",
)
@click.option(
    "--max-runtime",
    type=click.FloatRange(min=0, min_open=True),
    envvar="SQS_TASKS_MAX_RUNTIME",
    show_envvar=True,
    help="Stop after this many seconds.",
)
@click.option(
    "--idle-seconds",
    type=click.FloatRange(min=0),
    envvar="SQS_TASKS_IDLE_SECONDS",
    show_envvar=True,
    help="Stop after this many seconds without a job in any queue; 0: as soon as they are empty.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    envvar="SQS_TASKS_LOG_LEVEL",
    show_default=True,
    show_envvar=True,
    help="The least level that is logged.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    envvar="SQS_TASKS_LOG_FORMAT",
    show_default=True,
    show_envvar=True,
    help="Lines for people, or a JSON object for each record with its fields.",
)
@endpoint_options
def worker(
    *,
    words: Sequence[str],
    concurrency: int,
    wait_seconds: int,
    grace_seconds: float,
    max_tasks: int | None,
    max_runtime: float | None,
    idle_seconds: float | None,
    log_level: str,
    log_format: LogFormat,
) -> None:
    """Run the jobs of APP's queues until told to stop.

    APP is module:attribute, for example myapp.tasks:env. QUEUE is a registered queue's name or a pattern such as
    'mail-*'; without one, all queues that have tasks are worked, each with a long poll of its own.
    """
    from sqs_tasks.worker.consumer import Consumer

    app, names = split_app(words)
    configure_logging(log_level.upper(), log_format)
    env = load(app)
    queues = _queues(env, names, app)
    logger.info(
        "worker of %s for %s, concurrency %d",
        app,
        ", ".join(queue.name for queue in queues),
        concurrency,
        extra={"action": "worker_started", "app": app, "queues": [queue.name for queue in queues]},
    )
    consumer = Consumer(queues, concurrency=concurrency, wait_seconds=wait_seconds, grace_seconds=grace_seconds)
    with reporting(queues, env.report_queue_stats):
        consumer.run(WorkerLimits(max_tasks=max_tasks, max_runtime=max_runtime, idle_seconds=idle_seconds))


def _queues(env: SQSEnv, names: Sequence[str], app: str) -> list[GenericQueue]:
    """The queues to work, each of which has something to run and exists."""
    try:
        queues = env.select_queues(*names)
    except ConfigurationError as error:
        raise click.UsageError(f"{app}: {error}") from error
    if not queues:
        raise ConfigurationError(f"{app} has no task on any queue; does its module import those with your tasks?")
    for queue in queues:
        if not queue.tasks:
            raise click.UsageError(f"queue {queue.name!r} of {app} has no tasks, its messages would only come back")
        _check_exists(queue)
    return queues


def _check_exists(queue: GenericQueue) -> None:
    """Refuse to wait for a queue that is not there, or for rights that nobody gave.

    An endpoint that is away is another matter: it comes back, and the polling loop waits for it.
    """
    queue.env.client()
    try:
        _ = queue.queue_url
    except Exception as error:
        if not _is_away(error):
            raise
        logger.warning(
            "cannot ask for the URL of queue %s yet: %s",
            queue.name,
            error,
            extra={"action": "queue_url_failed", "queue_name": queue.name},
        )


def _is_away(error: Exception) -> bool:
    """Whether nobody answered, or somebody who could not."""
    from botocore.exceptions import ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as EndpointAwayError

    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= _SERVER_ERROR
    return isinstance(error, (EndpointAwayError, HTTPClientError))


_SERVER_ERROR = 500
