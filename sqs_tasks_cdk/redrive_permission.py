"""Which queues may move messages to a dead-letter queue that somebody else has made (R8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_sqs as sqs

from sqs_tasks_cdk.errors import RuleError


def check_admitted(letters: sqs.IQueue, source: sqs.IQueue | None, *, source_name: str | None, queue: str) -> None:
    """Refuse a dead-letter queue of this app whose policy does not admit the queue: SQS would refuse the queue.

    What the policy leaves open, as a name that is known at the deploy only, passes.

    Args:
        letters: The dead-letter queue.
        source: The queue, if there is one already.
        source_name: Its name in SQS if that is known.
        queue: Its logical name, for the error.

    Raises:
        RuleError: R8; it admits nobody, or others alone.
    """
    resource = letters.node.default_child
    if not isinstance(letters, sqs.Queue) or not isinstance(resource, sqs.CfnQueue):
        return
    policy: Any = Stack.of(letters).resolve(resource.redrive_allow_policy)
    if not isinstance(policy, Mapping):
        return
    permission, arns = policy.get("redrivePermission"), policy.get("sourceQueueArns")
    is_refused = permission == "denyAll"
    if permission == "byQueue" and isinstance(arns, list):
        own = None if source is None else Stack.of(source).resolve(source.queue_arn)
        is_refused = own not in arns and all(_is_another(arn, source_name) for arn in arns)
    if is_refused:
        raise RuleError(
            "R8",
            f"queue {queue!r} has the dead-letter queue {letters.node.path!r}, whose redrive_allow_policy does not "
            f"admit it ({permission}), so SQS would refuse the queue; add its ARN there, or leave the policy out",
        )


def _is_another(arn: Any, name: str | None) -> bool:
    """Whether an ARN is that of another queue for sure; one whose end is known at the deploy only may be this one."""
    end = arn
    if isinstance(arn, Mapping) and isinstance(arn.get("Fn::Join"), list):
        end = arn["Fn::Join"][1][-1]
    return name is not None and isinstance(end, str) and end.rpartition(":")[2] != name
