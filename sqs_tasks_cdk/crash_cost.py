"""What a crash of a function costs: how long the messages of its batch stay hidden.

A failure is settled: the handler makes the message visible again after its backoff. A crash settles nothing, and then
the whole batch waits for the queue's visibility timeout, six function timeouts (S19).
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Annotations
from constructs import Construct

from sqs_tasks_cdk import rules
from sqs_tasks_cdk.manifest import ManifestTask


def say_crash_cost(
    scope: Construct, tasks: Sequence[ManifestTask], *, queue: str, batch_size: int, visibility_seconds: int, fifo: bool
) -> None:
    """Say it where a slow task makes batches smaller, and warn where a crash costs more than half an hour.

    Args:
        scope: Where it is shown.
        tasks: What is on the queue.
        queue: Its logical name.
        batch_size: Messages of one invocation at most.
        visibility_seconds: How long the queue hides a message.
        fifo: Whether it is a FIFO queue, whose batches are of one anyway.
    """
    slowest = max(tasks, key=rules.task_seconds, default=None)
    if slowest is None:
        return
    seconds = rules.task_seconds(slowest)
    numbers = (
        f"Task {slowest.name!r} may run {seconds} s, so queue {queue!r} is worked in batches of {batch_size}, and "
        f"hides messages for {visibility_seconds} s ({visibility_seconds / 60:.0f} minutes) when its function crashes. "
    )
    advice = (
        "To make that shorter, lower the task's timeout, register it on a queue of its own, or have that queue run in "
        "containers (runs_on='fargate'), whose heartbeat needs no long visibility timeout."
    )
    if visibility_seconds > rules.MAX_CRASH_SECONDS:
        Annotations.of(scope).add_warning_v2("sqs-tasks:crash-cost", numbers + advice)
    elif seconds > rules.ASSUMED_TASK_SECONDS and not fifo:
        Annotations.of(scope).add_info(numbers + advice)
