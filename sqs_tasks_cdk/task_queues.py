"""All queues of a registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from constructs import Construct

from sqs_tasks_cdk.dead_letter_queue import DeadLetterQueue
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.manifest import Manifest, ManifestQueue
from sqs_tasks_cdk.task_queue import TaskQueue, TaskQueueSettings


class TaskQueues(Construct):
    """The queues and dead-letter queues of a registry, and no workers: what a stateful stack holds.

    Construct ids are the logical names, so that a queue keeps its logical ids whatever is added or removed beside it.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        manifest: The registry: ``env.manifest()``, or the path of what ``sqs-tasks manifest`` printed.
        defaults: Settings for every queue.
        settings: Settings by the logical name of a queue; they win over ``defaults``, and both over the registry.

    Attributes:
        manifest: The registry.
        queues: The queues by logical name.
        dead_letter_queues: The dead-letter queues by logical name, without those that are queues of the registry.

    Raises:
        ManifestError: The registry cannot be read.
        StackError: ``settings`` for a queue that is not in the registry.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        manifest: Manifest | Mapping[str, Any] | str | Path,
        defaults: TaskQueueSettings | None = None,
        settings: Mapping[str, TaskQueueSettings] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.manifest = Manifest.read(manifest)
        self.queues: dict[str, TaskQueue] = {}
        self.dead_letter_queues: dict[str, DeadLetterQueue] = {}
        check_names(settings, self.manifest, what="queue settings")
        for registered in _dead_letter_queues_first(self.manifest):
            self._add(
                registered, TaskQueueSettings(**{**(defaults or {}), **(settings or {}).get(registered.name, {})})
            )

    def __getitem__(self, name: str) -> TaskQueue:
        """The queue of that logical name."""
        self.manifest.queue(name)
        return self.queues[name]

    def __iter__(self) -> Iterator[TaskQueue]:
        """The queues, dead-letter queues that are in the registry first."""
        return iter(self.queues.values())

    def _add(self, registered: ManifestQueue, settings: TaskQueueSettings) -> None:
        dead = registered.dead_letter_queue
        source_of: TaskQueue | None = None
        if dead is not None and "queue" not in settings and "dead_letter_queue" not in settings:
            source_of = self.queues.get(dead.name)
            settings["dead_letter_queue"] = (
                source_of.queue if source_of is not None else self._dead_letter_queue(registered, settings)
            )
        queue = TaskQueue.from_manifest(self, registered.name, registered, **settings)
        self.queues[registered.name] = queue
        if source_of is not None:
            source_of.allow_redrive_from(queue)

    def _dead_letter_queue(self, registered: ManifestQueue, settings: TaskQueueSettings) -> DeadLetterQueue:
        """The dead-letter queue of a registration, which others may share.

        It lies beside the queues, not inside the first that uses it: a second user must not move it, for a move is a
        new queue with the same name.
        """
        dead = registered.dead_letter_queue
        if dead is None:
            raise StackError(f"queue {registered.name!r} has no dead-letter queue")
        found = self.dead_letter_queues.get(dead.name)
        if found is not None:
            return found
        options: dict[str, Any] = {
            name: settings[name] for name in ("encryption_master_key", "removal_policy") if name in settings
        }
        made = DeadLetterQueue(
            self, dead.name, logical_name=dead.name, queue_name=dead.queue_name, fifo=registered.fifo, **options
        )
        self.dead_letter_queues[dead.name] = made
        return made


def check_names(settings: Mapping[str, Any] | None, manifest: Manifest, *, what: str) -> None:
    """Refuse settings for queues that the registry does not have: a typing error would otherwise pass unseen.

    Raises:
        StackError: The text names the queue and the nearest.
    """
    for name in settings or {}:
        try:
            manifest.queue(name)
        except ValueError as error:
            raise StackError(f"{what} for {name!r}: {error}") from error


def _dead_letter_queues_first(manifest: Manifest) -> list[ManifestQueue]:
    """The queues in the order of registration, but each after its dead-letter queue if that is one of them."""
    by_name = {queue.queue_name: queue for queue in manifest.queues}
    ordered: dict[str, ManifestQueue] = {}

    def add(queue: ManifestQueue) -> None:
        dead = queue.dead_letter_queue
        if dead is not None and dead.queue_name in by_name and dead.name not in ordered:
            add(by_name[dead.queue_name])
        ordered.setdefault(queue.name, queue)

    for queue in manifest.queues:
        add(queue)
    return list(ordered.values())
