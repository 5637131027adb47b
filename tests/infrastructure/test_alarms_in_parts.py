"""How alarms are spread over stacks, by what CloudFormation takes."""

from __future__ import annotations

import pytest
from aws_cdk import App, Stack

from sqs_tasks_cdk.alarms_in_parts import place_of_alarms, watches_of
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.task_queue import TaskQueue


@pytest.mark.parametrize(
    ("queues", "tasks", "is_split"), [(50, 5, False), (54, 5, True), (56, 0, True), (30, 30, True)]
)
def test_alarms_are_split_by_resources_and_by_bytes(app: App, queues: int, tasks: int, is_split: bool) -> None:
    """Five hundred resources and 1 MB are the limits, whichever comes first; every queue is watched once."""
    stack = Stack(app, "Test")
    one = TaskQueue(stack, "one", tasks=[ManifestTask(name=f"task-{number}") for number in range(tasks)])

    watches = watches_of(stack, [one] * queues, [])

    assert (watches[0].scope is not stack) is is_split
    assert sum(len(watch.queues) for watch in watches) == queues
    assert place_of_alarms(stack, [one] * queues) is stack
