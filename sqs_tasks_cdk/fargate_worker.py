"""A Fargate service that works queues by running ``sqs-tasks worker``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Unpack

import jsii
from aws_cdk import Duration
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.acknowledgements import (
    acknowledge,
    acknowledge_actions,
    acknowledge_variables,
    allow_on_all_resources,
)
from sqs_tasks_cdk.backlog_scaling import BacklogScaling, backlog_of_one_task
from sqs_tasks_cdk.bundling import PythonBundle
from sqs_tasks_cdk.defaults import DEFAULT_CONCURRENCY, DEFAULT_HEALTH_PORT, RELEASE_SECONDS
from sqs_tasks_cdk.environment import app_package, service_name_of, worker_environment
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.fargate_settings import FargateSettings, FargateWorkerSettings
from sqs_tasks_cdk.hardened_container import DEFAULT_USER, harden
from sqs_tasks_cdk.job_metrics import MetricsBy, count_logged_jobs
from sqs_tasks_cdk.service_deployment import failing_queue_alarms
from sqs_tasks_cdk.settings import given
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.unresolved import known_seconds, needed, number_text
from sqs_tasks_cdk.worker_logs import worker_log_group
from sqs_tasks_cdk.worker_network import WorkerNetwork

#: As long as Fargate waits between SIGTERM and SIGKILL (E5).
DEFAULT_STOP_TIMEOUT: Final = Duration.seconds(limits.MAX_STOP_TIMEOUT_SECONDS)

#: How long a message should wait at most, by default.
DEFAULT_TARGET_LATENCY: Final = Duration.minutes(1)

#: What to give in place of a number that is known at the deploy only.
_A_NUMBER: Final = "give a number: how many messages a task may have before it is computed from it"

#: The variables that a service has an argument for.
_ARGUMENTS: Final = {
    "SQS_TASKS_CONCURRENCY": "concurrency=",
    "SQS_TASKS_GRACE_SECONDS": "grace_period=",
    "SQS_TASKS_HEALTH_PORT": "health_port=",
    "SQS_TASKS_LOG_LEVEL": "log_level=",
    "SQS_TASKS_LOG_FORMAT": "json, which it is: the metrics by task are counted in JSON lines",
}

#: What a task needs to keep itself from being scaled in while it is busy (E4).
_PROTECTION_ACTIONS: Final = ("ecs:GetTaskProtection", "ecs:UpdateTaskProtection")


__all__ = ["FargateSettings", "FargateWorker", "FargateWorkerSettings", "make_cluster"]


@jsii.implements(iam.IGrantable, ec2.IConnectable)
class FargateWorker(Construct):
    """A service whose tasks run ``sqs-tasks worker`` for one or more queues, scaled by their backlog.

    Tasks may run for hours. The worker extends the visibility of what it works on, so the queue's visibility timeout
    only has to hold one run of the slowest task (R2).

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        task_queues: What the service works.
        app: Where the worker finds its registry, as ``module:attribute``.
        settings: See :class:`FargateSettings`; all may be left out.

    Attributes:
        task_queues: What the service works.
        service_name: Who its logs and metrics say they come from.
        min_tasks: The least number of tasks.
        service: The service.
        cluster: Where it runs.
        task_definition: What it runs.
        container: The worker's container.
        role: What the worker may do; open for further grants.
        log_group: Its logs.
        connections: What its tasks may connect to.
        grant_principal: Who is granted what it is granted.
        scaling: What changes its number of tasks.
        python_version: The Python of an image that is built here, as in ``"3.13"``; None if that is unknown.

    Raises:
        RuleError: R2.
        StackError: Arguments that exclude each other, or times that do not fit.
        TypeError: There is no such setting.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        task_queues: Sequence[TaskQueue],
        app: str,
        **settings: Unpack[FargateSettings],
    ) -> None:
        settings = given(settings, FargateSettings, construct="FargateWorker")
        super().__init__(scope, construct_id)
        self.task_queues = tuple(task_queues)
        self.service_name = service_name_of(
            app, service_name=settings.get("service_name"), user=settings.get("environment")
        )
        self.min_tasks = settings.get("min_tasks", 1)
        if not self.task_queues:
            raise StackError(f"the worker {self.node.path!r} has no queue; give it one or more in task_queues=[...]")
        if "image" in settings and "bundle" in settings:
            raise StackError("image= is an existing image and bundle= says how to build one; give one of them")
        stop_timeout = settings.get("stop_timeout", DEFAULT_STOP_TIMEOUT)
        grace_seconds = self._grace_seconds(stop_timeout, settings.get("grace_period"))
        for queue in self.task_queues:
            self._require_visibility(queue)

        self.cluster = self._cluster(settings.get("cluster"), settings.get("vpc"))
        self.log_group = worker_log_group(self, settings)
        self.metrics_by: MetricsBy = settings.get("metrics", "task")
        count_logged_jobs(self.log_group, by=self.metrics_by)
        self.task_definition = ecs.FargateTaskDefinition(
            self,
            "Definition",
            cpu=settings.get("cpu", 256),
            memory_limit_mib=settings.get("memory_limit_mib", 512),
            task_role=settings.get("role"),
            execution_role=settings.get("execution_role"),
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=settings.get("cpu_architecture") or ecs.CpuArchitecture.ARM64,
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
        )
        self.role = self.task_definition.task_role
        self.container = self._make_container(settings, app=app, stop_timeout=stop_timeout, grace_seconds=grace_seconds)
        network = WorkerNetwork.choose(
            self.cluster.vpc, subnets=settings.get("vpc_subnets"), assign_public_ip=settings.get("assign_public_ip")
        )
        alarms = None
        if "deployment_alarms" in settings:
            alarms = [*failing_queue_alarms(self, self.task_queues), *settings["deployment_alarms"]]
        self.service = ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            task_definition=self.task_definition,
            vpc_subnets=network.subnets,
            security_groups=settings.get("security_groups"),
            assign_public_ip=network.assign_public_ip,
            # What a task costs is then found by the tags of the stack.
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
            enable_ecs_managed_tags=True,
            # A deploy starts the new tasks first and rolls back when they do not stay up.
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            deployment_alarms=ecs.DeploymentAlarmConfig(
                alarm_names=[alarm.alarm_name for alarm in alarms], behavior=ecs.AlarmBehavior.ROLLBACK_ON_ALARM
            )
            if alarms
            else None,
            capacity_provider_strategies=settings.get("capacity_provider_strategies"),
        )
        for queue in self.task_queues:
            queue.grant_consume(self).apply_before(self.service)
        if settings.get("scale_in_protection", True):
            self._allow_protection(is_ours="role" not in settings)
        self.scaling = self._make_scaling(settings)
        self._acknowledge()

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """Who is granted what the worker is granted, as by ``table.grant_read_data(worker)``."""
        return self.role.grant_principal

    @property
    def connections(self) -> ec2.Connections:
        """What the tasks may connect to, as by ``database.connections.allow_default_port_from(worker)``."""
        return self.service.connections

    @property
    def queue_environment(self) -> ecs.ContainerDefinition:
        """Where the URLs of queues are put, as by ``other_queue.grant_send(worker)``."""
        return self.container

    def _make_container(
        self, settings: FargateSettings, *, app: str, stop_timeout: Duration, grace_seconds: float
    ) -> ecs.ContainerDefinition:
        image = settings.get("image")
        is_hardened = settings.get("hardened", image is None)
        self.python_version: str | None = None
        if image is None:
            bundle = settings.get("bundle") or PythonBundle(packages=[app_package(app)])
            self.python_version = bundle.image_python
            image = bundle.to_image(cpu_architecture=settings.get("cpu_architecture") or ecs.CpuArchitecture.ARM64)
        log_level = settings.get("log_level", "INFO")
        health_port = settings.get("health_port", DEFAULT_HEALTH_PORT)
        user = settings.get("environment") or {}
        environment = {
            **worker_environment(
                app=app,
                service_name=self.service_name,
                log_level=log_level,
                user=user,
                secrets=settings.get("secrets"),
                arguments=_ARGUMENTS,
            ),
            "SQS_TASKS_CONCURRENCY": number_text(settings.get("concurrency", DEFAULT_CONCURRENCY)),
            "SQS_TASKS_GRACE_SECONDS": number_text(grace_seconds),
            "SQS_TASKS_HEALTH_PORT": number_text(health_port),
            "SQS_TASKS_LOG_LEVEL": log_level.lower(),
            "SQS_TASKS_LOG_FORMAT": "json",
        }
        self._own_variables = environment.keys() - user.keys()
        linux = ecs.LinuxParameters(self, "Linux", init_process_enabled=True)
        container = self.task_definition.add_container(
            "Worker",
            image=image,
            # The names are given, so that a worker never takes messages of a queue that it has no rights to.
            command=["python", "-m", "sqs_tasks", "worker", app, *(queue.logical_name for queue in self.task_queues)],
            environment=environment,
            secrets=settings.get("secrets"),
            stop_timeout=stop_timeout,
            health_check=settings.get("health_check") or _health_check(health_port),
            linux_parameters=linux,
            logging=ecs.LogDriver.aws_logs(stream_prefix="worker", log_group=self.log_group),
            readonly_root_filesystem=is_hardened or None,
            user=settings.get("user", DEFAULT_USER if is_hardened else None),
        )
        if is_hardened:
            harden(self.task_definition, container, linux)
        return container

    def _make_scaling(self, settings: FargateSettings) -> BacklogScaling:
        mean, target = settings.get("mean_task_duration"), settings.get("target_latency", DEFAULT_TARGET_LATENCY)
        concurrency = settings.get("concurrency", DEFAULT_CONCURRENCY)
        tasks = [task for queue in self.task_queues for task in queue.tasks]
        return BacklogScaling(
            self,
            "Scaling",
            service=self.service,
            task_queues=self.task_queues,
            min_tasks=self.min_tasks,
            max_tasks=settings.get("max_tasks", 10),
            backlog_per_task=backlog_of_one_task(
                target_latency_seconds=needed(target.to_seconds(), what="target_latency", instead=_A_NUMBER),
                mean_task_seconds=rules.slowest_task_seconds(tasks)
                if mean is None
                else needed(mean.to_seconds(), what="mean_task_duration", instead=_A_NUMBER),
                concurrency=needed(concurrency, what="concurrency", instead=_A_NUMBER),
            ),
        )

    @staticmethod
    def _grace_seconds(stop_timeout: Duration, grace_period: Duration | None) -> float:
        stop_seconds = known_seconds(stop_timeout)
        if grace_period is not None and (stop_seconds is None or grace_period.is_unresolved()):
            return grace_period.to_seconds()
        stop_seconds = needed(stop_seconds, what="stop_timeout", instead="give grace_period= as well")
        if not limits.MIN_STOP_TIMEOUT_SECONDS <= stop_seconds <= limits.MAX_STOP_TIMEOUT_SECONDS:
            raise StackError(
                f"stop_timeout of {stop_seconds} s; Fargate waits {limits.MIN_STOP_TIMEOUT_SECONDS} to "
                f"{limits.MAX_STOP_TIMEOUT_SECONDS} s between "
                "SIGTERM and SIGKILL. What cannot finish in that time goes back to its queue and runs again"
            )
        most = max(0, stop_seconds - RELEASE_SECONDS)
        grace_seconds = most if grace_period is None else int(grace_period.to_seconds())
        if grace_seconds > most:
            raise StackError(
                f"grace_period of {grace_seconds} s with a stop_timeout of {stop_seconds} s: SIGKILL would come before "
                f"the worker has released what is left; set it to {most} s or less, or leave it out"
            )
        return grace_seconds

    def _require_visibility(self, queue: TaskQueue) -> None:
        slowest = rules.slowest_task_seconds(queue.tasks)
        queue.visibility.require(
            consumer=self,
            name=f"the service of {self.node.path!r}",
            # The heartbeat extends what it is given, so there is no time that it cannot work with.
            at_least=1,
            recommended=rules.poller_visibility_seconds(slowest_seconds=slowest, queue=queue.logical_name),
        )

    def _cluster(self, cluster: ecs.ICluster | None, vpc: ec2.IVpc | None) -> ecs.ICluster:
        if cluster is not None:
            if vpc is not None:
                raise StackError("cluster= has its own network; leave out vpc=")
            return cluster
        return make_cluster(self, vpc=vpc)

    def _allow_protection(self, *, is_ours: bool) -> None:
        allow_on_all_resources(
            self.role,
            _PROTECTION_ACTIONS,
            conditions={"ArnEquals": {"ecs:cluster": self.cluster.cluster_arn}},
            is_ours=is_ours,
            reason="A task's ARN is known when it runs, so its cluster is the condition",
        )

    def _acknowledge(self) -> None:
        """Answer cdk-nag for what is ours: not for variables and statements that users add (C10)."""
        acknowledge_variables(
            self.task_definition,
            self._own_variables,
            reason="The variables are names and numbers; secrets= takes what is secret",
        )
        acknowledge_actions(
            self.task_definition.obtain_execution_role(),
            {"ecr:GetAuthorizationToken"},
            reason="The login to ECR has no resource that a policy could name",
        )


def _health_check(port: int) -> ecs.HealthCheck:
    """A check that the worker still polls (E6), with nothing but the Python that is there."""
    program = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{number_text(port)}/live', timeout=4)"
    return ecs.HealthCheck(
        command=["CMD", "python", "-c", program],
        interval=Duration.seconds(30),
        timeout=Duration.seconds(10),
        retries=3,
        start_period=Duration.seconds(60),
    )


def make_cluster(scope: Construct, *, vpc: ec2.IVpc | None) -> ecs.Cluster:
    """A cluster with Container Insights, in ``vpc`` or in a network of public subnets without NAT.

    Tasks need nothing but to reach SQS, ECR and CloudWatch, and let nothing in. A NAT gateway for that would cost more
    than the tasks.
    """
    if vpc is None:
        vpc = ec2.Vpc(
            scope,
            "Network",
            max_azs=2,
            nat_gateways=0,
            # Nothing is ever put into the default group, and closing it takes a function of its own.
            restrict_default_security_group=False,
            subnet_configuration=[ec2.SubnetConfiguration(name="public", subnet_type=ec2.SubnetType.PUBLIC)],
        )
        acknowledge(
            vpc,
            "AwsSolutions::AwsSolutions-VPC7",
            reason="Nothing listens in this network; give vpc= one with flow logs where they are wanted",
        )
    return ecs.Cluster(scope, "Cluster", vpc=vpc, container_insights_v2=ecs.ContainerInsights.ENABLED)
