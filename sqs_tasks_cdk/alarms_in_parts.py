"""Alarms and dashboards of a registry that is too large for one stack, in nested stacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aws_cdk import CfnResource, NestedStack, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from sqs_tasks_cdk.alarms import Alarms
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.parts import MAX_RESOURCES, Parts
from sqs_tasks_cdk.task_queue import TaskQueue

#: Alarms of a queue with a function.
_ALARMS_OF_A_QUEUE: Final = 9

#: Bytes of a template that the alarms and the dashboard of a queue and of a task take, as ``benchmarks/cdk_synth.py``
#: measures them, and those that one template may take of its 1 MB.
_BYTES_OF_A_QUEUE, _BYTES_OF_A_TASK, _MAX_BYTES = 14_600, 850, 980_000

#: Bytes of a log alarm with what its roles may do.
_BYTES_OF_A_LOG_ALARM = 2_500


@dataclass(slots=True, kw_only=True)
class Watch:
    """What is watched from one stack.

    Attributes:
        scope: Where its alarms and its dashboard are made.
        queues: The queues.
        workers: Their workers.
        alarms: The alarms, once they are made.
    """

    scope: Construct
    queues: list[TaskQueue] = field(default_factory=list)
    workers: list[LambdaWorker | FargateWorker] = field(default_factory=list)
    alarms: Alarms = field(init=False)


def watches_of(
    scope: Construct,
    queues: Sequence[TaskQueue],
    workers: Sequence[LambdaWorker | FargateWorker],
    *,
    log_alarms: bool = False,
) -> list[Watch]:
    """Queues and workers in one group, or in one for each nested stack if one stack cannot hold all their alarms."""
    if _fit([len(queue.tasks) for queue in queues], log_alarms=log_alarms):
        return [Watch(scope=scope, queues=list(queues), workers=list(workers))]
    parts = Parts(scope, "Part")
    watches: dict[str, Watch] = {}

    def watch_of(name: str) -> Watch:
        part = parts.of(name)
        return watches.setdefault(part.node.id, Watch(scope=part))

    for queue in queues:
        watch_of(queue.logical_name).queues.append(queue)
    for worker in workers:
        of_worker = worker.task_queue if isinstance(worker, LambdaWorker) else worker.task_queues[0]
        watch_of(of_worker.logical_name).workers.append(worker)
    return [watches[name] for name in sorted(watches)]


def combined_alarm(
    scope: Construct,
    parts: Sequence[Alarms],
    construct_id: str,
    actions: Sequence[cloudwatch.IAlarmAction],
    *,
    severity: str | None = None,
) -> cloudwatch.CompositeAlarm:
    """One alarm for all, or for those of a severity: that of the one part, or one above those of several."""
    concerned = [alarms for alarms in parts if severity is None or severity in alarms.severities.values()]
    if len(parts) == 1:
        return concerned[0].combine(construct_id, actions, severity=severity)
    combined = [alarms.combine(construct_id, (), severity=severity) for alarms in concerned]
    composite = cloudwatch.CompositeAlarm(
        scope,
        construct_id,
        alarm_rule=cloudwatch.AlarmRule.any_of(
            *(cloudwatch.AlarmRule.from_alarm(one, cloudwatch.AlarmState.ALARM) for one in combined)
        ),
        alarm_description="Something is wrong with the tasks; its alarms say what.",
    )
    for action in actions:
        composite.add_alarm_action(action)
        composite.add_ok_action(action)
    return composite


def place_of_alarms(scope: Construct, queues: Sequence[TaskQueue], *, log_alarms: bool = False) -> Construct:
    """Where the alarms of these queues go: the construct itself, or a nested stack if its stack has no room."""
    needed = len(queues) * (_ALARMS_OF_A_QUEUE + log_alarms)
    if needed < MAX_RESOURCES / 4 or not _fit([len(queue.tasks) for queue in queues], log_alarms=log_alarms):
        return scope  # there is room, or they are in parts anyway
    stack = Stack.of(scope)
    present = sum(isinstance(one, CfnResource) and Stack.of(one) is stack for one in stack.node.find_all())
    return scope if present + needed < MAX_RESOURCES else NestedStack(scope, "Watch")


def _fit(tasks: Sequence[int], *, log_alarms: bool) -> bool:
    """Whether one template holds the alarms and the dashboard of queues with so many tasks each."""
    size = len(tasks) * (_BYTES_OF_A_QUEUE + log_alarms * _BYTES_OF_A_LOG_ALARM) + sum(tasks) * _BYTES_OF_A_TASK
    return len(tasks) * (_ALARMS_OF_A_QUEUE + log_alarms) < MAX_RESOURCES and size < _MAX_BYTES
