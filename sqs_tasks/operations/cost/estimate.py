"""What the queues, workers, alarms, metrics, logs and schedules of a registry cost in a month."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.operations.cost.prices import Prices

#: A month, in days, hours and seconds.
_DAYS, _HOURS, _SECONDS = 30, 720, 2_592_000

#: Long polls that Lambda keeps open on each queue, and the seconds of each (S33).
_LAMBDA_POLLERS, _POLL_SECONDS = 5, 20

#: Metrics that the alarms of a queue read, by where it is worked, and metrics of its jobs' ends for each task.
_ALARM_METRICS = {"lambda": 11, "fargate": 8}
_TASK_METRICS = {"lambda": 8, "fargate": 7}

#: Runs of one schedule that are counted.
_MOST_RUNS = 100_000

_GB = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the application has to do, and what is assumed where nothing is measured.

    Attributes:
        jobs: Jobs a month, shared by the tasks that ``jobs_of`` does not name.
        jobs_of: Jobs a month by task.
        seconds: How long a job runs, for tasks that ``seconds_of`` does not name.
        seconds_of: How long a job runs, by task: what the worker's log and metrics say.
        memory_mib: Memory of a function.
        jobs_per_request: Jobs in one send, one receive and one delete; 1 is the dearest.
        vcpus, container_mib, concurrency: Of one container, and the jobs that it runs at once.
        log_bytes: What is logged of one job.
    """

    jobs: float
    jobs_of: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.2
    seconds_of: Mapping[str, float] = field(default_factory=dict)
    memory_mib: int = 512
    jobs_per_request: float = 1
    vcpus: float = 0.25
    container_mib: int = 512
    concurrency: int = 10
    log_bytes: int = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One thing that is billed.

    Attributes:
        what: What it is: ``SQS requests``.
        of: The queue, or ``all``.
        quantity: How many a month.
        unit: What is counted.
        dollars: What they cost.
        how: How the quantity follows.
    """

    what: str
    of: str
    quantity: float
    unit: str
    dollars: float
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is billed in a month, and by which assumptions."""

    lines: tuple[CostLine, ...]
    assumptions: tuple[str, ...]

    @property
    def dollars(self) -> float:
        """All of it."""
        return sum(line.dollars for line in self.lines)


def estimate(env: SQSEnv, load: Load, prices: Prices | None = None) -> Estimate:
    """What a registry costs in a month.

    Args:
        env: The environment.
        load: What it has to do.
        prices: Other prices than the library's.

    Raises:
        ConfigurationError: A task is named that is not registered.
    """
    env.load_tasks()
    prices = prices or Prices.read()
    queues = [queue for queue in env.queues.values() if queue.tasks]
    tasks = [task.name for queue in queues for task in queue.tasks]
    unknown = sorted({*load.jobs_of, *load.seconds_of} - set(tasks))
    if unknown:
        raise ConfigurationError(f"there is no task {unknown[0]!r}; there are {', '.join(tasks) or 'none'}")
    others = [name for name in tasks if name not in load.jobs_of]
    share = load.jobs / len(others) if others else 0.0
    lines: list[CostLine] = []
    for queue in queues:
        work = [
            (load.jobs_of.get(task.name, share), load.seconds_of.get(task.name, load.seconds)) for task in queue.tasks
        ]
        lines += _of_queue(queue, sum(jobs for jobs, _ in work), sum(jobs * one for jobs, one in work), load, prices)
    lines += _schedules(env, prices)
    if queues:
        lines.append(_line("dashboard", "all", 1, "dashboard", prices.dashboard_month, "one for some 400 tasks"))
    return Estimate(lines=tuple(lines), assumptions=tuple(_assumptions(load, prices, bool(load.seconds_of))))


def _of_queue(queue: GenericQueue, jobs: float, seconds: float, load: Load, prices: Prices) -> Iterator[CostLine]:
    name, runs_on = queue.get_sqs_queue_name(), queue.settings.runs_on
    request = prices.sqs_fifo_request if queue.fifo else prices.sqs_standard_request
    tasks = 1 if runs_on == "lambda" else max(math.ceil(seconds / (_SECONDS * load.concurrency)), 1)
    pollers = _LAMBDA_POLLERS if runs_on == "lambda" else tasks
    polls = pollers * _SECONDS / _POLL_SECONDS
    busy = 3 * jobs / load.jobs_per_request
    how = f"send, receive and delete of {jobs:,.0f} jobs, and {pollers} long poll{'s' * (pollers > 1)} all the time"
    yield _line("SQS requests", name, busy + polls, "requests", request, how)
    if runs_on == "lambda":
        calls = jobs / load.jobs_per_request
        yield _line("Lambda calls", name, calls, "calls", prices.lambda_request, "a call for each receive")
        gigabytes = load.memory_mib / 1024
        how = f"{seconds:,.0f} s of jobs with {load.memory_mib} MiB"
        yield _line("Lambda time", name, seconds * gigabytes, "GB s", prices.lambda_gb_second, how)
    elif runs_on == "fargate":
        price = load.vcpus * prices.fargate_vcpu_hour + load.container_mib / 1024 * prices.fargate_gb_hour
        how = f"{seconds:,.0f} s of jobs, {load.concurrency} at once, at least one container"
        yield _line("Fargate time", name, tasks * _HOURS, "container hours", price, how)
    if runs_on in _ALARM_METRICS:
        count = _ALARM_METRICS[runs_on]
        yield _line("alarms", name, count, "metrics read", prices.alarm_metric_month, "what monitor() makes")
        metrics = _TASK_METRICS[runs_on] * len(queue.tasks)
        how = f"{_TASK_METRICS[runs_on]} ends of each task, if every one happens in every hour"
        yield _line("metrics of jobs", name, metrics, "metrics", prices.metric_month, how)
    how = f"{load.log_bytes} bytes for each job"
    yield _line("logs", name, jobs * load.log_bytes / _GB, "GB", prices.log_gb, how)


def _schedules(env: SQSEnv, prices: Prices) -> Iterator[CostLine]:
    now = datetime.fromtimestamp(env.client.now(), UTC) if env.client.is_in_memory else datetime.now(UTC)
    end, runs = now + timedelta(days=_DAYS), 0
    for one in env.schedules.values():
        if one.schedule.enabled:
            runs += sum(1 for run in islice(one.schedule.runs(now), _MOST_RUNS) if run <= end)
    if runs:
        yield _line("schedules", "all", runs, "runs", prices.schedule_run, "the next 30 days")


def _line(what: str, of: str, quantity: float, unit: str, price: float, how: str) -> CostLine:
    return CostLine(what=what, of=of, quantity=quantity, unit=unit, dollars=quantity * price, how=how)


def _assumptions(load: Load, prices: Prices, is_measured: bool) -> Iterator[str]:
    yield f"prices: {prices.source}; {prices.region}, {prices.as_of}"
    measured = ", those of the tasks that are named as long as is given" if is_measured else ""
    yield f"a job runs for {load.seconds:g} s{measured}; the worker's log and metrics say what it is"
    yield f"{load.jobs_per_request:g} job{'s' * (load.jobs_per_request != 1)} in a request; bodies of up to 64 KiB"
    yield f"functions have {load.memory_mib} MiB on arm64, one job at a time; retries cost as a job each"
    yield f"containers have {load.vcpus:g} vCPU and {load.container_mib} MiB on arm64, {load.concurrency} jobs at once"
    yield "metrics of jobs are counted in full, although a metric costs only for the hours in which it occurs"
    yield "not counted: your own AWS services, traffic, NAT gateways, endpoints, keys, Container Insights, the store"


def as_rows(found: Estimate) -> list[dict[str, Any]]:
    """The lines as plain data of JSON."""
    return [
        {
            "what": line.what,
            "of": line.of,
            "quantity": round(line.quantity, 3),
            "unit": line.unit,
            "dollars": round(line.dollars, 4),
            "how": line.how,
        }
        for line in found.lines
    ]
