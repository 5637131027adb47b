"""A whole registry, as one construct and as one stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aws_cdk import Environment, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_sns as sns
from constructs import Construct

from sqs_tasks_cdk.alarms import Objectives
from sqs_tasks_cdk.fargate_worker import FargateWorkerSettings
from sqs_tasks_cdk.lambda_worker import LambdaWorkerSettings
from sqs_tasks_cdk.manifest import Manifest
from sqs_tasks_cdk.monitoring import TaskMonitoring
from sqs_tasks_cdk.task_queue import TaskQueueSettings
from sqs_tasks_cdk.task_queues import TaskQueues
from sqs_tasks_cdk.task_workers import TaskWorkers


class SqsTasks(Construct):
    """Queues and workers of a registry in one stack.

    To keep queues when workers are torn down, put a :class:`TaskQueues` and a :class:`TaskWorkers` into stacks of their
    own instead.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        manifest: The registry: ``env.manifest()``, or the path of what ``sqs-tasks manifest`` printed.
        app: Where workers find the registry, as ``module:attribute``; what the manifest says when left out.
        queue_defaults: Settings for every queue.
        queue_settings: Settings by the logical name of a queue.
        lambda_defaults: Settings for every function.
        lambda_settings: Settings for a function by the logical name of its queue.
        fargate_defaults: Settings for every service.
        fargate_settings: Settings for a service by the logical name of its queue.
        cluster: Where services run; made when needed and left out.
        vpc: The network of a new cluster; made when needed and both are left out.

    Attributes:
        manifest: The registry.
        queues: Its queues.
        workers: Its workers.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        manifest: Manifest | Mapping[str, Any] | str | Path,
        app: str | None = None,
        queue_defaults: TaskQueueSettings | None = None,
        queue_settings: Mapping[str, TaskQueueSettings] | None = None,
        lambda_defaults: LambdaWorkerSettings | None = None,
        lambda_settings: Mapping[str, LambdaWorkerSettings] | None = None,
        fargate_defaults: FargateWorkerSettings | None = None,
        fargate_settings: Mapping[str, FargateWorkerSettings] | None = None,
        cluster: ecs.ICluster | None = None,
        vpc: ec2.IVpc | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.manifest = Manifest.read(manifest)
        self.queues = TaskQueues(
            self, "Queues", manifest=self.manifest, defaults=queue_defaults, settings=queue_settings
        )
        self.workers = TaskWorkers(
            self,
            "Workers",
            queues=self.queues,
            app=app,
            lambda_defaults=lambda_defaults,
            lambda_settings=lambda_settings,
            fargate_defaults=fargate_defaults,
            fargate_settings=fargate_settings,
            cluster=cluster,
            vpc=vpc,
        )

    def monitor(
        self,
        construct_id: str = "Monitoring",
        *,
        alarm_topic: sns.ITopic | None = None,
        alarm_actions: Sequence[cloudwatch.IAlarmAction] = (),
        alarms_declined_because: str | None = None,
        combined: bool = False,
        objectives: Objectives | None = None,
        queue_objectives: Mapping[str, Objectives] | None = None,
        with_dashboard: bool = True,
        dashboard_name: str | None = None,
        scope: Construct | None = None,
    ) -> TaskMonitoring:
        """Watch all queues and workers; the arguments are those of :class:`TaskMonitoring`.

        A queue with a function has nine alarms, and a stack holds 500 resources: a registry of more than 25 queues is
        better watched from a ``NestedStack(stack, "Watch")`` as ``scope``. It gets names as parameters and needs no
        exports.

        Raises:
            StackError: Neither an action nor a reason for none, or objectives for a queue that is not there.
        """
        return TaskMonitoring(
            scope if scope is not None else self,
            construct_id,
            queues=list(self.queues),
            workers=list(self.workers),
            alarm_topic=alarm_topic,
            alarm_actions=alarm_actions,
            alarms_declined_because=alarms_declined_because,
            combined=combined,
            objectives=objectives,
            queue_objectives=queue_objectives,
            with_dashboard=with_dashboard,
            dashboard_name=dashboard_name,
        )


class TaskStack(Stack):
    """A stack made from a manifest: what ``cdk deploy`` turns a registry into.

    Args:
        scope: The CDK app.
        construct_id: The stack's id.
        manifest: The registry.
        app: Where workers find the registry; what the manifest says when left out.
        queue_defaults: Settings for every queue.
        queue_settings: Settings by the logical name of a queue.
        lambda_defaults: Settings for every function.
        lambda_settings: Settings for a function by the logical name of its queue.
        fargate_defaults: Settings for every service.
        fargate_settings: Settings for a service by the logical name of its queue.
        cluster: Where services run; made when needed and left out.
        vpc: The network of a new cluster; made when needed and both are left out.
        env: The account and region; those of the deploy's credentials when left out.
        stack_name: The name in CloudFormation; the id when left out.
        description: Of the stack.
        termination_protection: Whether the stack refuses to be deleted.

    Attributes:
        tasks: The registry's constructs.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        manifest: Manifest | Mapping[str, Any] | str | Path,
        app: str | None = None,
        queue_defaults: TaskQueueSettings | None = None,
        queue_settings: Mapping[str, TaskQueueSettings] | None = None,
        lambda_defaults: LambdaWorkerSettings | None = None,
        lambda_settings: Mapping[str, LambdaWorkerSettings] | None = None,
        fargate_defaults: FargateWorkerSettings | None = None,
        fargate_settings: Mapping[str, FargateWorkerSettings] | None = None,
        cluster: ecs.ICluster | None = None,
        vpc: ec2.IVpc | None = None,
        env: Environment | None = None,
        stack_name: str | None = None,
        description: str | None = None,
        termination_protection: bool | None = None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            env=env,
            stack_name=stack_name,
            description=description,
            termination_protection=termination_protection,
        )
        self.tasks = SqsTasks(
            self,
            "Tasks",
            manifest=manifest,
            app=app,
            queue_defaults=queue_defaults,
            queue_settings=queue_settings,
            lambda_defaults=lambda_defaults,
            lambda_settings=lambda_settings,
            fargate_defaults=fargate_defaults,
            fargate_settings=fargate_settings,
            cluster=cluster,
            vpc=vpc,
        )
