"""The schedules of a registry: EventBridge Scheduler sends the jobs.

The target is the universal one, ``aws-sdk:sqs:sendMessage``. The one that Scheduler has for SQS sends a body and a
group alone, and a message without attributes names no task.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, TypedDict, Unpack, cast

from aws_cdk import Acknowledgment, ArnFormat, CfnOutput, Stack, Token, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk.dead_letter_queue import DeadLetterQueue
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.manifest_schedules import ManifestSchedule, event_age_seconds, start_date, utc
from sqs_tasks_cdk.name_claims import claim_name
from sqs_tasks_cdk.queue_metrics import METRIC_PERIOD
from sqs_tasks_cdk.queue_rights import SEND_KEY_ACTIONS, grant_key
from sqs_tasks_cdk.queue_urls import Worker
from sqs_tasks_cdk.settings import given
from sqs_tasks_cdk.target_variables import HasEnvironment, TargetVariables
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.task_queues import TaskQueues

#: Where a process learns the group, the role and the queue for what could not be sent.
GROUP_VARIABLE: Final = "SQS_TASKS_SCHEDULE_GROUP"
ROLE_VARIABLE: Final = "SQS_TASKS_SCHEDULER_ROLE_ARN"
DEAD_LETTER_VARIABLE: Final = "SQS_TASKS_SCHEDULER_DEAD_LETTER_ARN"

#: How often Scheduler tries within the maximum age of an event; its default.
MAX_RETRY_ATTEMPTS: Final = 185


class TaskSchedulesSettings(TypedDict, total=False):
    """Settings of :class:`TaskSchedules`, besides its queues."""

    #: The name of the schedule group; generated when left out.
    group_name: str | None

    #: The name of the queue for what could not be sent; generated when left out.
    dead_letter_queue_name: str | None

    #: A KMS key for that queue in place of SSE-SQS.
    encryption_master_key: kms.IKey | None

    #: Whether single jobs that are due later may be held here, for any queue of the registry; see
    #: :meth:`TaskSchedules.grant_delays`.
    delays: bool | None

    #: Whether the registry's own schedules are left out, and single jobs alone are held here.
    without_schedules: bool | None


class TaskSchedules(Construct):
    """A schedule group with the schedules of a registry, the role they send with, and a queue for what cannot be sent.

    The role may send to the queues that have schedules, and nobody but this group in this account may use it. A run is
    tried again until the next one is due, for a day at most.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        queues: The queues; in another stack they are known by name.
        settings: See :class:`TaskSchedulesSettings`; all may be left out.

    Attributes:
        group: The schedule group.
        group_name: Its name, for ``sqs-tasks schedules --group``.
        role: The role.
        dead_letter_queue: Where a run goes that Scheduler gave up.
        schedules: The schedules by name.

    Raises:
        StackError: A schedule for a queue in another region.
        TypeError: There is no such setting.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, queues: TaskQueues, **settings: Unpack[TaskSchedulesSettings]
    ) -> None:
        settings = given(settings, TaskSchedulesSettings, construct="TaskSchedules")
        super().__init__(scope, construct_id)
        self._queues = queues
        self._is_apart = Stack.of(self) is not Stack.of(queues)
        claim_name(self, "schedule group", settings.get("group_name"))
        self.group = scheduler.CfnScheduleGroup(self, "Group", name=settings.get("group_name"))
        self.group_name = self.group.ref
        self.dead_letter_queue = self._make_dead_letter_queue(settings)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {
                        "aws:SourceAccount": Stack.of(self).account,
                        "aws:SourceArn": self.group.attr_arn,
                    }
                },
            ),
            description="What EventBridge Scheduler sends the jobs of schedules with",
        )
        self.schedules: dict[str, scheduler.CfnSchedule] = {}
        self._has_delays = bool(settings.get("delays"))
        targets = [self.dead_letter_queue.queue_arn]
        self._let_use_key(self.dead_letter_queue, "undelivered runs of schedules")
        for registered in queues.manifest.queues:
            listed = [schedule for task in registered.tasks for schedule in task.schedules]
            if settings.get("without_schedules") or registered.name not in queues.queues:
                listed = []  # or they are in the stack that makes the queue
            if not listed and not self._has_delays:
                continue
            queue = self._queue(registered.name)
            self._check_region(queue)
            targets.append(queue.queue.queue_arn)
            self._let_use_key(queue.queue, queue.logical_name)
            for schedule in listed:
                self.schedules[schedule.name] = self._make(schedule, queue)
        self.role.add_to_policy(iam.PolicyStatement(actions=["sqs:SendMessage"], resources=targets))
        policy = self.role.node.find_child("DefaultPolicy")
        for made in self.schedules.values():
            made.node.add_dependency(policy)  # a rate without a start runs as soon as it is made
        CfnOutput(self, "GroupName", value=self.group_name, description="For sqs-tasks schedules --group")

    def __iter__(self) -> Iterator[scheduler.CfnSchedule]:
        """The schedules, in the order of registration."""
        return iter(self.schedules.values())

    def grant_delays(self, grantee: iam.IGrantable | Worker) -> iam.Grant:
        """Let ``grantee`` hold jobs here that are due later than SQS can hold them back, and take them back.

        It learns the group, the role and the queue for what could not be sent by its environment, if it has one. It
        may make and delete the schedules of single jobs alone, not those of the registry.

        Raises:
            StackError: These schedules were made without ``delays=True``.
        """
        if not self._has_delays:
            raise StackError(
                "these schedules are not for single jobs; their role may send to queues with schedules alone; "
                "make them with delays=True"
            )
        environment = grantee.queue_environment if isinstance(grantee, Worker) else grantee
        if isinstance(environment, HasEnvironment):
            variables, instead = TargetVariables.of(environment), "grant_delays()"
            variables.set(GROUP_VARIABLE, self.group_name, instead=instead)
            variables.set(ROLE_VARIABLE, self.role.role_arn, instead=instead)
            variables.set(DEAD_LETTER_VARIABLE, self.dead_letter_queue.queue_arn, instead=instead)
        principal = cast("iam.IGrantable", grantee.role) if isinstance(grantee, Worker) else grantee
        stack = Stack.of(self)
        grant = iam.Grant.add_to_principal(
            grantee=principal,
            actions=["scheduler:CreateSchedule", "scheduler:DeleteSchedule"],
            resource_arns=[
                stack.format_arn(service="scheduler", resource="schedule", resource_name=f"{self.group_name}/job-*")
            ],
        )
        passing = iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[self.role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        )
        principal.grant_principal.add_to_principal_policy(passing)
        if isinstance(grantee, Worker):
            self._acknowledge(grantee.role)
        return grant

    def metric_undelivered(self) -> cloudwatch.Metric:
        """How many runs lie in the queue for what could not be sent."""
        return self.dead_letter_queue.metric_approximate_number_of_messages_visible(
            period=METRIC_PERIOD, statistic="Maximum"
        )

    def _make(self, schedule: ManifestSchedule, queue: TaskQueue) -> scheduler.CfnSchedule:
        flexible = schedule.flexible_minutes
        stack = Stack.of(self)
        return scheduler.CfnSchedule(
            self,
            schedule.name,
            name=schedule.name,
            group_name=self.group_name,
            description=f"Adds jobs to queue {queue.logical_name}",
            state="ENABLED" if schedule.enabled else "DISABLED",
            schedule_expression=schedule.expression,
            schedule_expression_timezone=schedule.timezone,
            start_date=start_date(
                start=schedule.start,
                expression=schedule.expression,
                period_seconds=schedule.period_seconds,
                now=datetime.now(UTC),
            ),
            end_date=None if schedule.end is None else utc(schedule.end),
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                mode="OFF" if flexible is None else "FLEXIBLE", maximum_window_in_minutes=flexible
            ),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=stack.format_arn(
                    service="scheduler",
                    region="",
                    account="",
                    resource="aws-sdk:sqs:sendMessage",
                    arn_format=ArnFormat.NO_RESOURCE_NAME,
                ),
                role_arn=self.role.role_arn,
                input=stack.to_json_string({"QueueUrl": queue.queue.queue_url, **schedule.request}),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=event_age_seconds(schedule),
                    maximum_retry_attempts=MAX_RETRY_ATTEMPTS,
                ),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=self.dead_letter_queue.queue_arn),
            ),
        )

    def _make_dead_letter_queue(self, settings: TaskSchedulesSettings) -> sqs.Queue:
        made = DeadLetterQueue(
            self,
            "Undelivered",
            logical_name="undelivered",
            queue_name=settings.get("dead_letter_queue_name"),
            encryption_master_key=settings.get("encryption_master_key"),
        ).queue
        Validations.of(made).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-SQS3",
                reason="This is a dead-letter queue; EventBridge Scheduler names it, and not a redrive policy",
            )
        )
        return made

    def _acknowledge(self, role: iam.IRole) -> None:
        """Answer cdk-nag where it asks for no wildcard: the ids of jobs that are yet to be sent are not known."""
        stack = Stack.of(self)
        region, account = (
            f"<AWS::{name}>" if Token.is_unresolved(value) else value
            for name, value in (("Region", stack.region), ("AccountId", stack.account))
        )
        jobs = f"schedule/<{stack.get_logical_id(self.group)}>/job-*"
        Validations.of(role).acknowledge(
            Acknowledgment(
                id=f"AwsSolutions::AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:scheduler:{region}:{account}:{jobs}]",
                reason="Each job that is due later is a schedule named by the job's id, in this group alone",
            )
        )

    def _let_use_key(self, queue: sqs.IQueue, name: str) -> None:
        key = queue.encryption_master_key
        if key is not None:
            grant_key(key, self.role, SEND_KEY_ACTIONS, name=name)

    def _queue(self, name: str) -> TaskQueue:
        queue = self._queues[name]
        return queue.reference_in(self, f"{name}-reference") if self._is_apart else queue

    def _check_region(self, queue: TaskQueue) -> None:
        theirs, ours = queue.queue.env.region, Stack.of(self).region
        if not Token.is_unresolved(theirs) and not Token.is_unresolved(ours) and theirs != ours:
            raise StackError(
                f"queue {queue.logical_name!r} is in {theirs} and its schedules would be in {ours}; EventBridge "
                f"Scheduler sends within its own region; give the registry of that queue a stack in {theirs}"
            )


def has_schedules(queues: TaskQueues) -> bool:
    """Whether any task of the registry has one."""
    return any(task.schedules for queue in queues for task in queue.tasks)
