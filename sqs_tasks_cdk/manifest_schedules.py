"""The schedules of a manifest: what EventBridge Scheduler sends, and when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqs_tasks_cdk.errors import ManifestError
from sqs_tasks_cdk.manifest_fields import Fields

#: Minutes of EventBridge Scheduler's flexible time window.
MAX_FLEXIBLE_MINUTES = 1_440

#: Seconds for which EventBridge Scheduler can go on trying to deliver a run.
MIN_EVENT_AGE_SECONDS, MAX_EVENT_AGE_SECONDS = 60, 86_400

#: Scheduler refuses a start date that is longer ago.
_OLDEST_START: Final = timedelta(minutes=5)

_NAME = re.compile(r"[0-9A-Za-z_.-]{1,64}")
_EXPRESSION = re.compile(r"(cron|rate|at)\([^()]+\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSchedule:
    """One schedule of a task.

    Attributes:
        name: Its name in EventBridge Scheduler; unique in the registry.
        expression: ``cron(...)``, ``rate(...)`` or ``at(...)``.
        timezone: The IANA name of the zone that the expression is read in.
        enabled: Whether it runs.
        start: No run is before it; ISO 8601 with an offset, or None.
        end: No run is after it; ISO 8601 with an offset, or None.
        flexible_minutes: Minutes over which a run may be spread; None for none.
        late_seconds: How late a job may begin; the workers look at it, the stack does not.
        overlap: What happens when the run before has not ended; the workers look at it, the stack does not.
        period_seconds: The least time between two runs, at most a day.
        request: The request of SendMessage without ``QueueUrl``.
    """

    name: str
    expression: str
    timezone: str = "UTC"
    enabled: bool = True
    start: str | None = None
    end: str | None = None
    flexible_minutes: int | None = None
    late_seconds: int | float | None = None
    overlap: str = "allow"
    period_seconds: int = MAX_EVENT_AGE_SECONDS
    request: Mapping[str, Any] = field(hash=False)

    @classmethod
    def read(cls, fields: Fields) -> ManifestSchedule:
        """Read one object of the list.

        Raises:
            ManifestError: A field is missing, unknown, of the wrong type or out of its range.
        """
        schedule = cls(
            name=_matching(fields, "name", _NAME, "1 to 64 letters, digits, '-', '_' and '.'"),
            expression=_matching(fields, "expression", _EXPRESSION, "cron(...), rate(...) or at(...)"),
            timezone=fields.text("timezone"),
            enabled=fields.boolean("enabled"),
            start=fields.optional_text("start"),
            end=fields.optional_text("end"),
            flexible_minutes=fields.optional_integer("flexible_minutes", low=1, high=MAX_FLEXIBLE_MINUTES),
            late_seconds=fields.optional_seconds("late_seconds"),
            overlap=fields.text("overlap"),
            period_seconds=fields.integer("period_seconds", low=MIN_EVENT_AGE_SECONDS),
            request=fields.mapping("request"),
        )
        fields.close()
        if not isinstance(schedule.request.get("MessageBody"), str):
            raise ManifestError(
                "the request has no MessageBody; it must be a request of SendMessage without QueueUrl; "
                "write the manifest with 'sqs-tasks manifest'",
                path=f"{fields.path}.request",
            )
        return schedule


def event_age_seconds(schedule: ManifestSchedule) -> int:
    """Seconds for which a run is worth sending: until the next one is due, as far as Scheduler allows."""
    return min(max(schedule.period_seconds, MIN_EVENT_AGE_SECONDS), MAX_EVENT_AGE_SECONDS)


def start_date(*, start: str | None, expression: str, period_seconds: int, now: datetime) -> str | None:
    """The start date that Scheduler takes now: one that has passed is not needed, but a rate keeps its step by it."""
    if start is None:
        return None
    begins = datetime.fromisoformat(start)
    if begins > now - _OLDEST_START:
        return utc(start)
    if not expression.startswith("rate("):
        return None
    period = timedelta(seconds=period_seconds)
    return utc((begins + ((now - begins) // period + 1) * period).isoformat())


def utc(moment: str) -> str:
    """A moment in ISO 8601 as Scheduler takes it."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _matching(fields: Fields, name: str, pattern: re.Pattern[str], allowed: str) -> str:
    text = fields.text(name)
    if pattern.fullmatch(text) is None:
        raise ManifestError(f"{text!r} is not {allowed}", path=f"{fields.path}.{name}")
    return text
