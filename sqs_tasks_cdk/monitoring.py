"""Alarms that reach somebody, and a dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from sqs_tasks_cdk.alarm_options import AlarmOptions, AlarmPolicy
from sqs_tasks_cdk.alarm_topic import let_cloudwatch_publish
from sqs_tasks_cdk.alarms import Alarms, Objectives
from sqs_tasks_cdk.alarms_in_parts import combined_alarm, watches_of
from sqs_tasks_cdk.dashboard import TaskDashboard
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.log_alarms import LogAlarms
from sqs_tasks_cdk.places import require_here
from sqs_tasks_cdk.schedules import TaskSchedules
from sqs_tasks_cdk.settings import given
from sqs_tasks_cdk.task_queue import TaskQueue


class MonitoringSettings(TypedDict, total=False):
    """Settings of :class:`TaskMonitoring`, besides what it watches."""

    #: Where alarms are published. A topic of this app, and its key, get the statement that lets CloudWatch publish; the
    #: policy of a topic from elsewhere must have it.
    alarm_topic: sns.ITopic | None

    #: Where alarms of a severity (``"critical"``, ``"warning"``) are published instead.
    alarm_topics: Mapping[str, sns.ITopic] | None

    #: What else alarms do, when they start and when they end.
    alarm_actions: Sequence[cloudwatch.IAlarmAction]

    #: Why alarms reach nobody; goes into their descriptions.
    alarms_declined_because: str | None

    #: Whether one composite alarm speaks for all, in place of each for itself: one message when much goes wrong at
    #: once. It ends when the last of them does. With ``alarm_topics`` there is one for each severity.
    combined: bool

    #: What to change of alarms, by what they watch (``"age"``) or by their whole name (``"emails age"``).
    alarm_options: Mapping[str, AlarmOptions] | None

    #: Whether there is a log alarm too for each worker with a log group of its own: it says which tasks' jobs were
    #: rejected, or which task is not registered, and quotes lines. There is none when left out: each log line is then
    #: queried once, which costs.
    log_alarms: bool

    #: Which alarms there are not, by what they watch or by their whole name.
    without_alarms: Sequence[str]

    #: What alarms' names begin with, followed by ``emails-age``; CloudFormation generates names when left out.
    alarm_name_prefix: str | None

    #: The address of a runbook of your own; ``#age`` is added to it. The page of these docs when left out.
    runbook_url: str | None

    #: What is promised of every queue.
    objectives: Objectives | None

    #: What is promised of a queue instead, by its logical name.
    queue_objectives: Mapping[str, Objectives] | None

    #: Whether there is a dashboard; the first three of an account are free. There is one when left out.
    with_dashboard: bool

    #: Generated when left out.
    dashboard_name: str | None


class TaskMonitoring(Construct):
    """Watches queues and their workers.

    It belongs into the stack of the workers, if they have one of their own: it knows queues by name, and functions not.

    Alarms that nobody hears are worse than none, so they need an action, or a reason to have none (C5).

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        queues: What is watched.
        workers: Who works it.
        schedules: What sends jobs by itself.
        settings: See :class:`MonitoringSettings`.

    Attributes:
        composite_alarm: The one that tells of all, or None.
        composite_alarms: The composite alarms by severity, when there are topics by severity.
        alarms: The alarms by name: a queue's logical name and what it watches, as in ``"emails dead-letters"``.
        log_alarms: The log alarms by name, as in ``"emails rejected"``; they notify by themselves, ``combined`` or not.
        dashboard: The dashboard, or None.
        dashboards: The dashboard and what follows it: CloudWatch shows 2,500 metrics on one, which is some 400 tasks.

    Raises:
        StackError: Neither an action nor a reason for none, or both; objectives for a queue that is not watched.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queues: Sequence[TaskQueue],
        workers: Sequence[LambdaWorker | FargateWorker] = (),
        schedules: TaskSchedules | None = None,
        **settings: Unpack[MonitoringSettings],
    ) -> None:
        settings = given(settings, MonitoringSettings, construct="TaskMonitoring")
        super().__init__(scope, construct_id)
        listed = [settings.get("alarm_topic"), *(settings.get("alarm_topics") or {}).values()]
        topics = [topic for topic in listed if topic is not None]
        for topic in topics:
            let_cloudwatch_publish(self, topic)
        given_actions = [*settings.get("alarm_actions", ()), *topics]
        declined = settings.get("alarms_declined_because")
        if not given_actions and not declined:
            raise StackError(
                "alarms would reach nobody; give alarm_topic= or alarm_actions=, or say why not with "
                "alarms_declined_because='...'"
            )
        if given_actions and declined:
            raise StackError("alarms_declined_because= together with an action; leave out one or the other")
        queue_objectives = settings.get("queue_objectives") or {}
        for name in queue_objectives:
            if name not in {queue.logical_name for queue in queues}:
                raise StackError(
                    f"queue_objectives for {name!r}, which is not watched; watched are "
                    f"{', '.join(repr(queue.logical_name) for queue in queues)}"
                )
        for queue in queues:
            require_here(
                self,
                queue.queue,
                queue.logical_name,
                consequence=": an alarm here would never go off; leave it out of queues=[...], and watch it by a "
                "TaskMonitoring in a stack there",
            )
        common = settings.get("objectives") or Objectives()

        def objectives_of(name: str) -> Objectives:
            return queue_objectives.get(name, common)

        combined = bool(settings.get("combined"))
        policy = _policy(settings)
        has_log_alarms = bool(settings.get("log_alarms"))
        watches = watches_of(self, queues, workers, log_alarms=has_log_alarms)
        self.log_alarms: dict[str, cloudwatch.CfnLogAlarm] = {}
        for watch in watches:
            watch.alarms = alarms = Alarms(watch.scope, "Alarms", policy=policy, silent=combined)
            for queue in watch.queues:
                alarms.watch_queue(queue, objectives_of(queue.logical_name))
            for worker in watch.workers:
                if isinstance(worker, LambdaWorker):
                    alarms.watch_function(worker, objectives_of(worker.task_queue.logical_name))
                else:
                    alarms.watch_service(worker)
            if has_log_alarms:
                of_logs = LogAlarms(watch.scope, "LogAlarms", policy=policy)
                of_logs.watch(watch.workers)
                self.log_alarms.update(of_logs.by_name)
        if schedules is not None:
            watches[0].alarms.watch_schedules(schedules)
        policy.close()
        self.alarms = {name: alarm for watch in watches for name, alarm in watch.alarms.by_name.items()}
        self.composite_alarm: cloudwatch.CompositeAlarm | None = None
        self.composite_alarms: dict[str, cloudwatch.CompositeAlarm] = {}
        all_alarms = [watch.alarms for watch in watches]
        if combined and settings.get("alarm_topics"):
            for severity in sorted({one for alarms in all_alarms for one in alarms.severities.values()}):
                self.composite_alarms[severity] = combined_alarm(
                    self, all_alarms, f"Any-{severity}", policy.actions(severity), severity=severity
                )
        elif combined:
            self.composite_alarm = combined_alarm(self, all_alarms, "Any", policy.actions(""))
        self.dashboards: list[cloudwatch.Dashboard] = []
        for number, watch in enumerate(watches, 1):
            if settings.get("with_dashboard", True):
                page = settings.get("dashboard_name")
                self.dashboards += TaskDashboard(
                    watch.scope,
                    "Page",
                    queues=watch.queues,
                    workers=watch.workers,
                    objectives=objectives_of,
                    dashboard_name=page if page is None or len(watches) == 1 else f"{page}-part{number}",
                ).dashboards
        self.dashboard = self.dashboards[0] if self.dashboards else None


def _policy(settings: MonitoringSettings) -> AlarmPolicy:
    by_severity = {
        severity: cloudwatch_actions.SnsAction(topic)
        for severity, topic in (settings.get("alarm_topics") or {}).items()
    }
    topic = settings.get("alarm_topic")
    common = None if topic is None else cloudwatch_actions.SnsAction(topic)
    others = tuple(settings.get("alarm_actions", ()))

    def actions_of(severity: str) -> Sequence[cloudwatch.IAlarmAction]:
        own = by_severity.get(severity, common)
        return others if own is None else (*others, own)

    return AlarmPolicy(
        actions=actions_of,
        declined=settings.get("alarms_declined_because"),
        options=settings.get("alarm_options") or {},
        without=settings.get("without_alarms", ()),
        name_prefix=settings.get("alarm_name_prefix"),
        runbook_url=settings.get("runbook_url"),
    )
