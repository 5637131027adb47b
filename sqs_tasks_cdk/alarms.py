"""When somebody should look at a queue or its worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Annotations, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.alarm_options import AlarmPolicy
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.schedules import TaskSchedules
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.unresolved import known, known_seconds, needed

#: Alarms in the rule of one composite alarm, which may have 10,240 characters.
_MAX_COMBINED: Final = 40

#: The least that is promised of a queue, in seconds; slow tasks need longer.
_AGE_SECONDS: Final = 900
_DRAIN_SECONDS: Final = 3_600

#: Runs of its slowest task that a message may wait for before somebody should look.
_RUNS_TO_WAIT_FOR: Final = 2

_FIVE_MINUTES = Duration.minutes(5)
_GREATER = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
_AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
_LESS = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """What is promised of a queue.

    Attributes:
        age: How old the oldest message may get; 15 minutes when left out, or twice the longest timeout of its tasks. A
            message is as old while its job runs. The first backoffs of tasks should be shorter (S25).
        time_to_drain: How long the backlog may take at the present speed; an hour when left out, or twice the longest
            timeout of its tasks.
        in_flight_share: The share of the 120,000 messages in flight that SQS allows.
        duration_share: The share of the function timeout that the slowest twentieth of invocations may take; at least
            what the task with the longest timeout may take.
    """

    age: Duration | None = None
    time_to_drain: Duration | None = None
    in_flight_share: float = 0.8
    duration_share: float = 0.8

    def age_seconds(self, queue: TaskQueue) -> float:
        """How old the oldest message of this queue may get."""
        least = max(_AGE_SECONDS, _RUNS_TO_WAIT_FOR * rules.longest_timeout_seconds(queue.tasks))
        return least if self.age is None else self.age.to_seconds()

    def drain_seconds(self, queue: TaskQueue) -> float:
        """How long the backlog of this queue may take."""
        least = max(_DRAIN_SECONDS, _RUNS_TO_WAIT_FOR * rules.longest_timeout_seconds(queue.tasks))
        return least if self.time_to_drain is None else self.time_to_drain.to_seconds()


class Alarms(Construct):
    """Makes alarms.

    Nothing in a metric is not a breach: a queue that is idle for hours reports nothing at all.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        policy: Which alarms there are, what they are called, and whom they notify.
        silent: Whether the alarms themselves do nothing, because others that combine them do.

    Attributes:
        by_name: The alarms, as in ``"emails dead-letters"``.
        severities: How urgent each is, by its name.
    """

    def __init__(self, scope: Construct, construct_id: str, *, policy: AlarmPolicy, silent: bool = False) -> None:
        super().__init__(scope, construct_id)
        self.by_name: dict[str, cloudwatch.Alarm] = {}
        self.severities: dict[str, str] = {}
        self._policy = policy
        self._is_silent = silent
        self._note = f" Tells nobody: {policy.declined}." if policy.declined else ""

    def watch_queue(self, queue: TaskQueue, objectives: Objectives) -> None:
        """Watch what lies in a queue and its dead-letter queue."""
        name = queue.logical_name
        # Of three such periods in a row one sees the end of a job, however long it may run.
        pace = queue.pace
        self._check_age(queue, objectives)
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
            # Of a fair queue it is the noisy tenants' own: the others are watched below.
            threshold=_longer(objectives.age_seconds(queue), objectives.drain_seconds(queue))
            if is_fair(queue)
            else objectives.age_seconds(queue),
            periods=3,
        )
        if is_fair(queue):
            self._add(
                f"{name} quiet-age",
                f"The oldest message of queue {name} waits longer than its objective, and its tenant is not one of "
                "those that take so much: the worker is too slow for all",
                queue.metric_age_of_oldest_in_quiet_groups(),
                threshold=objectives.age_seconds(queue),
                periods=3,
            )
        self._add(
            f"{name} time-to-drain",
            f"At its present speed the worker of queue {name} needs longer for its backlog than its objective",
            queue.metric_seconds_to_drain(period=pace),
            threshold=objectives.drain_seconds(queue),
            periods=3,
        )
        self._add(
            f"{name} in-flight",
            f"Queue {name} nears the {limits.MAX_IN_FLIGHT_MESSAGES} messages in flight at which SQS stops delivering; "
            "long backoffs count too",
            queue.metric_in_flight(),
            threshold=limits.MAX_IN_FLIGHT_MESSAGES * _share(objectives.in_flight_share, "in_flight_share"),
        )
        self._add(
            f"{name} nothing-finished",
            f"Messages of queue {name} are received and none is deleted: the worker fails, or answers Lambda wrongly",
            queue.metric_nothing_finished(),
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
        if not worker.timeout.is_unresolved():
            self._add(
                f"{name} duration",
                f"Invocations for queue {name} come near the function timeout, after which the whole batch runs again",
                function.metric_duration(period=_FIVE_MINUTES, statistic="p95"),
                # One run of the task with the longest timeout is as it should be, however near the function timeout.
                threshold=max(
                    worker.timeout.to_milliseconds() * _share(objectives.duration_share, "duration_share"),
                    1_000 * rules.longest_timeout_seconds(worker.task_queue.tasks),
                ),
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

    def combine(
        self, construct_id: str, actions: Sequence[cloudwatch.IAlarmAction], *, severity: str | None = None
    ) -> cloudwatch.CompositeAlarm:
        """One alarm that goes off when any of them does, and that tells it once.

        Args:
            construct_id: The id of the alarm.
            actions: What it does when it starts and when it ends.
            severity: Combine the alarms of this severity alone.
        """
        alarms: list[cloudwatch.IAlarm] = [
            alarm for name, alarm in self.by_name.items() if severity in {None, self.severities[name]}
        ]
        parts: list[cloudwatch.IAlarm] = alarms
        if len(alarms) > _MAX_COMBINED:
            stem = "" if severity is None else severity
            chunks = [alarms[start : start + _MAX_COMBINED] for start in range(0, len(alarms), _MAX_COMBINED)]
            parts = [self._composite(f"{stem}Part{number}", chunk) for number, chunk in enumerate(chunks, 1)]
        composite = self._composite(construct_id, parts)
        for action in actions:
            composite.add_alarm_action(action)
            composite.add_ok_action(action)
        return composite

    def _composite(self, construct_id: str, alarms: Sequence[cloudwatch.IAlarm]) -> cloudwatch.CompositeAlarm:
        prefix = self._policy.name_prefix
        return cloudwatch.CompositeAlarm(
            self,
            construct_id,
            composite_alarm_name=None if prefix is None else f"{prefix}{construct_id.lower()}",
            alarm_rule=cloudwatch.AlarmRule.any_of(
                *(cloudwatch.AlarmRule.from_alarm(alarm, cloudwatch.AlarmState.ALARM) for alarm in alarms)
            ),
            alarm_description=f"Something is wrong with the tasks; its alarms say what.{self._note}",
        )

    def _check_age(self, queue: TaskQueue, objectives: Objectives) -> None:
        longest = rules.longest_timeout_seconds(queue.tasks)
        age = known_seconds(objectives.age)
        if age is not None and age < longest:
            Annotations.of(self).add_warning_v2(
                f"sqs-tasks:age-objective-{queue.logical_name}",
                f"The objective for the age of messages on queue {queue.logical_name!r} is "
                f"{age} s, and a job on it may run {longest} s, in which its message gets "
                f"older: raise the objective above {longest} s, or lower the timeout of the task.",
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
        options = self._policy.of(name)
        if options is None:
            return
        periods = periods if options.periods is None else options.periods
        severity = str(options.severity)
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=options.alarm_name,
            metric=metric,
            threshold=threshold if options.threshold is None else options.threshold,
            comparison_operator=comparison,
            evaluation_periods=periods,
            datapoints_to_alarm=periods if options.datapoints is None else options.datapoints,
            treat_missing_data=missing,
            alarm_description=f"{description}. Severity: {severity}. Runbook: {options.runbook}.{self._note}",
        )
        for action in () if self._is_silent else self._policy.actions(severity):
            alarm.add_alarm_action(action)
            alarm.add_ok_action(action)
        self.by_name[name] = alarm
        self.severities[name] = severity


def is_fair(queue: TaskQueue) -> bool:
    """Whether messages of the queue have tenants, by what its tasks say (``fair_by``)."""
    return not queue.fifo and any(task.fair for task in queue.tasks)


def _longer(age: float, drain: float) -> float:
    """The longer of two objectives; that for the backlog where one is known at the deploy only."""
    return drain if known(age) is None or known(drain) is None else max(age, drain)


def _share(value: float, name: str) -> float:
    return needed(value, what=name, instead="give the alarm itself a threshold, in alarm_options")
