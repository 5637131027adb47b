"""What CloudWatch knows of a queue."""

from __future__ import annotations

import math
from typing import Any, Final, TypedDict, Unpack

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.manifest import ManifestTask

#: How fine SQS's own metrics are.
METRIC_PERIOD: Final = Duration.minutes(1)


class MetricSettings(TypedDict, total=False):
    """How a metric is read and shown; what ``aws_cloudwatch.Metric`` takes."""

    account: str
    color: str
    label: str
    period: Duration
    region: str
    statistic: str


class QueueMetrics:
    """The metrics of a queue: one half of :class:`~sqs_tasks_cdk.task_queue.TaskQueue`, which sets the attributes."""

    logical_name: str
    fifo: bool
    queue: sqs.IQueue
    explicit_queue_name: str | None
    dead_letter_queue: sqs.IQueue | None
    explicit_dead_letter_queue_name: str | None
    tasks: tuple[ManifestTask, ...]

    @property
    def pace(self) -> Duration:
        """A period so long that of three in a row one sees the end of a job, however long it may run."""
        return Duration.minutes(max(5, math.ceil(rules.longest_timeout_seconds(self.tasks) / 2 / 60)))

    def metric_age_of_oldest(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Seconds that the oldest message has waited.

        On a standard queue messages that were received three times no longer count (S25).
        """
        return self._metric("ApproximateAgeOfOldestMessage", "Maximum", settings)

    def metric_visible(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages ready to be received."""
        return self._metric("ApproximateNumberOfMessagesVisible", "Maximum", settings)

    def metric_in_flight(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages being worked on or waiting for their next attempt; SQS allows 120,000 (S37)."""
        return self._metric("ApproximateNumberOfMessagesNotVisible", "Maximum", settings)

    def metric_delayed(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages that SQS holds back."""
        return self._metric("ApproximateNumberOfMessagesDelayed", "Maximum", settings)

    def metric_sent(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages added."""
        return self._metric("NumberOfMessagesSent", "Sum", settings)

    def metric_received(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages delivered, again and again ones included."""
        return self._metric("NumberOfMessagesReceived", "Sum", settings)

    def metric_deleted(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages done. None while messages are received means that the worker's answer is wrong (S14)."""
        return self._metric("NumberOfMessagesDeleted", "Sum", settings)

    def metric_noisy_groups(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Tenants of a fair queue that take so much that others are served before them (S39).

        Raises:
            StackError: The queue is FIFO, where groups are kept in order and not fair.
        """
        return self._fair_metric("ApproximateNumberOfNoisyGroups", settings)

    def metric_visible_in_quiet_groups(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages of a fair queue that are ready, without those of noisy tenants.

        Raises:
            StackError: The queue is FIFO.
        """
        return self._fair_metric("ApproximateNumberOfMessagesVisibleInQuietGroups", settings)

    def metric_age_of_oldest_in_quiet_groups(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Seconds that the oldest message has waited in a fair queue, without those of noisy tenants.

        Raises:
            StackError: The queue is FIFO.
        """
        return self._fair_metric("ApproximateAgeOfOldestMessageInQuietGroups", settings)

    def metric_backlog(self, *, period: Duration = METRIC_PERIOD, label: str = "Backlog") -> cloudwatch.MathExpression:
        """Messages that are not done: ready, in flight and held back."""
        return cloudwatch.MathExpression(
            expression="FILL(visible, 0) + FILL(in_flight, 0) + FILL(held_back, 0)",
            using_metrics={
                "visible": self.metric_visible(period=period),
                "in_flight": self.metric_in_flight(period=period),
                "held_back": self.metric_delayed(period=period),
            },
            period=period,
            label=label,
        )

    def metric_seconds_to_drain(
        self, *, period: Duration = METRIC_PERIOD, label: str = "Seconds to drain"
    ) -> cloudwatch.MathExpression:
        """Seconds until the queue is empty at its present speed; the whole retention when nothing is being done."""
        return cloudwatch.MathExpression(
            expression=(
                f"IF(FILL(visible, 0) == 0, 0, IF(FILL(deleted, 0) == 0, {limits.DEFAULT_RETENTION_SECONDS}, "
                "visible / (deleted / PERIOD(deleted))))"
            ),
            using_metrics={
                "visible": self.metric_visible(period=period),
                "deleted": self.metric_deleted(period=period),
            },
            period=period,
            label=label,
        )

    def metric_nothing_finished(self) -> cloudwatch.MathExpression:
        """1 while messages are received and none is deleted, otherwise 0; by periods of :attr:`pace`."""
        period = self.pace
        return cloudwatch.MathExpression(
            expression="IF(FILL(received, 0) > 0 AND FILL(deleted, 0) == 0, 1, 0)",
            using_metrics={
                "received": self.metric_received(period=period),
                "deleted": self.metric_deleted(period=period),
            },
            period=period,
            label="Received and not finished",
        )

    def metric_dead_letters(self, **settings: Unpack[MetricSettings]) -> cloudwatch.Metric:
        """Messages in the dead-letter queue.

        Not those that were sent to it: what SQS itself moves there does not count as sent.

        Raises:
            StackError: The queue has no dead-letter queue.
        """
        if self.dead_letter_queue is None:
            raise StackError(f"queue {self.logical_name!r} has no dead-letter queue, so none of its metrics")
        return _metric(
            self.explicit_dead_letter_queue_name or self.dead_letter_queue.queue_name,
            "ApproximateNumberOfMessagesVisible",
            "Maximum",
            settings,
        )

    def _metric(self, name: str, statistic: str, settings: MetricSettings) -> cloudwatch.Metric:
        return _metric(self.explicit_queue_name or self.queue.queue_name, name, statistic, settings)

    def _fair_metric(self, name: str, settings: MetricSettings) -> cloudwatch.Metric:
        if self.fifo:
            raise StackError(f"queue {self.logical_name!r} is a FIFO queue, and {name} is for standard queues")
        return self._metric(name, "Maximum", settings)


def _metric(queue_name: str, name: str, statistic: str, settings: MetricSettings) -> cloudwatch.Metric:
    # By the name itself where it is known: a dashboard or alarm in another stack then needs no export (R9).
    options: dict[str, Any] = {"period": METRIC_PERIOD, "statistic": statistic, **settings}
    return cloudwatch.Metric(namespace="AWS/SQS", metric_name=name, dimensions_map={"QueueName": queue_name}, **options)
