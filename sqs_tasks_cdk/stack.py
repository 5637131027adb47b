"""A whole registry, as one construct and as one stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from aws_cdk import Annotations, Environment, IPropertyInjector, IStackSynthesizer, PermissionsBoundary, Stack
from constructs import Construct

from sqs_tasks_cdk.alarms_in_parts import place_of_alarms
from sqs_tasks_cdk.manifest import Manifest
from sqs_tasks_cdk.monitoring import MonitoringSettings, TaskMonitoring
from sqs_tasks_cdk.outputs import TaskOutputs
from sqs_tasks_cdk.places import elsewhere, named
from sqs_tasks_cdk.schedules import TaskSchedules, TaskSchedulesSettings, has_schedules
from sqs_tasks_cdk.settings import given
from sqs_tasks_cdk.task_queue_settings import TaskQueueSettings
from sqs_tasks_cdk.task_queues import TaskQueues
from sqs_tasks_cdk.task_workers import TaskWorkers, TaskWorkersSettings


class SqsTasksSettings(TaskWorkersSettings, total=False):
    """Settings of :class:`SqsTasks`, besides its manifest."""

    #: Settings for every queue.
    queue_defaults: TaskQueueSettings | None

    #: Settings by the logical name of a queue; they win over ``queue_defaults``.
    queue_settings: Mapping[str, TaskQueueSettings] | None

    #: Whether the registry's schedules are made; they are when left out. False is for stages in which nothing should
    #: run by itself.
    schedules: bool | None

    #: Whether workers may hold jobs that are due later than the 900 seconds of SQS: ``options(run_at=...)``. They may
    #: not when left out.
    delays: bool | None

    #: Settings for the schedules, their group and their queue.
    schedule_settings: TaskSchedulesSettings | None


class TaskStackSettings(SqsTasksSettings, total=False):
    """Settings of :class:`TaskStack`, besides its manifest."""

    #: Called with the stack and the manifest, and returns settings that need a stack to be made, like a network that is
    #: looked up. Settings that are given here win over those that it returns.
    configure: Callable[[Stack, Manifest], Mapping[str, Any]] | None

    #: The account and region; those of the deploy's credentials when left out.
    env: Environment | None

    #: The name in CloudFormation; the id when left out.
    stack_name: str | None

    #: Of the stack.
    description: str | None

    #: Whether the stack refuses to be deleted.
    termination_protection: bool | None

    #: Of everything in the stack.
    tags: Mapping[str, str] | None

    #: Topics that CloudFormation writes the stack's events to.
    notification_arns: Sequence[str] | None

    #: What bounds the rights of every role in the stack.
    permissions_boundary: PermissionsBoundary | None

    #: How templates and assets get into the account; the CDK's bootstrap resources when left out.
    synthesizer: IStackSynthesizer | None

    #: Whether other stacks in other regions may refer to this one.
    cross_region_references: bool | None

    #: What changes the properties of constructs while they are made.
    property_injectors: Sequence[IPropertyInjector] | None

    #: Whether the CDK may add the resource that counts its constructs.
    analytics_reporting: bool | None

    #: Whether the template is written without indentation, which is smaller.
    suppress_template_indentation: bool | None


#: What goes to the stack itself.
_OF_STACK = frozenset(TaskStackSettings.__annotations__) - frozenset(SqsTasksSettings.__annotations__) - {"configure"}


class SqsTasks(Construct):
    """Queues and workers of a registry in one stack.

    To keep queues when workers are torn down, put a :class:`TaskQueues` and a :class:`TaskWorkers` into stacks of their
    own instead.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        manifest: The registry: ``env.manifest()``, or the path of what ``sqs-tasks manifest`` printed.
        settings: See :class:`SqsTasksSettings`; all may be left out.

    Attributes:
        manifest: The registry.
        queues: Its queues.
        workers: Its workers.
        schedules: Its schedules, or None: it has none and no delays, or they are not wanted.

    Raises:
        StackError: What :class:`TaskQueues` and :class:`TaskWorkers` refuse.
        TypeError: There is no such setting.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        manifest: Manifest | Mapping[str, Any] | str | Path,
        **settings: Unpack[SqsTasksSettings],
    ) -> None:
        settings = given(settings, SqsTasksSettings, construct="SqsTasks")
        super().__init__(scope, construct_id)
        self.queues = TaskQueues(
            self,
            "Queues",
            manifest=manifest,
            only=settings.pop("only", None),
            stage=settings.pop("stage", None),
            queue_prefix=settings.pop("queue_prefix", None),
            defaults=settings.pop("queue_defaults", None),
            settings=settings.pop("queue_settings", None),
        )
        self.manifest = self.queues.manifest
        is_scheduled, has_delays = settings.pop("schedules", True), bool(settings.pop("delays", False))
        schedule_settings: TaskSchedulesSettings = settings.pop("schedule_settings", None) or {}
        self.schedules: TaskSchedules | None = None
        if has_delays or (is_scheduled and has_schedules(self.queues)):
            of_schedules: TaskSchedulesSettings = {
                **schedule_settings,
                "delays": has_delays,
                "without_schedules": not is_scheduled,
            }
            self.schedules = TaskSchedules(self, "Schedules", queues=self.queues, **of_schedules)
        of_workers: TaskWorkersSettings = settings
        self.workers = TaskWorkers(self, "Workers", queues=self.queues, **of_workers)
        if self.schedules is not None and has_delays:
            for worker in self.workers:
                self.schedules.grant_delays(worker)

    def add_outputs(self, construct_id: str = "Outputs") -> TaskOutputs:
        """Make outputs with the addresses of all queues and workers, under names that scripts can rely on.

        Raises:
            StackError: More than the 200 outputs that a stack can have, which is enough for 40 queues.
        """
        return TaskOutputs(self, construct_id, queues=self.queues, workers=self.workers)

    def monitor(
        self,
        construct_id: str = "Monitoring",
        *,
        scope: Construct | None = None,
        **settings: Unpack[MonitoringSettings],
    ) -> TaskMonitoring:
        """Watch all queues, workers and schedules.

        A queue with a function has nine alarms, and a stack holds 500 resources. Alarms that do not fit go to a nested
        stack, or to several.

        Args:
            construct_id: The id in ``scope``.
            scope: The parent. When left out, this construct, or a nested stack in it where this stack has no room.
            settings: See :class:`~sqs_tasks_cdk.monitoring.MonitoringSettings`.

        Raises:
            StackError: Neither an action nor a reason for none, or objectives for a queue that is not there.
        """
        watched = []
        for queue in self.queues:
            place = elsewhere(self, queue.queue)
            if place:
                Annotations.of(self).add_warning_v2(
                    f"sqs-tasks:not-watched-{queue.logical_name}",
                    f"Queue {queue.logical_name!r} is in {named(place)}, where its metrics are: it has no alarms here. "
                    "Watch it by a TaskMonitoring in a stack there.",
                )
            else:
                watched.append(queue)
        return TaskMonitoring(
            scope if scope is not None else place_of_alarms(self, watched, log_alarms=bool(settings.get("log_alarms"))),
            construct_id,
            queues=watched,
            workers=list(self.workers),
            schedules=self.schedules,
            **settings,
        )


class TaskStack(Stack):
    """A stack made from a manifest: what ``cdk deploy`` turns a registry into.

    Args:
        scope: The CDK app.
        construct_id: The stack's id.
        manifest: The registry.
        settings: See :class:`TaskStackSettings`; all may be left out.

    Attributes:
        tasks: The registry's constructs.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        manifest: Manifest | Mapping[str, Any] | str | Path,
        **settings: Unpack[TaskStackSettings],
    ) -> None:
        settings = given(settings, TaskStackSettings, construct="TaskStack")
        of_stack: Any = {name: value for name, value in settings.items() if name in _OF_STACK}
        super().__init__(scope, construct_id, **of_stack)
        of_tasks: Any = {name: value for name, value in settings.items() if name not in _OF_STACK}
        configure = of_tasks.pop("configure", None)
        if configure is not None:
            manifest = Manifest.read(manifest)
            of_tasks = {**configure(self, manifest), **of_tasks}
        self.tasks = SqsTasks(self, "Tasks", manifest=manifest, **of_tasks)
