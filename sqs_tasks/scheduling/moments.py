"""Moments and time zones: aware moments are asked for, and a zone is a name of the IANA database."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from sqs_tasks.errors import ConfigurationError

#: The names that an IANA zone can have; checked where the machine has no database to look in.
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")


def aware(moment: datetime, label: str) -> datetime:
    """The moment in UTC.

    Two moments in the same zone compare by what the clock shows there, and it shows an hour of autumn twice: so
    moments are compared in UTC alone.

    Raises:
        ConfigurationError: It is no datetime, or a naive one.
    """
    if not isinstance(moment, datetime):
        raise ConfigurationError(
            f"{label}={moment!r} is a {type(moment).__name__}; it must be a timezone-aware datetime; "
            "try datetime(2030, 1, 31, 9, 0, tzinfo=ZoneInfo('Europe/Berlin'))"
        )
    if moment.utcoffset() is None:
        raise ConfigurationError(
            f"{label}={moment!r} has no time zone, so nobody can say when it is; it must be timezone-aware; "
            "try .replace(tzinfo=ZoneInfo('Europe/Berlin')), or datetime.now(UTC) + timedelta(...)"
        )
    return moment.astimezone(UTC)


def time_zone(name: str) -> tzinfo:
    """The zone of that name, for computing with it.

    Raises:
        ConfigurationError: There is no such zone, or this machine has no database of time zones.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # most schedules are in UTC, and functions that compute nothing need none

    check_time_zone(name)
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"time zone {name!r} cannot be computed with: this machine has no database of time zones; Python takes "
            "the system's or that of the package tzdata; try pip install tzdata"
        ) from error


def check_time_zone(name: object) -> None:
    """Refuse what is no IANA name.

    On a machine without a database of time zones only the form of the name can be checked: a worker that computes no
    runs must start there too.

    Raises:
        ConfigurationError: There is no such zone.
    """
    if name == "UTC":
        return
    if isinstance(name, str) and _ZONE_NAME.fullmatch(name):
        from zoneinfo import ZoneInfo, available_timezones

        try:
            ZoneInfo(name)
        except (LookupError, OSError, ValueError):
            known = available_timezones()
            if not known:
                return
        else:
            return
        from difflib import get_close_matches

        similar = get_close_matches(name, sorted(known), n=1, cutoff=0.4)
        hint = f"try {similar[0]!r}" if similar else "try 'Europe/Berlin' or 'UTC'"
    else:
        hint = "try 'Europe/Berlin' or 'UTC'"
    raise ConfigurationError(f"time zone {name!r} is unknown; it must be a name of the IANA database; {hint}")
