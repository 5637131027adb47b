"""The metrics by task that workers write to their logs, as CloudWatch has them (EMF)."""

from __future__ import annotations

from typing import Final, Literal

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from sqs_tasks_cdk.environment import METRICS_NAMESPACE

#: What became of jobs, as counts.
JobCount = Literal["JobsSucceeded", "JobsRetried", "JobsDeadLettered", "JobsUnknown", "JobsNotStarted"]

#: How long runs took, and how old their messages were when they started, in milliseconds.
JobTime = Literal["Duration", "QueueDelay"]

#: How fine these metrics are shown.
PERIOD: Final = Duration.minutes(1)


def job_count(name: JobCount, *, service: str, queue: str, task: str, period: Duration = PERIOD) -> cloudwatch.Metric:
    """How many jobs of a task ended so.

    Args:
        name: How they ended.
        service: The worker's service name.
        queue: The logical name of the queue.
        task: The name of the task.
        period: Over how long they are added up.
    """
    return _metric(name, "Sum", service=service, queue=queue, task=task, period=period)


def job_time(
    name: JobTime, *, service: str, queue: str, task: str, statistic: str = "p95", period: Duration = PERIOD
) -> cloudwatch.Metric:
    """How long a task's jobs took, or waited.

    Args:
        name: Which of the two.
        service: The worker's service name.
        queue: The logical name of the queue.
        task: The name of the task.
        statistic: How many values become one.
        period: Over how long.
    """
    return _metric(name, statistic, service=service, queue=queue, task=task, period=period)


def _metric(name: str, statistic: str, *, service: str, queue: str, task: str, period: Duration) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name=name,
        dimensions_map={"queue": queue, "service": service, "task": task},
        statistic=statistic,
        period=period,
        label=f"{task} {name}",
    )
