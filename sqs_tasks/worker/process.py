"""A worker process: a consumer with what surrounds it in production. And the supervisor of several of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager

from sqs_tasks.shutdown_policies import ShutdownPolicy
from sqs_tasks.worker.busy_watch import watching_busy
from sqs_tasks.worker.consumer import Consumer
from sqs_tasks.worker.exit_codes import RECYCLE_EXIT_CODE
from sqs_tasks.worker.fleet_health import FleetHealth, worker_port
from sqs_tasks.worker.health import WorkerHealth, serving_health
from sqs_tasks.worker.last_act import LastAct, ending_in_time
from sqs_tasks.worker.metrics import Metrics
from sqs_tasks.worker.scale_in import ScaleInProtection
from sqs_tasks.worker.supervisor import Supervisor
from sqs_tasks.worker.supervisor_link import DESCRIPTOR_VARIABLE, SupervisorLink


def is_supervised(variables: MutableMapping[str, str] = os.environ) -> bool:
    """Whether this process was started by a supervisor."""
    return DESCRIPTOR_VARIABLE in variables


def run_worker(
    consumer: Consumer,
    policy: ShutdownPolicy,
    *,
    metrics: Metrics,
    last_act: LastAct,
    health_port: int | None = None,
    variables: MutableMapping[str, str] = os.environ,
) -> bool:
    """Run a consumer until it ends, with health, its supervisor and scale-in protection where there are such.

    The process ends soon after: jobs that outlive the grace period are given back in its last moment.

    Args:
        consumer: The consumer.
        policy: When it stops by itself.
        metrics: What the consumer counts in.
        last_act: What the process does last.
        health_port: Where to answer for its health; None does not.
        variables: The process's environment.

    Returns:
        Whether it runs under a supervisor.
    """
    link = SupervisorLink.inherited(variables, consumer.stop)
    with ExitStack() as stack:
        if health_port is not None:
            health = WorkerHealth(
                lambda: consumer.states,
                lambda: consumer.stopping.requested,
                metrics.render,
                consumer.loop_seconds_stuck,
            )
            if link is None:
                stack.enter_context(serving_health(health, health_port))
            else:
                port = worker_port(health_port, link.number)
                stack.enter_context(serving_health(health, port, host="127.0.0.1"))
        if link is not None:
            told = link
            stack.enter_context(watching_busy(consumer.running, lambda busy: told.tell(busy=busy)))
        else:
            on_busy = stack.enter_context(_protection(variables))
            if on_busy is not None:
                stack.enter_context(watching_busy(consumer.running, on_busy))
        if consumer.runs_jobs_here:
            code = 0 if link is None else RECYCLE_EXIT_CODE
            stack.enter_context(ending_in_time(consumer.stopping, consumer.settle_without_waiting, code))
        consumer.run(policy)
    if consumer.unfinished():
        last_act.be(consumer.give_back_unfinished)
    return link is not None


def run_supervisor(
    command: Sequence[str],
    processes: int,
    *,
    grace_seconds: float,
    health_port: int | None = None,
    variables: MutableMapping[str, str] = os.environ,
) -> int:
    """Run workers under a supervisor until they end; the exit code to end with.

    Args:
        command: The program that is one worker.
        processes: How many.
        grace_seconds: How long a worker may take to stop.
        health_port: Where to answer for the health of all; the workers answer on the ports after it, to this host
            alone.
        variables: The process's environment.
    """
    with ExitStack() as stack:
        on_busy = stack.enter_context(_protection(variables))
        if health_port is not None:
            stack.enter_context(serving_health(FleetHealth(health_port, processes), health_port))
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
