"""``Schedule``: an expression with everything else that a registration says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypedDict, get_args

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.cron import Cron
from sqs_tasks.scheduling.expressions import Expression, runs
from sqs_tasks.scheduling.intervals import At, Every
from sqs_tasks.scheduling.moments import aware

#: What happens when a run is due and the one before has not ended.
Overlap = Literal["allow", "skip", "queue"]

#: Minutes of EventBridge Scheduler's flexible time window.
MAX_FLEXIBLE_MINUTES = 1_440

#: Seconds that EventBridge Scheduler may come after the time.
PRECISION_SECONDS = 60


class ScheduleOptions(TypedDict, total=False):
    """The keywords of ``task.schedule``; each is documented on :class:`Schedule`."""

    arguments: Mapping[str, Any] | None
    enabled: bool
    start: datetime | None
    end: datetime | None
    flexible_minutes: int | None
    late_seconds: float | None
    overlap: Overlap


@dataclass(frozen=True)
class Schedule:
    """When a task runs, and how: ``schedule=Schedule(Every(minutes=15), late_seconds=600)``.

    Args:
        expression: When it runs.
        arguments: The arguments of its jobs by name. They are checked and encoded at registration. EventBridge
            Scheduler puts the time of the run in the place of ``<aws.scheduler.scheduled-time>`` in a text.
        enabled: Whether it runs at all; a schedule that is off stays registered and deployed.
        start: No run is before it, and a rate counts from it. Timezone-aware.
        end: No run is after it. Timezone-aware.
        flexible_minutes: The runs are spread over that many minutes after their time, 1 to 1,440.
        late_seconds: A job that begins later than that after its time ends as Skipped instead of running: for runs
            that make no sense when the next is near. At least 60 more than the flexible time; None runs whatever comes.
        overlap: ``"allow"`` runs a job although the one before may still run. With ``"skip"`` it ends as Skipped then,
            with ``"queue"`` it waits; both need a store.

    Raises:
        ConfigurationError: An option that cannot work; the text names it.
    """

    expression: Expression
    arguments: Mapping[str, Any] | None = field(default=None, kw_only=True)
    enabled: bool = field(default=True, kw_only=True)
    start: datetime | None = field(default=None, kw_only=True)
    end: datetime | None = field(default=None, kw_only=True)
    flexible_minutes: int | None = field(default=None, kw_only=True)
    late_seconds: float | None = field(default=None, kw_only=True)
    overlap: Overlap = field(default="allow", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.expression, (Cron, Every, At)):
            raise ConfigurationError(
                f"schedule {self.expression!r} is a {type(self.expression).__name__}; it must be Cron(...), "
                "Every(...) or At(...); try Cron('0 2 * * ? *') or Every(minutes=15)"
            )
        if self.arguments is not None and not isinstance(self.arguments, Mapping):
            raise self._refusal("arguments", "a mapping of arguments by name", "arguments={'full': True}")
        if not isinstance(self.enabled, bool):
            raise self._refusal("enabled", "True or False", "enabled=False")
        for name in ("start", "end"):
            moment = getattr(self, name)
            if moment is not None:
                object.__setattr__(self, name, aware(moment, f"schedule {self.expression}: {name}"))
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise self._refusal("end", f"after start={self.start.isoformat()}", "a later one")
        flexible = self.flexible_minutes
        if flexible is not None and not (
            isinstance(flexible, int) and not isinstance(flexible, bool) and 1 <= flexible <= MAX_FLEXIBLE_MINUTES
        ):
            raise self._refusal(
                "flexible_minutes", f"1 to {MAX_FLEXIBLE_MINUTES} whole minutes, or None", "flexible_minutes=15"
            )
        self._check_late()
        self._check_overlap()

    @classmethod
    def of(cls, given: Schedule | Expression) -> Schedule:
        """The schedule that an expression alone stands for."""
        return given if isinstance(given, cls) else cls(given)  # type: ignore[arg-type]  # checked there

    def runs(self, after: datetime, *, made_at: datetime | None = None) -> Iterator[datetime]:
        """The runs after a moment, in UTC and in order; none while it is off.

        Args:
            after: Timezone-aware.
            made_at: When the schedule was made: a rate without a start counts from it. None counts from ``after``.
        """
        if not self.enabled:
            return iter(())
        start = self.start if self.start is not None or not isinstance(self.expression, Every) else made_at
        return runs(self.expression, after, start=start, end=self.end)

    def check_delay(self, delay_seconds: int, name: str) -> None:
        """Refuse a time for late runs that the delay of the task or queue uses up.

        Raises:
            ConfigurationError: It is that short.
        """
        late, least = self.late_seconds, PRECISION_SECONDS + 60 * (self.flexible_minutes or 0) + delay_seconds
        if late is not None and late < least:
            raise ConfigurationError(
                f"schedule {name!r}: late_seconds={late} and each job is delayed for {delay_seconds} s, so that all "
                f"would be skipped; it must be {least} or more; try late_seconds={least + 240}"
            )

    def _check_late(self) -> None:
        late = self.late_seconds
        if late is None:
            return
        least = PRECISION_SECONDS + 60 * (self.flexible_minutes or 0)
        if isinstance(late, bool) or not isinstance(late, (int, float)) or not least <= late:
            flexible = " and flexible_minutes more" if self.flexible_minutes else ""
            raise self._refusal(
                "late_seconds",
                f"{least} seconds or more, for EventBridge Scheduler may come {PRECISION_SECONDS} s later{flexible}",
                f"late_seconds={least + 240}",
            )

    def _check_overlap(self) -> None:
        if self.overlap not in get_args(Overlap):
            raise self._refusal("overlap", "'allow', 'skip' or 'queue'", "overlap='allow'")

    def check_store(self, store: object) -> None:
        """Refuse runs that must not overlap where nothing remembers which are in progress.

        Raises:
            ConfigurationError: There is no store.
        """
        if self.overlap != "allow" and store is None:
            raise self._refusal(
                "overlap",
                "'allow': the others must remember which runs have not ended, and there is no store to remember it in",
                "a period longer than a run, or SQSEnv(store=DynamoDBStore())",
            )

    def _refusal(self, name: str, allowed: str, hint: str) -> ConfigurationError:
        value = getattr(self, name)
        shown = value.isoformat() if isinstance(value, datetime) else repr(value)
        return ConfigurationError(f"schedule {self.expression}: {name}={shown} must be {allowed}; try {hint}")
