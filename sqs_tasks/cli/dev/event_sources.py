"""The queues of an application behind the event source simulator, each with a function of its own, as in the stack."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.dev.child_options import ChildOptions
from sqs_tasks.deployment.lambda_function import QueueFunction, queue_functions
from sqs_tasks.env import SQSEnv
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.function.function import FunctionConfiguration
from sqs_tasks.local.function.invocation import Invocation, InvocationStatus
from sqs_tasks.local.function.process import SubprocessFunction
from sqs_tasks.worker.consumer import Consumer

logger = logging.getLogger("sqs_tasks.cli.dev.event_sources")

#: The handler that every function runs.
HANDLER = "sqs_tasks.cli.dev.function.handler"

#: The variable with the level that the function logs.
LOG_LEVEL_VARIABLE = "SQS_TASKS_LOG_LEVEL"

#: Environments of each function at most: processes that import the application.
MAX_ENVIRONMENTS = 5


def run_event_sources(env: SQSEnv, queues: Sequence[GenericQueue], options: ChildOptions, *, poll_seconds: int) -> None:
    """Poll and invoke until SIGTERM; running invocations then get the grace period. A second SIGTERM kills them.

    Queues that run on Fargate in the stack are worked by a worker here too.

    Args:
        env: The environment.
        queues: The queues to work; they exist.
        options: How to run them.
        poll_seconds: How long a poll of the worker waits.

    Raises:
        ConfigurationError: The stack would refuse to make a function for a queue.
    """
    # Its advice on timeouts is for those who set them by hand.
    logging.getLogger("sqs_tasks.local.event_source.settings").setLevel(logging.WARNING)
    functions = queue_functions(env.manifest(), managed=options.managed)
    run = _Run(options)
    for queue in queues:
        if queue.name in functions:
            run.add_function(queue, functions[queue.name])
    on_fargate = [queue for queue in queues if queue.name not in functions]
    if on_fargate:
        run.add_worker(on_fargate, poll_seconds=poll_seconds)
    run.until_sigterm()


class _Run:
    """Event sources and a worker that run at the same time and stop together."""

    def __init__(self, options: ChildOptions) -> None:
        self._options = options
        self._stopping = threading.Event()
        self._sources: list[EventSourceMapping] = []
        self._stops: list[Callable[[], None]] = []
        self._threads: list[threading.Thread] = []

    def add_function(self, queue: GenericQueue, function: QueueFunction) -> None:
        """Have a queue worked by a function of its own."""
        source = _source(queue, function, self._options, self._give_back(queue))
        self._sources.append(source)
        self._stops.append(lambda: source.stop(wait=False))
        self._threads.append(threading.Thread(target=source.run, name=f"event-source-{queue.name}"))

    def add_worker(self, queues: Sequence[GenericQueue], *, poll_seconds: int) -> None:
        """Have queues worked as a container would."""
        names = ", ".join(queue.name for queue in queues)
        logger.info("run on Fargate, so they are worked as a container would: %s", names)
        consumer = Consumer(
            queues,
            concurrency=self._options.concurrency,
            wait_seconds=poll_seconds,
            grace_seconds=self._options.grace_seconds,
        )
        self._stops.append(consumer.stop)
        self._threads.append(threading.Thread(target=consumer.run, name="sqs-tasks-dev-worker"))

    def until_sigterm(self) -> None:
        """Run all until SIGTERM, and stop them in order; a second SIGTERM kills the functions."""

        def stop(*_: object) -> None:
            if self._stopping.is_set():
                # In a thread: the lock it takes may be held by the code that the signal interrupted.
                threading.Thread(target=self._close, name="sqs-tasks-dev-close").start()
            self._stopping.set()

        signal.signal(signal.SIGTERM, stop)
        for thread in self._threads:
            thread.start()
        self._stopping.wait()
        for one in self._stops:
            one()
        killer = threading.Timer(self._options.grace_seconds, self._close)
        killer.start()
        for thread in self._threads:
            thread.join()
        killer.cancel()
        self._close()

    def _close(self) -> None:
        for source in self._sources:
            source.function.close()

    def _give_back(self, queue: GenericQueue) -> Callable[[Invocation], None]:
        def give_back(invocation: Invocation) -> None:
            """Return what a restart cut off: nothing on AWS cuts off an invocation to load new code."""
            if not self._stopping.is_set() or invocation.status is not InvocationStatus.CRASHED:
                return
            entries = [
                {"Id": str(number), "ReceiptHandle": record["receiptHandle"], "VisibilityTimeout": 0}
                for number, record in enumerate(invocation.records)
            ]
            with contextlib.suppress(Exception):  # they come back by themselves, only later
                queue.env.client().change_message_visibility_batch(QueueUrl=queue.queue_url, Entries=entries)

        return give_back


def _source(
    queue: GenericQueue, function: QueueFunction, options: ChildOptions, on_invocation: Callable[[Invocation], None]
) -> EventSourceMapping:
    client = queue.env.client()
    if queue.settings.queue_url is None:
        _set_visibility(queue, function.visibility_timeout_seconds)
    subprocess_function = SubprocessFunction(
        HANDLER,
        FunctionConfiguration(
            name=queue.get_sqs_queue_name().removesuffix(".fifo"),
            timeout_seconds=function.timeout_seconds,
            memory_mb=function.memory_mb,
            region=os.environ.get("AWS_REGION", "us-east-1"),
        ),
        environments=min(options.concurrency, MAX_ENVIRONMENTS),
        variables=_variables(options),
        directory=Path.cwd(),
        output=_write_lines,
    )
    return EventSourceMapping(
        client,
        queue.queue_url,
        subprocess_function,
        batch_size=function.batch_size,
        allow_recursive_loop=function.allow_recursive_loop,
        faults=options.faults,
        # Each function draws ids of its own, or two would log the same request ids.
        seed=None if options.seed is None else f"{options.seed}:{queue.name}",
        on_invocation=on_invocation,
    )


def _set_visibility(queue: GenericQueue, seconds: int) -> None:
    queue.env.client().set_queue_attributes(QueueUrl=queue.queue_url, Attributes={"VisibilityTimeout": str(seconds)})


def _variables(options: ChildOptions) -> Mapping[str, str]:
    return {APP_VARIABLE: options.app, LOG_LEVEL_VARIABLE: options.log_level}


_writing = threading.Lock()


def _write_lines(lines: bytes) -> None:
    """Pass on whole lines of a function, so that no other function writes between their parts."""
    with _writing:
        while lines:
            lines = lines[os.write(1, lines) :]
