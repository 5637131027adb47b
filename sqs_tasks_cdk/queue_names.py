"""The names of queues, and the type that their ends say (R7)."""

from __future__ import annotations

from aws_cdk import Token
from aws_cdk import aws_sqs as sqs

from sqs_tasks_cdk import limits
from sqs_tasks_cdk.errors import RuleError
from sqs_tasks_cdk.manifest import ManifestQueue


def check_name(name: str | None, *, fifo: bool) -> None:
    """Refuse a name that SQS would refuse; one that is known at the deploy only, or generated, passes.

    Raises:
        RuleError: R7; it is too long, or its end says the other type.
    """
    if name is None or Token.is_unresolved(name):
        return
    if len(name) > limits.MAX_QUEUE_NAME_CHARS:
        raise RuleError(
            "R7",
            f"queue name {name!r} has {len(name)} characters; SQS allows {limits.MAX_QUEUE_NAME_CHARS}, '.fifo' "
            "included; shorten it",
        )
    if fifo != name.endswith(".fifo"):
        fix = f"'{name}.fifo'" if fifo else f"{name.removesuffix('.fifo')!r}, or set fifo=True"
        raise RuleError(
            "R7",
            f"queue name {name!r} {'must' if fifo else 'must not'} end with '.fifo' for a {type_of(fifo)} "
            f"queue; try {fix}",
        )


def check_kind(registered: ManifestQueue, queue: sqs.IQueue | None) -> None:
    """Refuse an existing queue of the other type than the registry's.

    Raises:
        RuleError: R7; one is a FIFO queue and the other a standard queue.
    """
    if queue is not None and queue.fifo != registered.fifo:
        raise RuleError(
            "R7",
            f"queue {registered.name!r} is a {type_of(registered.fifo)} queue in the registry, and queue= is the "
            f"{type_of(queue.fifo)} queue {queue.node.path!r}; producers and workers would use it wrongly: give a "
            f"{type_of(registered.fifo)} queue, or register it as what it is",
        )


def dead_queue_name(queue_name: str | None) -> str | None:
    """How the dead-letter queue of a queue is named when nobody says."""
    if queue_name is None:
        return None
    stem = queue_name.removesuffix(".fifo")
    return f"{stem}_dead{queue_name.removeprefix(stem)}"


def type_of(fifo: bool) -> str:
    """How the type of a queue is called."""
    return "FIFO" if fifo else "standard"
