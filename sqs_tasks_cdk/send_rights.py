"""Which queues workers may add jobs to: one statement for each worker, or one policy for all that may add anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast

from aws_cdk import Annotations, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from sqs_tasks_cdk.call_graph import enqueues_anywhere
from sqs_tasks_cdk.manifest import ManifestQueue
from sqs_tasks_cdk.queue_rights import SEND_ACTIONS, SEND_KEY_ACTIONS, grant_key, grant_payloads
from sqs_tasks_cdk.queue_urls import QueueUrls, Worker
from sqs_tasks_cdk.target_variables import HasEnvironment
from sqs_tasks_cdk.task_queue import TaskQueue

#: Characters of the ARNs in one managed policy, which may have 6,144 in all.
_MAX_ARN_CHARS: Final = 5_500

#: Characters of an ARN besides the name, with quotes and comma, in the partition with the longest names.
_ARN_CHARS: Final = 60

#: Tasks that a warning names.
_NAMED_TASKS: Final = 3


def grant_send_to(worker: Worker, queues: Sequence[TaskQueue]) -> None:
    """Let a worker add jobs to these queues, and know their URLs."""
    if not queues:
        return
    for queue in queues:
        queue.tell_url(worker)
    iam.Grant.add_to_principal(
        grantee=cast("iam.IGrantable", worker.role),
        actions=list(SEND_ACTIONS),
        resource_arns=[queue.queue.queue_arn for queue in queues],
    )
    _grant_keys(worker, _keys_of(queues))
    for queue in queues:
        grant_payloads(queue, worker)


class SendAnywhere(Construct):
    """The right to add jobs to every queue of a registry, for workers whose tasks do not say where they add jobs (R5).

    It is a policy that these workers share, and one entry in their environment stands for all queues: a queue that is
    added to the registry changes the policy, and no worker.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        queues: All queues of the registry.
        queue_prefix: What their names begin with.

    Attributes:
        policies: The policies; more than one where the names do not fit in one.
    """

    def __init__(self, scope: Construct, construct_id: str, *, queues: Sequence[TaskQueue], queue_prefix: str) -> None:
        super().__init__(scope, construct_id)
        self._queues = tuple(queues)
        self._prefix = queue_prefix
        # Once, and not for each worker: every question to the CDK goes to its other process.
        self._keys = _keys_of(self._queues)
        self._covered = [queue for queue in self._queues if self._is_covered(queue)]
        self._others = [queue for queue in self._queues if queue not in self._covered]
        self.policies = [
            iam.ManagedPolicy(
                self,
                f"Policy{number}",
                description="Adds jobs to every queue of the registry",
                statements=[
                    iam.PolicyStatement(
                        actions=list(SEND_ACTIONS), resources=[queue.queue.queue_arn for queue in fitting]
                    )
                ],
            )
            for number, fitting in enumerate(_in_policies(self._queues), 1)
        ]

    def grant(self, worker: Worker) -> None:
        """Let a worker add jobs to every queue."""
        if not isinstance(worker.role, iam.Role):
            # A role from elsewhere takes no policy of this stack that could be attached.
            grant_send_to(worker, self._queues)
            return
        for policy in self.policies:
            worker.role.add_managed_policy(policy)
        _grant_keys(worker, self._keys)
        for queue in self._queues:
            grant_payloads(queue, worker)
        for queue in self._others:
            queue.tell_url(worker)
        environment = worker.queue_environment
        if self._covered and isinstance(environment, HasEnvironment):
            urls = QueueUrls.of(environment)
            urls.add_pattern(environment, self._pattern())
            urls.set_variables(environment, self._covered[0].variables)

    def _pattern(self) -> str:
        stack = Stack.of(self)
        return f"https://sqs.{stack.region}.{stack.url_suffix}/{stack.account}/{self._prefix}*"

    def _is_covered(self, queue: TaskQueue) -> bool:
        """Whether the queue is where the pattern says: not one from elsewhere, or of a name of its own."""
        if queue.explicit_queue_name != f"{self._prefix}{queue.logical_name}":
            return False
        place, stack = queue.queue.env, Stack.of(self)
        return all(
            theirs == ours or (Token.is_unresolved(theirs) and Token.is_unresolved(ours))
            for theirs, ours in ((place.account, stack.account), (place.region, stack.region))
        )


def warn_of_undeclared(scope: Construct, worked: Sequence[ManifestQueue]) -> None:
    """Say once which tasks do not say where they add jobs, and what follows from it (R5, R6)."""
    tasks = [
        f"{queue.name}.{task.name}"
        for queue in worked
        if queue.runs_on == "lambda" and enqueues_anywhere(queue)
        for task in queue.tasks
        if task.enqueues is None
    ]
    if not tasks:
        return
    more = len(tasks) - _NAMED_TASKS
    named = ", ".join(tasks[:_NAMED_TASKS]) + (f" and {more} more" if more > 0 else "")
    Annotations.of(scope).add_warning_v2(
        "sqs-tasks:undeclared-enqueues",
        f"{len(tasks)} tasks do not say to which queues they add jobs ({named}). Their functions may add jobs to every "
        "queue of the registry. One that adds jobs to its own queue, or to one from which jobs come back, is stopped "
        "by Lambda after some 16 rounds. Declare enqueues=['...'], which allows the loop, or enqueues=[] for none.",
    )


def _keys_of(queues: Sequence[TaskQueue]) -> list[tuple[kms.IKey, str]]:
    """The keys of these queues, each once, with the logical name of a queue that has it."""
    keys = {
        key.node.path: (key, queue.logical_name)
        for queue in queues
        if (key := queue.queue.encryption_master_key) is not None
    }
    return list(keys.values())


def _grant_keys(worker: Worker, keys: Sequence[tuple[kms.IKey, str]]) -> None:
    for key, name in keys:
        grant_key(key, worker, SEND_KEY_ACTIONS, name=name)


def _in_policies(queues: Sequence[TaskQueue]) -> Iterator[list[TaskQueue]]:
    """The queues in groups whose ARNs fit in one policy."""
    group: list[TaskQueue] = []
    chars = 0
    for queue in queues:
        name = queue.explicit_queue_name
        needed = _ARN_CHARS + (80 if name is None else len(name))
        if group and chars + needed > _MAX_ARN_CHARS:
            yield group
            group, chars = [], 0
        group.append(queue)
        chars += needed
    yield group
