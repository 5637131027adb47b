"""The schedules of an application in the embedded EventBridge Scheduler of a dev session."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime

from sqs_tasks.deployment.schedules import DeployedSchedules
from sqs_tasks.env import SQSEnv
from sqs_tasks.scheduling.eventbridge import DEAD_LETTER_VARIABLE, GROUP_VARIABLE, ROLE_VARIABLE, Scheduler
from sqs_tasks.scheduling.moments import time_zone
from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule
from sqs_tasks.sending.one_shots import ScheduledJobs

logger = logging.getLogger("sqs_tasks.cli.dev.schedules")

#: What tells a child that the Scheduler is the session's own, and where in it jobs are held that are due later.
VARIABLES: Mapping[str, str] = {
    GROUP_VARIABLE: "default",
    ROLE_VARIABLE: "arn:aws:iam::000000000000:role/sqs-tasks-dev",
    DEAD_LETTER_VARIABLE: "",
}


def is_session_of_dev() -> bool:
    """Whether the Scheduler is that of a session: its role is one that nobody else has."""
    return os.environ.get(ROLE_VARIABLE) == VARIABLES[ROLE_VARIABLE]


def run_schedules(env: SQSEnv, app: str) -> None:
    """Bring the session's Scheduler to what the application registers, and say when each schedule runs next."""
    place = DeployedSchedules(
        client=ScheduledJobs(env).client,
        scheduler=Scheduler(group=VARIABLES[GROUP_VARIABLE], role_arn=VARIABLES[ROLE_VARIABLE]),
        app=app,
        queue_prefix=env.queue_prefix,
        queue_url=env.get_queue_url,
    )
    for _ in place.apply(place.plan(env.schedules.values())):
        pass
    for one in env.schedules.values():
        logger.info("schedule %s %s", one.name, _next_run(one), extra={"action": "dev_schedule", "schedule": one.name})
    if env.schedules:
        logger.info("one of them now: sqs-tasks schedules run %s NAME", app, extra={"action": "dev_schedule"})


def _next_run(one: RegisteredSchedule) -> str:
    now = datetime.now(UTC)
    run = next(one.schedule.runs(now), None)
    if not one.schedule.enabled:
        return "is off"
    if run is None:
        return "has no run any more"
    expression = one.schedule.expression
    return f"runs next on {run.astimezone(time_zone(expression.timezone)):%a %Y-%m-%d %H:%M %z} ({expression})"
