"""The number of tasks of a service, by how long its backlog would take them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.places import require_here
from sqs_tasks_cdk.queue_metrics import METRIC_PERIOD
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.unresolved import known

#: Minutes without a message before the last task of a service that may sleep is stopped.
IDLE_MINUTES_BEFORE_SLEEP = 5


def backlog_of_one_task(*, target_latency_seconds: float, mean_task_seconds: float, concurrency: int) -> int:
    """How many messages one task may have before it and still be done with them within the target latency (E2)."""
    return max(1, math.floor(target_latency_seconds * concurrency / mean_task_seconds))


class BacklogScaling(Construct):
    """Scales a Fargate service by the messages that are not done, for each running task (E1).

    Not by the visible ones alone: a message in flight is work, and a service that is scaled in while its last messages
    are in flight kills them. Not by CPU either, which falls while tasks wait and rises while a few are busy: two
    policies on one service fight.

    The number of running tasks is the number of samples of their CPU, one a minute for each, which ECS sends for every
    service. ``RunningTaskCount`` needs Container Insights: in a cluster without them it has no value, no task would
    seem to run, and the service would be scaled to its maximum.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        service: What is scaled.
        task_queues: What it works.
        min_tasks: The least number of tasks; with 0 the service sleeps while there is nothing to do (E3).
        max_tasks: The largest number of tasks.
        backlog_per_task: How many messages one task may have before it.

    Attributes:
        target: What Application Auto Scaling changes.
        policy: The target tracking policy.
        backlog_per_task: What the policy aims at.
        wake_alarm: Starts the first task, or None when one always runs.
        sleep_alarm: Stops the last task, or None when one always runs.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: ecs.FargateService,
        task_queues: Sequence[TaskQueue],
        min_tasks: int,
        max_tasks: int,
        backlog_per_task: int,
    ) -> None:
        super().__init__(scope, construct_id)
        least, most = known(min_tasks), known(max_tasks)
        least = 0 if least is None else least
        if least < 0 or (most is not None and (least > most or most < 1)):
            raise StackError(
                f"min_tasks {min_tasks} and max_tasks {max_tasks}; allowed is 0 or more up to max_tasks, and 1 or more "
                "for max_tasks"
            )
        for queue in task_queues:
            require_here(
                self,
                queue.queue,
                queue.logical_name,
                consequence=", which this stack cannot scale by; make the service in a stack there",
            )
        self._service = service
        self._queues = tuple(task_queues)
        self.target = scaling.ScalableTarget(
            self,
            "Target",
            service_namespace=scaling.ServiceNamespace.ECS,
            resource_id=f"service/{service.cluster.cluster_name}/{service.service_name}",
            scalable_dimension="ecs:service:DesiredCount",
            min_capacity=min_tasks,
            max_capacity=max_tasks,
        )
        self.backlog_per_task = backlog_per_task
        self.policy = self._track(backlog_per_task)
        self.wake_alarm: cloudwatch.Alarm | None = None
        self.sleep_alarm: cloudwatch.Alarm | None = None
        if min_tasks == 0:
            self.wake_alarm = self._wake()
            self.sleep_alarm = self._sleep()

    def metric_backlog_per_task(self) -> cloudwatch.MathExpression:
        """Messages that are not done for each running task; all of them when none runs."""
        return cloudwatch.MathExpression(
            expression=self._per_task_expression,
            using_metrics=self._metrics(),
            period=METRIC_PERIOD,
            label="Backlog per task",
        )

    def metric_running_tasks(self) -> cloudwatch.Metric:
        """How many tasks run: of each, ECS sends one sample a minute, and nothing when none runs."""
        return cloudwatch.Metric(
            namespace="AWS/ECS",
            metric_name="CPUUtilization",
            dimensions_map={
                "ClusterName": self._service.cluster.cluster_name,
                "ServiceName": self._service.service_name,
            },
            period=METRIC_PERIOD,
            statistic="SampleCount",
            label="Running tasks",
        )

    @property
    def _backlog_expression(self) -> str:
        """A queue that is idle for hours reports nothing, so nothing counts as none."""
        terms = (f"FILL(visible{number}, 0) + FILL(flight{number}, 0)" for number in range(len(self._queues)))
        return " + ".join(terms)

    @property
    def _per_task_expression(self) -> str:
        running = "FILL(running, 0)"
        return f"({self._backlog_expression}) / IF({running} > 0, {running}, 1)"

    def _metrics(self) -> dict[str, cloudwatch.IMetric]:
        metrics: dict[str, cloudwatch.IMetric] = {"running": self.metric_running_tasks()}
        for number, queue in enumerate(self._queues):
            metrics[f"visible{number}"] = queue.metric_visible()
            metrics[f"flight{number}"] = queue.metric_in_flight()
        return metrics

    def _track(self, backlog_per_task: int) -> scaling.CfnScalingPolicy:
        """Target tracking on metric math, which Application Auto Scaling takes and the CDK's own construct does not."""
        policy = scaling.CfnScalingPolicy
        queries = [
            policy.TargetTrackingMetricDataQueryProperty(
                id=name,
                return_data=False,
                metric_stat=policy.TargetTrackingMetricStatProperty(
                    metric=policy.TargetTrackingMetricProperty(
                        namespace=metric.namespace,
                        metric_name=metric.metric_name,
                        dimensions=[
                            policy.TargetTrackingMetricDimensionProperty(name=key, value=str(value))
                            for key, value in (metric.dimensions or {}).items()
                        ],
                    ),
                    stat=metric.statistic,
                ),
            )
            for name, metric in self._metrics().items()
            if isinstance(metric, cloudwatch.Metric)
        ]
        queries.append(
            policy.TargetTrackingMetricDataQueryProperty(
                id="per_task", expression=self._per_task_expression, label="Backlog per task", return_data=True
            )
        )
        return policy(
            self,
            "Policy",
            policy_name=f"{self._service.node.addr}-backlog",
            policy_type="TargetTrackingScaling",
            scaling_target_id=self.target.scalable_target_id,
            target_tracking_scaling_policy_configuration=policy.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=backlog_per_task,
                customized_metric_specification=policy.CustomizedMetricSpecificationProperty(metrics=queries),
                scale_out_cooldown=int(Duration.minutes(1).to_seconds()),
                scale_in_cooldown=int(Duration.minutes(5).to_seconds()),
            ),
        )

    def _wake(self) -> cloudwatch.Alarm:
        """A step that starts the first task: target tracking multiplies, and nothing times anything is nothing."""
        action = scaling.StepScalingAction(
            self,
            "Wake",
            scaling_target=self.target,
            adjustment_type=scaling.AdjustmentType.CHANGE_IN_CAPACITY,
            cooldown=Duration.minutes(1),
        )
        action.add_adjustment(adjustment=1, lower_bound=0)
        alarm = cloudwatch.Alarm(
            self,
            "WakeAlarm",
            alarm_description="Messages wait and no task runs: the first task is started",
            metric=cloudwatch.MathExpression(
                expression=f"IF(FILL(running, 0) == 0 AND ({self._backlog_expression}) > 0, 1, 0)",
                using_metrics=self._metrics(),
                period=METRIC_PERIOD,
                label="Asleep with work to do",
            ),
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.ApplicationScalingAction(action))
        return alarm

    def _sleep(self) -> cloudwatch.Alarm:
        action = scaling.StepScalingAction(
            self,
            "Sleep",
            scaling_target=self.target,
            adjustment_type=scaling.AdjustmentType.EXACT_CAPACITY,
            cooldown=Duration.minutes(1),
        )
        action.add_adjustment(adjustment=0, upper_bound=0)
        alarm = cloudwatch.Alarm(
            self,
            "SleepAlarm",
            alarm_description="Nothing to do: the last task is stopped",
            metric=cloudwatch.MathExpression(
                expression=self._backlog_expression,
                using_metrics={name: metric for name, metric in self._metrics().items() if name != "running"},
                period=METRIC_PERIOD,
                label="Backlog",
            ),
            threshold=0,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=IDLE_MINUTES_BEFORE_SLEEP,
            treat_missing_data=cloudwatch.TreatMissingData.IGNORE,
        )
        alarm.add_alarm_action(actions.ApplicationScalingAction(action))
        return alarm
