"""``sqs-tasks worker``: the container runtime."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import click

from sqs_tasks import limits
from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.logs import after_application, configure_logging
from sqs_tasks.cli.options import LogFormat, log_format, log_level, setting
from sqs_tasks.cli.queue_names import names_in_code
from sqs_tasks.cli.worked_queues import check_exists, queues_to_work
from sqs_tasks.cli.worker_limits import WorkerLimits
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.queue_statistics import REPORT_INTERVAL_SECONDS, reporting

if TYPE_CHECKING:
    from sqs_tasks.worker.children.child_pool import ChildPool

logger = logging.getLogger(__name__)

#: The queues to work when the command line names none, as words.
QUEUES_VARIABLE = "SQS_TASKS_QUEUES"

EPILOG = """\b
Examples:
  $ sqs-tasks worker myapp.tasks:env                     every queue that has tasks
  $ sqs-tasks worker myapp.tasks:env emails 'mail-*'     some of them
  $ sqs-tasks worker myapp.tasks:env --idle-seconds 5    until there is nothing left to do
  $ SQS_TASKS_APP=myapp.tasks:env sqs-tasks worker       as in a Dockerfile; SQS_TASKS_QUEUES='emails mail-*'

\b
SIGTERM, SIGINT and SIGQUIT stop it in order: it receives no more messages, running jobs get --grace-seconds to finish,
and what has not started goes back to its queue at once. Another signal, a second later or more, ends it immediately.

\b
With --processes or --supervise, a process that has reached --max-tasks, --max-runtime or --max-rss is replaced by a new
one. Without them the worker exits, and the container platform starts it again.

\b
Exit codes: 0 after a stop, 1 when the application cannot be loaded or a queue does not exist, 2 for wrong usage.
"""


@click.command(epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE]...")
@setting(
    "-c",
    "--concurrency",
    type=click.IntRange(min=1),
    default=10,
    help="Jobs at a time in this process, for all its queues; with 1 and one queue they run in the main thread.",
)
@setting(
    "--async-concurrency",
    type=click.IntRange(min=1),
    help="async def jobs at a time in this process, on its event loop; by default as --concurrency.",
)
@setting(
    "-p",
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    help="Worker processes; with more than one, a supervisor starts them again when they die.",
)
@setting(
    "--supervise",
    is_flag=True,
    help="Use a supervisor for a single process too.",
)
@setting(
    "--isolate",
    type=click.Choice(["process"]),
    help="Run each job in one of --concurrency child processes: a timeout or a crash then costs that job alone.",
)
@setting(
    "--max-jobs-per-child",
    type=click.IntRange(min=1),
    help="With --isolate: replace a child process after this many jobs.",
)
@setting(
    "--prefetch",
    type=click.IntRange(min=0),
    default=0,
    help="Messages to receive before they can start, so that short jobs come in tens; not for FIFO queues.",
)
@setting(
    "--weight",
    "weights",
    multiple=True,
    metavar="QUEUE=N",
    help="How much of the concurrency a queue gets while others want it too; by default as registered.",
)
@setting(
    "--strict-priority",
    is_flag=True,
    help="Work a queue only while those registered before it are empty.",
)
@setting(
    "--heed-pause",
    type=click.FloatRange(min=0, min_open=True),
    help="Look every so many seconds whether 'sqs-tasks queues pause' has paused a queue; needs sqs:ListQueueTags.",
)
@setting(
    "--wait-seconds",
    type=click.IntRange(0, limits.MAX_WAIT_SECONDS),
    default=limits.MAX_WAIT_SECONDS,
    help="How long one long poll waits for a message.",
)
@setting(
    "--grace-seconds",
    type=click.FloatRange(min=0),
    default=25,
    help="How long running jobs may take to finish after a signal; ECS kills after 30.",
)
@setting(
    "--max-tasks",
    type=click.IntRange(min=1),
    help="Stop after this many jobs, for example to limit a memory leak.",
)
@setting(
    "--max-runtime",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after this many seconds.",
)
@setting(
    "--max-rss",
    type=click.IntRange(min=1),
    metavar="MIB",
    help="Stop when the process holds more memory than this, in MiB.",
)
@setting(
    "--idle-seconds",
    type=click.FloatRange(min=0),
    help="Stop after this many seconds without a job in any queue; with 0 as soon as they are empty.",
)
@setting(
    "--health-port",
    type=click.IntRange(1, 65535),
    help="Serve /live, /ready and /metrics (Prometheus) on this port; N processes also use the next N ports.",
)
@setting(
    "--health-host",
    "health_hosts",
    multiple=True,
    metavar="NAME",
    help="A name of a public domain by which probes reach the health port; addresses and private names always may.",
)
@setting(
    "--max-overrun",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Let /live fail when a job runs this long beyond its timeout, so that the platform restarts the worker.",
)
@setting(
    "--report-interval",
    type=click.FloatRange(min=0),
    default=REPORT_INTERVAL_SECONDS,
    help="Seconds between two calls of the report_queue_stats hook, if it has callbacks; 0 for none.",
)
@log_level(setting)
@log_format(setting, help_text="Lines for people, or a JSON object for each record with its fields.")
@endpoint_options
def worker(
    *,
    words: Sequence[str],
    concurrency: int,
    async_concurrency: int | None,
    processes: int,
    supervise: bool,
    isolate: str | None,
    max_jobs_per_child: int | None,
    prefetch: int,
    weights: Sequence[str],
    strict_priority: bool,
    heed_pause: float | None,
    wait_seconds: int,
    grace_seconds: float,
    max_tasks: int | None,
    max_runtime: float | None,
    max_rss: int | None,
    idle_seconds: float | None,
    health_port: int | None,
    health_hosts: Sequence[str],
    max_overrun: float | None,
    report_interval: float,
    log_level: str,
    log_format: LogFormat,
) -> None:
    """Run the jobs of APP's queues until it is asked to stop.

    APP is module:attribute, for example myapp.tasks:env. QUEUE is the name of a registered queue or a pattern such as
    'mail-*'; by default SQS_TASKS_QUEUES names them, or the jobs of all queues are run. Each queue has a long poll of
    its own.
    """
    from sqs_tasks.execution.life import started
    from sqs_tasks.execution.running_job import add_job_fields
    from sqs_tasks.loggers import all_handlers
    from sqs_tasks.worker.consumer import Consumer
    from sqs_tasks.worker.metrics import Metrics
    from sqs_tasks.worker.process import is_supervised, run_supervisor, run_worker
    from sqs_tasks.worker.process_end import ProcessEnd

    app, given = split_app(words)
    names = given or os.environ.get(QUEUES_VARIABLE, "").split()
    weight_by_queue = _weights(weights)
    configure_logging(log_level.upper(), log_format)
    if (processes > 1 or supervise) and not is_supervised():
        if health_port is not None:
            _check_workers_ports(health_port, processes)
        # The application is not loaded here: nothing of it can end, block or bloat the supervisor.
        command = click.get_current_context().obj or [sys.executable, "-m", "sqs_tasks", *sys.argv[1:]]
        sys.exit(
            run_supervisor(
                command,
                processes,
                grace_seconds=grace_seconds,
                health_port=health_port,
                health_hosts=health_hosts,
            )
        )
    end = ProcessEnd()
    env = load(app)
    after_application(log_level.upper(), log_format)
    queues = queues_to_work(env, names, app)
    for queue in queues:
        check_exists(queue)
    metrics = Metrics()
    children = _children(app, queues, log_level, log_format, max_jobs_per_child) if isolate else None
    try:
        consumer = Consumer(
            queues,
            concurrency=concurrency,
            async_concurrency=async_concurrency,
            prefetch=prefetch,
            wait_seconds=wait_seconds,
            grace_seconds=grace_seconds,
            weights={names_in_code(env, [name])[0]: weight for name, weight in weight_by_queue.items()},
            strict_priority=strict_priority,
            metrics=None if health_port is None else metrics,
            children=children,
            heed_pause=heed_pause,
        )
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    logger.info(
        "worker of %s for %s, concurrency %d",
        app,
        ", ".join(queue.name for queue in queues),
        concurrency,
        extra={"action": "worker_started", "app": app, "queues": [queue.name for queue in queues]},
    )
    ends = WorkerLimits(
        max_tasks=max_tasks,
        max_runtime=max_runtime,
        max_rss=None if max_rss is None else max_rss * 1024 * 1024,
        idle_seconds=idle_seconds,
    )

    @contextmanager
    def during() -> Iterator[None]:
        report = reporting(queues, env.report_queue_stats, report_interval, oldest_age=consumer.oldest_age_seconds)
        # The hooks are for the processes that run jobs.
        with nullcontext() if children is not None else started(env), report:
            add_job_fields(all_handlers())  # on_start may have set up logging
            yield

    code = run_worker(
        consumer,
        ends,
        metrics=metrics,
        end=end,
        wants_fresh_process=ends.wants_fresh_process,
        during=during(),
        health_port=health_port,
        health_hosts=health_hosts,
        max_overrun_seconds=max_overrun,
    )
    if code:
        sys.exit(code)


def _children(
    app: str, queues: Sequence[GenericQueue], level: str, log_format: LogFormat, max_jobs: int | None
) -> ChildPool:
    """The child processes of this worker, the first of which has loaded the application."""
    from sqs_tasks.cli.isolated_child import command_of
    from sqs_tasks.worker.children.child import ChildNotStartedError
    from sqs_tasks.worker.children.child_pool import ChildPool

    if not hasattr(os, "killpg"):
        raise click.UsageError("--isolate process needs process groups and signals, which this system does not have")
    command = command_of(app, [queue.name for queue in queues], level, log_format)
    children = ChildPool(command, max_jobs=max_jobs)
    try:
        children.begin()
    except ChildNotStartedError as error:
        raise click.ClickException(f"a child process could not load {app}: {error}") from error
    return children


_LAST_PORT = 65535


def _check_workers_ports(health_port: int, processes: int) -> None:
    """Refuse ports that a worker could not have: the supervisor would start it again and again."""
    from sqs_tasks.worker.fleet_health import worker_port

    for number in range(processes):
        port = worker_port(health_port, number)
        problem = _why_not(port)
        if problem:
            raise click.ClickException(
                f"cannot answer for the health of worker {number} on port {port}: {problem}; give another "
                f"--health-port: {processes} processes use the {processes} ports after it as well"
            )


def _why_not(port: int) -> str:
    """Why nothing can listen on a port; empty when something can."""
    if port > _LAST_PORT:  # create_server() finds that too late to close what it has opened
        return f"the last port is {_LAST_PORT}"
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _weights(given: Sequence[str]) -> dict[str, float]:
    """Weights by queue name, from words such as ``emails=3``."""
    weights: dict[str, float] = {}
    for word in given:
        name, _, number = word.partition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            raise click.BadParameter(f"{word!r} must be like emails=3", param_hint="--weight") from None
    return weights
