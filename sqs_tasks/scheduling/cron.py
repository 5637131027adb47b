"""``Cron``: EventBridge Scheduler's cron expressions, and exactly when they run next.

Written here and not taken from a library, because none has AWS's rules: croniter, cronsim and cron-converter read
Unix's fields (Sunday is 0, no year, no ``W``) and run a job of the hour that spring skips at another time; pyawscron
and aws-croniter read AWS's fields in UTC alone, take dates that never come, and get ``L`` as a day-of-week wrong.

The rules: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html. Two forms that the documentation
leaves out and Quartz has are read too: ``LW``, the last day from Monday to Friday, and ``L-3``, three days before the
last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.cron_days import DayRule, day_rule
from sqs_tasks.scheduling.cron_fields import HOURS, MINUTES, MONTH, YEAR
from sqs_tasks.scheduling.moments import aware, check_time_zone, time_zone
from sqs_tasks.scheduling.unix_cron import six_fields_of

_FIELD_NAMES = "minutes hours day-of-month month day-of-week year"
_FIELDS = 6
_UNIX_FIELDS = 5
_DAY = timedelta(days=1)

#: Years after which weekdays and leap years come in the same order again, but for most centuries.
_CALENDAR_CYCLE_YEARS = 28


@dataclass(frozen=True)
class _Parsed:
    """The fields as numbers and rules."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: DayRule
    months: tuple[int, ...]
    years: tuple[int, ...]


@dataclass(frozen=True)
class Cron:
    """Runs by the calendar: ``Cron("0 2 * * ? *", timezone="Europe/Berlin")`` is every night at two.

    Args:
        fields: ``minutes hours day-of-month month day-of-week year``, with EventBridge Scheduler's ``, - * / ? L W #``.
        timezone: The IANA name of the zone whose clock counts. When it is set forward, times that do not exist are
            skipped; when it is set back, times that come twice run once, the first time.

    Raises:
        ConfigurationError: The fields cannot be read, name no date that exists, or are Unix's five; there is no such
            zone.
    """

    fields: str
    timezone: str = "UTC"
    _parsed: _Parsed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.fields, str):
            raise ConfigurationError(
                f"cron {self.fields!r} is a {type(self.fields).__name__}; it must be a text of {_FIELDS} fields; "
                "try Cron('0 2 * * ? *')"
            )
        text = " ".join(self.fields.upper().split())
        if text.startswith("CRON(") and text.endswith(")"):
            text = text[5:-1].strip()
        object.__setattr__(self, "fields", text)
        object.__setattr__(self, "_parsed", _parse(text))
        check_time_zone(self.timezone)
        if next(self._dates(date(YEAR.least, 1, 1)), None) is None:
            raise ConfigurationError(
                f"cron {text!r} never runs: no year from {YEAR.least} to {YEAR.most} that it names has such a date; "
                "days, months and years must meet somewhere; 'L' is the last day of whatever month"
            )

    @property
    def expression(self) -> str:
        """AWS's ScheduleExpression: ``cron(0 2 * * ? *)``."""
        return f"cron({self.fields})"

    def next_after(self, moment: datetime, *, start: datetime | None = None) -> datetime | None:
        """The first run after a moment, in UTC; None when there is none up to the year 2199.

        Args:
            moment: Timezone-aware.
            start: The schedule's start date: no run is before it. Timezone-aware.
        """
        after = aware(moment, "moment")
        if start is not None:
            after = max(after, aware(start, "start") - timedelta(microseconds=1))
        zone = time_zone(self.timezone)
        # The walls before this one are not later than the moment, also in the hour that autumn repeats: a time that
        # comes twice runs the first time.
        wall = after.astimezone(zone).replace(tzinfo=None, fold=0)
        for slot in self._walls(wall):
            run = slot.replace(tzinfo=zone).astimezone(UTC)
            if run <= after or run.astimezone(zone).replace(tzinfo=None, fold=0) != slot:
                continue  # past already, or a time that spring skips
            return run
        return None

    def period_seconds(self) -> int:
        """The least time between two runs by the clock of its zone, at most a day."""
        parsed, whole_day = self._parsed, int(_DAY.total_seconds())
        times = sorted((hour * 60 + minute) * 60 for hour in parsed.hours for minute in parsed.minutes)
        least = min((later - sooner for sooner, later in pairwise(times)), default=whole_day)
        over_night = times[0] + whole_day - times[-1]
        return over_night if over_night < least and self._runs_on_neighbouring_days() else least

    def _runs_on_neighbouring_days(self) -> bool:
        first = next(self._dates(date(YEAR.least, 1, 1)))
        before = first
        for one in self._dates(first + _DAY):
            if one - before == _DAY:
                return True
            if one.year > first.year + _CALENDAR_CYCLE_YEARS:
                break
            before = one
        return False

    def _walls(self, start: datetime) -> Iterator[datetime]:
        """The times on the clock that the fields name, from the minute of ``start`` on, in order."""
        parsed = self._parsed
        for one in self._dates(start.date()):
            at_start = one == start.date()
            for hour in parsed.hours[bisect_left(parsed.hours, start.hour) if at_start else 0 :]:
                in_first_hour = at_start and hour == start.hour
                for minute in parsed.minutes[bisect_left(parsed.minutes, start.minute) if in_first_hour else 0 :]:
                    yield datetime(one.year, one.month, one.day, hour, minute)  # noqa: DTZ001 - a clock's time

    def _dates(self, start: date) -> Iterator[date]:
        """The dates that the fields name, from ``start`` on, in order."""
        parsed = self._parsed
        for year in parsed.years[bisect_left(parsed.years, start.year) :]:
            for month in parsed.months:
                if (year, month) < (start.year, start.month):
                    continue
                first = start.day if (year, month) == (start.year, start.month) else 1
                for day in parsed.days.days(year, month):
                    if day >= first:
                        yield date(year, month, day)

    def __str__(self) -> str:
        return self.expression if self.timezone == "UTC" else f"{self.expression} {self.timezone}"


def _parse(text: str) -> _Parsed:
    fields = text.split(" ") if text else []
    if len(fields) == _UNIX_FIELDS:
        six = six_fields_of(text)
        hint = "add the year, '*' for every one" if six is None else " and ".join(f"Cron({one!r})" for one in six)
        raise ConfigurationError(
            f"cron {text!r} has {_UNIX_FIELDS} fields, which is Unix's form; EventBridge Scheduler takes {_FIELDS}: "
            f"{_FIELD_NAMES}, with '?' for the kind of day that does not count and Sunday as 1; try {hint}"
        )
    if len(fields) != _FIELDS:
        more = "; leave out the seconds, which Quartz has first" if len(fields) == _FIELDS + 1 else ""
        raise ConfigurationError(
            f"cron {text!r} has {len(fields)} fields; EventBridge Scheduler takes {_FIELDS}: {_FIELD_NAMES}; "
            f"try Cron('0 2 * * ? *'), every day at 02:00{more}"
        )
    minutes, hours, day_of_month, month, day_of_week, year = fields
    return _Parsed(
        minutes=MINUTES.values(minutes, text),
        hours=HOURS.values(hours, text),
        days=day_rule(day_of_month, day_of_week, text),
        months=MONTH.values(month, text),
        years=YEAR.values(year, text),
    )
