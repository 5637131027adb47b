"""The function that the CDK stack makes for a queue when nothing is set by hand; ``dev --as lambda`` runs the same.

``sqs_tasks_cdk.rules`` computes the same (R1, R2, R6). The two packages never import each other; one test makes the
stack's workers from a registry and compares them with these numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError

#: Seconds that a task without a timeout is taken to need.
ASSUMED_TASK_SECONDS = 30

#: Seconds that the handler keeps for settling once its tasks are done.
FUNCTION_MARGIN_SECONDS = 5

#: Seconds of one invocation at most.
MAX_FUNCTION_SECONDS = 900

#: Seconds that a batch may take when nobody says how many records it has: a crash hides its messages six times as long.
MAX_BATCH_SECONDS = 10 * ASSUMED_TASK_SECONDS + FUNCTION_MARGIN_SECONDS

#: Megabytes of a function.
MEMORY_MB = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFunction:
    """The function of a queue, its event source mapping, and what the queue must be like for it.

    Attributes:
        batch_size: Records of one invocation at most.
        timeout_seconds: Of one invocation.
        visibility_timeout_seconds: Of the queue.
        allow_recursive_loop: Whether jobs come back to the queue by what its tasks declare (S36).
        memory_mb: Megabytes.
    """

    batch_size: int
    timeout_seconds: int
    visibility_timeout_seconds: int
    allow_recursive_loop: bool
    memory_mb: int = MEMORY_MB


def queue_functions(manifest: Mapping[str, Any]) -> dict[str, QueueFunction]:
    """The functions of a registry by the names of their queues: those with tasks that run on Lambda.

    Args:
        manifest: What ``env.manifest()`` returned.

    Raises:
        ConfigurationError: A queue for which the stack would refuse to make a function.
    """
    loops = _loops(manifest)
    return {
        queue["name"]: _function(queue, allow_recursive_loop=queue["name"] in loops)
        for queue in manifest["queues"]
        if queue["tasks"] and queue["runs_on"] == "lambda"
    }


def _function(queue: Mapping[str, Any], *, allow_recursive_loop: bool) -> QueueFunction:
    name, tasks, by_hand = queue["name"], queue["tasks"], queue["visibility_timeout_seconds"]
    _check_tasks(name, tasks)
    slowest = max(map(_task_seconds, tasks))
    budget = _budget_seconds(slowest, by_hand)
    # A FIFO queue is worked one by one: a failure would return those of its group that came with it unstarted, which
    # is a receive for each of them (S23).
    for_batch = budget if by_hand is not None else min(budget, MAX_BATCH_SECONDS)
    fitting = 1 if queue["fifo"] else (for_batch - FUNCTION_MARGIN_SECONDS) // slowest
    batch_size = max(1, min(limits.MAX_UNWINDOWED_BATCH, fitting))
    longest = max((math.ceil(task["timeout_seconds"] or 0) for task in tasks), default=0)
    timeout = max(min(budget, slowest * batch_size + FUNCTION_MARGIN_SECONDS), longest + FUNCTION_MARGIN_SECONDS)
    if by_hand is not None and by_hand < timeout:
        raise ConfigurationError(
            f"queue {name!r}: visibility_timeout_seconds={by_hand} is less than the {timeout} s that its function may "
            f"take, so SQS would deliver a message again meanwhile; raise it to {limits.VISIBILITY_FACTOR * timeout}, "
            "or leave it out to have it computed"
        )
    return QueueFunction(
        batch_size=batch_size,
        timeout_seconds=timeout,
        visibility_timeout_seconds=limits.VISIBILITY_FACTOR * timeout if by_hand is None else by_hand,
        allow_recursive_loop=allow_recursive_loop,
    )


def _check_tasks(name: str, tasks: Sequence[Mapping[str, Any]]) -> None:
    for task in tasks:
        needed = _task_seconds(task) + FUNCTION_MARGIN_SECONDS
        if needed > MAX_FUNCTION_SECONDS:
            raise ConfigurationError(
                f"task {task['name']!r} on queue {name!r} needs {needed} s ({_task_seconds(task)} s timeout and "
                f"{FUNCTION_MARGIN_SECONDS} s to settle), and a Lambda function runs for {MAX_FUNCTION_SECONDS} s at "
                "most; register its queue with runs_on='fargate', or lower the timeout"
            )


def _task_seconds(task: Mapping[str, Any]) -> int:
    timeout = task["timeout_seconds"]
    return max(1, math.ceil(ASSUMED_TASK_SECONDS if timeout is None else timeout))


def _budget_seconds(slowest: int, visibility_seconds: int | None) -> int:
    """How long a function may run: a sixth of a visibility set by hand if a task fits in it (S19), or all (S18)."""
    if visibility_seconds is None:
        return MAX_FUNCTION_SECONDS
    sixth = visibility_seconds // limits.VISIBILITY_FACTOR
    enough = sixth if sixth >= slowest + FUNCTION_MARGIN_SECONDS else visibility_seconds
    return min(MAX_FUNCTION_SECONDS, int(enough))


def _loops(manifest: Mapping[str, Any]) -> set[str]:
    """The queues from which jobs come back to them, by what tasks declare; a task that declares nothing makes none.

    A job that goes on by a copy comes back as well.
    """
    edges = {
        queue["name"]: {name for task in queue["tasks"] for name in task["enqueues"] or ()}
        for queue in manifest["queues"]
    }

    def reachable(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            new = edges.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found

    copying = {queue["name"] for queue in manifest["queues"] if any(task.get("postpones") for task in queue["tasks"])}
    return copying | {name for name in edges if name in reachable(name)}
