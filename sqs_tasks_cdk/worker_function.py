"""The function of a Lambda worker with its log group and role, when none is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict, cast

from aws_cdk import Duration, RemovalPolicy, Size
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from sqs_tasks_cdk import limits
from sqs_tasks_cdk.acknowledgements import acknowledge, allow_on_all_resources
from sqs_tasks_cdk.bundling import PythonBundle, handler_of
from sqs_tasks_cdk.defaults import DEFAULT_MEMORY_SIZE, MIN_MANAGED_MEMORY_SIZE
from sqs_tasks_cdk.environment import app_package, worker_environment
from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.gradual_deployment import GradualDeployment
from sqs_tasks_cdk.managed_instances import ManagedInstances
from sqs_tasks_cdk.name_claims import claim_name
from sqs_tasks_cdk.worker_logs import worker_log_group

#: The actions of a function's network interfaces in a VPC; EC2 knows no resource for them.
_VPC_ACTIONS: Final = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)

#: What a function does to be traced; X-Ray knows no resource for it.
_TRACE_ACTIONS: Final = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")


class WorkerFunctionSettings(TypedDict, total=False):
    """Settings of a function that is made. A function that exists already has answered all of them."""

    #: The function's code, ready made; bundled when left out.
    code: lambda_.Code | None

    #: What to bundle in place of the top-level package of ``app`` from the present directory.
    bundle: PythonBundle | None

    #: The entry point in the code; ``sqs_tasks.lambda_handler.handler`` when left out.
    handler: str | None

    #: A Python runtime, unless ``code`` brings its own.
    runtime: lambda_.Runtime | None

    #: arm64 unless a wheel is missing for it.
    architecture: lambda_.Architecture | None

    #: Megabytes; 512 when left out.
    memory_size: int | None

    #: More variables.
    environment: Mapping[str, str] | None

    #: From which level on the worker logs; INFO when left out.
    log_level: str | None

    #: The function's own share of the account's concurrency.
    reserved_concurrent_executions: int | None

    #: The name of an alias of the function's current version, which is then what the queue feeds.
    alias: str | None

    #: Let a new version get a part of the messages first, and roll it back when it fails; brings the alias ``live``
    #: unless named.
    deployment: GradualDeployment | None

    #: Run on Lambda Managed Instances, where a task may take up to 90 minutes; the memory is 2,048 MB when left out.
    capacity_provider: ManagedInstances | lambda_.ICapacityProvider | None

    #: Start from a snapshot of the initialised function; brings the alias ``live`` unless named (P7).
    snap_start: bool

    #: What Lambda does when it sees the function feed itself (S36).
    recursive_loop: lambda_.RecursiveLoop | None

    #: Whether X-Ray traces invocations; ACTIVE when left out.
    tracing: lambda_.Tracing | None

    #: An existing role, in place of one of its own. What the worker needs is added to it, if its policy is of this app.
    role: iam.IRole | None

    #: An existing log group, in place of one of its own.
    log_group: logs.ILogGroup | None

    #: A KMS key for the log group that is made; its policy is extended if it is of this app.
    log_encryption_key: kms.IKey | None

    #: A KMS key for the variables, in place of Lambda's own.
    environment_encryption: kms.IKey | None

    #: How long logs stay; a month when left out.
    log_retention: logs.RetentionDays | None

    #: What happens to the logs when they leave the stack; DESTROY when left out.
    log_removal_policy: RemovalPolicy | None

    #: Generated when left out.
    function_name: str | None

    #: Of the function.
    description: str | None

    #: Of the function.
    layers: Sequence[lambda_.ILayerVersion] | None

    #: Of ``/tmp``; 512 MiB when left out.
    ephemeral_storage_size: Size | None

    #: A network that the function needs to reach.
    vpc: ec2.IVpc | None

    #: Which of its subnets.
    vpc_subnets: ec2.SubnetSelection | None

    #: Of its network interfaces.
    security_groups: Sequence[ec2.ISecurityGroup] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFunction:
    """What :func:`make_function` made.

    Attributes:
        function: The function.
        role: What it may do.
        log_group: Its logs.
        alias: The alias of its current version, or None.
    """

    function: lambda_.Function
    role: iam.IRole
    log_group: logs.ILogGroup
    alias: lambda_.Alias | None


def check_function(settings: WorkerFunctionSettings, *, queue: str) -> None:
    """Refuse settings of a function that exclude each other.

    Raises:
        RuleError: R7.
        StackError: Code and a bundle, or SnapStart with more storage than it takes.
    """
    if "code" in settings and "bundle" in settings:
        raise StackError(f"queue {queue!r}: code= is existing code and bundle= says how to bundle it; give one of them")
    name = settings.get("function_name")
    if name is not None and len(name) > limits.MAX_FUNCTION_NAME_CHARS:
        raise RuleError(
            "R7",
            f"function name {name!r} has {len(name)} characters; Lambda allows {limits.MAX_FUNCTION_NAME_CHARS}; "
            "shorten it, or leave it out to have one generated",
        )
    instances = ManagedInstances.of(settings)
    if instances is not None:
        instances.check(settings, queue=queue)
    storage = settings.get("ephemeral_storage_size")
    if (
        settings.get("snap_start")
        and storage is not None
        and storage.to_mebibytes() > limits.MAX_SNAP_START_STORAGE_MEBIBYTES
    ):
        raise StackError(
            f"queue {queue!r}: snap_start with {int(storage.to_mebibytes())} MiB of ephemeral storage; SnapStart "
            f"allows {limits.MAX_SNAP_START_STORAGE_MEBIBYTES} MiB; leave out one or the other"
        )


def make_function(
    scope: Construct,
    settings: WorkerFunctionSettings,
    *,
    queue: str,
    app: str,
    service_name: str,
    timeout: Duration,
    variables: Mapping[str, str],
) -> WorkerFunction:
    """Make a function with a log group and a role of its own, as children of ``scope``.

    Args:
        scope: The worker. The ids ``Logs``, ``Role``, ``Function`` and ``Alias`` below it are part of logical ids.
        settings: What was set.
        queue: The logical name of its queue, for its description.
        app: Where it finds its registry, as ``module:attribute``.
        service_name: Who its logs and metrics say they come from.
        timeout: Of one invocation.
        variables: More variables, which the user cannot replace.
    """
    vpc = settings.get("vpc")
    runtime = settings.get("runtime") or lambda_.Runtime.PYTHON_3_13
    architecture = settings.get("architecture") or lambda_.Architecture.ARM_64
    tracing = settings.get("tracing") or lambda_.Tracing.ACTIVE
    snap_start = settings.get("snap_start")
    instances = ManagedInstances.of(settings)
    log_group = worker_log_group(scope, settings)
    role = _make_role(
        scope, settings.get("role"), log_group, in_vpc=vpc is not None, traced=tracing != lambda_.Tracing.DISABLED
    )
    claim_name(scope, "function", settings.get("function_name"))
    function = lambda_.Function(
        scope,
        "Function",
        function_name=settings.get("function_name"),
        description=settings.get("description") or f"Works the queue {queue}",
        code=settings.get("code")
        or (settings.get("bundle") or PythonBundle(packages=[app_package(app)])).to_code(
            runtime=runtime, architecture=architecture
        ),
        handler=settings.get("handler") or handler_of(settings.get("code"), settings.get("bundle")),
        runtime=runtime,
        architecture=architecture,
        timeout=timeout,
        memory_size=settings.get("memory_size")
        or (DEFAULT_MEMORY_SIZE if instances is None else MIN_MANAGED_MEMORY_SIZE),
        environment={
            **worker_environment(
                app=app,
                service_name=service_name,
                log_level=settings.get("log_level") or "INFO",
                user=settings.get("environment"),
            ),
            **variables,
        },
        environment_encryption=settings.get("environment_encryption"),
        log_group=log_group,
        role=role,
        recursive_loop=settings.get("recursive_loop"),
        reserved_concurrent_executions=settings.get("reserved_concurrent_executions"),
        snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
        layers=settings.get("layers"),
        ephemeral_storage_size=settings.get("ephemeral_storage_size"),
        vpc=vpc,
        vpc_subnets=settings.get("vpc_subnets"),
        security_groups=settings.get("security_groups"),
    )
    key = settings.get("environment_encryption")
    if key is not None and not key.grant_decrypt(role).success:
        raise StackError(
            f"queue {queue!r}: environment_encryption= is the key {key.node.path!r}, which cannot be granted to the "
            "function's role; give it as kms.Key.from_key_arn(...)"
        )
    # A snapshot is taken of a published version, so the mapping must feed one (C8, P7); CodeDeploy moves an alias.
    alias_name = settings.get("alias") or ("live" if snap_start or "deployment" in settings else None)
    resource = cast("lambda_.CfnFunction", function.node.default_child)
    if instances is not None:
        instances.apply(function, has_alias=alias_name is not None)
    elif timeout.to_seconds() > limits.MAX_FUNCTION_SECONDS:
        _allow_long_timeout(resource)
    alias = (
        None
        if alias_name is None
        else lambda_.Alias(scope, "Alias", alias_name=alias_name, version=function.current_version)
    )
    if tracing != lambda_.Tracing.DISABLED:
        # Not by the construct of the CDK, which puts the rights into the policy where users' statements are.
        mode = "Active" if tracing == lambda_.Tracing.ACTIVE else "PassThrough"
        resource.tracing_config = lambda_.CfnFunction.TracingConfigProperty(mode=mode)
    _acknowledge(function, is_default_runtime="runtime" not in settings)
    return WorkerFunction(function=function, role=role, log_group=log_group, alias=alias)


def _allow_long_timeout(function: lambda_.CfnFunction) -> None:
    """Answer validators that know 900 s only; Lambda takes 1,800 (Z1)."""
    acknowledge(function, "CloudFormation-Validate::E3717", reason="Lambda functions run for up to 1,800 s since 2026")
    function.add_metadata("cfn-lint", {"config": {"ignore_checks": ["E3717"]}})


def _make_role(
    scope: Construct, given: iam.IRole | None, log_group: logs.ILogGroup, *, in_vpc: bool, traced: bool
) -> iam.IRole:
    # The managed AWSLambdaBasicExecutionRole would let it write every log of the account (C10).
    role = given or iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    log_group.grant_write(role)
    actions = [*(_VPC_ACTIONS if in_vpc else ()), *(_TRACE_ACTIONS if traced else ())]
    if actions:
        allow_on_all_resources(
            role,
            actions,
            is_ours=given is None,
            reason="X-Ray segments and network interfaces have no resource that a policy could name",
        )
    return role


def _acknowledge(function: lambda_.Function, *, is_default_runtime: bool) -> None:
    """Answer cdk-nag where it asks for what a worker of a queue should not have (C10)."""
    acknowledge(
        function,
        "Serverless::Serverless-LambdaDLQ",
        reason="A function's dead-letter configuration is for asynchronous calls; the queue has its own",
    )
    if is_default_runtime:
        acknowledge(
            function,
            "AwsSolutions::AwsSolutions-L1",
            "Serverless::Serverless-LambdaLatestVersion",
            reason="Python 3.13 is supported until 2029; runtime= takes a newer one",
        )
