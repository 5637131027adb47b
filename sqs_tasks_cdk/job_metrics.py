"""The metrics by task that come of workers' logs, as CloudWatch has them.

Functions write them in the embedded format (EMF), by ``queue``, ``service`` and ``task``. Of services, CloudWatch
counts the lines that the worker logs for each job, by the same three. All three are names of the registry and of the
deploy: a metric by what a message says would let its sender make new ones, each of which costs money. A job whose task
nobody has registered is one of the task ``(unknown)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs

from sqs_tasks_cdk.environment import METRICS_NAMESPACE

#: What became of jobs, as counts.
JobCount = Literal[
    "JobsSucceeded",
    "JobsRetried",
    "JobsDeadLettered",
    "JobsUnknown",
    "JobsNotStarted",
    "JobsPostponed",
    "JobsSkipped",
]

#: How long runs took, and how old their messages were when they started, in milliseconds; of services, in seconds.
JobTime = Literal["Duration", "QueueDelay", "DurationSeconds"]

#: Whether jobs are counted by task and queue, or by queue alone, which is fewer metrics.
MetricsBy = Literal["task", "queue"]

#: The ``action`` of the line that a worker logs for a job, by the metric that counts it.
LOGGED: Final[Mapping[JobCount, str]] = {
    "JobsSucceeded": "job_succeeded",
    "JobsRetried": "job_retried",
    "JobsDeadLettered": "job_rejected",
    "JobsUnknown": "unknown_task",
    "JobsPostponed": "job_postponed",
    "JobsSkipped": "job_skipped",
}

#: The lines that say how long a run took.
_TIMED: Final = ("job_succeeded", "job_retried", "job_rejected")

#: The task of jobs that no registered task is for, as the library names it.
UNKNOWN_TASK: Final = "(unknown)"

#: How fine these metrics are shown.
PERIOD: Final = Duration.minutes(1)


def count_logged_jobs(log_group: logs.ILogGroup, *, by: MetricsBy = "task") -> None:
    """Have CloudWatch make metrics of the lines that a service's workers log for each job."""
    for name, action in LOGGED.items():
        _add_filter(log_group, name, logs.FilterPattern.string_value("$.action", "=", action), value="1", by=by)
    timed = [logs.FilterPattern.string_value("$.action", "=", action) for action in _TIMED]
    _add_filter(
        log_group,
        "DurationSeconds",
        logs.FilterPattern.any(*timed),
        value="$.duration_seconds",
        by=by,
        unit=cloudwatch.Unit.SECONDS,
    )


def job_count(
    name: JobCount, *, service: str, queue: str, task: str | None, period: Duration = PERIOD
) -> cloudwatch.Metric:
    """How many jobs of a task ended so.

    Args:
        name: How they ended.
        service: The worker's service name.
        queue: The logical name of the queue.
        task: The name of the task; None for a worker that counts by queue.
        period: Over how long they are added up.
    """
    return _metric(name, "Sum", service=service, queue=queue, task=task, period=period)


def job_time(
    name: JobTime, *, service: str, queue: str, task: str | None, statistic: str = "p95", period: Duration = PERIOD
) -> cloudwatch.Metric:
    """How long a task's jobs took, or waited.

    Args:
        name: Which of the two.
        service: The worker's service name.
        queue: The logical name of the queue.
        task: The name of the task; None for a worker that counts by queue.
        statistic: How many values become one.
        period: Over how long.
    """
    return _metric(name, statistic, service=service, queue=queue, task=task, period=period)


def _metric(
    name: str, statistic: str, *, service: str, queue: str, task: str | None, period: Duration
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name=name,
        dimensions_map={"queue": queue, "service": service, **({} if task is None else {"task": task})},
        statistic=statistic,
        period=period,
        label=name if task is None else f"{task} {name}",
    )


def _add_filter(
    log_group: logs.ILogGroup,
    name: JobCount | JobTime,
    pattern: logs.IFilterPattern,
    *,
    value: str,
    by: MetricsBy,
    unit: cloudwatch.Unit = cloudwatch.Unit.COUNT,
) -> None:
    log_group.add_metric_filter(
        name,
        filter_pattern=pattern,
        metric_namespace=METRICS_NAMESPACE,
        metric_name=name,
        metric_value=value,
        unit=unit,
        dimensions={
            "queue": "$.queue_name",
            "service": "$.service",
            **({"task": "$.task_name"} if by == "task" else {}),
        },
    )
