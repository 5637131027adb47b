"""Schedules that a stack deployed, against what the registry says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqs_tasks.client import error_code
from sqs_tasks.deployment.deployed_stacks import DeployedStacks
from sqs_tasks.deployment.difference import Difference
from sqs_tasks.scheduling.eventbridge import SchedulerClient


def schedule_differences(
    manifest: Mapping[str, Any], *, scheduler: SchedulerClient, stacks: DeployedStacks
) -> Iterator[Difference]:
    """Compare the schedules of a registry with those in the groups of some stacks.

    A start date is not compared: one that has passed is not deployed any more. A registry without schedules, or one
    whose stack was told to make none, is asked nothing.

    Args:
        manifest: What ``env.manifest()`` returned.
        scheduler: A client of EventBridge Scheduler.
        stacks: The stacks.
    """
    groups = [one.physical_id for one in stacks.resources("AWS::Scheduler::ScheduleGroup")]
    made = {one.physical_id for one in stacks.resources("AWS::Scheduler::Schedule")}
    if not groups:
        return
    registered: set[str] = set()
    for queue in manifest["queues"]:
        for task in queue["tasks"]:
            for schedule in task.get("schedules", ()):
                registered.add(schedule["name"])
                yield from _of_schedule(schedule, _deployed(scheduler, groups, schedule["name"]))
    for name in sorted(made - registered):
        yield Difference(resource=f"schedule {name}", field="exists", registered=False, deployed=True)


def queues_of_schedules(scheduler: SchedulerClient, stacks: DeployedStacks) -> set[str]:
    """The names in SQS of the queues for what the schedules of some stacks could not send."""
    groups = [one.physical_id for one in stacks.resources("AWS::Scheduler::ScheduleGroup")]
    found: set[str] = set()
    for one in stacks.resources("AWS::Scheduler::Schedule"):
        deployed = _deployed(scheduler, groups, one.physical_id) or {}
        arn = deployed.get("Target", {}).get("DeadLetterConfig", {}).get("Arn", "")
        found.add(arn.rpartition(":")[2])
    return found


def _of_schedule(schedule: Mapping[str, Any], deployed: Mapping[str, Any] | None) -> Iterator[Difference]:
    resource = f"schedule {schedule['name']}"
    if deployed is None:
        yield Difference(resource=resource, field="exists", registered=True, deployed=False)
        return
    window = deployed.get("FlexibleTimeWindow", {})
    end = deployed.get("EndDate")
    compared = {
        "ScheduleExpression": (schedule["expression"], deployed.get("ScheduleExpression")),
        "ScheduleExpressionTimezone": (schedule["timezone"], deployed.get("ScheduleExpressionTimezone", "UTC")),
        "State": ("ENABLED" if schedule["enabled"] else "DISABLED", deployed.get("State", "ENABLED")),
        "FlexibleTimeWindow": (schedule["flexible_minutes"], window.get("MaximumWindowInMinutes")),
        "EndDate": (_moment(schedule["end"]), _moment(end)),
        "Target.Input": (schedule["request"], _request(deployed)),
    }
    for field, (ours, theirs) in compared.items():
        if ours != theirs:
            yield Difference(resource=resource, field=field, registered=ours, deployed=theirs)


def _deployed(scheduler: SchedulerClient, groups: list[str], name: str) -> Mapping[str, Any] | None:
    for group in groups:
        try:
            found: Mapping[str, Any] = scheduler.get_schedule(Name=name, GroupName=group)
        except Exception as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
        else:
            return found
    return None


def _request(deployed: Mapping[str, Any]) -> Any:
    """The request of SendMessage without the queue's URL, which the stack adds."""
    text = deployed.get("Target", {}).get("Input", "")
    try:
        request = json.loads(text)
    except ValueError:
        return text
    return {name: value for name, value in request.items() if name != "QueueUrl"} if isinstance(request, dict) else text


def _moment(value: Any) -> str | None:
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.astimezone().isoformat()
