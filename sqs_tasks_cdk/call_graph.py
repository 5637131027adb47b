"""Which queue's tasks add jobs to which queues."""

from __future__ import annotations

from sqs_tasks_cdk.manifest import Manifest, ManifestQueue


def enqueues_anywhere(queue: ManifestQueue) -> bool:
    """Whether some task on the queue does not say where it adds jobs, so that it may be anywhere (R5)."""
    return any(task.enqueues is None for task in queue.tasks)


def targets(manifest: Manifest, queue: ManifestQueue) -> list[str]:
    """The queues that the tasks on ``queue`` may add jobs to, in the order of registration (R5)."""
    if enqueues_anywhere(queue):
        return [other.name for other in manifest.queues]
    declared = declared_targets(queue)
    return [other.name for other in manifest.queues if other.name in declared]


def declared_targets(queue: ManifestQueue) -> set[str]:
    """The queues that the tasks on ``queue`` say they add jobs to."""
    return {target for task in queue.tasks for target in task.enqueues or ()}


def loops(manifest: Manifest) -> set[str]:
    """The queues from which, by what tasks declare, jobs come back to them (R6): those whose jobs go on by copies, too.

    Only declarations count. A task that says nothing may well never enqueue, and Lambda's guard against runaway loops
    should stay on for it.
    """
    edges = {queue.name: declared_targets(queue) for queue in manifest.queues}
    found = {queue.name for queue in manifest.queues if any(task.postpones for task in queue.tasks)}
    for start, first in edges.items():
        seen: set[str] = set()
        waiting = list(first)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(edges[name])
        if start in seen:
            found.add(start)
    return found
