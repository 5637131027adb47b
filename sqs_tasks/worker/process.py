"""A worker process: a consumer with what surrounds it in production. And the supervisor of several of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from sqs_tasks.shutdown_policies import ShutdownPolicy
from sqs_tasks.worker.busy_watch import watching_busy
from sqs_tasks.worker.consumer import Consumer
from sqs_tasks.worker.exit_codes import RECYCLE_EXIT_CODE
from sqs_tasks.worker.fleet_health import FleetHealth, worker_port
from sqs_tasks.worker.health import WorkerHealth, serving_health
from sqs_tasks.worker.metrics import Metrics
from sqs_tasks.worker.process_end import ProcessEnd
from sqs_tasks.worker.scale_in import ScaleInProtection
from sqs_tasks.worker.supervisor import Supervisor
from sqs_tasks.worker.supervisor_link import DESCRIPTOR_VARIABLE, SupervisorLink

#: Seconds beyond the grace period for what an orderly end does after it.
END_MARGIN_SECONDS = 1.0

_NOTHING: AbstractContextManager[Any] = nullcontext()


def is_supervised(variables: MutableMapping[str, str] = os.environ) -> bool:
    """Whether this process was started by a supervisor."""
    return DESCRIPTOR_VARIABLE in variables


def run_worker(
    consumer: Consumer,
    policy: ShutdownPolicy,
    *,
    metrics: Metrics,
    end: ProcessEnd,
    wants_fresh_process: Callable[[], bool] = lambda: False,
    during: AbstractContextManager[Any] = _NOTHING,
    health_port: int | None = None,
    health_hosts: Sequence[str] = (),
    max_overrun_seconds: float | None = None,
    variables: MutableMapping[str, str] = os.environ,
) -> int:
    """Run a consumer until it ends, with health, its supervisor and scale-in protection where there are such.

    The process ends soon after: jobs that outlive the grace period are released in its last moment.

    Args:
        consumer: The consumer.
        policy: When it stops by itself.
        metrics: What the consumer counts in.
        end: The end of this process.
        wants_fresh_process: Whether a worker that stopped by itself makes room for a fresh one.
        during: What else lasts as long as the worker runs.
        health_port: Where to answer for its health; None does not.
        health_hosts: Names of a public domain by which probes reach that port.
        max_overrun_seconds: How long a job may run beyond its timeout before the worker counts as dead; None for any.
        variables: The process's environment.

    Returns:
        What the process is to exit with.
    """
    link = SupervisorLink.inherited(variables, consumer.stop)

    def exit_code() -> int:
        # Also after a signal: unless the supervisor is stopping too, somebody else sent it, and the place is empty.
        is_recycled = link is not None and (consumer.stopping.requested or wants_fresh_process())
        return RECYCLE_EXIT_CODE if is_recycled else 0

    with ExitStack() as stack:
        stack.enter_context(
            end.bounded(
                consumer.stopping,
                last_act=consumer.settle_without_waiting,
                exit_code=exit_code,
                # Where jobs run in the main thread, nothing else ends one that is late.
                margin_seconds=0 if consumer.runs_jobs_here else END_MARGIN_SECONDS,
            )
        )
        stack.enter_context(during)
        if health_port is not None:
            health = WorkerHealth(
                lambda: consumer.states,
                lambda: consumer.stopping.requested,
                metrics.render,
                consumer.loop_seconds_stuck,
                seconds_over_timeout=consumer.seconds_over_timeout,
                max_overrun_seconds=max_overrun_seconds,
            )
            if link is None:
                stack.enter_context(serving_health(health, health_port, allowed_hosts=health_hosts))
            else:
                port = worker_port(health_port, link.number)
                stack.enter_context(serving_health(health, port, host="127.0.0.1"))
        if link is not None:
            consumer.on_first_answer(link.report_works)
            stack.enter_context(watching_busy(consumer.running, link.report_busy))
        else:
            on_busy = stack.enter_context(_protection(variables))
            if on_busy is not None:
                stack.enter_context(watching_busy(consumer.running, on_busy))
        consumer.listen_for_signals()
        consumer.run(policy)
        if not consumer.stopping.requested:
            consumer.listen_no_more()
        # Else until the end: the same wish once more must not change how the process ends.
    return exit_code()


def run_supervisor(
    command: Sequence[str],
    processes: int,
    *,
    grace_seconds: float,
    health_port: int | None = None,
    health_hosts: Sequence[str] = (),
    variables: MutableMapping[str, str] = os.environ,
) -> int:
    """Run workers under a supervisor until they end; the exit code to end with.

    Args:
        command: The program that is one worker.
        processes: How many.
        grace_seconds: How long a worker may take to stop.
        health_port: Where to answer for the health of all; the workers answer on the ports after it, to this host
            alone.
        health_hosts: Names of a public domain by which probes reach that port.
        variables: The process's environment.
    """
    with ExitStack() as stack:
        on_busy = stack.enter_context(_protection(variables))
        if health_port is not None:
            stack.enter_context(
                serving_health(FleetHealth(health_port, processes), health_port, allowed_hosts=health_hosts)
            )
        supervisor = Supervisor(
            command,
            processes,
            grace_seconds=grace_seconds,
            variables=variables,
            on_busy=on_busy or (lambda _: None),
        )
        return supervisor.run()


@contextmanager
def _protection(variables: MutableMapping[str, str]) -> Iterator[Callable[[bool], None] | None]:
    protection = ScaleInProtection.from_environment(variables)
    try:
        yield None if protection is None else protection.set_busy
    finally:
        if protection is not None:
            protection.close()
