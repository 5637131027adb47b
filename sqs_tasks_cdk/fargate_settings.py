"""What can be said of a Fargate worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs

from sqs_tasks_cdk.bundling import PythonBundle
from sqs_tasks_cdk.job_metrics import MetricsBy


class FargateSettings(TypedDict, total=False):
    """Settings of a :class:`FargateWorker`, besides its queues and its app."""

    #: The image, with the application and ``sqs-tasks[cli]`` in it; built from ``bundle`` when left out.
    image: ecs.ContainerImage | None

    #: What to put into an image in place of the top-level package of ``app`` from the present directory.
    bundle: PythonBundle | None

    #: Where the service runs. One is made in ``vpc`` when left out.
    cluster: ecs.ICluster | None

    #: The network of a new cluster; one of public subnets without NAT is made when both are left out.
    vpc: ec2.IVpc | None

    #: Which subnets the tasks run in; those with a route out when left out, public ones where there are no others, and
    #: isolated ones, for a network with endpoints, where there are only those.
    vpc_subnets: ec2.SubnetSelection | None

    #: Of the tasks; one that lets nothing in when left out.
    security_groups: Sequence[ec2.ISecurityGroup] | None

    #: Whether tasks reach SQS by a public address; so in public subnets.
    assign_public_ip: bool | None

    #: Units of 1/1,024 of a virtual CPU; 256 when left out.
    cpu: int

    #: Mebibytes of memory, as Fargate allows for ``cpu``; 512 when left out.
    memory_limit_mib: int

    #: arm64 unless a wheel is missing for it.
    cpu_architecture: ecs.CpuArchitecture | None

    #: Whether the container can write to ``/tmp`` alone, has no capabilities and is not root; so when the image is
    #: built here. An image of yours needs ``VOLUME /tmp``.
    hardened: bool

    #: Who the container runs as, as ``uid`` or ``uid:gid``; 1000 in a hardened container, the image's user otherwise.
    user: str | None

    #: More variables.
    environment: Mapping[str, str] | None

    #: Variables whose values come from Secrets Manager or Parameter Store.
    secrets: Mapping[str, ecs.Secret] | None

    #: Who logs and metrics say they come from; the top-level package of ``app`` when left out.
    service_name: str | None

    #: From which level on the worker logs; INFO when left out. Above it, jobs that succeed are not in the metrics by
    #: task.
    log_level: str

    #: Whether jobs are counted by ``"task"``, as when it is left out, or by ``"queue"`` alone, which costs less.
    metrics: MetricsBy

    #: Jobs at once in each queue, in threads; 10 when left out.
    concurrency: int

    #: From SIGTERM to SIGKILL, up to 2 minutes, which it is when left out.
    stop_timeout: Duration

    #: How long running jobs may take to finish after SIGTERM; 5 s less than ``stop_timeout``, in which the worker gives
    #: back what is left (E5).
    grace_period: Duration | None

    #: The least number of tasks, 1 when left out; with 0 the service sleeps while there is nothing to do.
    min_tasks: int

    #: The largest number of tasks; 10 when left out.
    max_tasks: int

    #: How long a message should wait at most, a minute when left out; more tasks are started to keep to it.
    target_latency: Duration

    #: How long a job takes on average; as long as its timeout when left out, which starts tasks sooner than needed.
    mean_task_duration: Duration | None

    #: Let busy tasks keep themselves from being scaled in (E4); so when left out.
    scale_in_protection: bool

    #: Where the worker answers for its health inside the task; 8080 when left out.
    health_port: int

    #: A command that fails when the worker does not make progress; one that asks ``/live`` at ``health_port`` when left
    #: out (E6).
    health_check: ecs.HealthCheck | None

    #: Fargate Spot, for example; a Spot interruption is a SIGTERM.
    capacity_provider_strategies: Sequence[ecs.CapacityProviderStrategy] | None

    #: Alarms that end a deployment and take it back: these, and one of ours for each queue, for messages that are
    #: received while none is done. ``[]`` takes ours alone; none when left out. Tasks that do not stay up always do.
    deployment_alarms: Sequence[cloudwatch.IAlarm]

    #: An existing role of the tasks, in place of one of their own. What the worker needs is added to it, if its policy
    #: is of this app.
    role: iam.IRole | None

    #: An existing role that ECS starts the tasks with, in place of a new one.
    execution_role: iam.IRole | None

    #: An existing log group, in place of one of its own.
    log_group: logs.ILogGroup | None

    #: A KMS key for the log group that is made; its policy is extended if it is of this app.
    log_encryption_key: kms.IKey | None

    #: How long logs stay; a month when left out.
    log_retention: logs.RetentionDays

    #: What happens to the logs when they leave the stack; DESTROY when left out.
    log_removal_policy: RemovalPolicy


class FargateWorkerSettings(FargateSettings, total=False):
    """What code may decide about the service of a queue of the registry."""

    #: Where the worker finds its registry, as ``module:attribute``.
    app: str
