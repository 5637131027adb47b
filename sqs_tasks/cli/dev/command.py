"""``sqs-tasks dev``: everything that an application needs on a laptop, in one terminal."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue

import click

from sqs_tasks.cli.app import split_app
from sqs_tasks.cli.dev import schedules
from sqs_tasks.cli.dev.child_options import ChildOptions, Runtime
from sqs_tasks.cli.dev.child_process import ChildProcess, child_command
from sqs_tasks.cli.dev.counting import Counting
from sqs_tasks.cli.dev.events import Event, Events, Stop
from sqs_tasks.cli.dev.record import Record
from sqs_tasks.cli.dev.screen import Lines, Screen
from sqs_tasks.cli.dev.session import Session, WrongArgumentsError
from sqs_tasks.cli.dev.sources import Sources
from sqs_tasks.cli.dev.terminal import Terminal, terminal_of_session
from sqs_tasks.cli.endpoint import LOCAL_CREDENTIALS, use_endpoint, use_region
from sqs_tasks.cli.fault_options import fault_options
from sqs_tasks.cli.options import LogFormat, log_format, log_level, option
from sqs_tasks.client import ClientProvider
from sqs_tasks.local.function.fault_injection import Faults
from sqs_tasks.local.server import DEFAULT_PORT, LocalSQSServer

#: Seconds between two counts of the queues: on a terminal, and in a pipe.
COUNT_SECONDS, COUNT_SECONDS_IN_PIPE = 0.5, 2.0

EPILOG = """\b
Examples:
  $ sqs-tasks dev myapp.tasks:env                        embedded SQS, queues, worker, reload
  $ sqs-tasks dev myapp.tasks:env --as lambda --fault throttle=0.05,crash=0.01,duplicate=0.02
  $ sqs-tasks dev myapp.tasks:env --endpoint-url http://127.0.0.1:9324
  $ sqs-tasks dev myapp.tasks:env --log-format json | jq 'select(.action == "job_rejected")'

Saving a Python file restarts the worker: running jobs get --grace-seconds to finish, and what has not started goes back
to its queue. breakpoint() in a task starts pdb in this terminal. Messages stay in the embedded SQS across restarts and
are lost when dev stops. Ctrl-C stops everything at once.
"""


@click.command(epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[APP] [QUEUE]...")
@option(
    "--as",
    "runtime",
    type=click.Choice(["worker", "lambda"]),
    default="worker",
    help="Run jobs as a container would, or through the event source simulator as Lambda would.",
)
@option("--endpoint-url", help="An SQS that is already running; then the embedded one is not started.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    help="Port of the embedded SQS; 0 for a free one.",
)
@option(
    "-c",
    "--concurrency",
    type=click.IntRange(min=1),
    default=10,
    help="Jobs at a time in the worker; with --as lambda, invocations at a time for each queue, at most 5.",
)
@option(
    "--watch",
    "directories",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A directory to watch for saved Python files; by default the current one.  Repeatable.",
)
@option(
    "--grace-seconds",
    type=click.FloatRange(min=0),
    default=5,
    help="How long running jobs may take to finish before a restart.",
)
@option(
    "--managed-instances",
    "managed",
    multiple=True,
    metavar="QUEUE",
    help="With --as lambda. A queue whose function runs on Lambda Managed Instances, where tasks may take 90 minutes.  "
    "Repeatable.",
)
@fault_options(only_with="With --as lambda. ")
@log_level(option, more="; the view of jobs needs info")
@log_format(option, help_text="In a pipe: lines for people, or a JSON object for each.")
def dev(
    *,
    words: Sequence[str],
    runtime: Runtime,
    endpoint_url: str | None,
    port: int,
    concurrency: int,
    directories: Sequence[Path],
    grace_seconds: float,
    managed: Sequence[str],
    faults: str,
    seed: str | None,
    log_level: str,
    log_format: LogFormat,
) -> None:
    """Run APP on this machine: an SQS, its queues, and a worker that restarts when you save.

    APP is module:attribute, for example myapp.tasks:env. QUEUE is the name of a registered queue or a pattern; by
    default the jobs of all queues are run.
    """
    app, queues = split_app(words)
    _check(runtime, faults, managed)
    options = ChildOptions(
        app=app,
        queues=queues,
        runtime=runtime,
        concurrency=concurrency,
        grace_seconds=grace_seconds,
        faults=faults,
        seed=seed,
        log_level=log_level,
        managed=tuple(managed),
    )
    events: Events = SimpleQueue[Event]()
    on_terminal = sys.stdout.isatty() and log_format == "text"
    with _refusing_arguments(), ExitStack() as stack:
        stack.enter_context(stopping_on_signals(events))
        given = dict(os.environ)
        server = None if endpoint_url else stack.enter_context(_embedded(port))
        where = endpoint_url or (server.endpoint_url if server else "")
        terminal = stack.enter_context(terminal_of_session())
        use_endpoint(where)
        use_region(None)
        exports = _exports(where, given)
        screen = stack.enter_context(
            _screen(app, runtime, exports, terminal, on_terminal=on_terminal, log_format=log_format)
        )
        counting = stack.enter_context(
            Counting(ClientProvider(), events, interval_seconds=COUNT_SECONDS if on_terminal else COUNT_SECONDS_IN_PIPE)
        )
        stack.enter_context(Sources(directories or [Path.cwd()], events))
        command = child_command(options.as_json())
        variables = _variables(server, terminal)
        Session(
            lambda number: ChildProcess(number, command, events, variables=variables),
            screen,
            events,
            grace_seconds=grace_seconds,
            on_loaded=counting.watch,
        ).run()
        kept = f"what {where} holds stays" if endpoint_url else "the messages of the embedded SQS are gone"
        screen.report(Record.make(f"stopped; {kept}", action="dev_stopped", status=f"stopped; {kept}"))


def _variables(server: LocalSQSServer | None, terminal: Terminal | None) -> dict[str, str]:
    """What the processes of this session are given beside what this one has."""
    variables = {} if terminal is None else terminal.variables
    # What another session left behind, if anything can be left behind, does not get the jobs of this one.
    if server is None:
        return variables
    return {**variables, **schedules.VARIABLES, "AWS_ENDPOINT_URL_SQS": server.session_url}


@contextmanager
def _refusing_arguments() -> Iterator[None]:
    """Show the message of wrong arguments last, after everything else on the terminal."""
    try:
        yield
    except WrongArgumentsError as error:
        if error.exit_code == click.UsageError.exit_code:
            raise click.UsageError(str(error)) from error
        raise click.ClickException(str(error)) from error


def _check(runtime: Runtime, faults: str, managed: Sequence[str]) -> None:
    if importlib.util.find_spec("watchfiles") is None:
        raise click.ClickException(
            "dev watches the sources with watchfiles; install it with: pip install 'sqs-tasks[cli]'"
        )
    if runtime == "lambda" and importlib.util.find_spec("awslambdaric") is None:
        raise click.ClickException(
            "--as lambda runs functions with AWS's own runtime client; install it with: pip install 'sqs-tasks[invoke]'"
        )
    if faults and runtime != "lambda":
        raise click.UsageError("--fault needs --as lambda: the faults are those of the event source simulator")
    if managed and runtime != "lambda":
        raise click.UsageError("--managed-instances needs --as lambda: a worker has no function")
    Faults.parse(faults)


@contextmanager
def _embedded(port: int) -> Iterator[LocalSQSServer]:
    server = LocalSQSServer(port=port, session=secrets.token_hex(8))
    try:
        server.start()
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}; "
            "try --port 0, or --endpoint-url if that is an SQS"
        ) from error
    try:
        yield server
    finally:
        server.stop()


def _exports(endpoint_url: str, given: Mapping[str, str]) -> dict[str, str]:
    """What another terminal needs to reach the same queues; credentials only if they are not anybody's."""
    region = os.environ.get("AWS_DEFAULT_REGION")
    exports = {"AWS_ENDPOINT_URL_SQS": endpoint_url}
    if region is not None:
        exports |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    ours = (
        "AWS_ACCESS_KEY_ID" not in given
        and os.environ.get("AWS_ACCESS_KEY_ID") == LOCAL_CREDENTIALS["AWS_ACCESS_KEY_ID"]
    )
    return exports | LOCAL_CREDENTIALS if ours else exports


@contextmanager
def _screen(
    app: str,
    runtime: Runtime,
    exports: dict[str, str],
    terminal: Terminal | None,
    *,
    on_terminal: bool,
    log_format: LogFormat,
) -> Iterator[Screen]:
    line = "export " + " ".join(f"{name}={value}" for name, value in exports.items())
    title = f"{app} as {runtime}, SQS at {exports['AWS_ENDPOINT_URL_SQS']} (Ctrl-C stops it)"
    if on_terminal and importlib.util.find_spec("rich") is not None:
        from rich.console import Console

        from sqs_tasks.cli.dev.view import View, always

        click.echo(f"For another terminal:\n{line}")
        with View([title], Console(), turn=always if terminal is None else terminal.turn) as view:
            yield view
        return
    lines = Lines(log_format)
    if log_format == "json":
        lines.report(Record.make(title, action="dev_started", environment=exports))
    else:
        click.echo(f"{title}. For another terminal:\n{line}")
    yield lines


@contextmanager
def stopping_on_signals(events: Events) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a terminal that closes become events: the loop stops in order, wherever it is."""

    def stop(number: int, _frame: object) -> None:
        if number not in (signal.SIGINT, signal.SIGTERM):
            _write_nowhere()
        events.put(Stop())

    # Where SIGHUP is ignored, nohup did that on purpose. A shell ignores SIGINT for what it starts in the background,
    # and scripts send it all the same.
    hangs_up = hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hangs_up else [])]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _write_nowhere() -> None:
    """Redirect the output: the terminal is gone, and each write to it would fail."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if os.isatty(stream.fileno()):
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
