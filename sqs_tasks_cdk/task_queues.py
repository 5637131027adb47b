"""All queues of a registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk import rules
from sqs_tasks_cdk.dead_letter_queue import DeadLetterQueue
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.existing_queues import neighbour, queue_at
from sqs_tasks_cdk.manifest import Manifest, ManifestQueue
from sqs_tasks_cdk.payload_rights import PayloadRights, make_bucket
from sqs_tasks_cdk.selection import check_only, check_size, check_together, queue_of_other_stack
from sqs_tasks_cdk.stages import stage_variables, staged
from sqs_tasks_cdk.store_rights import StoreRights, make_table
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.task_queue_settings import TaskQueueSettings

#: What ``defaults`` may say of a queue that is there already; the others are for those that are made.
_OF_EXISTING = ("dead_letter_queue", "max_receive_count")

#: What ``defaults`` say of the bucket for large bodies and of the store too.
_OF_BUCKET = ("encryption_master_key", "removal_policy")


class TaskQueues(Construct):
    """The queues and dead-letter queues of a registry, and no workers: what a stateful stack holds.

    Construct ids are the logical names, so that a queue keeps its logical ids whatever is added or removed beside it.
    A queue that is registered by its URL is there already, and so is its dead-letter queue: neither is made.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        manifest: The registry: ``env.manifest()``, or the path of what ``sqs-tasks manifest`` printed.
        defaults: Settings for every queue.
        settings: Settings by the logical name of a queue; they win over ``defaults``, and both over the registry.
        stage: Which stage they are, as part of their names: ``shop-emails`` becomes ``shop-dev-emails``. Workers, and
            producers that are granted a queue, get it in their environment.
        queue_prefix: What names begin with in place of the registry's prefix.
        only: The queues that are made here, by their logical names; all when left out. The others are taken to be in
            other stacks of the same account and region, and are known by name: workers here may add jobs to them.

    Attributes:
        manifest: The registry, in its stage.
        queues: The queues by logical name.
        payload_bucket: The bucket for bodies that are too large for messages; None if no queue needs one.
        store: The table in which tasks are remembered; None if none asks for it.
        dead_letter_queues: The dead-letter queues by logical name, without those that are queues of the registry.

    Raises:
        ManifestError: The registry cannot be read.
        StackError: A registry without queues, ``settings`` for a queue that it does not have, or a URL that is not a
            queue's.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        manifest: Manifest | Mapping[str, Any] | str | Path,
        defaults: TaskQueueSettings | None = None,
        settings: Mapping[str, TaskQueueSettings] | None = None,
        stage: str | None = None,
        queue_prefix: str | None = None,
        only: Sequence[str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.manifest = staged(Manifest.read(manifest), stage=stage, queue_prefix=queue_prefix)
        if not self.manifest.queues:
            raise StackError(
                "the registry has no queue, so this stack would be empty, and a deploy removes the queues and workers "
                "that it has now; write the manifest with 'sqs-tasks manifest module:env'"
            )
        self.queues: dict[str, TaskQueue] = {}
        self.dead_letter_queues: dict[str, DeadLetterQueue] = {}
        self._existing: dict[str, sqs.IQueue] = {}
        check_names(settings, self.manifest, what="queue settings")
        self._elsewhere: dict[str, TaskQueue] = {}
        chosen = check_only(only, self.manifest)
        check_together(chosen, self.manifest)
        check_size([queue for queue in self.manifest.queues if queue.name in chosen], settings or {})
        of_bucket = {name: value for name, value in (defaults or {}).items() if name in _OF_BUCKET}
        self.payload_bucket = make_bucket(self, self.manifest, chosen=sorted(chosen), **of_bucket)
        self.store = make_table(self, self.manifest, chosen=sorted(chosen), **of_bucket)
        for registered in _dead_letter_queues_first(self.manifest):
            if registered.name not in chosen:
                continue
            own: Any = (settings or {}).get(registered.name, {})
            general: dict[str, Any] = dict(defaults or {})
            if registered.queue_url is not None or own.get("queue") is not None:
                general = {name: general[name] for name in _OF_EXISTING if name in general}
            if registered.queue_url is not None and own.get("queue") is None:
                general["queue"] = self._queue_at(registered.queue_url)
            self._add(registered, cast("TaskQueueSettings", {**general, **own}))

    def __getitem__(self, name: str) -> TaskQueue:
        """The queue of that logical name; one that ``only`` leaves out is known by its name alone."""
        registered = self.manifest.queue(name)
        found = self.queues.get(name) or self._elsewhere.get(name)
        if found is None:
            found = self._elsewhere[name] = queue_of_other_stack(self, registered, self.manifest)
        return found

    def __iter__(self) -> Iterator[TaskQueue]:
        """The queues, dead-letter queues that are in the registry first."""
        return iter(self.queues.values())

    def _add(self, registered: ManifestQueue, settings: TaskQueueSettings) -> None:
        dead = registered.dead_letter_queue
        source_of: TaskQueue | None = None
        if dead is not None and "dead_letter_queue" not in settings:
            url = dead.queue_url
            if url is None and registered.queue_url is not None:
                url = neighbour(registered.queue_url, dead.queue_name)
            if dead.name in self.queues and "queue" not in settings:
                source_of = self.queues[dead.name]
                settings["dead_letter_queue"] = source_of.queue
            elif url is not None:
                settings["dead_letter_queue"] = self._queue_at(url)
            elif "queue" not in settings:
                settings["dead_letter_queue"] = self._dead_letter_queue(registered, settings)
        queue = TaskQueue.from_manifest(self, registered.name, registered, **settings)
        queue.variables = stage_variables(self.manifest)
        queue.payloads = PayloadRights.of(registered.offload, self.manifest)
        queue.store = StoreRights.of(registered.store, self.manifest)
        if registered.runs_on == "external" and registered.tasks:
            # No construct stands for its worker, which keeps what it works on hidden by heartbeats, as a service does.
            queue.visibility.require(
                consumer=queue,
                name="a worker elsewhere",
                at_least=1,
                recommended=rules.poller_visibility_seconds(
                    slowest_seconds=rules.slowest_task_seconds(registered.tasks), queue=registered.name
                ),
            )
        self.queues[registered.name] = queue
        if source_of is not None:
            source_of.allow_redrive_from(queue)

    def _queue_at(self, url: str) -> sqs.IQueue:
        """A queue that is there already; several may share it as their dead-letter queue."""
        if url not in self._existing:
            # In a scope of their own, where URLs cannot meet the logical names.
            scope = self.node.try_find_child("Existing") or Construct(self, "Existing")
            self._existing[url] = queue_at(cast("Construct", scope), f"Queue{len(self._existing)}", url)
        return self._existing[url]

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
