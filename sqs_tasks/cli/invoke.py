"""``sqs-tasks invoke``: run any Lambda handler for SQS against a queue, as Lambda would."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from sqs_tasks.cli.endpoint import endpoint_options
from sqs_tasks.cli.fault_options import fault_options
from sqs_tasks.cli.invocation_output import InvocationOutput, summary
from sqs_tasks.cli.options import option
from sqs_tasks.client import ClientProvider, QueueUrls
from sqs_tasks.errors import ConfigurationError, QueueNotFoundError
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.event_source.scaling import BATCHES_OF_A_POLLER
from sqs_tasks.local.function.fault_injection import Faults
from sqs_tasks.local.function.function import FunctionConfiguration, Handler, LambdaFunction
from sqs_tasks.local.function.in_process import InProcessFunction
from sqs_tasks.local.function.line_output import LineSink
from sqs_tasks.local.function.process import DEFAULT_ENVIRONMENTS, SubprocessFunction
from sqs_tasks.queue_statistics import count_messages

#: Variables that the function gets: where SQS is, and how to sign requests to it.
_PASSED_ON = (
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
)


EPILOG = """\b
Examples:
  $ sqs-tasks invoke app.handler --queue jobs                      until Ctrl-C
  $ sqs-tasks invoke app.handler --queue jobs --until-empty        as a step of a build
  $ sqs-tasks invoke app.handler --queue jobs --fault throttle=0.1,duplicate=0.1 --seed 7
  $ sqs-tasks invoke app.handler --queue jobs --in-process         with breakpoint() in the handler
  $ sqs-tasks invoke app.handler --queue jobs --json | jq 'select(.failed != [])'

The first Ctrl-C waits for running invocations, the second ends them. What a function has started ends with it.
"""


@click.command(epilog=EPILOG)
@click.argument("handler")
@option("--queue", required=True, metavar="NAME_OR_URL", help="The queue to poll, by its name in SQS or its URL.")
@endpoint_options
@option("--batch-size", type=int, default=10, help="The most records in one invocation.")
@option("--batching-window", type=float, default=0, help="Seconds to wait for a full batch.")
@option("--maximum-concurrency", type=int, help="Invocations at a time, 2 to 1000.")
@option(
    "--provisioned-pollers",
    type=(int, int),
    metavar="LEAST MOST",
    help="Provisioned pollers, each with ten invocations at a time; instead of a maximum concurrency.",
)
@option("--reserved-concurrency", type=int, help="The function's own limit: invocations above it are throttled.")
@option("--timeout", type=float, default=30, help="The function's timeout in seconds.")
@option("--memory", type=int, default=128, help="The function's memory in megabytes.")
@option("--function-name", help="The function's name; by default the handler's module.")
@option(
    "--report-batch-item-failures/--no-report-batch-item-failures",
    default=True,
    help="Whether the mapping reads the function's response.",
)
@option(
    "--recursive-loop",
    type=click.Choice(["terminate", "allow"]),
    default="terminate",
    help="What happens to a function that feeds itself, after sixteen invocations.",
)
@option("--filter", "filters", multiple=True, metavar="PATTERN", help="A filter pattern as JSON; repeatable.")
@fault_options()
@option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the function; repeatable.")
@option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current directory",
    help="The directory of the handler's code.",
)
@option("--in-process", is_flag=True, help="Call the handler in this process, one at a time, for a debugger.")
@option("--command", help="The runtime to start, such as ./bootstrap; by default awslambdaric.")
@option(
    "--until-empty",
    is_flag=True,
    help="End when the queue has nothing to deliver; exit code 1 if messages failed, are in flight or delayed.",
)
@option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object for each invocation on standard output; what the function writes goes to standard error.",
)
def invoke(
    *,
    handler: str,
    queue: str,
    batch_size: int,
    batching_window: float,
    maximum_concurrency: int | None,
    provisioned_pollers: tuple[int, int] | None,
    reserved_concurrency: int | None,
    timeout: float,
    memory: int,
    function_name: str | None,
    report_batch_item_failures: bool,
    recursive_loop: str,
    filters: Sequence[str],
    faults: str,
    seed: str | None,
    variables: Sequence[str],
    directory: Path,
    in_process: bool,
    command: str | None,
    until_empty: bool,
    as_json: bool,
) -> None:
    """Invoke HANDLER (module.function) with what a queue delivers, as Lambda's event source would.

    Batches, windows, partial responses, FIFO groups, visibility, filters and throttling follow Lambda's rules. The
    function runs in processes of its own behind the Lambda Runtime API, so timeouts and crashes are real.
    """
    _configure_logging()
    region = os.environ.setdefault("AWS_REGION", "us-east-1")
    os.environ.setdefault("AWS_DEFAULT_REGION", region)
    environ = _environ(variables)
    output = InvocationOutput(as_json=as_json, show_errors=in_process)
    try:
        client = ClientProvider()
        function = _function(
            handler,
            FunctionConfiguration(
                name=function_name or handler.rpartition(".")[0].replace(".", "-") or handler,
                timeout_seconds=timeout,
                memory_mb=memory,
                region=region,
            ),
            environments=provisioned_pollers[1] * BATCHES_OF_A_POLLER if provisioned_pollers else maximum_concurrency,
            environ=environ,
            directory=directory,
            command=command,
            in_process=in_process,
            output=output.function_wrote,
        )
        source = EventSourceMapping(
            client(),
            queue if "://" in queue else QueueUrls(client).get(queue),
            function,
            batch_size=batch_size,
            batching_window_seconds=batching_window,
            maximum_concurrency=maximum_concurrency,
            provisioned_pollers=provisioned_pollers,
            reserved_concurrency=reserved_concurrency,
            report_batch_item_failures=report_batch_item_failures,
            allow_recursive_loop=recursive_loop == "allow",
            filters=filters,
            faults=Faults.parse(faults),
            seed=seed,
            on_invocation=output,
        )
    except (ConfigurationError, QueueNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    stop = _StopOnSignal(function)
    try:
        _check_loads(function, handler)
        click.echo(f"polling {source.queue.name} for {handler}; stop with Ctrl-C", err=True)
        try:
            with output.of_this_process():
                source.run(until=lambda: stop.asked or (until_empty and source.idle))
        finally:
            left = _left(source) if until_empty and not stop.asked else ""
            click.echo(summary(source.statistics) + left, err=True)
    finally:
        source.close()
    if until_empty and (source.statistics.failed or left):
        sys.exit(1)


def _check_loads(function: LambdaFunction, handler: str) -> None:
    """Refuse a handler that cannot be loaded before any message is received: each receive counts."""
    error = function.warm_up() if isinstance(function, SubprocessFunction) else None
    if error is not None:
        raise click.ClickException(f"cannot load {handler}: {error.type}: {error.message}")


def _left(source: EventSourceMapping) -> str:
    """What the queue holds though it has nothing to deliver."""
    counted = count_messages(source.queue.client, source.queue.url)
    counts = ((counted.in_flight, "in flight"), (counted.delayed, "delayed"))
    return "".join(f", {count} still {where}" for count, where in counts if count)


def _function(
    handler: str,
    configuration: FunctionConfiguration,
    *,
    environments: int | None,
    environ: dict[str, str],
    directory: Path,
    command: str | None,
    in_process: bool,
    output: LineSink,
) -> LambdaFunction:
    if not in_process:
        return SubprocessFunction(
            handler,
            configuration,
            environments=environments or DEFAULT_ENVIRONMENTS,
            variables=environ,
            directory=directory,
            command=shlex.split(command) if command else None,
            output=output,
        )
    os.environ.update(environ)
    sys.path.insert(0, str(directory.resolve()))
    return InProcessFunction(_load(handler), configuration, environments=environments or 1)


def _load(handler: str) -> Handler:
    """The handler that ``module.function`` names."""
    module_name, _, function_name = handler.rpartition(".")
    if not module_name:
        raise ConfigurationError(f"handler {handler!r} must be 'module.function', such as 'app.handler'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(f"there is no module {module_name!r} in {sys.path[0]}") from error
    try:
        found: Handler = getattr(module, function_name)
    except AttributeError as error:
        raise ConfigurationError(f"the module {module_name!r} has no {function_name!r}") from error
    return found


def _environ(variables: Sequence[str]) -> dict[str, str]:
    """The function's environment variables; this command's endpoint and region are its own too."""
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    for entry in variables:
        name, separator, value = entry.partition("=")
        if not separator:
            raise click.BadParameter(f"{entry!r} must be NAME=VALUE", param_hint="--env")
        environ[name] = value
    return environ


class _StopOnSignal:
    """First signal: no more polls, running invocations end. Second: now.

    Args:
        function: Its processes are killed by the second signal.
    """

    def __init__(self, function: LambdaFunction) -> None:
        self.asked = False
        self._function = function
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            # In a thread: the lock it takes may be held by the code that the signal interrupted.
            threading.Thread(target=self._function.close, name="sqs-tasks-invoke-close").start()
            raise KeyboardInterrupt
        self.asked = True
        # Not by a stream: the handler may have interrupted one in the middle of a write.
        with contextlib.suppress(OSError):
            os.write(2, b"stopping when the running invocations have ended; once more ends them now\n")


def _configure_logging() -> None:
    """Show warnings of the simulator on standard error, without those that the reports contain."""
    reported = {"event_source_function_error", "event_source_report"}
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.addFilter(lambda record: getattr(record, "action", "") not in reported)
    local = logging.getLogger("sqs_tasks.local")
    local.addHandler(handler)
    local.propagate = False
