"""The queues of an application behind the event source simulator, each with a function of its own."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.dev.child_options import ChildOptions
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.local.clock import SystemClock
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.event_source.source_queue import SourceQueue
from sqs_tasks.local.function.function import MAX_FUNCTION_TIMEOUT_SECONDS, FunctionConfiguration
from sqs_tasks.local.function.process import SubprocessFunction

#: The handler that every function runs.
HANDLER = "sqs_tasks.cli.dev.function.handler"

#: Tells the function which level to log.
LOG_LEVEL_VARIABLE = "SQS_TASKS_LOG_LEVEL"

#: Seconds that a function has for jobs without a timeout, and keeps free at its end.
DEFAULT_TIMEOUT_SECONDS, MARGIN_SECONDS = 30.0, 5.0

#: Megabytes of a function, above which its process is killed: as many as the stack gives it unless told.
MEMORY_MB = 512

#: Environments of each function at most: processes that import the application.
MAX_ENVIRONMENTS = 5


def run_event_sources(queues: Sequence[GenericQueue], options: ChildOptions) -> None:
    """Poll and invoke until SIGTERM; running invocations then get the grace period. A second SIGTERM kills them."""
    if not queues:
        raise ConfigurationError(
            f"{options.app} has no task on any queue; does its module import those with your tasks?"
        )
    # Its advice on timeouts is for the stack, which derives its own.
    logging.getLogger("sqs_tasks.local.event_source.settings").setLevel(logging.WARNING)
    stopping = threading.Event()
    loops = feeding_themselves(queues)
    sources = [_source(queue, options, allow_recursive_loop=queue in loops) for queue in queues]

    def stop(*_: object) -> None:
        if stopping.is_set():
            # In a thread: the lock it takes may be held by the code that the signal interrupted.
            threading.Thread(target=_close, args=(sources,), name="sqs-tasks-dev-close").start()
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    threads = [threading.Thread(target=source.run, name=f"event-source-{source.queue.name}") for source in sources]
    for thread in threads:
        thread.start()
    stopping.wait()
    for source in sources:
        source.stop(wait=False)
    killer = threading.Timer(options.grace_seconds, _close, args=(sources,))
    killer.start()
    for thread in threads:
        thread.join()
    killer.cancel()
    _close(sources)


def function_timeout(queue: GenericQueue, visibility_timeout_seconds: float) -> float:
    """Seconds of one invocation: the longest task's and a margin, but no more than the queue's visibility (S18)."""
    timeouts = [task.settings.timeout for task in queue.tasks]
    longest = max((one for one in timeouts if one is not None), default=DEFAULT_TIMEOUT_SECONDS)
    wanted = min(longest + MARGIN_SECONDS, MAX_FUNCTION_TIMEOUT_SECONDS)
    return max(min(wanted, visibility_timeout_seconds), 1.0)


def feeding_themselves(queues: Sequence[GenericQueue]) -> list[GenericQueue]:
    """The queues from which jobs come back, by what their tasks declare: the stack allows their loops (R6, S36)."""
    edges = {queue.name: {name for task in queue.tasks for name in task.settings.enqueues or ()} for queue in queues}

    def reachable(name: str) -> set[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            new = edges.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found

    return [queue for queue in queues if queue.name in reachable(queue.name)]


def _source(queue: GenericQueue, options: ChildOptions, *, allow_recursive_loop: bool) -> EventSourceMapping:
    client = queue.env.client()
    visibility = SourceQueue.find(client, queue.queue_url, SystemClock()).visibility_timeout_seconds
    function = SubprocessFunction(
        HANDLER,
        FunctionConfiguration(
            name=queue.get_sqs_queue_name().removesuffix(".fifo"),
            timeout_seconds=function_timeout(queue, visibility),
            memory_mb=MEMORY_MB,
            region=os.environ.get("AWS_REGION", "us-east-1"),
        ),
        environments=min(options.concurrency, MAX_ENVIRONMENTS),
        variables={APP_VARIABLE: options.app, LOG_LEVEL_VARIABLE: options.log_level},
        directory=Path.cwd(),
    )
    return EventSourceMapping(
        client,
        queue.queue_url,
        function,
        allow_recursive_loop=allow_recursive_loop,
        faults=options.faults,
        # Each function draws ids of its own, or two would log the same request ids.
        seed=None if options.seed is None else f"{options.seed}:{queue.name}",
    )


def _close(sources: Sequence[EventSourceMapping]) -> None:
    for source in sources:
        source.function.close()
