"""What became of the jobs of an invocation, as CloudWatch metrics in the embedded format (EMF).

By the dimensions ``queue`` and ``task`` (and ``service``): ``JobsSucceeded``, ``JobsRetried``, ``JobsDeadLettered``,
``JobsUnknown``, ``JobsNotStarted``, ``JobsPostponed``, ``JobsSkipped`` as counts, ``Duration`` and ``QueueDelay`` in
milliseconds. By
``queue`` alone: ``ResponsesIgnored``, when the event source mapping turns out to delete failed messages.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from sqs_tasks.aws_lambda import JobReport
from sqs_tasks.outcome import NotStarted, Postponed, Rejected, Skipped, Succeeded, UnknownTask

#: The namespace unless POWERTOOLS_METRICS_NAMESPACE says otherwise; the stack's alarms and dashboards know it.
DEFAULT_NAMESPACE = "SqsTasks"

#: Values of one metric in one line of EMF.
MAX_VALUES = 100


@dataclass(slots=True)
class _Tally:
    """The jobs of one task in one invocation."""

    counts: dict[str, int] = field(default_factory=dict)
    durations: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)


class JobMetrics:
    """Counts jobs as they end and writes one line for each task of an invocation. Safe to share between threads.

    Each task of each queue has some nine metrics, and CloudWatch bills each by the month.

    Args:
        namespace: CloudWatch's namespace.
        service: The ``service`` dimension; None takes POWERTOOLS_SERVICE_NAME, or leaves it out.
        by_queue: Count all tasks of a queue together, without the dimension ``task``.
    """

    def __init__(self, *, namespace: str, service: str | None = None, by_queue: bool = False) -> None:
        self._by_queue = by_queue
        self._namespace = namespace
        self._service = service
        self._lock = threading.Lock()
        self._tallies: dict[tuple[str, str | None], _Tally] = {}
        self._ignored: list[str] = []

    def add(self, report: JobReport) -> None:
        """Count a job."""
        name = metric_name(report)
        with self._lock:
            task_name = None if self._by_queue else report.task_name
            tally = self._tallies.setdefault((report.queue_name, task_name), _Tally())
            tally.counts[name] = tally.counts.get(name, 0) + 1
            if report.duration_seconds is not None:
                tally.durations.append(round(report.duration_seconds * 1000, 3))
                if report.queue_delay_seconds is not None:
                    tally.delays.append(round(report.queue_delay_seconds * 1000, 3))

    def add_ignored(self, queue_name: str) -> None:
        """Count a queue whose answers are ignored."""
        with self._lock:
            self._ignored.append(queue_name)

    def flush(self) -> None:
        """Write what was counted since the last time."""
        with self._lock:
            tallies, self._tallies = self._tallies, {}
            ignored, self._ignored = self._ignored, []
        for queue_name in ignored:
            metrics = EphemeralMetrics(namespace=self._namespace, service=self._service)
            metrics.add_dimension("queue", queue_name)
            metrics.add_metric("ResponsesIgnored", MetricUnit.Count, 1)
            metrics.flush_metrics()
        for (queue_name, task_name), tally in tallies.items():
            for counts, durations, delays in _lines(tally):
                metrics = EphemeralMetrics(namespace=self._namespace, service=self._service)
                metrics.add_dimension("queue", queue_name)
                if task_name is not None:
                    metrics.add_dimension("task", task_name)
                for name, count in counts.items():
                    metrics.add_metric(name, MetricUnit.Count, count)
                for value in durations:
                    metrics.add_metric("Duration", MetricUnit.Milliseconds, value)
                for value in delays:
                    metrics.add_metric("QueueDelay", MetricUnit.Milliseconds, value)
                metrics.flush_metrics()


def metric_name(report: JobReport) -> str:
    """The metric that counts a job with this end."""
    outcome = report.outcome
    if isinstance(outcome, Succeeded):
        return "JobsSucceeded"
    if isinstance(outcome, UnknownTask):
        return "JobsUnknown"
    if isinstance(outcome, NotStarted):
        return "JobsNotStarted"
    if isinstance(outcome, Postponed):
        return "JobsPostponed"
    if isinstance(outcome, Skipped):
        return "JobsSkipped"
    # A rejected job that no dead-letter queue took comes back like any other.
    return "JobsDeadLettered" if isinstance(outcome, Rejected) and report.is_done else "JobsRetried"


def _lines(tally: _Tally) -> Iterator[tuple[dict[str, int], Sequence[float], Sequence[float]]]:
    """What goes into each line: a metric has at most 99 values there, since Powertools writes by itself at 100."""
    step = MAX_VALUES - 1
    longest = max(len(tally.durations), len(tally.delays), 1)
    for start in range(0, longest, step):
        counts = {} if start else tally.counts
        yield counts, tally.durations[start : start + step], tally.delays[start : start + step]
