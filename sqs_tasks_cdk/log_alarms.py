"""Alarms on what workers log: which tasks' jobs were rejected, or which task was asked for that nobody has registered.

Metrics never have a dimension by what a message says, because its sender could make new ones. A log alarm may: it
queries the lines of the last minutes, counts them by the name in the message, and quotes some of them to its reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from sqs_tasks_cdk.acknowledgements import allow_on_all_resources
from sqs_tasks_cdk.alarm_options import AlarmPolicy
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.job_metrics import LOGGED
from sqs_tasks_cdk.lambda_worker import LambdaWorker

#: What the alarm is called after the queue.
KIND: Final = "rejected"

#: Lines that go into the notification, of the 50 that CloudWatch allows.
_QUOTED_LINES: Final = 5

#: Seconds that a query looks back, and seconds for which lines may be under way from a worker to the query.
_WINDOW_SECONDS: Final = 300
_DELAY_SECONDS: Final = 60

#: What is counted: jobs that are given up, and jobs of a task that is not registered.
_ACTIONS: Final = (LOGGED["JobsDeadLettered"], LOGGED["JobsUnknown"])


class LogAlarms(Construct):
    """An alarm for each log group of workers, that counts rejected and unknown jobs by the name in their messages.

    A line is read once: each query takes the five minutes that the one before did not.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        policy: Which alarms there are, what they are called, and whom they notify.

    Attributes:
        by_name: The alarms, as in ``"emails rejected"``.
    """

    def __init__(self, scope: Construct, construct_id: str, *, policy: AlarmPolicy) -> None:
        super().__init__(scope, construct_id)
        self.by_name: dict[str, cloudwatch.CfnLogAlarm] = {}
        self._policy = policy
        self._note = f" Tells nobody: {policy.declined}." if policy.declined else ""
        self._roles: tuple[iam.Role, iam.Role] | None = None

    def watch(self, workers: Iterable[LambdaWorker | FargateWorker]) -> None:
        """Watch workers whose log groups are known; queues that share a function share its alarm."""
        for worker in workers:
            if worker.log_group is not None:
                name = worker.task_queue.logical_name if isinstance(worker, LambdaWorker) else worker.node.id
                self._add(f"{name} {KIND}", name, worker.log_group)

    def _add(self, name: str, worker: str, log_group: logs.ILogGroup) -> None:
        options = self._policy.of(name)
        if options is None:
            return
        queries, lines = self._roles or self._make_roles()
        for role, actions in (
            (queries, ["logs:StartQuery", "logs:GetQueryResults"]),
            (lines, ["logs:GetQueryResults"]),
        ):
            log_group.grant(role, *actions)
        periods = options.periods or 1
        alarm = cloudwatch.CfnLogAlarm(
            self,
            name,
            alarm_name=options.alarm_name,
            alarm_description=f"Jobs for the worker of {worker} were rejected, or no task is registered for them; it "
            f"says for which tasks, and quotes the log. Severity: {options.severity}. Runbook: {options.runbook}."
            f"{self._note}",
            scheduled_query_configuration=cloudwatch.CfnLogAlarm.ScheduledQueryConfigurationProperty(
                query_string="fields @timestamp, @message, action, queue_name, job_name "
                f"| filter action in [{', '.join(repr(action) for action in _ACTIONS)}]",
                aggregation_expression="count(*) by queue_name, job_name, action",
                log_group_identifiers=[log_group.log_group_name],
                schedule_configuration=cloudwatch.CfnLogAlarm.ScheduleConfigurationProperty(
                    schedule_expression=f"rate({_WINDOW_SECONDS // 60} minutes)",
                    start_time_offset=_WINDOW_SECONDS + _DELAY_SECONDS,
                    end_time_offset=_DELAY_SECONDS,
                ),
                scheduled_query_role_arn=queries.role_arn,
            ),
            threshold=0 if options.threshold is None else options.threshold,
            comparison_operator="GreaterThanThreshold",
            query_results_to_evaluate=periods,
            query_results_to_alarm=periods if options.datapoints is None else options.datapoints,
            treat_missing_data="notBreaching",
            action_log_line_count=_QUOTED_LINES,
            action_log_line_role_arn=lines.role_arn,
        )
        # CloudWatch asks for the right when the alarm is made.
        alarm.node.add_dependency(queries, lines)
        actions_of = self._arns(alarm, name, self._policy.actions(str(options.severity)))
        alarm.alarm_actions, alarm.ok_actions = actions_of, list(actions_of)
        self.by_name[name] = alarm

    def _make_roles(self) -> tuple[iam.Role, iam.Role]:
        queries = iam.Role(self, "QueryRole", assumed_by=iam.ServicePrincipal("logs.amazonaws.com"))
        allow_on_all_resources(
            queries, ["logs:StopQuery"], reason="A query that runs has no resource that a policy could name"
        )
        lines = iam.Role(self, "LineRole", assumed_by=iam.ServicePrincipal("cloudwatch.amazonaws.com"))
        self._roles = (queries, lines)
        return self._roles

    def _arns(self, alarm: cloudwatch.CfnLogAlarm, name: str, actions: Sequence[cloudwatch.IAlarmAction]) -> list[str]:
        scope = Construct(self, f"{name} Actions")
        # Its id becomes a part of the id of a function's permission, so it is another for each alarm.
        seen = cloudwatch.Alarm.from_alarm_arn(scope, name, alarm.attr_arn)
        return [action.bind(scope, seen).alarm_action_arn for action in actions]
