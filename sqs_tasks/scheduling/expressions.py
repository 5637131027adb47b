"""All three kinds of expression: what they share, and reading them from AWS's text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TypeAlias

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.cron import Cron
from sqs_tasks.scheduling.intervals import At, Every
from sqs_tasks.scheduling.moments import check_time_zone, time_zone

#: When a schedule runs.
Expression: TypeAlias = Cron | Every | At

_RATE = re.compile(r"rate\(\s*([0-9]+)\s+(minute|hour|day)s?\s*\)")
_AT = re.compile(r"at\(\s*([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\s*\)")


def parse_expression(text: str, timezone: str = "UTC") -> Expression:
    """The expression that AWS's text stands for: ``cron(...)``, ``rate(...)`` or ``at(...)``.

    Args:
        text: AWS's ScheduleExpression.
        timezone: AWS's ScheduleExpressionTimezone, for ``cron`` and ``at``.

    Raises:
        ConfigurationError: It is none of the three, or cannot be read.
    """
    check_time_zone(timezone)
    if text.startswith("cron(") and text.endswith(")"):
        return Cron(text[5:-1], timezone=timezone)
    rate = _RATE.fullmatch(text)
    if rate is not None:
        return Every(**{f"{rate[2]}s": int(rate[1])})
    once = _AT.fullmatch(text)
    if once is not None:
        try:
            moment = datetime.fromisoformat(once[1])
        except ValueError as error:
            raise ConfigurationError(
                f"schedule expression {text!r} names a moment that does not exist ({error}); the form is "
                "at(yyyy-mm-ddThh:mm:ss); try 'at(2030-01-31T09:00:00)'"
            ) from error
        return At(moment.replace(tzinfo=time_zone(timezone)))
    raise ConfigurationError(
        f"schedule expression {text!r} cannot be read; it must be cron(...), rate(...) or at(...); "
        "try 'cron(0 2 * * ? *)', 'rate(15 minutes)' or 'at(2030-01-31T09:00:00)'"
    )


def runs(
    expression: Expression, moment: datetime, *, start: datetime | None = None, end: datetime | None = None
) -> Iterator[datetime]:
    """The runs after a moment, in UTC and in order, without end where the expression has none.

    Args:
        expression: When it runs.
        moment: Timezone-aware.
        start: No run is before it; a rate counts from it. Timezone-aware.
        end: No run is after it. Timezone-aware.
    """
    run = expression.next_after(moment, start=start)
    while run is not None and (end is None or run <= end):
        yield run
        # A rate without a start counts from the moment it was asked at.
        run = expression.next_after(run, start=start or (run if isinstance(expression, Every) else None))
