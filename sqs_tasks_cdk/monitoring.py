"""Alarms that reach somebody, and a dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from sqs_tasks_cdk.alarms import Alarms, Objectives
from sqs_tasks_cdk.dashboard import TaskDashboard
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.task_queue import TaskQueue


class TaskMonitoring(Construct):
    """Watches queues and their workers.

    It belongs into the stack of the workers, if they have one of their own: it knows queues by name, and functions not.

    Alarms that nobody hears are worse than none, so they need an action, or a reason to have none (C5).

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        queues: What is watched.
        workers: Who works it.
        alarm_topic: Where alarms are told.
        alarm_actions: What else alarms do, when they start and when they end.
        alarms_declined_because: Why alarms tell nobody; goes into their descriptions.
        combined: Whether one composite alarm tells of all, in place of each for itself: one message when much goes
            wrong at once. It ends when the last of them does.
        objectives: What is promised of every queue.
        queue_objectives: What is promised of a queue instead, by its logical name.
        with_dashboard: Whether there is a dashboard; the first three of an account are free.
        dashboard_name: Generated when left out.

    Attributes:
        composite_alarm: The one that tells of all, or None.
        alarms: The alarms by name: a queue's logical name and what it watches, as in ``"emails dead-letters"``.
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
        alarm_topic: sns.ITopic | None = None,
        alarm_actions: Sequence[cloudwatch.IAlarmAction] = (),
        alarms_declined_because: str | None = None,
        combined: bool = False,
        objectives: Objectives | None = None,
        queue_objectives: Mapping[str, Objectives] | None = None,
        with_dashboard: bool = True,
        dashboard_name: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        given = [*alarm_actions, *([] if alarm_topic is None else [actions.SnsAction(alarm_topic)])]
        if not given and not alarms_declined_because:
            raise StackError(
                "alarms would tell nobody; give alarm_topic= or alarm_actions=, or say why not with "
                "alarms_declined_because='...'"
            )
        if given and alarms_declined_because:
            raise StackError("alarms_declined_because= together with an action; leave out one or the other")
        for name in queue_objectives or {}:
            if name not in {queue.logical_name for queue in queues}:
                raise StackError(
                    f"queue_objectives for {name!r}, which is not watched; watched are "
                    f"{', '.join(repr(queue.logical_name) for queue in queues)}"
                )
        common = objectives if objectives is not None else Objectives()

        def objectives_of(name: str) -> Objectives:
            return (queue_objectives or {}).get(name, common)

        note = f" Tells nobody: {alarms_declined_because}." if alarms_declined_because else ""
        alarms = Alarms(self, "Alarms", actions=() if combined else given, note=note)
        for queue in queues:
            alarms.watch_queue(queue, objectives_of(queue.logical_name))
        for worker in workers:
            if isinstance(worker, LambdaWorker):
                alarms.watch_function(worker, objectives_of(worker.task_queue.logical_name))
            else:
                alarms.watch_service(worker)
        self.alarms = alarms.by_name
        self.composite_alarm = alarms.combine(given) if combined else None
        self.dashboards = (
            TaskDashboard(
                self,
                "Page",
                queues=queues,
                workers=workers,
                objectives=objectives_of,
                dashboard_name=dashboard_name,
            ).dashboards
            if with_dashboard
            else []
        )
        self.dashboard = self.dashboards[0] if self.dashboards else None
