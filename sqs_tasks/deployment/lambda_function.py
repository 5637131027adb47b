"""The function that the CDK stack makes for a queue when nothing is set by hand; ``dev --as lambda`` runs the same.

The numbers are those of ``sqs_tasks_cdk``, which computes them for its constructs too (R1, R2, R6).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from sqs_tasks_cdk.manifest import ManifestQueue

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


def queue_functions(manifest: Mapping[str, Any], *, managed: Collection[str] = ()) -> dict[str, QueueFunction]:
    """The functions of a registry by the names of their queues: those with tasks that run on Lambda.

    Args:
        manifest: What ``env.manifest()`` returned.
        managed: The queues whose functions run on Lambda Managed Instances, where a task may take up to 90 minutes.

    Raises:
        ConfigurationError: A queue for which the stack would refuse to make a function, or one in ``managed`` that has
            none.
    """
    from sqs_tasks_cdk import call_graph
    from sqs_tasks_cdk.errors import StackError
    from sqs_tasks_cdk.manifest import Manifest

    try:
        registry = Manifest.from_dict(manifest)
        loops = call_graph.loops(registry)
        with_function = {queue.name: queue for queue in registry.queues if queue.tasks and queue.runs_on == "lambda"}
        for name in managed:
            if name not in with_function:
                raise ConfigurationError(
                    f"managed instances are given for queue {name!r}, which no function works; those with functions "
                    f"are {', '.join(map(repr, with_function)) or 'none'}; correct the name"
                )
        return {
            name: _function(queue, allow_recursive_loop=name in loops, is_managed=name in managed)
            for name, queue in with_function.items()
        }
    except StackError as error:
        raise ConfigurationError(str(error)) from error


def _function(queue: ManifestQueue, *, allow_recursive_loop: bool, is_managed: bool) -> QueueFunction:
    from sqs_tasks_cdk import rules
    from sqs_tasks_cdk.defaults import DEFAULT_MEMORY_SIZE, MIN_MANAGED_MEMORY_SIZE
    from sqs_tasks_cdk.function_size import function_size

    by_hand = queue.visibility_timeout_seconds
    size = function_size(
        queue.tasks, queue=queue.name, fifo=queue.fifo, visibility_seconds=by_hand, is_managed=is_managed
    )
    if by_hand is not None and by_hand < size.timeout_seconds:
        raise ConfigurationError(
            f"queue {queue.name!r}: visibility_timeout_seconds={by_hand} is less than the {size.timeout_seconds} s "
            "that its function may take, so SQS would deliver a message again meanwhile; raise it to "
            f"{limits.VISIBILITY_FACTOR * size.timeout_seconds}, or leave it out to have it computed"
        )
    return QueueFunction(
        batch_size=size.batch_size,
        timeout_seconds=size.timeout_seconds,
        visibility_timeout_seconds=rules.lambda_visibility_seconds(
            function_seconds=size.timeout_seconds, window_seconds=0
        )
        if by_hand is None
        else by_hand,
        allow_recursive_loop=allow_recursive_loop,
        memory_mb=MIN_MANAGED_MEMORY_SIZE if is_managed else DEFAULT_MEMORY_SIZE,
    )
