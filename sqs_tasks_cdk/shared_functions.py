"""One function for several queues of a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk import rules
from sqs_tasks_cdk.environment import TASKS_VARIABLE
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.manifest import Manifest, ManifestQueue


class SharedFunctions:
    """Which queues share a function.

    The first of them in the registry has the function, and the others only a mapping to it.

    Args:
        named: The logical names of queues by any name for the function they share.
        manifest: The registry.
        worked: The queues that get a worker.

    Raises:
        StackError: A queue in two groups, one that is not worked by a function here, or a group of one.
    """

    def __init__(
        self, named: Mapping[str, Sequence[str]], *, manifest: Manifest, worked: Sequence[ManifestQueue]
    ) -> None:
        functions = {queue.name for queue in worked if queue.runs_on == "lambda"}
        self._groups: dict[str, list[ManifestQueue]] = {}
        for group, names in named.items():
            for name in names:
                manifest.queue(name)
                if name not in functions:
                    raise StackError(
                        f"shared_functions: {group!r} has queue {name!r}, which no function works here; leave it out"
                    )
                if name in self._groups:
                    raise StackError(
                        f"shared_functions: {group!r} has queue {name!r}, which is in another group too; name it once"
                    )
                self._groups[name] = [queue for queue in worked if queue.name in names]
            if len(set(names)) == 1:
                raise StackError(
                    f"shared_functions: {group!r} has queue {names[0]!r} alone; name two or more, or leave it out"
                )

    def leader(self, name: str) -> str:
        """The queue whose function works this queue: itself unless it shares one."""
        return self._groups[name][0].name if name in self._groups else name

    def is_shared(self, name: str) -> bool:
        """Whether a queue shares its function."""
        return name in self._groups

    def names(self, name: str) -> set[str]:
        """The queues that are worked by the same function, this one included."""
        return {queue.name for queue in self._groups.get(name, ())} | {name}

    def timeout_seconds(self, name: str) -> int:
        """A function timeout in which a batch of each of the queues can run (R1)."""
        seconds = []
        for queue in self._groups[name]:
            slowest = rules.slowest_task_seconds(queue.tasks)
            rules.check_tasks_fit_a_function(queue.tasks, queue=queue.name)
            size = rules.default_batch_size(
                slowest_seconds=slowest, fifo=queue.fifo, function_seconds=rules.MAX_BATCH_SECONDS
            )
            seconds.append(rules.function_timeout_seconds(queue.tasks, batch_size=size))
        return max(seconds)


def prepare_shared(worker: LambdaWorker | FargateWorker, *, has_loop: bool) -> None:
    """Make a function fit for several queues.

    For which tasks it was deployed is left out, because that is compared queue by queue. A loop of one of the queues is
    allowed for the function, which is all that Lambda knows.

    Raises:
        StackError: The function has an alias, which takes no variables for the other queues.
    """
    if not isinstance(worker, LambdaWorker):
        return
    if worker.alias is not None:
        raise StackError(
            f"queue {worker.task_queue.logical_name!r} shares its function, which has an alias (alias=, snap_start=): "
            "the other queues would feed its newest code; leave out one or the other"
        )
    resource = worker.function.node.default_child
    if isinstance(resource, lambda_.CfnFunction):
        resource.add_property_deletion_override(f"Environment.Variables.{TASKS_VARIABLE}")
        if has_loop and resource.recursive_loop is None:
            resource.recursive_loop = "Allow"
