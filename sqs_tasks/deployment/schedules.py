"""The registered schedules in EventBridge Scheduler, for those without the CDK: compared, made, changed and deleted.

What was made here says so in its description, with the application it was made for. Nothing else in the group is
touched: neither what a stack made, nor another application's, nor single jobs that are to come later.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqs_tasks.client import error_code
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.eventbridge import Scheduler, SchedulerClient, schedule_request
from sqs_tasks.scheduling.intervals import Every
from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule

logger = logging.getLogger(__name__)

#: What is done to a schedule.
Action = Literal["create", "update", "delete", "keep"]

#: What the description of a schedule begins with that was made here.
_MARK = "sqs_tasks schedule of "

_MISSING = "ResourceNotFoundException"
_CONFLICT = "ConflictException"

#: Fields of GetSchedule that are compared, and what Scheduler has for them where nothing was said.
_COMPARED: Mapping[str, Any] = {
    "ScheduleExpression": None,
    "ScheduleExpressionTimezone": "UTC",
    "State": "ENABLED",
    "StartDate": None,
    "EndDate": None,
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "Target": {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of one schedule.

    Attributes:
        name: Its name in EventBridge Scheduler.
        action: What has to be done.
        differences: For an update, each field that differs: what is deployed and what is registered.
        request: The request of CreateSchedule or UpdateSchedule; empty for the others.
    """

    name: str
    action: Action
    differences: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DeployedSchedules:
    """The schedules of one application in one group.

    Attributes:
        client: EventBridge Scheduler.
        scheduler: The group, the role and the queue for what could not be sent.
        app: The application, as ``module:attribute``.
        queue_prefix: The prefix of its queues: the same application in two stages needs two groups.
        queue_url: Gives the URL of a queue by its name in code.
        now: Gives the time.
    """

    client: SchedulerClient
    scheduler: Scheduler
    app: str
    queue_prefix: str
    queue_url: Callable[[str], str]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def plan(self, schedules: Iterable[RegisteredSchedule]) -> list[Change]:
        """What has to be done so that these schedules are there and no others of this application.

        Raises:
            ConfigurationError: A schedule of that name is another's.
        """
        registered = {one.name: one for one in schedules}
        changes = [self._change(one) for one in registered.values()]
        changes += [
            Change(name=name, action="delete")
            for name in self._names()
            if name not in registered and self._is_ours(self._deployed(name))
        ]
        return changes

    def apply(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Do it, one after the other, and give what was done; the group is made when it is missing.

        Doing the same twice does no harm: what was done already is left as it is.
        """
        has_group = False
        for change in changes:
            if change.action in ("create", "update") and not has_group:
                self._create_group()
                has_group = True
            if change.action == "create":
                self._create(change)
            elif change.action == "update":
                self.client.update_schedule(**change.request)
            elif change.action == "delete":
                self._delete(change.name)
            yield change

    def state(self, name: str) -> str | None:
        """ENABLED or DISABLED; None when it is not there."""
        deployed = self._deployed(name)
        return None if deployed is None else str(deployed.get("State", "ENABLED"))

    def set_state(self, name: str, *, enabled: bool) -> bool:
        """Switch a deployed schedule on or off, whoever made it; whether that changed anything.

        Raises:
            ConfigurationError: It is not there.
        """
        deployed = self._deployed(name)
        if deployed is None:
            raise ConfigurationError(
                f"schedule {name!r} is not in group {self.scheduler.group!r}; only what is deployed can be paused and "
                "resumed; make it with 'sqs-tasks schedules apply' or by the stack"
            )
        state = "ENABLED" if enabled else "DISABLED"
        if deployed.get("State", "ENABLED") == state:
            return False
        request = {name: value for name, value in deployed.items() if name in _UPDATABLE and value is not None}
        self.client.update_schedule(**{**request, "State": state, "GroupName": self.scheduler.group})
        return True

    # --- the one schedule -------------------------------------------------------------------------------------------

    def _change(self, registered: RegisteredSchedule) -> Change:
        request = schedule_request(
            registered,
            self.scheduler,
            queue_url=self.queue_url(registered.queue_name),
            description=self._description(registered),
            now=self.now(),
        )
        deployed = self._deployed(registered.name)
        if deployed is None:
            return Change(name=registered.name, action="create", request=request)
        if not self._is_ours(deployed):
            raise ConfigurationError(
                f"schedule {registered.name!r} in group {self.scheduler.group!r} was not made for {self._owner!r}: its "
                f"description is {deployed.get('Description', '')!r}; one application in one stage needs a group of "
                "its own; choose another with --group"
            )
        differing = _differing(registered, request, deployed)
        if not differing:
            return Change(name=registered.name, action="keep")
        return Change(name=registered.name, action="update", differences=differing, request=request)

    def _create(self, change: Change) -> None:
        try:
            self.client.create_schedule(**change.request)
        except Exception as error:
            if error_code(error) != _CONFLICT:
                raise
            # Somebody was quicker, maybe the attempt before this one, whose answer was lost.
            self.client.update_schedule(**change.request)

    def _delete(self, name: str) -> None:
        try:
            self.client.delete_schedule(Name=name, GroupName=self.scheduler.group)
        except Exception as error:
            if error_code(error) != _MISSING:
                raise

    def _deployed(self, name: str) -> Mapping[str, Any] | None:
        try:
            answer: Mapping[str, Any] = self.client.get_schedule(Name=name, GroupName=self.scheduler.group)
        except Exception as error:
            if error_code(error) != _MISSING:
                raise
            return None
        return answer

    def _create_group(self) -> None:
        try:
            self.client.create_schedule_group(Name=self.scheduler.group)
        except Exception as error:
            if error_code(error) != _CONFLICT:
                raise

    def _names(self) -> list[str]:
        """The names of the group's schedules that send to SQS."""
        names: list[str] = []
        token: str | None = None
        while True:
            more = {} if token is None else {"NextToken": token}
            try:
                page = self.client.list_schedules(GroupName=self.scheduler.group, **more)
            except Exception as error:
                if error_code(error) != _MISSING:
                    raise
                return names
            names += [
                one["Name"]
                for one in page.get("Schedules", ())
                if one.get("Target", {}).get("Arn", self.scheduler.target_arn) == self.scheduler.target_arn
            ]
            token = page.get("NextToken")
            if not token:
                return names

    # --- whose it is ------------------------------------------------------------------------------------------------

    @property
    def _owner(self) -> str:
        return f"{self.app} ({self.queue_prefix or 'no prefix'})"

    def _description(self, registered: RegisteredSchedule) -> str:
        text = f"{_MARK}{self._owner}: task {registered.job_name} on queue {registered.queue_name}"
        return text[:512]

    def _is_ours(self, deployed: Mapping[str, Any] | None) -> bool:
        return deployed is not None and str(deployed.get("Description", "")).startswith(f"{_MARK}{self._owner}: ")


#: What UpdateSchedule takes of what GetSchedule gives.
_UPDATABLE = frozenset(
    {
        "Name",
        "GroupName",
        "Description",
        "ScheduleExpression",
        "ScheduleExpressionTimezone",
        "StartDate",
        "EndDate",
        "State",
        "KmsKeyArn",
        "Target",
        "FlexibleTimeWindow",
        "ActionAfterCompletion",
    }
)


def _differing(
    registered: RegisteredSchedule, request: Mapping[str, Any], deployed: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """The fields that differ, those of the target each for itself: what is deployed and what is registered."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, default in _COMPARED.items():
        wanted, there = request.get(name, default), deployed.get(name, default)
        if name == "Target":
            found.update(_differing_target(wanted, there))
        elif name == "StartDate":
            if not _same_start(registered, wanted, there):
                found[name] = (there, wanted)
        elif name == "EndDate":
            if not _same_moment(wanted, there):
                found[name] = (there, wanted)
        elif wanted != there:
            found[name] = (there, wanted)
    return found


def _differing_target(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for name in ("Arn", "RoleArn", "RetryPolicy", "DeadLetterConfig"):
        if wanted.get(name) != there.get(name):
            found[f"Target.{name}"] = (there.get(name), wanted.get(name))
    before, after = (_parsed(one.get("Input", "")) for one in (there, wanted))
    if before != after:
        found["Target.Input"] = (before, after)
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _same_start(registered: RegisteredSchedule, wanted: datetime | None, there: datetime | None) -> bool:
    expression, start = registered.schedule.expression, registered.schedule.start
    if isinstance(expression, Every):
        if start is None or there is None:
            return start is there
        # The registration's start is brought after now for a deploy; what counts is that the steps are the same.
        return (there - start) % timedelta(seconds=expression.period_seconds()) == timedelta()
    # One that has passed says nothing any more.
    return wanted is None or _same_moment(wanted, there)


def _same_moment(one: datetime | None, other: datetime | None) -> bool:
    return one is other if one is None or other is None else one == other
