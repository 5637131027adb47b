"""EventBridge Scheduler: where its schedules are, and the request that makes one for a task.

The target is the universal one, ``aws-sdk:sqs:sendMessage``: the target that Scheduler has for SQS takes a body and a
group alone, and a message without attributes names no task. That the universal target takes message attributes
is derived from the documentation of both services.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.intervals import Every
from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule

#: Where the stack leaves its schedule group, the role that sends for it, and the queue for what could not be sent.
GROUP_VARIABLE: Final = "SQS_TASKS_SCHEDULE_GROUP"
ROLE_VARIABLE: Final = "SQS_TASKS_SCHEDULER_ROLE_ARN"
DEAD_LETTER_VARIABLE: Final = "SQS_TASKS_SCHEDULER_DEAD_LETTER_ARN"

#: Seconds for which Scheduler can go on trying to send; a day is its default too.
MIN_EVENT_AGE_SECONDS, MAX_EVENT_AGE_SECONDS = 60, 86_400

#: How often Scheduler tries at most within that time; its default.
MAX_RETRY_ATTEMPTS = 185

#: Scheduler refuses a start date that is longer ago.
_OLDEST_START = timedelta(minutes=5)

_GROUP = re.compile(r"[0-9A-Za-z_.-]{1,64}")
_ROLE = re.compile(r"arn:(aws[a-z-]*):iam::[0-9]{12}:role/.+")
_QUEUE_ARN = re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+")


class SchedulerClient(Protocol):
    """What is asked of EventBridge Scheduler; boto3's client is one."""

    def create_schedule(self, **request: Any) -> Any:
        """Make a schedule."""

    def update_schedule(self, **request: Any) -> Any:
        """Replace a schedule by another of the same name."""

    def get_schedule(self, **request: Any) -> Any:
        """A schedule, whole."""

    def delete_schedule(self, **request: Any) -> Any:
        """Delete a schedule."""

    def list_schedules(self, **request: Any) -> Any:
        """A page of the schedules of a group, without their details."""

    def create_schedule_group(self, **request: Any) -> Any:
        """Make a group."""


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """Where schedules are made: ``SQSEnv(scheduler=Scheduler(group="shop", role_arn="arn:aws:iam::…"))``.

    Args:
        group: The schedule group.
        role_arn: The role in whose name Scheduler sends; it is trusted by ``scheduler.amazonaws.com`` and may send to
            the queues.
        dead_letter_arn: A standard queue for what could not be sent; None drops it when Scheduler gives up.

    Raises:
        ConfigurationError: One of them is not of AWS's form.
    """

    group: str
    role_arn: str
    dead_letter_arn: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.group, str) or not _GROUP.fullmatch(self.group):
            raise ConfigurationError(
                f"Scheduler: group={self.group!r} must be 1 to 64 letters, digits, '-', '_' and '.'; try 'shop'"
            )
        if not isinstance(self.role_arn, str) or not _ROLE.fullmatch(self.role_arn):
            raise ConfigurationError(
                f"Scheduler: role_arn={self.role_arn!r} must be the ARN of a role; "
                "try 'arn:aws:iam::123456789012:role/shop-scheduler'"
            )
        if self.dead_letter_arn is not None and not (
            isinstance(self.dead_letter_arn, str) and _QUEUE_ARN.fullmatch(self.dead_letter_arn)
        ):
            raise ConfigurationError(
                f"Scheduler: dead_letter_arn={self.dead_letter_arn!r} must be the ARN of a standard queue, or None; "
                "try 'arn:aws:sqs:eu-central-1:123456789012:shop-undelivered'"
            )

    @classmethod
    def from_environment(cls) -> Scheduler | None:
        """What the stack says in environment variables; None without them.

        Raises:
            ConfigurationError: One of the two that are needed is missing, or is not of AWS's form.
        """
        group, role_arn = os.environ.get(GROUP_VARIABLE), os.environ.get(ROLE_VARIABLE)
        if not group and not role_arn:
            return None
        if not group or not role_arn:
            missing, there = (ROLE_VARIABLE, GROUP_VARIABLE) if group else (GROUP_VARIABLE, ROLE_VARIABLE)
            raise ConfigurationError(
                f"{there} is set and {missing} is not; Scheduler needs a group and a role; set both, or neither"
            )
        return cls(group=group, role_arn=role_arn, dead_letter_arn=os.environ.get(DEAD_LETTER_VARIABLE) or None)

    @property
    def target_arn(self) -> str:
        """The universal target for SendMessage, in the partition of the role."""
        found = _ROLE.fullmatch(self.role_arn)
        return f"arn:{found[1] if found else 'aws'}:scheduler:::aws-sdk:sqs:sendMessage"

    def target(self, send_message: Mapping[str, Any], *, event_age_seconds: int) -> dict[str, Any]:
        """AWS's Target: what Scheduler does when a run is due.

        Args:
            send_message: The request of SendMessage.
            event_age_seconds: For how long it goes on trying; brought within 60 to 86,400.
        """
        target: dict[str, Any] = {
            "Arn": self.target_arn,
            "RoleArn": self.role_arn,
            "Input": json.dumps(send_message),
            "RetryPolicy": {
                "MaximumEventAgeInSeconds": min(max(event_age_seconds, MIN_EVENT_AGE_SECONDS), MAX_EVENT_AGE_SECONDS),
                "MaximumRetryAttempts": MAX_RETRY_ATTEMPTS,
            },
        }
        if self.dead_letter_arn is not None:
            target["DeadLetterConfig"] = {"Arn": self.dead_letter_arn}
        return target


def schedule_request(
    registered: RegisteredSchedule, scheduler: Scheduler, *, queue_url: str, description: str, now: datetime
) -> dict[str, Any]:
    """The request of CreateSchedule, and of UpdateSchedule, which replaces everything.

    Args:
        registered: The schedule.
        scheduler: Where it is made.
        queue_url: Its queue.
        description: What the console shows of it.
        now: Start dates before it are brought after it, since Scheduler takes no old ones: a rate keeps its step.
    """
    schedule = registered.schedule
    flexible = schedule.flexible_minutes
    request: dict[str, Any] = {
        "Name": registered.name,
        "GroupName": scheduler.group,
        "Description": description,
        "State": "ENABLED" if schedule.enabled else "DISABLED",
        "ScheduleExpression": schedule.expression.expression,
        "ScheduleExpressionTimezone": schedule.expression.timezone,
        "FlexibleTimeWindow": {"Mode": "OFF"}
        if flexible is None
        else {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": flexible},
        "Target": scheduler.target(
            {"QueueUrl": queue_url, **registered.request()}, event_age_seconds=schedule.expression.period_seconds()
        ),
    }
    start = start_date(registered, now)
    if start is not None:
        request["StartDate"] = start
    if schedule.end is not None:
        request["EndDate"] = schedule.end
    return request


def start_date(registered: RegisteredSchedule, now: datetime) -> datetime | None:
    """The start date that Scheduler takes now; None where none is needed any more."""
    schedule = registered.schedule
    if schedule.start is None or schedule.start > now.astimezone(UTC) - _OLDEST_START:
        return schedule.start
    return schedule.expression.next_after(now, start=schedule.start) if isinstance(schedule.expression, Every) else None
