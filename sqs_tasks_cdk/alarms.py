"""When somebody should look at a queue or its worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from sqs_tasks_cdk import limits
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.schedules import TaskSchedules
from sqs_tasks_cdk.task_queue import TaskQueue

#: Alarms in the rule of one composite alarm, which may have 10,240 characters.
_MAX_COMBINED: Final = 40

_FIVE_MINUTES = Duration.minutes(5)
_AGE = Duration.minutes(15)
_TIME_TO_DRAIN = Duration.hours(1)
_GREATER = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
_AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
_LESS = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """What is promised of a queue.

    Attributes:
        age: How old the oldest message may get; 15 minutes. The first backoffs of tasks should be shorter (S25).
        time_to_drain: How long the backlog may take at the present speed; an hour.
        in_flight_share: The share of the 120,000 messages in flight that SQS allows.
        duration_share: The share of the function timeout that the slowest twentieth of invocations may take.
    """

    age: Duration = _AGE
    time_to_drain: Duration = _TIME_TO_DRAIN
    in_flight_share: float = 0.8
    duration_share: float = 0.8


class Alarms(Construct):
    """Makes alarms that tell the same people.

    Nothing in a metric is not a breach: a queue that is idle for hours reports nothing at all.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        actions: What each alarm does when it starts and when it ends.
        note: Added to each description.

    Attributes:
        by_name: The alarms, as in ``"emails dead-letters"``.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, actions: Sequence[cloudwatch.IAlarmAction], note: str = ""
    ) -> None:
        super().__init__(scope, construct_id)
        self.by_name: dict[str, cloudwatch.Alarm] = {}
        self._actions = tuple(actions)
        self._note = note

    def watch_queue(self, queue: TaskQueue, objectives: Objectives) -> None:
        """Watch what lies in a queue and its dead-letter queue."""
        name = queue.logical_name
        if queue.dead_letter_queue is not None:
            self._add(
                f"{name} dead-letters",
                f"A message of queue {name} could not be done. Find the cause, fix it, and redrive within 14 days",
                queue.metric_dead_letters(),
                threshold=0,
            )
        self._add(
            f"{name} age",
            f"The oldest message of queue {name} waits longer than its objective",
            queue.metric_age_of_oldest(),
            threshold=objectives.age.to_seconds(),
            periods=3,
        )
        self._add(
            f"{name} time-to-drain",
            f"At its present speed the worker of queue {name} needs longer for its backlog than its objective",
            queue.metric_seconds_to_drain(period=_FIVE_MINUTES),
            threshold=objectives.time_to_drain.to_seconds(),
            periods=3,
        )
        self._add(
            f"{name} in-flight",
            f"Queue {name} nears the {limits.MAX_IN_FLIGHT_MESSAGES} messages in flight at which SQS stops delivering; "
            "long backoffs count too",
            queue.metric_in_flight(),
            threshold=limits.MAX_IN_FLIGHT_MESSAGES * objectives.in_flight_share,
        )
        self._add(
            f"{name} nothing-finished",
            f"Messages of queue {name} are received and none is deleted: the worker fails, or answers Lambda wrongly",
            cloudwatch.MathExpression(
                expression="IF(FILL(received, 0) > 0 AND FILL(deleted, 0) == 0, 1, 0)",
                using_metrics={
                    "received": queue.metric_received(period=_FIVE_MINUTES),
                    "deleted": queue.metric_deleted(period=_FIVE_MINUTES),
                },
                period=_FIVE_MINUTES,
                label="Received and not finished",
            ),
            threshold=1,
            comparison=_AT_LEAST,
            periods=3,
        )

    def watch_function(self, worker: LambdaWorker, objectives: Objectives) -> None:
        """Watch a function. A failing task is not an error of the function: the handler answers for it (S13)."""
        name, function = worker.task_queue.logical_name, worker.function
        self._add(
            f"{name} errors",
            f"The function of queue {name} itself failed: it could not start, ran out of memory or time, or has a bug",
            function.metric_errors(period=Duration.minutes(1), statistic="Sum"),
            threshold=0,
        )
        self._add(
            f"{name} throttles",
            f"The function of queue {name} is throttled, and each throttled delivery brings its messages nearer to the "
            "dead-letter queue: raise the account's concurrency or lower max_concurrency",
            function.metric_throttles(period=_FIVE_MINUTES, statistic="Sum"),
            threshold=0,
        )
        self._add(
            f"{name} duration",
            f"Invocations for queue {name} come near the function timeout, after which the whole batch runs again",
            function.metric_duration(period=_FIVE_MINUTES, statistic="p95"),
            threshold=worker.timeout.to_milliseconds() * objectives.duration_share,
            periods=3,
        )
        self._add(
            f"{name} recursion",
            f"Lambda stopped a loop through queue {name}: its tasks enqueue themselves. Declare it with "
            "enqueues=[...], or end it",
            function.metric("RecursiveInvocationsDropped", period=Duration.minutes(1), statistic="Sum"),
            threshold=0,
        )

    def watch_schedules(self, schedules: TaskSchedules) -> None:
        """Watch that the runs of schedules reach their queues."""
        self._add(
            "schedules undelivered",
            "A run of a schedule could not be sent to its queue. The attributes of the message say why; fix it, and "
            "run it with 'sqs-tasks schedules run'",
            schedules.metric_undelivered(),
            threshold=0,
        )

    def watch_service(self, worker: FargateWorker) -> None:
        """Watch that a service has the tasks that it should at least have."""
        if worker.min_tasks == 0:
            return
        names = ", ".join(queue.logical_name for queue in worker.task_queues)
        self._add(
            f"{worker.node.id} tasks",
            f"Fewer than {worker.min_tasks} tasks of the service for {names} run: they do not start, or do not stay up",
            worker.scaling.metric_running_tasks(),
            threshold=worker.min_tasks,
            comparison=_LESS,
            periods=5,
            missing=cloudwatch.TreatMissingData.BREACHING,
        )

    def combine(self, actions: Sequence[cloudwatch.IAlarmAction]) -> cloudwatch.CompositeAlarm:
        """One alarm that goes off when any of them does, and that tells it once."""
        alarms: list[cloudwatch.IAlarm] = list(self.by_name.values())
        parts: list[cloudwatch.IAlarm] = alarms
        if len(alarms) > _MAX_COMBINED:
            chunks = [alarms[start : start + _MAX_COMBINED] for start in range(0, len(alarms), _MAX_COMBINED)]
            parts = [self._composite(f"Part{number}", chunk) for number, chunk in enumerate(chunks, 1)]
        composite = self._composite("Any", parts)
        for action in actions:
            composite.add_alarm_action(action)
            composite.add_ok_action(action)
        return composite

    def _composite(self, construct_id: str, alarms: Sequence[cloudwatch.IAlarm]) -> cloudwatch.CompositeAlarm:
        return cloudwatch.CompositeAlarm(
            self,
            construct_id,
            alarm_rule=cloudwatch.AlarmRule.any_of(
                *(cloudwatch.AlarmRule.from_alarm(alarm, cloudwatch.AlarmState.ALARM) for alarm in alarms)
            ),
            alarm_description=f"Something is wrong with the tasks; its alarms say what.{self._note}",
        )

    def _add(
        self,
        name: str,
        description: str,
        metric: cloudwatch.IMetric,
        *,
        threshold: float,
        comparison: cloudwatch.ComparisonOperator = _GREATER,
        periods: int = 1,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=periods,
            datapoints_to_alarm=periods,
            treat_missing_data=missing,
            alarm_description=f"{description}.{self._note}",
        )
        for action in self._actions:
            alarm.add_alarm_action(action)
            alarm.add_ok_action(action)
        self.by_name[name] = alarm
