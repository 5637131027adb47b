"""Some queues of a registry in a stack of their own, and how the others are known there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from aws_cdk import Stack
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.existing_queues import queue_at
from sqs_tasks_cdk.manifest import Manifest, ManifestQueue
from sqs_tasks_cdk.parts import MAX_RESOURCES, RESOURCES_OF_A_QUEUE
from sqs_tasks_cdk.payload_rights import PayloadRights
from sqs_tasks_cdk.stages import stage_variables
from sqs_tasks_cdk.store_rights import StoreRights
from sqs_tasks_cdk.task_queue import TaskQueue


def check_only(only: Sequence[str] | None, manifest: Manifest) -> set[str]:
    """The logical names of the queues that are chosen.

    Raises:
        StackError: ``only`` is a text, empty, or names a queue that the registry does not have.
    """
    if only is None:
        return {queue.name for queue in manifest.queues}
    if isinstance(only, str) or not only:
        raise StackError(f"only={only!r} must be a list of logical names, one or more, as in only=['emails']")
    for name in only:
        try:
            manifest.queue(name)
        except ValueError as error:
            raise StackError(f"only={list(only)}: {error}") from error
    return set(only)


def check_together(chosen: Collection[str], manifest: Manifest) -> None:
    """Refuse a choice that leaves a queue here and its dead-letter queue, or another source of that, elsewhere.

    Raises:
        StackError: Two stacks would make one dead-letter queue, or each admit to it what the other does not know.
    """
    users: dict[str, list[str]] = {}
    for queue in manifest.queues:
        dead = queue.dead_letter_queue
        if dead is not None and dead.queue_url is None and queue.queue_url is None:
            users.setdefault(dead.name, []).append(queue.name)
    for dead_name, sources in users.items():
        group = {*sources, *([dead_name] if any(queue.name == dead_name for queue in manifest.queues) else [])}
        here = group & set(chosen)
        if here and here != group:
            raise StackError(
                f"only= has {', '.join(sorted(here))} and not {', '.join(sorted(group - here))}, which share the "
                f"dead-letter queue {dead_name!r}; choose all of them, or give each a dead-letter queue of its own"
            )


def check_size(queues: Sequence[ManifestQueue], settings: Mapping[str, Any]) -> None:
    """Refuse more queues than one stack holds.

    Args:
        queues: What is to be made, or is there already.
        settings: The settings of queues by logical name; ``queue`` and ``dead_letter_queue`` are not made.

    Raises:
        StackError: The text says how to divide them.
    """
    made = [queue for queue in queues if queue.queue_url is None and not settings.get(queue.name, {}).get("queue")]
    dead = {
        queue.dead_letter_queue.name
        for queue in made
        if queue.dead_letter_queue is not None and "dead_letter_queue" not in settings.get(queue.name, {})
    }
    resources = RESOURCES_OF_A_QUEUE * len(dead | {queue.name for queue in made})
    if resources > MAX_RESOURCES:
        raise StackError(
            f"{len(made)} queues with their dead-letter queues are {resources} resources, and a stack holds "
            f"{MAX_RESOURCES}; divide the registry between stacks with only=[...]. Queues are not put into nested "
            "stacks: one that moved between stacks would be deleted"
        )


def queue_of_other_stack(scope: Construct, registered: ManifestQueue, manifest: Manifest) -> TaskQueue:
    """A queue of the registry that another stack makes, by its name: to add jobs to."""
    place = cast("Construct", scope.node.try_find_child("OtherStacks") or Construct(scope, "OtherStacks"))
    if registered.queue_url is not None:
        imported = queue_at(place, f"{registered.name}-queue", registered.queue_url)
    else:
        imported = sqs.Queue.from_queue_attributes(
            place,
            f"{registered.name}-queue",
            queue_arn=Stack.of(scope).format_arn(service="sqs", resource=registered.queue_name),
            fifo=True if registered.fifo else None,
        )
    queue = TaskQueue(place, registered.name, logical_name=registered.name, tasks=registered.tasks, queue=imported)
    queue.explicit_queue_name = registered.queue_name
    queue.variables, queue.payloads = stage_variables(manifest), PayloadRights.of(registered.offload, manifest)
    queue.store = StoreRights.of(registered.store, manifest)
    return queue
