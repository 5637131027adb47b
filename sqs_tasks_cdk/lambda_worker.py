"""A Lambda function that works one queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from aws_cdk import Acknowledgment, Annotations, Duration, RemovalPolicy, Size, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.bundling import PythonBundle
from sqs_tasks_cdk.environment import (
    APP_VARIABLE,
    BATCHING_WINDOW_VARIABLE,
    TASKS_VARIABLE,
    app_package,
    tasks_hash,
    worker_environment,
)
from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.task_queue import TaskQueue

#: The entry point in a bundle: ``lambda_handler/app.py``.
HANDLER: Final = "app.handler"

#: Megabytes of a function unless told otherwise. boto3 alone takes 34, and CPU comes in proportion.
DEFAULT_MEMORY_SIZE: Final = 512

#: Seconds that Lambda gives a function that does not say.
_DEFAULT_FUNCTION_SECONDS: Final = 3

#: What is left to decide when the function is there already: the mapping, and what its rules need to know.
MAPPING_SETTINGS: Final = frozenset(
    {
        "app",
        "batch_size",
        "enabled",
        "filtered_messages_are_deleted",
        "filters",
        "max_batching_window",
        "max_concurrency",
        "provisioned_pollers",
        "service_name",
    }
)

#: The actions of a function's network interfaces in a VPC; EC2 knows no resource for them.
_VPC_ACTIONS: Final = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedPollers:
    """Pollers that Lambda keeps ready for a queue: faster scaling than its own, at a price an hour (S35).

    Attributes:
        minimum: Kept at all times, 2 to 200.
        maximum: Added under load, 2 to 2,000.
    """

    minimum: int = 2
    maximum: int = 200


class LambdaWorkerSettings(TypedDict, total=False):
    """What code may decide about the function of a queue: arguments of :class:`LambdaWorker`."""

    app: str
    function: lambda_.IFunction
    code: lambda_.Code
    bundle: PythonBundle
    handler: str
    runtime: lambda_.Runtime
    architecture: lambda_.Architecture
    timeout: Duration
    memory_size: int
    environment: Mapping[str, str]
    service_name: str
    log_level: str
    batch_size: int
    max_batching_window: Duration
    max_concurrency: int
    provisioned_pollers: ProvisionedPollers
    reserved_concurrent_executions: int
    alias: str
    snap_start: bool
    recursive_loop: lambda_.RecursiveLoop
    filters: Sequence[Mapping[str, Any]]
    filtered_messages_are_deleted: bool
    enabled: bool
    tracing: lambda_.Tracing
    log_retention: logs.RetentionDays
    log_removal_policy: RemovalPolicy
    function_name: str
    description: str
    layers: Sequence[lambda_.ILayerVersion]
    ephemeral_storage_size: Size
    vpc: ec2.IVpc
    vpc_subnets: ec2.SubnetSelection
    security_groups: Sequence[ec2.ISecurityGroup]


class LambdaWorker(Construct):
    """A function, its log group, its rights, and the event source mapping that feeds it from one queue.

    Partial batch responses are always on: without them a failure takes the whole batch back, and the answer that names
    the failures is ignored (S9). The function timeout covers a whole batch of the slowest task (R1), and the queue's
    visibility timeout six of those and the batching window (R2).

    Args:
        scope: The parent.
        construct_id: The id in ``scope``. Another id makes another mapping, which Lambda refuses while the old one is
            there (C7).
        task_queue: The queue.
        app: Where the worker finds its registry, as ``module:attribute``.
        function: An existing function, in place of every setting that would make one. It gets the queue's rights; one
            that is made in this app also the variables that a worker reads. It needs the handler, and ``timeout`` as
            well if it comes from elsewhere.
        code: The function's code, ready made; bundled when left out.
        bundle: What to bundle in place of the top-level package of ``app`` from the present directory.
        handler: The entry point in the code; ``app.handler`` when left out.
        runtime: A Python runtime, unless ``code`` brings its own.
        architecture: arm64 unless a wheel is missing for it.
        timeout: Of one invocation, up to 15 minutes; computed when left out.
        memory_size: Megabytes; 512 when left out.
        environment: More variables.
        service_name: Who logs and metrics say they come from; the top-level package of ``app`` when left out.
        log_level: From which level on the worker logs; INFO when left out.
        batch_size: Messages of one invocation at most: up to 10, or 10,000 with a batching window. When left out as
            many, up to 10, as can run one after another at their slowest; 1 for a FIFO queue (S23).
        max_batching_window: How long Lambda collects messages for a batch, up to 5 minutes; not for FIFO.
        max_concurrency: Concurrent invocations at most, 2 to 1,000.
        provisioned_pollers: Pollers kept ready; not together with ``max_concurrency``.
        reserved_concurrent_executions: The function's own share of the account's concurrency; not together with either.
        alias: The name of an alias of the function's current version, which is then what the queue feeds.
        snap_start: Start from a snapshot of the initialised function; brings the alias ``live`` unless named (P7).
        recursive_loop: What Lambda does when it sees the function feed itself (S36).
        filters: Patterns of messages that the function gets. Lambda *deletes* the others (S41).
        filtered_messages_are_deleted: That this is understood; needed for ``filters``.
        enabled: Whether the queue feeds the function.
        tracing: Whether X-Ray traces invocations; ACTIVE when left out.
        log_retention: How long logs stay; a month when left out.
        log_removal_policy: What happens to the logs when they leave the stack; DESTROY when left out.
        function_name: Generated when left out.
        description: Of the function.
        layers: Of the function.
        ephemeral_storage_size: Of ``/tmp``; 512 MiB when left out.
        vpc: A network that the function needs to reach.
        vpc_subnets: Which of its subnets.
        security_groups: Of its network interfaces.

    Attributes:
        task_queue: The queue.
        service_name: Who its logs and metrics say they come from.
        function: The function.
        alias: The alias that the queue feeds, or None.
        event_source_mapping: What feeds it.
        log_group: Its logs; None for an existing function.
        role: What it may do; open for further grants.
        timeout: Of one invocation.
        batch_size: Messages of one invocation at most.

    Raises:
        RuleError: R1, R2, R4, R6 or R7.
        StackError: Arguments that exclude each other.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        task_queue: TaskQueue,
        app: str,
        function: lambda_.IFunction | None = None,
        code: lambda_.Code | None = None,
        bundle: PythonBundle | None = None,
        handler: str | None = None,
        runtime: lambda_.Runtime | None = None,
        architecture: lambda_.Architecture | None = None,
        timeout: Duration | None = None,
        memory_size: int | None = None,
        environment: Mapping[str, str] | None = None,
        service_name: str | None = None,
        log_level: str | None = None,
        batch_size: int | None = None,
        max_batching_window: Duration | None = None,
        max_concurrency: int | None = None,
        provisioned_pollers: ProvisionedPollers | None = None,
        reserved_concurrent_executions: int | None = None,
        alias: str | None = None,
        snap_start: bool = False,
        recursive_loop: lambda_.RecursiveLoop | None = None,
        filters: Sequence[Mapping[str, Any]] | None = None,
        filtered_messages_are_deleted: bool = False,
        enabled: bool = True,
        tracing: lambda_.Tracing | None = None,
        log_retention: logs.RetentionDays | None = None,
        log_removal_policy: RemovalPolicy | None = None,
        function_name: str | None = None,
        description: str | None = None,
        layers: Sequence[lambda_.ILayerVersion] | None = None,
        ephemeral_storage_size: Size | None = None,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.task_queue = task_queue
        self.service_name = service_name if service_name is not None else app_package(app)
        queue = task_queue.logical_name
        is_default_runtime = runtime is None
        runtime = runtime if runtime is not None else lambda_.Runtime.PYTHON_3_13
        given_architecture = architecture
        architecture = architecture if architecture is not None else lambda_.Architecture.ARM_64
        window_seconds = 0 if max_batching_window is None else int(max_batching_window.to_seconds())
        if function is not None:
            self._refuse_with_function(
                code=code,
                bundle=bundle,
                handler=handler,
                runtime=None if is_default_runtime else runtime,
                architecture=given_architecture,
                memory_size=memory_size,
                environment=environment,
                log_level=log_level,
                reserved_concurrent_executions=reserved_concurrent_executions,
                alias=alias,
                snap_start=snap_start or None,
                recursive_loop=recursive_loop,
                tracing=tracing,
                log_retention=log_retention,
                log_removal_policy=log_removal_policy,
                function_name=function_name,
                description=description,
                layers=layers,
                ephemeral_storage_size=ephemeral_storage_size,
                vpc=vpc,
                vpc_subnets=vpc_subnets,
                security_groups=security_groups,
            )
            timeout = self._timeout_of(function, timeout)

        self._choose_size(timeout=timeout, batch_size=batch_size)
        rules.check_mapping(
            queue=queue,
            fifo=task_queue.fifo,
            batch_size=self.batch_size,
            window_seconds=window_seconds,
            max_concurrency=max_concurrency,
            provisioned_pollers=provisioned_pollers is not None,
            reserved_concurrency=reserved_concurrent_executions,
        )
        self._check(
            provisioned_pollers=provisioned_pollers,
            code=code,
            bundle=bundle,
            recursive_loop=recursive_loop,
            filters=filters,
            filtered_messages_are_deleted=filtered_messages_are_deleted,
            function_name=function_name,
            snap_start=snap_start,
            ephemeral_storage_size=ephemeral_storage_size,
        )
        function_seconds = int(self.timeout.to_seconds())
        task_queue.visibility.require(
            consumer=self,
            name=f"the function of {self.node.path!r}",
            at_least=function_seconds,
            recommended=rules.lambda_visibility_seconds(
                function_seconds=function_seconds, window_seconds=window_seconds
            ),
        )

        self.function: lambda_.IFunction
        self.role: iam.IRole
        self.log_group: logs.LogGroup | None = None
        self.alias: lambda_.Alias | None = None
        if function is None:
            tracing = tracing or lambda_.Tracing.ACTIVE
            self.log_group = logs.LogGroup(
                self,
                "Logs",
                retention=log_retention or logs.RetentionDays.ONE_MONTH,
                removal_policy=log_removal_policy or RemovalPolicy.DESTROY,
            )
            self.role = self._make_role(self.log_group, vpc=vpc)
            made = lambda_.Function(
                self,
                "Function",
                function_name=function_name,
                description=description or f"Works the queue {queue}",
                code=code
                if code is not None
                else (bundle or PythonBundle(packages=[app_package(app)])).to_code(
                    runtime=runtime, architecture=architecture
                ),
                handler=handler or HANDLER,
                runtime=runtime,
                architecture=architecture,
                timeout=self.timeout,
                memory_size=memory_size or DEFAULT_MEMORY_SIZE,
                environment={
                    **worker_environment(
                        app=app, service_name=self.service_name, log_level=log_level or "INFO", user=environment
                    ),
                    # How old a message may be when it arrives, which bounds how long it may be hidden (S20).
                    **({BATCHING_WINDOW_VARIABLE: str(window_seconds)} if window_seconds else {}),
                    **({TASKS_VARIABLE: tasks_hash(task_queue.tasks)} if task_queue.tasks else {}),
                },
                log_group=self.log_group,
                role=self.role,
                tracing=tracing,
                recursive_loop=recursive_loop,
                reserved_concurrent_executions=reserved_concurrent_executions,
                snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
                layers=layers,
                ephemeral_storage_size=ephemeral_storage_size,
                vpc=vpc,
                vpc_subnets=vpc_subnets,
                security_groups=security_groups,
            )
            self.function = made
            # A snapshot is taken of a published version, so the mapping must feed one (C8, P7).
            alias = "live" if snap_start and alias is None else alias
            self.alias = (
                None if alias is None else lambda_.Alias(self, "Alias", alias_name=alias, version=made.current_version)
            )
            self._acknowledge_function(made, tracing=tracing, vpc=vpc, is_default_runtime=is_default_runtime)
        else:
            self.function, self.role = function, self._role_of(function)
            if isinstance(function, lambda_.Function):
                function.add_environment(APP_VARIABLE, app)
                if window_seconds:
                    function.add_environment(BATCHING_WINDOW_VARIABLE, str(window_seconds))
        self.event_source_mapping = lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=self.function if self.alias is None else self.alias,
            event_source_arn=task_queue.queue.queue_arn,
            enabled=enabled,
            batch_size=self.batch_size,
            max_batching_window=max_batching_window,
            max_concurrency=max_concurrency,
            filters=filters,
            report_batch_item_failures=True,
        )
        if provisioned_pollers is not None:
            # Not through the construct of the CDK, which refuses more than 2,000; Lambda takes 10,000 (Z2).
            _set_pollers(self.event_source_mapping, provisioned_pollers)
        # Lambda tries the rights when the mapping is made: they must be there first.
        task_queue.grant_consume(self).apply_before(self.event_source_mapping)
        Validations.of(self.event_source_mapping).acknowledge(
            Acknowledgment(
                id="Serverless::Serverless-LambdaEventSourceMappingDestination",
                reason="SQS mappings have no failure destination; the queue's redrive policy is it (S46)",
            )
        )

    @property
    def queue_environment(self) -> Any:
        """Where the URLs of queues are told, as in ``other_queue.grant_send(worker)``.

        An existing function from elsewhere has nothing that could be told; it looks queues up by name.
        """
        return self.function

    def _refuse_with_function(self, **settings: Any) -> None:
        given = [name for name, value in settings.items() if value is not None]
        if given:
            raise StackError(
                f"queue {self.task_queue.logical_name!r}: an existing function (function=) cannot be given "
                f"{', '.join(given)}; leave them out, or leave function= out to have a function made"
            )

    def _timeout_of(self, function: lambda_.IFunction, timeout: Duration | None) -> Duration:
        queue = self.task_queue.logical_name
        if not isinstance(function, lambda_.Function):
            if timeout is None:
                raise StackError(
                    f"queue {queue!r}: the timeout of a function from elsewhere cannot be read here, and visibility "
                    "follows from it; give timeout= as it is there"
                )
            return timeout
        own = function.timeout or Duration.seconds(_DEFAULT_FUNCTION_SECONDS)
        if timeout is not None and timeout.to_seconds() != own.to_seconds():
            raise StackError(
                f"queue {queue!r}: timeout of {int(timeout.to_seconds())} s for an existing function that has "
                f"{int(own.to_seconds())} s; leave timeout= out, and set it where the function is made"
            )
        return own

    def _role_of(self, function: lambda_.IFunction) -> iam.IRole:
        if function.role is None:
            raise StackError(
                f"queue {self.task_queue.logical_name!r}: the existing function has no role here that could be granted "
                "the queue; import it with lambda_.Function.from_function_attributes(role=...)"
            )
        return function.role

    def _choose_size(self, *, timeout: Duration | None, batch_size: int | None) -> None:
        queue = self.task_queue
        slowest = rules.slowest_task_seconds(queue.tasks)
        if timeout is None:
            rules.check_tasks_fit_a_function(queue.tasks, queue=queue.logical_name)
            budget = rules.function_budget_seconds(
                slowest_seconds=slowest, visibility_seconds=queue.visibility.explicit_seconds
            )
        else:
            budget = int(timeout.to_seconds())
            rules.check_function_timeout(queue.tasks, queue=queue.logical_name, seconds=budget)
        self.batch_size = (
            batch_size
            if batch_size is not None
            else rules.default_batch_size(slowest_seconds=slowest, function_seconds=budget, fifo=queue.fifo)
        )
        self.timeout = timeout or Duration.seconds(
            rules.function_timeout_seconds(queue.tasks, batch_size=self.batch_size, budget_seconds=budget)
        )
        seconds = int(self.timeout.to_seconds())
        longest = rules.longest_timeout_seconds(queue.tasks)
        if longest * self.batch_size + rules.FUNCTION_MARGIN_SECONDS > seconds:
            Annotations.of(self).add_warning_v2(
                "sqs-tasks:batch-outlasts-function",
                f"{self.batch_size} messages of up to {longest} s each do not fit in the {seconds} s of one "
                "invocation. Those that are not started go back to the queue, and each return counts as a delivery: "
                "lower batch_size, or raise max_receive_count.",
            )
        if queue.fifo and self.batch_size > 1:
            Annotations.of(self).add_warning_v2(
                "sqs-tasks:fifo-batch",
                f"FIFO queue {queue.logical_name!r} is worked in batches of {self.batch_size}. Each failure in a "
                "message group is a delivery for those that came along behind it, so they have fewer attempts of "
                "their own; batch_size=1 spares them (S23).",
            )
        if queue.max_receive_count is not None and queue.max_receive_count < limits.MIN_LAMBDA_RECEIVE_COUNT:
            Annotations.of(self).add_warning_v2(
                "sqs-tasks:few-receives",
                f"Queue {queue.logical_name!r} dead-letters after {queue.max_receive_count} deliveries. A throttled "
                f"batch is a delivery too; Lambda's documentation asks for {limits.MIN_LAMBDA_RECEIVE_COUNT} or more "
                "(S42).",
            )

    def _check(
        self,
        *,
        provisioned_pollers: ProvisionedPollers | None,
        code: lambda_.Code | None,
        bundle: PythonBundle | None,
        recursive_loop: lambda_.RecursiveLoop | None,
        filters: Sequence[Mapping[str, Any]] | None,
        filtered_messages_are_deleted: bool,
        function_name: str | None,
        snap_start: bool,
        ephemeral_storage_size: Size | None,
    ) -> None:
        queue = self.task_queue.logical_name
        if code is not None and bundle is not None:
            raise StackError(f"queue {queue!r}: code= is ready made and bundle= says how to make it; give one of them")
        if filters and not filtered_messages_are_deleted:
            raise StackError(
                f"queue {queue!r}: Lambda deletes every message that its filters do not match, and no other function "
                "sees it (S41); route jobs to queues of their own, or say that it is meant with "
                "filtered_messages_are_deleted=True"
            )
        if provisioned_pollers is not None:
            rules.check_pollers(queue=queue, minimum=provisioned_pollers.minimum, maximum=provisioned_pollers.maximum)
        if recursive_loop == lambda_.RecursiveLoop.ALLOW:
            rules.check_recursion(self.task_queue.tasks, queue=queue)
        if function_name is not None and len(function_name) > limits.MAX_FUNCTION_NAME_CHARS:
            raise RuleError(
                "R7",
                f"function name {function_name!r} has {len(function_name)} characters; Lambda allows "
                f"{limits.MAX_FUNCTION_NAME_CHARS}; shorten it, or leave it out to have one generated",
            )
        if (
            snap_start
            and ephemeral_storage_size is not None
            and ephemeral_storage_size.to_mebibytes() > limits.MAX_SNAP_START_STORAGE_MEBIBYTES
        ):
            raise StackError(
                f"queue {queue!r}: snap_start with {int(ephemeral_storage_size.to_mebibytes())} MiB of ephemeral "
                f"storage; SnapStart allows {limits.MAX_SNAP_START_STORAGE_MEBIBYTES} MiB; leave out one or the other"
            )

    def _make_role(self, log_group: logs.LogGroup, *, vpc: ec2.IVpc | None) -> iam.Role:
        # The managed AWSLambdaBasicExecutionRole would let it write every log of the account (C10).
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        if vpc is not None:
            role.add_to_policy(iam.PolicyStatement(actions=list(_VPC_ACTIONS), resources=["*"]))
        return role

    def _acknowledge_function(
        self, function: lambda_.Function, *, tracing: lambda_.Tracing, vpc: ec2.IVpc | None, is_default_runtime: bool
    ) -> None:
        """Answer cdk-nag where it asks for what a worker of a queue should not have (C10)."""
        if tracing != lambda_.Tracing.DISABLED or vpc is not None:
            Validations.of(self.role).acknowledge(
                Acknowledgment(
                    id="AwsSolutions::AwsSolutions-IAM5[Resource::*]",
                    reason="X-Ray segments and network interfaces have no resource that a policy could name",
                )
            )
        Validations.of(function).acknowledge(
            Acknowledgment(
                id="Serverless::Serverless-LambdaDLQ",
                reason="A function's dead-letter configuration is for asynchronous calls; the queue has its own (S46)",
            )
        )
        if is_default_runtime:
            for rule in ("AwsSolutions::AwsSolutions-L1", "Serverless::Serverless-LambdaLatestVersion"):
                Validations.of(function).acknowledge(
                    Acknowledgment(
                        id=rule,
                        reason="Python 3.13 is supported until 2029; runtime= takes a newer one",
                    )
                )


def _set_pollers(mapping: lambda_.EventSourceMapping, pollers: ProvisionedPollers) -> None:
    resource = mapping.node.default_child
    assert isinstance(resource, lambda_.CfnEventSourceMapping)  # noqa: S101 - what the construct is made of
    resource.provisioned_poller_config = lambda_.CfnEventSourceMapping.ProvisionedPollerConfigProperty(
        minimum_pollers=pollers.minimum, maximum_pollers=pollers.maximum
    )
