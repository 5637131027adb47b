"""A Fargate service that works queues by running ``sqs-tasks worker``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.backlog_scaling import BacklogScaling, backlog_of_one_task
from sqs_tasks_cdk.bundling import PythonBundle
from sqs_tasks_cdk.environment import app_package, worker_environment
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.job_metrics import count_logged_jobs
from sqs_tasks_cdk.task_queue import TaskQueue

#: As long as Fargate waits between SIGTERM and SIGKILL (E5).
DEFAULT_STOP_TIMEOUT: Final = Duration.seconds(limits.MAX_STOP_TIMEOUT_SECONDS)

#: Seconds between the end of the worker's grace period and SIGKILL: what is left is released meanwhile (E5).
RELEASE_SECONDS: Final = 5

#: How long a message should wait at most, unless told otherwise.
DEFAULT_TARGET_LATENCY: Final = Duration.minutes(1)

#: Jobs at once in each queue, as the worker's own default.
DEFAULT_CONCURRENCY: Final = 10

#: Where the worker answers for its health. Nothing outside the task reaches it.
DEFAULT_HEALTH_PORT: Final = 8080

#: What a task needs to keep itself from being scaled in while it is busy (E4).
_PROTECTION_ACTIONS: Final = ("ecs:GetTaskProtection", "ecs:UpdateTaskProtection")


class FargateWorkerSettings(TypedDict, total=False):
    """What code may decide about the service of a queue: arguments of :class:`FargateWorker`."""

    app: str
    image: ecs.ContainerImage
    bundle: PythonBundle
    cluster: ecs.ICluster
    vpc: ec2.IVpc
    vpc_subnets: ec2.SubnetSelection
    security_groups: Sequence[ec2.ISecurityGroup]
    assign_public_ip: bool
    cpu: int
    memory_limit_mib: int
    cpu_architecture: ecs.CpuArchitecture
    environment: Mapping[str, str]
    secrets: Mapping[str, ecs.Secret]
    service_name: str
    log_level: str
    concurrency: int
    stop_timeout: Duration
    grace_period: Duration
    min_tasks: int
    max_tasks: int
    target_latency: Duration
    mean_task_duration: Duration
    scale_in_protection: bool
    health_port: int
    health_check: ecs.HealthCheck
    capacity_provider_strategies: Sequence[ecs.CapacityProviderStrategy]
    log_retention: logs.RetentionDays
    log_removal_policy: RemovalPolicy


class FargateWorker(Construct):
    """A service whose tasks run ``sqs-tasks worker`` for one or more queues, scaled by their backlog.

    Tasks may run for hours. The worker extends the visibility of what it works on, so the queue's visibility timeout
    only has to hold one run of the slowest task (R2).

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        task_queues: What the service works.
        app: Where the worker finds its registry, as ``module:attribute``.
        image: The image, with the application and ``sqs-tasks[cli]`` in it; built from ``bundle`` when left out.
        bundle: What to put into an image in place of the top-level package of ``app`` from the present directory.
        cluster: Where the service runs; it needs Container Insights. One is made in ``vpc`` when left out.
        vpc: The network of a new cluster; one of public subnets without NAT is made when both are left out.
        vpc_subnets: Which subnets the tasks run in.
        security_groups: Of the tasks; one that lets nothing in when left out.
        assign_public_ip: Whether tasks reach SQS by a public address; so in a network made here.
        cpu: Units of 1/1,024 of a virtual CPU.
        memory_limit_mib: Mebibytes of memory, as Fargate allows for ``cpu``.
        cpu_architecture: arm64 unless a wheel is missing for it.
        environment: More variables.
        secrets: Variables whose values come from Secrets Manager or Parameter Store.
        service_name: Who logs and metrics say they come from; the top-level package of ``app`` when left out.
        log_level: From which level on the worker logs. Above INFO, jobs that succeed are not in the metrics by task.
        concurrency: Jobs at once in each queue, in threads.
        stop_timeout: From SIGTERM to SIGKILL, up to 2 minutes.
        grace_period: How long running jobs may take to finish after SIGTERM; 5 s less than ``stop_timeout``, in which
            the worker gives back what is left (E5).
        min_tasks: The least number of tasks; with 0 the service sleeps while there is nothing to do.
        max_tasks: The largest number of tasks.
        target_latency: How long a message should wait at most; more tasks are started to keep to it.
        mean_task_duration: How long a job takes on average; as long as its timeout when left out, which starts tasks
            sooner than needed.
        scale_in_protection: Let busy tasks keep themselves from being scaled in (E4).
        health_port: Where the worker answers for its health inside the task.
        health_check: A command that fails when the worker does not make progress; one that asks ``/live`` at
            ``health_port`` when left out (E6).
        capacity_provider_strategies: Fargate Spot, for example; a Spot interruption is a SIGTERM.
        log_retention: How long logs stay.
        log_removal_policy: What happens to the logs when they leave the stack.

    Attributes:
        task_queues: What the service works.
        min_tasks: The least number of tasks.
        service: The service.
        cluster: Where it runs.
        task_definition: What it runs.
        container: The worker's container.
        role: What the worker may do; open for further grants.
        log_group: Its logs.
        scaling: What changes its number of tasks.

    Raises:
        RuleError: R2.
        StackError: Arguments that exclude each other, or times that do not fit.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        task_queues: Sequence[TaskQueue],
        app: str,
        image: ecs.ContainerImage | None = None,
        bundle: PythonBundle | None = None,
        cluster: ecs.ICluster | None = None,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] | None = None,
        assign_public_ip: bool | None = None,
        cpu: int = 256,
        memory_limit_mib: int = 512,
        cpu_architecture: ecs.CpuArchitecture | None = None,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, ecs.Secret] | None = None,
        service_name: str | None = None,
        log_level: str = "INFO",
        concurrency: int = DEFAULT_CONCURRENCY,
        stop_timeout: Duration = DEFAULT_STOP_TIMEOUT,
        grace_period: Duration | None = None,
        min_tasks: int = 1,
        max_tasks: int = 10,
        target_latency: Duration = DEFAULT_TARGET_LATENCY,
        mean_task_duration: Duration | None = None,
        scale_in_protection: bool = True,
        health_port: int = DEFAULT_HEALTH_PORT,
        health_check: ecs.HealthCheck | None = None,
        capacity_provider_strategies: Sequence[ecs.CapacityProviderStrategy] | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH,
        log_removal_policy: RemovalPolicy = RemovalPolicy.DESTROY,
    ) -> None:
        super().__init__(scope, construct_id)
        self.task_queues = tuple(task_queues)
        self.min_tasks = min_tasks
        if not self.task_queues:
            raise StackError(f"the worker {self.node.path!r} has no queue; give it one or more in task_queues=[...]")
        if image is not None and bundle is not None:
            raise StackError("image= is ready made and bundle= says how to make it; give one of them")
        grace_seconds = self._grace_seconds(stop_timeout, grace_period)
        cpu_architecture = cpu_architecture if cpu_architecture is not None else ecs.CpuArchitecture.ARM64
        tasks = [task for queue in self.task_queues for task in queue.tasks]
        for queue in self.task_queues:
            self._require_visibility(queue)

        makes_network = cluster is None and vpc is None
        self.cluster = self._cluster(cluster, vpc)
        self.log_group = logs.LogGroup(self, "Logs", retention=log_retention, removal_policy=log_removal_policy)
        count_logged_jobs(self.log_group)
        self.task_definition = ecs.FargateTaskDefinition(
            self,
            "Definition",
            cpu=cpu,
            memory_limit_mib=memory_limit_mib,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=cpu_architecture, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
        )
        self.role = self.task_definition.task_role
        self.container = self.task_definition.add_container(
            "Worker",
            image=image
            if image is not None
            else (bundle or PythonBundle(packages=[app_package(app)])).to_image(cpu_architecture=cpu_architecture),
            # The names are given, so that a worker never takes messages of a queue that it has no rights to.
            command=["python", "-m", "sqs_tasks", "worker", app, *(queue.logical_name for queue in self.task_queues)],
            environment={
                **worker_environment(
                    app=app, service_name=service_name or app_package(app), log_level=log_level, user=environment
                ),
                "SQS_TASKS_CONCURRENCY": str(concurrency),
                "SQS_TASKS_GRACE_SECONDS": str(grace_seconds),
                "SQS_TASKS_HEALTH_PORT": str(health_port),
                "SQS_TASKS_LOG_LEVEL": log_level.lower(),
                "SQS_TASKS_LOG_FORMAT": "json",
            },
            secrets=secrets,
            stop_timeout=stop_timeout,
            health_check=health_check if health_check is not None else _health_check(health_port),
            linux_parameters=ecs.LinuxParameters(self, "Linux", init_process_enabled=True),
            logging=ecs.LogDriver.aws_logs(stream_prefix="worker", log_group=self.log_group),
        )
        self.service = ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            task_definition=self.task_definition,
            vpc_subnets=vpc_subnets,
            security_groups=security_groups,
            assign_public_ip=makes_network if assign_public_ip is None else assign_public_ip,
            # A deploy starts the new tasks first and rolls back when they do not stay up.
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            capacity_provider_strategies=capacity_provider_strategies,
        )
        for queue in self.task_queues:
            queue.grant_consume(self).apply_before(self.service)
        if scale_in_protection:
            self._allow_protection()
        mean_seconds = (
            rules.slowest_task_seconds(tasks) if mean_task_duration is None else mean_task_duration.to_seconds()
        )
        self.scaling = BacklogScaling(
            self,
            "Scaling",
            service=self.service,
            task_queues=self.task_queues,
            min_tasks=min_tasks,
            max_tasks=max_tasks,
            backlog_per_task=backlog_of_one_task(
                target_latency_seconds=target_latency.to_seconds(),
                mean_task_seconds=mean_seconds,
                concurrency=concurrency,
            ),
        )
        self._acknowledge()

    @property
    def queue_environment(self) -> ecs.ContainerDefinition:
        """Where the URLs of queues are told, as in ``other_queue.grant_send(worker)``."""
        return self.container

    @staticmethod
    def _grace_seconds(stop_timeout: Duration, grace_period: Duration | None) -> int:
        stop_seconds = int(stop_timeout.to_seconds())
        if not 1 <= stop_seconds <= limits.MAX_STOP_TIMEOUT_SECONDS:
            raise StackError(
                f"stop_timeout of {stop_seconds} s; Fargate waits 1 to {limits.MAX_STOP_TIMEOUT_SECONDS} s between "
                "SIGTERM and SIGKILL (E5). What cannot finish in that time goes back to its queue and runs again"
            )
        most = max(0, stop_seconds - RELEASE_SECONDS)
        grace_seconds = most if grace_period is None else int(grace_period.to_seconds())
        if grace_seconds > most:
            raise StackError(
                f"grace_period of {grace_seconds} s with a stop_timeout of {stop_seconds} s: SIGKILL would come before "
                f"the worker has given back what is left; set it to {most} s or less, or leave it out (E5)"
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
                raise StackError("cluster= brings its network along; leave vpc= out")
            return cluster
        return make_cluster(self, vpc=vpc)

    def _allow_protection(self) -> None:
        self.role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=list(_PROTECTION_ACTIONS),
                resources=["*"],
                conditions={"ArnEquals": {"ecs:cluster": self.cluster.cluster_arn}},
            )
        )

    def _acknowledge(self) -> None:
        Validations.of(self.task_definition).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-ECS2",
                reason="The variables are names and numbers; secrets= takes what is secret",
            ),
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-IAM5[Resource::*]",
                reason="A task's ARN is known when it runs, so its cluster is the condition; ECR's login has none",
            ),
        )


def _health_check(port: int) -> ecs.HealthCheck:
    """A check that the worker still polls (E6), with nothing but the Python that is there."""
    program = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/live', timeout=4)"
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
        Validations.of(vpc).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-VPC7",
                reason="Nothing listens in this network; give vpc= one with flow logs where they are wanted",
            )
        )
    return ecs.Cluster(scope, "Cluster", vpc=vpc, container_insights_v2=ecs.ContainerInsights.ENABLED)
