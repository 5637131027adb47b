"""On which days of a month a cron expression runs: the fields day-of-month and day-of-week with ``L``, ``W``, ``#``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.cron_fields import DAY_OF_MONTH, DAY_OF_WEEK

SATURDAY = 7
SUNDAY = 1

#: No weekday comes more often than five times in a month.
MOST_WEEKS = 5


class DayRule(Protocol):
    """One of the ways to name days."""

    def days(self, year: int, month: int) -> tuple[int, ...]:
        """The days of that month, in order; none where the month has no such day."""


@dataclass(frozen=True)
class DaysOfMonth:
    """``1,15`` or ``*``: days by number; those that a month does not have are left out."""

    numbers: tuple[int, ...]

    def days(self, year: int, month: int) -> tuple[int, ...]:
        """The days of that month, in order."""
        last = last_day(year, month)
        return self.numbers if self.numbers[-1] <= last else tuple(day for day in self.numbers if day <= last)


@dataclass(frozen=True)
class LastDay:
    """``L``: the last day of the month; ``L-3`` is three days before it."""

    days_before: int = 0

    def days(self, year: int, month: int) -> tuple[int, ...]:
        """The day of that month."""
        day = last_day(year, month) - self.days_before
        return (day,) if day >= 1 else ()


@dataclass(frozen=True)
class NearestWeekday:
    """``15W``: the day from Monday to Friday that is nearest to the 15th, in the same month; None is ``LW``."""

    day: int | None

    def days(self, year: int, month: int) -> tuple[int, ...]:
        """The day of that month; none where it has no such day, the 31st of April for one."""
        last = last_day(year, month)
        day = last if self.day is None else self.day
        if day > last:
            return ()
        weekday = weekday_of(year, month, day)
        if weekday == SATURDAY:
            return (day - 1,) if day > 1 else (day + 2,)
        if weekday == SUNDAY:
            return (day + 1,) if day < last else (day - 2,)
        return (day,)


@dataclass(frozen=True)
class Weekdays:
    """``MON-FRI``: weekdays by number, Sunday being 1."""

    numbers: tuple[int, ...]

    def days(self, year: int, month: int) -> tuple[int, ...]:
        """The days of that month, in order."""
        first, wanted = weekday_of(year, month, 1), self.numbers
        return tuple(day for day in range(1, last_day(year, month) + 1) if (first + day - 2) % 7 + 1 in wanted)


@dataclass(frozen=True)
class NthWeekday:
    """``6#3``: the third Friday of the month."""

    weekday: int
    nth: int

    def days(self, year: int, month: int) -> tuple[int, ...]:
        """The day of that month; none where there is no fifth."""
        days = Weekdays((self.weekday,)).days(year, month)
        return days[self.nth - 1 : self.nth]


@dataclass(frozen=True)
class LastWeekday:
    """``6L``: the last Friday of the month."""

    weekday: int

    def days(self, year: int, month: int) -> tuple[int, ...]:
        """The day of that month."""
        return Weekdays((self.weekday,)).days(year, month)[-1:]


def day_rule(day_of_month: str, day_of_week: str, whole: str) -> DayRule:
    """What the two fields about days say together.

    Raises:
        ConfigurationError: Not exactly one of them is ``?``, or the other cannot be read.
    """
    if (day_of_month == "?") is (day_of_week == "?"):
        wrong = "both are '?'" if day_of_month == "?" else "both are set"
        month_day = "?" if day_of_week not in {"?", "*"} else "*" if day_of_month == "?" else day_of_month
        week_day = "?" if month_day != "?" else day_of_week
        raise ConfigurationError(
            f"cron {whole!r}: day-of-month is {day_of_month!r} and day-of-week is {day_of_week!r}, {wrong}; exactly "
            f"one of the two must be '?'; try {_with_days(whole, month_day, week_day)!r}, and a second schedule where "
            "both kinds of day are meant"
        )
    if day_of_week == "?":
        return _day_of_month(day_of_month, whole)
    return _day_of_week(day_of_week, whole)


def last_day(year: int, month: int) -> int:
    """How many days the month has."""
    following = date(year + month // 12, month % 12 + 1, 1)
    return (following - timedelta(days=1)).day


def weekday_of(year: int, month: int, day: int) -> int:
    """The weekday in AWS's count: 1 for Sunday to 7 for Saturday."""
    return date(year, month, day).isoweekday() % 7 + 1


def _day_of_month(text: str, whole: str) -> DayRule:
    if "," in text and any(letter in text for letter in "LW"):
        raise DAY_OF_MONTH.refusal(text, whole, "; L and W stand alone: give the task one schedule for each")
    if text == "L":
        return LastDay()
    if text == "LW":
        return NearestWeekday(None)
    if text.startswith("L-"):
        return LastDay(DAY_OF_MONTH.number(text[2:], whole))
    if text.endswith("W"):
        return NearestWeekday(DAY_OF_MONTH.number(text[:-1], whole))
    return DaysOfMonth(DAY_OF_MONTH.values(text, whole))


def _day_of_week(text: str, whole: str) -> DayRule:
    named_last = text.endswith("L") and text[:-1] not in {"", "*"}
    if "," in text and ("#" in text or any(part.endswith("L") for part in text.split(","))):
        raise DAY_OF_WEEK.refusal(text, whole, "; L and # stand alone: give the task one schedule for each")
    if text == "L":
        return Weekdays((SATURDAY,))  # the last day of the week, as the documentation says
    if "#" in text:
        weekday, _, nth = text.partition("#")
        if not (nth.isascii() and nth.isdecimal() and 1 <= int(nth) <= MOST_WEEKS):
            raise DAY_OF_WEEK.refusal(text, whole, f"; after # stands 1 to {MOST_WEEKS}, as in 6#3, the third Friday")
        return NthWeekday(DAY_OF_WEEK.number(weekday, whole), int(nth))
    if named_last:
        return LastWeekday(DAY_OF_WEEK.number(text[:-1], whole))
    return Weekdays(DAY_OF_WEEK.values(text, whole))


def _with_days(whole: str, day_of_month: str, day_of_week: str) -> str:
    minutes, hours, _, month, _, year = whole.split()
    return f"{minutes} {hours} {day_of_month} {month} {day_of_week} {year}"
