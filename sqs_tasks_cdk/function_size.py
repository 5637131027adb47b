"""How large the batches of a function are, and how long it and its queue have: what follows from the tasks (R1, R2).

The constructs, ``sqs-tasks plan`` and ``sqs-tasks dev`` ask here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.manifest import ManifestTask


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSize:
    """The size of a function.

    Attributes:
        batch_size: Messages of one invocation at most.
        timeout_seconds: Of one invocation.
    """

    batch_size: int
    timeout_seconds: int


def function_size(
    tasks: Sequence[ManifestTask],
    *,
    queue: str,
    fifo: bool,
    visibility_seconds: int | None,
    timeout_seconds: int | None = None,
    batch_size: int | None = None,
    is_managed: bool = False,
) -> FunctionSize:
    """The size that tasks need, with what was set by hand.

    Args:
        tasks: What is on the queue.
        queue: Its logical name, for texts.
        fifo: Whether it is a FIFO queue.
        visibility_seconds: Its visibility timeout, if that was set by hand.
        timeout_seconds: The function's timeout, if that was set by hand.
        batch_size: Messages of a batch, if that was set by hand.
        is_managed: Whether it runs on managed instances, which have more time.

    Raises:
        RuleError: R1; a task does not fit.
    """
    slowest = rules.slowest_task_seconds(tasks)
    if timeout_seconds is None:
        limit = limits.MAX_MANAGED_FUNCTION_SECONDS if is_managed else limits.MAX_FUNCTION_SECONDS
        rules.check_tasks_fit_a_function(tasks, queue=queue, limit_seconds=limit)
        budget = rules.function_budget_seconds(
            slowest_seconds=slowest, visibility_seconds=visibility_seconds, limit_seconds=limit
        )
        for_batch = rules.batch_budget_seconds(function_seconds=budget, visibility_seconds=visibility_seconds)
    else:
        budget = for_batch = timeout_seconds
        limit = limits.MAX_MANAGED_FUNCTION_SECONDS if is_managed else limits.MAX_EXTENDED_FUNCTION_SECONDS
        rules.check_function_timeout(tasks, queue=queue, seconds=budget, limit_seconds=limit)
    if batch_size is None:
        batch_size = rules.default_batch_size(slowest_seconds=slowest, function_seconds=for_batch, fifo=fifo)
    if timeout_seconds is None:
        timeout_seconds = rules.function_timeout_seconds(tasks, batch_size=batch_size, budget_seconds=budget)
    return FunctionSize(batch_size=batch_size, timeout_seconds=timeout_seconds)
