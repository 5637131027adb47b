"""Whether the registered schedules are in their group, and on."""

from __future__ import annotations

from collections.abc import Iterator

from sqs_tasks.client import error_code
from sqs_tasks.env import SQSEnv
from sqs_tasks.operations.doctor.finding import Finding
from sqs_tasks.scheduling.eventbridge import SchedulerClient


def schedule_findings(env: SQSEnv, scheduler: SchedulerClient, group: str) -> Iterator[Finding]:
    """Schedules that are missing in a group, or switched off there.

    Args:
        env: The environment.
        scheduler: A client of EventBridge Scheduler.
        group: The group.
    """
    for one in env.schedules.values():
        state = _state(scheduler, group, one.name)
        if state is None:
            yield Finding(
                kind="schedule-missing",
                severity="error",
                subject=f"schedule {one.name}",
                what=f"it is not in group {group}",
                why="its task does not run by itself",
                fix=f"sqs-tasks schedules apply APP --group {group}, or deploy the stack",
            )
        elif one.schedule.enabled and state != "ENABLED":
            yield Finding(
                kind="schedule-off",
                severity="warning",
                subject=f"schedule {one.name}",
                what=f"it is {state.lower()} in group {group}, and on in the registry",
                why="its task does not run by itself until somebody resumes it",
                fix=f"sqs-tasks schedules resume APP {one.name} --group {group}",
            )


def _state(scheduler: SchedulerClient, group: str, name: str) -> str | None:
    """ENABLED or DISABLED; None when it is not there."""
    try:
        return str(scheduler.get_schedule(Name=name, GroupName=group).get("State", "ENABLED"))
    except Exception as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        return None
