"""A Lambda function that works one queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict, Unpack, cast

import jsii
from aws_cdk import Annotations, Duration, Stack
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.acknowledgements import acknowledge
from sqs_tasks_cdk.crash_cost import say_crash_cost
from sqs_tasks_cdk.environment import (
    BATCHING_WINDOW_VARIABLE,
    METRICS_VARIABLE,
    TASKS_VARIABLE,
    service_name_of,
    tasks_hash,
)
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.existing_function import ExistingFunction, FunctionMappings, check_reserve, service_of
from sqs_tasks_cdk.function_size import function_size
from sqs_tasks_cdk.gradual_deployment import GradualDeployment, deploy_gradually
from sqs_tasks_cdk.job_metrics import MetricsBy
from sqs_tasks_cdk.places import elsewhere
from sqs_tasks_cdk.settings import given, names_in
from sqs_tasks_cdk.target_variables import TargetVariables
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.unresolved import known, known_seconds, needed, number_text
from sqs_tasks_cdk.worker_function import WorkerFunctionSettings, check_function, make_function


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedPollers:
    """Pollers that Lambda keeps ready for a queue: faster scaling than its own, at a price an hour (S35).

    Attributes:
        minimum: Kept at all times, 2 to 200.
        maximum: Added under load, up to 10,000.
    """

    minimum: int = 2
    maximum: int = 200


class MappingSettings(TypedDict, total=False):
    """Settings of the event source mapping, and of what its rules need to know: for existing functions too."""

    #: Who logs and metrics say they come from; the top-level package of ``app`` when left out.
    service_name: str | None

    #: Whether jobs are counted by ``"task"``, as when it is left out, or by ``"queue"`` alone, which costs less.
    metrics: MetricsBy

    #: Messages of one invocation at most: up to 10, or 10,000 with a batching window. When left out as many, up to 10,
    #: as can run one after another at their slowest within 5 minutes, or within a ``timeout`` or a visibility timeout
    #: that is set; 1 for a FIFO queue (S23).
    batch_size: int | None

    #: How long Lambda collects messages for a batch, up to 5 minutes; not for FIFO.
    max_batching_window: Duration | None

    #: Concurrent invocations at most, 2 to 1,000.
    max_concurrency: int | None

    #: Pollers kept ready; not together with ``max_concurrency``.
    provisioned_pollers: ProvisionedPollers | None

    #: Patterns of messages that the function gets. Lambda *deletes* the others (S41).
    filters: Sequence[Mapping[str, Any]] | None

    #: That this is understood; needed for ``filters``.
    filtered_messages_are_deleted: bool

    #: Whether the queue feeds the function.
    enabled: bool


class LambdaSettings(MappingSettings, WorkerFunctionSettings, total=False):
    """Settings of a :class:`LambdaWorker`, besides its queue and its app."""

    #: An existing function, or an alias or version of one, in place of every setting that would make one. It gets the
    #: queue's rights; one that is made in this app also the variables that a worker reads. It needs the handler, and
    #: ``timeout`` as well if it comes from elsewhere. It may work several queues, with a worker for each.
    function: lambda_.IFunction | None

    #: Of one invocation; computed, up to 15 minutes, when left out. Up to 30 minutes, or 90 with a
    #: ``capacity_provider``.
    timeout: Duration | None


class LambdaWorkerSettings(LambdaSettings, total=False):
    """What code may decide about the function of a queue of the registry."""

    #: Where the worker finds its registry, as ``module:attribute``.
    app: str


#: What is left to decide when the function is there already.
MAPPING_SETTINGS: Final = frozenset(("app", *MappingSettings.__annotations__))


@jsii.implements(iam.IGrantable, ec2.IConnectable)
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
        settings: See :class:`LambdaSettings`; all may be left out.

    Attributes:
        task_queue: The queue.
        service_name: Who its logs and metrics say they come from.
        metrics_by: Whether its jobs are counted by task or by queue.
        function: The function.
        alias: The alias that the queue feeds, or None.
        deployment_group: What deploys new versions step by step, or None.
        event_source_mapping: What feeds it.
        log_group: Its logs; None for an existing function.
        connections: What it may connect to, if it is in a network.
        grant_principal: Who is granted what it is granted.
        role: What it may do; open for further grants.
        timeout: Of one invocation.
        batch_size: Messages of one invocation at most.

    Raises:
        RuleError: R1, R2, R4, R6 or R7.
        StackError: Arguments that exclude each other.
        TypeError: There is no such setting.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        task_queue: TaskQueue,
        app: str,
        **settings: Unpack[LambdaSettings],
    ) -> None:
        settings = given(settings, LambdaSettings, construct="LambdaWorker")
        super().__init__(scope, construct_id)
        self.task_queue = task_queue
        self.metrics_by: MetricsBy = settings.get("metrics", "task")
        window = settings.get("max_batching_window")
        # The longest that there is where it is known at the deploy only: what is computed from it then holds.
        window_seconds = 0 if window is None else known_seconds(window) or limits.MAX_BATCHING_WINDOW_SECONDS
        timeout, existing = settings.get("timeout"), None
        if "function" in settings:
            self._refuse_with_function(settings)
            existing = ExistingFunction.of(
                cast("lambda_.IFunction", settings["function"]), queue=task_queue.logical_name
            )
            timeout = existing.timeout(timeout, queue=task_queue.logical_name)
        own_name = None if existing is None else service_of(existing.made_here)
        self.service_name = service_name_of(
            app, service_name=settings.get("service_name") or own_name, user=settings.get("environment")
        )
        self._check_region()
        self._choose_size(
            timeout=timeout,
            batch_size=settings.get("batch_size"),
            # Where an existing function runs is not known here.
            is_managed=existing is not None or "capacity_provider" in settings,
        )
        self._check(settings, window_seconds=window_seconds)
        self._require_visibility(
            window_seconds=window_seconds,
            is_computed=timeout is None and task_queue.visibility.explicit_seconds is None,
        )

        variables = {
            # How old a message may be when it arrives, which bounds how long it may be hidden (S20).
            **({BATCHING_WINDOW_VARIABLE: number_text(window.to_seconds())} if window and window_seconds else {}),
            **({METRICS_VARIABLE: self.metrics_by} if self.metrics_by != "task" else {}),
        }
        self.function: lambda_.IFunction
        self.role: iam.IRole
        self.log_group: logs.ILogGroup | None = None
        self.alias: lambda_.Alias | None = None
        self.deployment_group: codedeploy.LambdaDeploymentGroup | None = None
        if existing is None:
            made = make_function(
                self,
                settings,
                queue=task_queue.logical_name,
                app=app,
                service_name=self.service_name,
                timeout=self.timeout,
                variables={
                    **variables,
                    **({TASKS_VARIABLE: tasks_hash(task_queue.tasks)} if task_queue.tasks else {}),
                },
            )
            self.function, self.role, self.log_group, self.alias = made.function, made.role, made.log_group, made.alias
            if made.alias is not None and "deployment" in settings:
                self.deployment_group = deploy_gradually(
                    self, made.alias, settings["deployment"] or GradualDeployment(), queue=task_queue.logical_name
                )
        else:
            self.function, self.role, self.alias = existing.function, existing.role, existing.alias
            if existing.made_here is not None:
                FunctionMappings.of(existing.made_here).add(
                    existing.made_here,
                    queue=task_queue.logical_name,
                    fifo=task_queue.fifo,
                    app=app,
                    service_name=settings.get("service_name"),
                    window_seconds=window_seconds,
                    max_concurrency=known(settings.get("max_concurrency")),
                )
                if self.metrics_by != "task":
                    TargetVariables.of(existing.made_here).set(METRICS_VARIABLE, self.metrics_by, instead="metrics=")
        self.event_source_mapping = self._make_mapping(
            settings, target=(self.alias or self.function) if existing is None else existing.target
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """Who is granted what the worker is granted, as by ``table.grant_read_data(worker)``."""
        return self.role.grant_principal

    @property
    def connections(self) -> ec2.Connections:
        """What the function may connect to, as by ``database.connections.allow_default_port_from(worker)``."""
        return self.function.connections

    @property
    def queue_environment(self) -> Any:
        """Where the URLs of queues are put, as by ``other_queue.grant_send(worker)``.

        An existing function from elsewhere takes no variables from here; it looks queues up by name.
        """
        return self.function

    def _make_mapping(self, settings: MappingSettings, *, target: lambda_.IFunction) -> lambda_.EventSourceMapping:
        pollers = settings.get("provisioned_pollers")
        mapping = lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=target,
            event_source_arn=self.task_queue.queue.queue_arn,
            enabled=settings.get("enabled", True),
            batch_size=self.batch_size,
            max_batching_window=settings.get("max_batching_window"),
            max_concurrency=settings.get("max_concurrency"),
            filters=settings.get("filters"),
            report_batch_item_failures=True,
        )
        if pollers is not None:
            # Not through the construct of the CDK, which refuses more than 2,000; Lambda takes 10,000 (Z2).
            _set_pollers(mapping, pollers)
        # Lambda tries the rights when the mapping is made: they must be there first.
        self.task_queue.grant_consume(self).apply_before(mapping)
        acknowledge(
            mapping,
            "Serverless::Serverless-LambdaEventSourceMappingDestination",
            reason="SQS mappings have no failure destination; the queue's redrive policy is it",
        )
        return mapping

    def _refuse_with_function(self, settings: LambdaSettings) -> None:
        names = names_in(settings, WorkerFunctionSettings.__annotations__)
        if names:
            raise StackError(
                f"queue {self.task_queue.logical_name!r}: an existing function (function=) cannot be given "
                f"{', '.join(names)}; leave them out, or leave function= out to have a function made"
            )

    def _check_region(self) -> None:
        queue = self.task_queue
        region = elsewhere(self, queue.queue).get("region")
        if region is not None:
            raise StackError(
                f"queue {queue.logical_name!r} is in {region} and its function would be in {Stack.of(self).region}; "
                f"Lambda polls queues of its own region only: make the worker in a stack in {region}, or let a "
                "container worker poll the queue (runs_on='fargate')"
            )

    def _choose_size(self, *, timeout: Duration | None, batch_size: int | None, is_managed: bool) -> None:
        queue = self.task_queue
        seconds = None if timeout is None else known_seconds(timeout)
        if timeout is not None and seconds is None:
            # How many messages fit in it is unknown; one has to.
            self.timeout, self.batch_size = timeout, batch_size or 1
            return
        given_size = known(batch_size)
        if timeout is None and batch_size is not None:
            given_size = needed(given_size, what="batch_size", instead="give timeout= as well")
        size = function_size(
            queue.tasks,
            queue=queue.logical_name,
            fifo=queue.fifo,
            visibility_seconds=queue.visibility.explicit_seconds,
            timeout_seconds=seconds,
            batch_size=given_size,
            is_managed=is_managed,
        )
        self.batch_size = size.batch_size if batch_size is None else batch_size
        self.timeout = timeout or Duration.seconds(size.timeout_seconds)
        if batch_size is None or given_size is not None:
            self._warn_of_batch(self.batch_size)
        if queue.max_receive_count is not None and queue.max_receive_count < limits.MIN_LAMBDA_RECEIVE_COUNT:
            Annotations.of(self).add_warning_v2(
                "sqs-tasks:few-receives",
                f"Queue {queue.logical_name!r} dead-letters after {queue.max_receive_count} deliveries. A throttled "
                f"batch is a delivery too; Lambda's documentation asks for {limits.MIN_LAMBDA_RECEIVE_COUNT} or more.",
            )

    def _warn_of_batch(self, size: int) -> None:
        queue, seconds = self.task_queue, int(self.timeout.to_seconds())
        longest = rules.longest_timeout_seconds(queue.tasks)
        if longest * size + rules.FUNCTION_MARGIN_SECONDS > seconds:
            Annotations.of(self).add_warning_v2(
                "sqs-tasks:batch-outlasts-function",
                f"{size} messages of up to {longest} s each do not fit in the {seconds} s of one "
                "invocation. Those that are not started go back to the queue, and each return counts as a delivery: "
                "lower batch_size, or raise max_receive_count.",
            )
        if queue.fifo and size > 1:
            Annotations.of(self).add_warning_v2(
                "sqs-tasks:fifo-batch",
                f"FIFO queue {queue.logical_name!r} is worked in batches of {size}. Each failure in a "
                "message group also costs the messages behind it a delivery, so they have fewer attempts; "
                "batch_size=1 avoids this.",
            )

    def _require_visibility(self, *, window_seconds: int, is_computed: bool) -> None:
        queue = self.task_queue
        if queue.visibility.is_unknown:
            return
        function_seconds = known_seconds(self.timeout)
        if function_seconds is None:
            needed(
                queue.visibility.explicit_seconds,
                what=f"the timeout of the function of queue {queue.logical_name!r}",
                instead="give the queue visibility_timeout= as well, of six times as much",
            )
            return
        recommended = rules.lambda_visibility_seconds(function_seconds=function_seconds, window_seconds=window_seconds)
        queue.visibility.require(
            consumer=self,
            name=f"the function of {self.node.path!r}",
            at_least=function_seconds,
            recommended=recommended,
        )
        if is_computed:
            say_crash_cost(
                self,
                queue.tasks,
                queue=queue.logical_name,
                batch_size=self.batch_size,
                visibility_seconds=recommended - window_seconds,
                fifo=queue.fifo,
            )

    def _check(self, settings: LambdaSettings, *, window_seconds: int) -> None:
        queue = self.task_queue.logical_name
        pollers = settings.get("provisioned_pollers")
        rules.check_mapping(
            queue=queue,
            fifo=self.task_queue.fifo,
            batch_size=self.batch_size if known(self.batch_size) is not None else 1,
            window_seconds=window_seconds,
            max_concurrency=known(settings.get("max_concurrency")),
            provisioned_pollers=pollers is not None,
            reserved_concurrency=settings.get("reserved_concurrent_executions"),
        )
        check_function(settings, queue=queue)
        reserved, maximum = known(settings.get("reserved_concurrent_executions")), settings.get("max_concurrency")
        if reserved is not None and (maximum is None or known(maximum) is not None):
            check_reserve(self, fifo=self.task_queue.fifo, maxima={queue: maximum}, reserved=reserved)
        if settings.get("filters") and not settings.get("filtered_messages_are_deleted"):
            raise StackError(
                f"queue {queue!r}: Lambda deletes every message that its filters do not match, and no other function "
                "sees it; route jobs to separate queues, or confirm with "
                "filtered_messages_are_deleted=True"
            )
        if pollers is not None:
            least = known(pollers.minimum)
            most = known(pollers.maximum)
            rules.check_pollers(
                queue=queue,
                minimum=limits.MIN_POLLERS if least is None else least,
                maximum=limits.MAX_POLLERS if most is None else most,
            )
        if settings.get("recursive_loop") == lambda_.RecursiveLoop.ALLOW:
            rules.check_recursion(self.task_queue.tasks, queue=queue)


def _set_pollers(mapping: lambda_.EventSourceMapping, pollers: ProvisionedPollers) -> None:
    resource = cast("lambda_.CfnEventSourceMapping", mapping.node.default_child)
    resource.provisioned_poller_config = lambda_.CfnEventSourceMapping.ProvisionedPollerConfigProperty(
        minimum_pollers=pollers.minimum, maximum_pollers=pollers.maximum
    )
