"""The workers of a registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from sqs_tasks_cdk import call_graph
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.lambda_worker import LambdaWorker, LambdaWorkerSettings
from sqs_tasks_cdk.manifest import ManifestQueue
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.task_queues import TaskQueues, check_names


class TaskWorkers(Construct):
    """A worker for every queue of a registry that has tasks: what a stateless stack holds.

    In another stack than the queues it knows them by name only, so that no export ties the stacks together (R9).

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        queues: The queues.
        app: Where workers find the registry, as ``module:attribute``; what the manifest says when left out.
        lambda_defaults: Settings for every function.
        lambda_settings: Settings for a function by the logical name of its queue; they win over ``lambda_defaults``.

    Attributes:
        workers: The workers by the logical name of their queue.

    Raises:
        RuleError: R1, R2, R4, R6, R7 or R9.
        StackError: No ``app`` anywhere, or settings for a queue that is not in the registry.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queues: TaskQueues,
        app: str | None = None,
        lambda_defaults: LambdaWorkerSettings | None = None,
        lambda_settings: Mapping[str, LambdaWorkerSettings] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.workers: dict[str, LambdaWorker] = {}
        self._manifest = queues.manifest
        check_names(lambda_settings, self._manifest, what="function settings")
        self._app = app if app is not None else self._manifest.app
        self._queues = queues
        self._references: dict[str, TaskQueue] = {}
        self._is_apart = Stack.of(self) is not Stack.of(queues)
        if self._is_apart:
            # Names are no references, so the CDK does not see that a mapping needs its queue.
            Stack.of(self).add_dependency(Stack.of(queues))

        loops = call_graph.loops(self._manifest)
        for registered in self._manifest.queues:
            if not registered.tasks:
                continue
            settings: dict[str, Any] = {
                **(lambda_defaults or {}),
                **(lambda_settings or {}).get(registered.name, {}),
            }
            if registered.name in loops:
                settings.setdefault("recursive_loop", lambda_.RecursiveLoop.ALLOW)
            self.workers[registered.name] = self._worker(registered, settings)
        for registered in self._manifest.queues:
            if registered.name in self.workers:
                self._grant(registered)

    def __getitem__(self, name: str) -> LambdaWorker:
        """The worker of the queue of that logical name."""
        self._manifest.queue(name)
        if name not in self.workers:
            raise StackError(f"queue {name!r} has no tasks, and so no worker")
        return self.workers[name]

    def _worker(self, registered: ManifestQueue, settings: dict[str, Any]) -> LambdaWorker:
        app = settings.pop("app", self._app)
        if app is None:
            raise StackError(
                "the manifest does not say where its environment is; write it with 'sqs-tasks manifest module:env', or "
                "give app='module:env'"
            )
        return LambdaWorker(self, registered.name, task_queue=self._queue(registered.name), app=app, **settings)

    def _grant(self, registered: ManifestQueue) -> None:
        for name in call_graph.targets(self._manifest, registered):
            self._queue(name).grant_send(self.workers[registered.name])

    def _queue(self, name: str) -> TaskQueue:
        queue = self._queues[name]
        if not self._is_apart:
            return queue
        if name not in self._references:
            self._references[name] = queue.reference_in(self, f"{name}-reference")
        return self._references[name]
