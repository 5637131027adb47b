"""``Every`` and ``At``: EventBridge Scheduler's rates and single moments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.moments import aware

_SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400}


@dataclass(frozen=True, kw_only=True)
class Every:
    """Runs at a fixed rate: ``Every(minutes=15)``.

    Real time counts, so that ``Every(days=1)`` moves by an hour on the clock when that is changed; ``Cron`` does not.
    EventBridge Scheduler runs it first at the schedule's ``start``, without one as soon as the schedule is made.

    Args:
        minutes: A whole number of minutes; exactly one of the three is given.
        hours: A whole number of hours.
        days: A whole number of days of 24 hours.

    Raises:
        ConfigurationError: Not exactly one of them, or no whole number above 0.
    """

    minutes: int | None = None
    hours: int | None = None
    days: int | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) != 1:
            raise ConfigurationError(
                f"Every({', '.join(f'{name}={value!r}' for name, value in given.items())}) gives {len(given)} units; "
                "EventBridge Scheduler's rates have exactly one of minutes, hours and days; try Every(minutes=90)"
            )
        ((name, value),) = given.items()
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(
                f"Every({name}={value!r}): a rate is a whole number above 0, and a minute the shortest; "
                "try Every(minutes=1) or a smaller unit"
            )

    @property
    def timezone(self) -> str:
        """AWS's ScheduleExpressionTimezone; rates do not depend on it."""
        return "UTC"

    @property
    def expression(self) -> str:
        """AWS's ScheduleExpression: ``rate(15 minutes)``."""
        value, unit = self._value_and_unit()
        return f"rate({value} {unit}{'' if value == 1 else 's'})"

    def next_after(self, moment: datetime, *, start: datetime | None = None) -> datetime | None:
        """The first run after a moment, in UTC; None when it is beyond the year 9999.

        Args:
            moment: Timezone-aware.
            start: When the first run is: the schedule's start date, or when it was made. None counts from ``moment``.
        """
        after = aware(moment, "moment")
        first = after if start is None else aware(start, "start")
        if first > after:
            return first
        seconds = self.period_seconds()
        passed = (after - first) // timedelta(seconds=1) // seconds
        try:
            return first + timedelta(seconds=(passed + 1) * seconds)
        except OverflowError:
            return None

    def period_seconds(self) -> int:
        """The time between two runs."""
        value, unit = self._value_and_unit()
        return value * _SECONDS[unit]

    def _value_and_unit(self) -> tuple[int, str]:
        for unit in _SECONDS:
            value: int | None = getattr(self, f"{unit}s")
            if value is not None:
                return value, unit
        raise AssertionError

    def __str__(self) -> str:
        return self.expression


@dataclass(frozen=True)
class At:
    """Runs once: ``At(datetime(2030, 1, 31, 9, 0, tzinfo=ZoneInfo("Europe/Berlin")))``.

    EventBridge Scheduler is precise to the minute: it comes up to 60 seconds later, and never before.

    Args:
        moment: Timezone-aware; it is kept in UTC and rounded up to a whole second.

    Raises:
        ConfigurationError: The moment is naive.
    """

    moment: datetime

    def __post_init__(self) -> None:
        moment = aware(self.moment, "At: moment")
        if moment.microsecond:
            moment = moment.replace(microsecond=0) + timedelta(seconds=1)
        object.__setattr__(self, "moment", moment)

    @property
    def timezone(self) -> str:
        """AWS's ScheduleExpressionTimezone."""
        return "UTC"

    @property
    def expression(self) -> str:
        """AWS's ScheduleExpression: ``at(2030-01-31T08:00:00)``, in UTC."""
        return f"at({self.moment.strftime('%Y-%m-%dT%H:%M:%S')})"

    def next_after(self, moment: datetime, *, start: datetime | None = None) -> datetime | None:
        """The one run, in UTC, if it is after the moment; else None.

        Args:
            moment: Timezone-aware.
            start: The schedule's start date: no run is before it. Timezone-aware.
        """
        if self.moment <= aware(moment, "moment") or (start is not None and self.moment < aware(start, "start")):
            return None
        return self.moment

    def period_seconds(self) -> int:
        """A day, which is as long as EventBridge Scheduler keeps trying."""
        return _SECONDS["day"]

    def __str__(self) -> str:
        return self.expression
