"""A schedule: what was asked for, and when it is due."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.local.scheduler import faults, target
from sqs_tasks.scheduling.eventbridge import MAX_EVENT_AGE_SECONDS, MAX_RETRY_ATTEMPTS
from sqs_tasks.scheduling.expressions import Expression, parse_expression
from sqs_tasks.scheduling.intervals import At, Every

#: Seconds that a start date may have passed when it is given.
MAX_START_AGE_SECONDS = 300

#: What a schedule has where nothing else was asked for.
DEFAULTS = {"ActionAfterCompletion": "NONE", "ScheduleExpressionTimezone": "UTC", "State": "ENABLED"}
DEFAULT_RETRY_POLICY = {
    "MaximumEventAgeInSeconds": MAX_EVENT_AGE_SECONDS,
    "MaximumRetryAttempts": MAX_RETRY_ATTEMPTS,
}

#: Members that belong to the request and not to the schedule.
_OF_THE_REQUEST = ("ClientToken", "GroupName", "Name")


class Schedule:
    """A schedule as it is stored.

    Args:
        params: The request that made it.
        arn: Its ARN.
        now: Seconds since the epoch.

    Attributes:
        name: Its name.
        group: The name of its group.
        arn: Its ARN.
        fields: What was asked for, by the names of the API, defaults filled in.
        created_at: When it was made.
        modified_at: When it was made or changed.

    Raises:
        SchedulerFault: The parts of the request do not fit together.
    """

    def __init__(self, params: Mapping[str, Any], *, arn: str, now: float) -> None:
        self.name: str = params["Name"]
        self.group: str = params.get("GroupName", "default")
        self.arn = arn
        self.created_at = now
        self._counts_from = now
        self._take(params, now)

    def update(self, params: Mapping[str, Any], now: float) -> None:
        """Replace everything but the name; what is not given gets its default.

        A rate goes on in its steps, unless it or the start date is changed: then it begins anew.

        Raises:
            SchedulerFault: The parts of the request do not fit together; then nothing has changed.
        """
        before = self.fields
        self._take(params, now)
        if any(before.get(name) != self.fields.get(name) for name in ("ScheduleExpression", "StartDate")):
            self._counts_from = now

    @property
    def is_enabled(self) -> bool:
        """Whether it invokes its target when it is due."""
        return bool(self.fields["State"] == "ENABLED")

    @property
    def is_deleted_after_completion(self) -> bool:
        """Whether it is to be gone once it has been due for the last time."""
        return bool(self.fields["ActionAfterCompletion"] == "DELETE")

    def first_slot(self, now: float) -> float | None:
        """When it is due first, now or later; None when never.

        A rate is due at its start date, also if that has just passed; without one, as soon as it is made (Z8).
        """
        if isinstance(self._expression, Every):
            first = self._start or int(self._counts_from)
            if first > now - MAX_START_AGE_SECONDS and self._counts_from == self.modified_at:
                return self._within(first)
        return self.slot_after(now)

    def slot_after(self, moment: float) -> float | None:
        """When it is due next after that moment; None when never."""
        after = datetime.fromtimestamp(moment, UTC)
        start: datetime | None = None
        if not isinstance(self._expression, At):  # which ignores start and end
            seconds = self._start or (int(self._counts_from) if isinstance(self._expression, Every) else None)
            start = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
        found = self._expression.next_after(after, start=start)
        return None if found is None else self._within(found.timestamp())

    def invoked_at(self, slot: float) -> float:
        """When it invokes its target for that slot: at once, or somewhere in its flexible time window.

        AWS spreads invocations over the window. Here the place follows from the schedule and the slot, so that a test
        sees the same each time.
        """
        minutes: int = self.fields["FlexibleTimeWindow"].get("MaximumWindowInMinutes", 0)
        if not minutes:
            return slot
        digest = hashlib.sha256(f"{self.arn} {slot}".encode()).digest()
        return slot + int.from_bytes(digest[:4], "big") % (minutes * 60)

    def described(self) -> dict[str, Any]:
        """What GetSchedule answers; times as seconds since the epoch."""
        return {
            "Arn": self.arn,
            "Name": self.name,
            "GroupName": self.group,
            **self.fields,
            "CreationDate": self.created_at,
            "LastModificationDate": self.modified_at,
        }

    def summary(self) -> dict[str, Any]:
        """What ListSchedules shows."""
        return {
            "Arn": self.arn,
            "Name": self.name,
            "GroupName": self.group,
            "State": self.fields["State"],
            "CreationDate": self.created_at,
            "LastModificationDate": self.modified_at,
            "Target": {"Arn": self.fields["Target"]["Arn"]},
        }

    def _within(self, slot: float) -> float | None:
        """The slot, if the end date has not passed by then."""
        end = None if isinstance(self._expression, At) else self.fields.get("EndDate")
        return None if end is not None and slot > end else slot

    def _take(self, params: Mapping[str, Any], now: float) -> None:
        fields = {**DEFAULTS, **{name: value for name, value in params.items() if name not in _OF_THE_REQUEST}}
        fields["Target"] = {
            **fields["Target"],
            "RetryPolicy": {**DEFAULT_RETRY_POLICY, **fields["Target"].get("RetryPolicy", {})},
        }
        expression = _parsed(fields["ScheduleExpression"], fields["ScheduleExpressionTimezone"])
        _check_dates(fields, expression, now)
        _check_window(fields["FlexibleTimeWindow"])
        target.check(fields["Target"])
        self.fields, self._expression, self.modified_at = fields, expression, now
        self._start: float | None = fields.get("StartDate")


def _parsed(text: str, timezone: str) -> Expression:
    try:
        return parse_expression(text, timezone)
    except ConfigurationError as error:
        raise faults.invalid(f"Invalid Schedule Expression {text}. {error}") from None


def _check_dates(fields: Mapping[str, Any], expression: Expression, now: float) -> None:
    """Refuse a start date of long ago, as AWS does, and an end before the start."""
    if isinstance(expression, At):
        return
    start, end = fields.get("StartDate"), fields.get("EndDate")
    if start is not None and start < now - MAX_START_AGE_SECONDS:
        raise faults.invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")
    if start is not None and end is not None and end <= start:
        raise faults.invalid("The EndDate you specify must be after the StartDate.")


def _check_window(window: Mapping[str, Any]) -> None:
    if window["Mode"] == "FLEXIBLE" and "MaximumWindowInMinutes" not in window:
        raise faults.invalid("A flexible time window needs MaximumWindowInMinutes.")
    if window["Mode"] == "OFF" and "MaximumWindowInMinutes" in window:
        raise faults.invalid("MaximumWindowInMinutes is for a flexible time window; its Mode is OFF.")
