"""Unix's five fields in EventBridge Scheduler's six, for the text of a refusal.

They are not translated in silence: Sunday is 0 in one and 1 in the other, and a day-of-month with a day-of-week means
"or" in Unix and is refused by AWS. Who reads the schedule later must see what runs.
"""

from __future__ import annotations

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.cron_fields import DAY_OF_WEEK, WEEKDAY_NAMES


def six_fields_of(five: str) -> list[str] | None:
    """What the five fields are in six: one expression, or two where both days are set; None where they are not Unix's.

    Args:
        five: Five fields, in capitals.
    """
    minutes, hours, day_of_month, month, day_of_week = five.split()
    try:
        weekdays = _weekdays(day_of_week)
    except (ConfigurationError, ValueError):
        return None
    by_month_day = f"{minutes} {hours} {'*' if day_of_month == '?' else day_of_month} {month} ? *"
    if weekdays is None:
        return [by_month_day]
    by_weekday = f"{minutes} {hours} ? {month} {weekdays} *"
    return [by_weekday] if day_of_month in {"*", "?"} else [by_month_day, by_weekday]


def _weekdays(text: str) -> str | None:
    """AWS's names for Unix's numbers, 0 and 7 being Sunday; None for every day."""
    if text in {"*", "?"}:
        return None
    found: list[int] = []
    for part in text.split(","):
        base, slash, step = part.partition("/")
        first, dash, last = base.partition("-")
        start = 0 if base == "*" else _number(first)
        end = _number(last) if dash else 6 if slash or base == "*" else start
        if start > end:
            end += 7
        found += [day % 7 for day in range(start, end + 1, int(step) if slash else 1)]
    numbers = sorted(set(found))
    if len(numbers) == len(WEEKDAY_NAMES):
        return None
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):  # noqa: PLR2004 - a range of two is a list
        return f"{WEEKDAY_NAMES[numbers[0]]}-{WEEKDAY_NAMES[numbers[-1]]}"
    return ",".join(WEEKDAY_NAMES[number] for number in numbers)


def _number(text: str) -> int:
    named = DAY_OF_WEEK.names.get(text)
    number = int(text) if named is None else named - 1
    if not 0 <= number <= 7:  # noqa: PLR2004 - Unix's weekdays
        raise ValueError(text)
    return number
