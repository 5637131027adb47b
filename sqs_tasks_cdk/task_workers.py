"""The workers of a registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypedDict, Unpack

from aws_cdk import Annotations, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from sqs_tasks_cdk import call_graph, parts
from sqs_tasks_cdk.bundling import PythonBundle, handler_of
from sqs_tasks_cdk.environment import SERVICE_VARIABLE, app_package
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.fargate_worker import FargateWorker, FargateWorkerSettings, make_cluster
from sqs_tasks_cdk.lambda_worker import MAPPING_SETTINGS, LambdaWorker, LambdaWorkerSettings
from sqs_tasks_cdk.manifest import ManifestQueue
from sqs_tasks_cdk.parts import Parts, depend_on
from sqs_tasks_cdk.selection import check_only
from sqs_tasks_cdk.send_rights import SendAnywhere, grant_send_to, warn_of_undeclared
from sqs_tasks_cdk.settings import given
from sqs_tasks_cdk.shared_functions import SharedFunctions, prepare_shared
from sqs_tasks_cdk.stack_references import deploy_after
from sqs_tasks_cdk.stages import check_environment, check_same_stage
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.task_queues import TaskQueues, check_names


class TaskWorkersSettings(TypedDict, total=False):
    """Settings of :class:`TaskWorkers`, besides its queues."""

    #: Where workers find the registry, as ``module:attribute``; what the manifest says when left out.
    app: str | None

    #: Which stage this is, as part of queue names: ``shop-emails`` becomes ``shop-dev-emails``. Workers, and producers
    #: that are granted a queue, get it in their environment. For ``TaskWorkers`` it is that of the queues.
    stage: str | None

    #: What queue names begin with in place of the registry's prefix.
    queue_prefix: str | None

    #: Settings for every function.
    lambda_defaults: LambdaWorkerSettings | None

    #: Settings for a function by the logical name of its queue; they win over ``lambda_defaults``.
    lambda_settings: Mapping[str, LambdaWorkerSettings] | None

    #: Queues that share a function, by any name for it: ``{"mail": ["emails", "letters"]}``. The settings of the
    #: function are those of the first of them in the registry.
    shared_functions: Mapping[str, Sequence[str]] | None

    #: Settings for every service.
    fargate_defaults: FargateWorkerSettings | None

    #: Settings for a service by the logical name of its queue; they win over ``fargate_defaults``.
    fargate_settings: Mapping[str, FargateWorkerSettings] | None

    #: That no queue has a task and no worker is wanted. Without it a registry without tasks is refused.
    without_tasks: bool

    #: The queues that this construct is for, by their logical names; all when left out. The others are in other stacks,
    #: and are known by name.
    only: Sequence[str] | None

    #: Whether workers are in nested stacks. When left out, they are if the stack could not hold them otherwise.
    split: bool | None

    #: Where services run. One is made in ``vpc`` when left out.
    cluster: ecs.ICluster | None

    #: The network of a new cluster; one of public subnets without NAT is made when both are left out.
    vpc: ec2.IVpc | None


class TaskWorkers(Construct):
    """A worker for every queue of a registry that has tasks: what a stateless stack holds.

    A queue that ``runs_on`` Lambda gets a function of its own, one that runs on Fargate a service of its own. All
    services share a cluster.

    In another stack than the queues it knows them by name only, so that no export ties the stacks together (R9).

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        queues: The queues.
        settings: See :class:`TaskWorkersSettings`; all may be left out.

    Attributes:
        workers: The workers by the logical name of their queue.

    Raises:
        RuleError: R1, R2, R4, R6, R7 or R9.
        StackError: A registry without tasks, no ``app`` anywhere, or settings for a queue that is not in the registry.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queues: TaskQueues,
        **settings: Unpack[TaskWorkersSettings],
    ) -> None:
        settings = given(settings, TaskWorkersSettings, construct="TaskWorkers")
        super().__init__(scope, construct_id)
        self.workers: dict[str, LambdaWorker | FargateWorker] = {}
        self._manifest = queues.manifest
        self._settings = settings
        check_same_stage(self._manifest, stage=settings.get("stage"), queue_prefix=settings.get("queue_prefix"))
        self._check_tasks()
        self._check_settings("lambda", settings.get("lambda_settings"))
        self._check_settings("fargate", settings.get("fargate_settings"))
        if "cluster" in settings and "vpc" in settings:
            raise StackError("cluster= has its own network; leave out vpc=")
        self._app = settings.get("app", self._manifest.app)
        self._queues = queues
        self._references: dict[tuple[str, str], TaskQueue] = {}
        self._codes: dict[tuple[str, int, str, str], lambda_.Code] = {}
        self._is_apart = Stack.of(self) is not Stack.of(queues)
        if self._is_apart:
            # Names are no references, so the CDK does not see that a mapping needs its queue.
            deploy_after(self, queues)
        chosen = check_only(settings.get("only"), self._manifest) & queues.queues.keys()
        self._worked = [
            queue
            for queue in self._manifest.queues
            if queue.tasks and queue.runs_on != "external" and queue.name in chosen
        ]
        self._shared = SharedFunctions(
            settings.get("shared_functions") or {}, manifest=self._manifest, worked=self._worked
        )
        own = settings.get("lambda_settings") or {}
        is_split = parts.are_needed(
            self,
            self._worked,
            existing_functions=sum("function" in one for one in own.values()),
            split=settings.get("split"),
        )
        self._parts = Parts(self, "Part") if is_split else None

        loops = call_graph.loops(self._manifest)
        for registered in self._worked:
            if registered.runs_on == "fargate":
                if registered.name not in self.workers:  # those of a group come together
                    self.workers |= self._service(registered)
            else:
                self.workers[registered.name] = self._function(registered, is_loop=registered.name in loops)
                if self._shared.is_shared(registered.name):
                    has_loop = not loops.isdisjoint(self._shared.names(registered.name))
                    prepare_shared(self.workers[registered.name], has_loop=has_loop)
        self._grant_sends()
        self._warn_of_two_pythons()

    def __getitem__(self, name: str) -> LambdaWorker | FargateWorker:
        """The worker of the queue of that logical name."""
        self._manifest.queue(name)
        if name not in self.workers:
            raise StackError(
                f"queue {name!r} has no tasks, and so no worker"
                if not self._manifest.queue(name).tasks
                else f"queue {name!r} has no worker here: it is worked elsewhere, or left out by only="
            )
        return self.workers[name]

    def __iter__(self) -> Iterator[LambdaWorker | FargateWorker]:
        """The workers, in the order of registration of their queues."""
        return iter(dict.fromkeys(self.workers.values()))

    @cached_property
    def cluster(self) -> ecs.ICluster:
        """Where services run; made when the first of them asks."""
        given_cluster = self._settings.get("cluster")
        return given_cluster if given_cluster is not None else make_cluster(self, vpc=self._settings.get("vpc"))

    def _function(self, registered: ManifestQueue, *, is_loop: bool) -> LambdaWorker:
        defaults: dict[str, Any] = dict(self._settings.get("lambda_defaults") or {})
        own: dict[str, Any] = dict((self._settings.get("lambda_settings") or {}).get(registered.name, {}))
        leader = self.workers.get(self._shared.leader(registered.name))
        if isinstance(leader, LambdaWorker):
            own.setdefault("function", leader.function)
        elif self._shared.is_shared(registered.name):
            seconds = self._shared.timeout_seconds(registered.name)
            defaults.setdefault("timeout", Duration.seconds(seconds))
        if "function" in own or "function" in defaults:
            # What defaults say of functions that are made is not for one that is there already.
            defaults = {name: value for name, value in defaults.items() if name in MAPPING_SETTINGS}
        elif is_loop:
            defaults.setdefault("recursive_loop", lambda_.RecursiveLoop.ALLOW)
        settings = {**defaults, **own}
        app = self._app_of(settings)
        check_environment(settings.get("environment"))
        self._name_service(settings, app)
        if "code" not in settings and "function" not in settings:
            settings["code"] = self._code(app, settings)
        place = self._place(registered)
        if self._parts is not None and "code" in settings:
            settings.setdefault("handler", handler_of(settings["code"], None))
            settings["code"] = self._parts.code(place, settings["code"])
        task_queue = self._queue(registered.name, place)
        return LambdaWorker(place, registered.name, task_queue=task_queue, app=app, **settings)

    def _code(self, app: str, settings: dict[str, Any]) -> lambda_.Code:
        """The bundle for a function, put together once for all functions that want the same."""
        bundle = settings.pop("bundle", None)
        runtime = settings.get("runtime", lambda_.Runtime.PYTHON_3_13)
        architecture = settings.get("architecture", lambda_.Architecture.ARM_64)
        key = (app_package(app), id(bundle), runtime.name, architecture.name)
        if key not in self._codes:
            made = bundle if bundle is not None else PythonBundle(packages=[app_package(app)])
            self._codes[key] = made.to_code(runtime=runtime, architecture=architecture)
        return self._codes[key]

    def _service(self, registered: ManifestQueue) -> dict[str, FargateWorker]:
        """The service of a queue, by the names of all queues that it works: those of its priority group too."""
        group = self._group(registered)
        self._check_group_settings(group)
        settings: dict[str, Any] = {
            **(self._settings.get("fargate_defaults") or {}),
            **(self._settings.get("fargate_settings") or {}).get(registered.name, {}),
        }
        app = self._app_of(settings)
        check_environment(settings.get("environment"))
        self._name_service(settings, app)
        if "cluster" not in settings and "vpc" not in settings:
            settings["cluster"] = self.cluster
            if "cluster" not in self._settings and "vpc" not in self._settings:
                settings.setdefault("assign_public_ip", True)
        place = self._place(registered)
        task_queues = [self._queue(one.name, place) for one in group]
        service = FargateWorker(place, registered.name, task_queues=task_queues, app=app, **settings)
        return dict.fromkeys([one.name for one in group], service)

    def _group(self, registered: ManifestQueue) -> list[ManifestQueue]:
        """The queues that one service works together with this one, which is among them."""
        if registered.priority_group is None:
            return [registered]
        return [
            one
            for one in self._worked
            if one.runs_on == registered.runs_on and one.priority_group == registered.priority_group
        ]

    def _check_group_settings(self, group: Sequence[ManifestQueue]) -> None:
        """Refuse settings of a service by the name of a queue that is not the first of its group."""
        for one in group[1:]:
            if one.name in (self._settings.get("fargate_settings") or {}):
                raise StackError(
                    f"fargate_settings for queue {one.name!r}, whose priority group {one.priority_group!r} has one "
                    f"service; its settings are those of its first queue: give them for {group[0].name!r}"
                )

    def _name_service(self, settings: dict[str, Any], app: str) -> None:
        """Give a stage a service name of its own: the queues' logical names are those of all stages."""
        stage = self._manifest.stage
        if (
            stage is not None
            and "function" not in settings
            and SERVICE_VARIABLE not in (settings.get("environment") or {})
        ):
            settings.setdefault("service_name", f"{app_package(app)}-{stage}")

    def _app_of(self, settings: dict[str, Any]) -> str:
        app = settings.pop("app", self._app)
        if app is None:
            raise StackError(
                "the manifest does not say where its environment is; write it with 'sqs-tasks manifest module:env', or "
                "give app='module:env'"
            )
        return str(app)

    def _check_tasks(self) -> None:
        """Refuse a registry without tasks: a deploy removes the workers that a stack has and its template has not."""
        idle = [queue.name for queue in self._manifest.queues if not queue.tasks]
        if len(idle) == len(self._manifest.queues):
            if not self._settings.get("without_tasks"):
                raise StackError(
                    "the registry has no task on any queue, so this stack would have no worker, and a deploy removes "
                    "those that run now; import the modules that register tasks where the environment is made and "
                    "write the manifest again, or say without_tasks=True (-c without_tasks=true) if no worker is wanted"
                )
            Annotations.of(self).add_warning_v2(
                "sqs-tasks:without-tasks",
                "The registry has no task (without_tasks=True): a deploy removes the workers that this stack has.",
            )
        elif idle:
            Annotations.of(self).add_info(
                f"No task is registered on {', '.join(map(repr, idle))}, so there is no worker for it. If a worker is "
                "deployed already, the next deploy removes it."
            )

    def _check_settings(self, runs_on: str, settings: Mapping[str, Any] | None) -> None:
        """Refuse settings that nothing would use."""
        check_names(settings, self._manifest, what=f"{runs_on}_settings")
        for name in settings or {}:
            actual = self._manifest.queue(name).runs_on
            if actual != runs_on:
                raise StackError(
                    f"{runs_on}_settings for queue {name!r}, which runs on {actual}; "
                    f"{'leave them out' if actual == 'external' else f'give {actual}_settings'}, or register the queue "
                    f"with runs_on={runs_on!r}"
                )

    def _grant_sends(self) -> None:
        anywhere: SendAnywhere | None = None
        for registered in self._worked:
            worker = self.workers[registered.name]
            if call_graph.enqueues_anywhere(registered):
                if anywhere is None:
                    anywhere = SendAnywhere(
                        self,
                        "SendAnywhere",
                        queues=[self._queue(queue.name) for queue in self._manifest.queues],
                        queue_prefix=self._manifest.queue_prefix,
                    )
                anywhere.grant(worker)
            else:
                place, names = self._place(registered), call_graph.targets(self._manifest, registered)
                grant_send_to(worker, [self._queue(name, place) for name in names])
        warn_of_undeclared(self, self._worked)

    def _warn_of_two_pythons(self) -> None:
        """Say it when the same code runs on one Python in functions and on another in services."""
        functions = {
            worker.function.runtime.name.removeprefix("python")
            for worker in self.workers.values()
            if isinstance(worker, LambdaWorker) and isinstance(worker.function, lambda_.Function)
        }
        services = {worker.python_version for worker in self.workers.values() if isinstance(worker, FargateWorker)}
        pythons = sorted(one for one in functions if one[:1].isdigit())
        others = sorted(one for one in services if one is not None)
        if pythons and others and pythons != others:
            Annotations.of(self).add_warning_v2(
                "sqs-tasks:two-pythons",
                f"Functions run on Python {' and '.join(pythons)} and services on Python {' and '.join(others)}, with "
                "the same code and lock file: set runtime= of the functions, or give the services "
                "bundle=PythonBundle(base_image=...), to have one.",
            )

    def _place(self, registered: ManifestQueue) -> Construct:
        """Where the worker of a queue is made."""
        if self._parts is None:
            return self
        is_service = registered.runs_on == "fargate"
        part = self._parts.of(self._group(registered)[0].name if is_service else self._shared.leader(registered.name))
        if not self._is_apart:
            # In a nested stack the queue is known by name, so the CDK does not see that its mapping needs it.
            depend_on(part, self._queues[registered.name].resource)
        return part

    def _queue(self, name: str, place: Construct | None = None) -> TaskQueue:
        """A queue as it is known in the stack of this construct, or of a place in a nested one."""
        queue, place = self._queues[name], self if place is None else place
        if not self._is_apart and (place is self or not queue.has_names):
            return queue
        key = (place.node.path, name)
        if key not in self._references:
            self._references[key] = queue.reference_in(place, f"{name}-reference")
        return self._references[key]
