"""The addresses of queues and workers as outputs of a stack, under names that scripts can rely on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.task_queue import TaskQueue

#: Outputs that a stack can have.
MAX_OUTPUTS: Final = 200


class TaskOutputs(Construct):
    """Outputs for queues and workers.

    ``EmailsQueueUrl``, ``EmailsQueueArn`` and ``EmailsDeadLetterQueueUrl``; of its worker ``EmailsFunctionName``, or
    ``FilmsServiceName`` with ``FilmsClusterName``.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        queues: The queues.
        workers: Their workers.

    Attributes:
        by_name: The outputs by their names in the template.

    Raises:
        StackError: More outputs than a stack can have, or two queues whose outputs would have one name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queues: Iterable[TaskQueue],
        workers: Iterable[LambdaWorker | FargateWorker] = (),
    ) -> None:
        super().__init__(scope, construct_id)
        self.by_name: dict[str, CfnOutput] = {}
        for name, value, description in (*_of_queues(queues), *_of_workers(workers)):
            if name in self.by_name:
                raise StackError(
                    f"two queues would have the output {name!r}, since only letters and digits count; make "
                    "TaskOutputs(queues=...) for one of them in another stack, or CfnOutputs of your own"
                )
            output = CfnOutput(self, name, value=value, description=description)
            output.override_logical_id(name)
            self.by_name[name] = output
        if len(self.by_name) > MAX_OUTPUTS:
            raise StackError(
                f"{len(self.by_name)} outputs in stack {Stack.of(self).stack_name!r}; CloudFormation allows "
                f"{MAX_OUTPUTS}; make TaskOutputs(queues=..., workers=...) for those that somebody reads"
            )


def _of_queues(queues: Iterable[TaskQueue]) -> Iterator[tuple[str, str, str]]:
    for queue in queues:
        stem = _pascal_case(queue.logical_name)
        yield f"{stem}QueueUrl", queue.queue.queue_url, f"The URL of queue {queue.logical_name}"
        yield f"{stem}QueueArn", queue.queue.queue_arn, f"The ARN of queue {queue.logical_name}"
        if queue.dead_letter_queue is not None:
            url = queue.dead_letter_queue.queue_url
            yield f"{stem}DeadLetterQueueUrl", url, f"The URL of the dead-letter queue of {queue.logical_name}"


def _of_workers(workers: Iterable[LambdaWorker | FargateWorker]) -> Iterator[tuple[str, str, str]]:
    for worker in workers:
        if isinstance(worker, LambdaWorker):
            name = worker.task_queue.logical_name
            yield f"{_pascal_case(name)}FunctionName", worker.function.function_name, f"The function of queue {name}"
        else:
            name = ", ".join(queue.logical_name for queue in worker.task_queues)
            stem = _pascal_case(worker.task_queues[0].logical_name)
            yield f"{stem}ServiceName", worker.service.service_name, f"The service of {name}"
            yield f"{stem}ClusterName", worker.cluster.cluster_name, f"The cluster of the service of {name}"


def _pascal_case(name: str) -> str:
    return "".join(word[0].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name))
