"""When cron expressions run: against a search minute by minute, and at the dates that calendars get wrong."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sqs_tasks import Cron
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.cron_fields import MONTH_NAMES, WEEKDAY_NAMES
from sqs_tasks.scheduling.expressions import runs

MINUTE = timedelta(minutes=1)

#: Zones with a change of the clock, in the middle of the period that is searched: an hour, half an hour, two hours, a
#: day, at midnight, and none.
CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("America/New_York", "2027-03-14T07:00"),
    ("America/New_York", "2027-11-07T06:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Antarctica/Troll", "2026-03-29T01:00"),
    ("Antarctica/Troll", "2026-10-25T01:00"),
    ("America/Sao_Paulo", "2018-11-04T03:00"),
    ("America/Sao_Paulo", "2019-02-17T02:00"),
    ("Africa/Casablanca", "2026-02-15T02:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),
    ("Asia/Kolkata", "2026-02-28T18:30"),
    ("UTC", "2028-02-29T00:00"),
    ("America/Nuuk", "2023-03-26T01:00"),
]


def number_field(least: int, most: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A field's text, and the numbers it stands for, made together so that nothing is parsed here."""
    numbers = st.integers(least, most)
    every = frozenset(range(least, most + 1))
    one = numbers.map(lambda n: (str(n), frozenset([n])))
    span = st.tuples(numbers, numbers).map(
        lambda ab: (f"{min(ab)}-{max(ab)}", frozenset(range(min(ab), max(ab) + 1))),
    )
    step = st.tuples(numbers, st.integers(1, max(most // 2, 1))).map(
        lambda ab: (f"{ab[0]}/{ab[1]}", frozenset(range(ab[0], most + 1, ab[1])))
    )
    star_step = st.integers(1, max(most // 2, 1)).map(
        lambda by: (f"*/{by}", frozenset(range(least, most + 1, by))),
    )
    parts = st.lists(one | span | step, min_size=1, max_size=3).map(
        lambda found: (",".join(text for text, _ in found), frozenset().union(*(values for _, values in found)))
    )
    return st.just(("*", every)) | parts | star_step


def by_weekday(first: date, weekday: int) -> list[date]:
    """The dates of a month with that weekday, 1 being Sunday, from the standard library's own calendar."""
    weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
    return [day for week in weeks for day in week if day.month == first.month and day.isoweekday() % 7 + 1 == weekday]


def nearest_weekday(first: date, number: int) -> set[date]:
    """Of all days from Monday to Friday of a month the one that is nearest to a date of it."""
    length = calendar.monthrange(first.year, first.month)[1]
    if number > length:
        return set()
    days = [first.replace(day=day) for day in range(1, length + 1)]
    working = [day for day in days if day.weekday() < 5]
    return {min(working, key=lambda day: abs((day - first.replace(day=number)).days))}


@st.composite
def day_fields(draw: st.DrawFn):
    """Both day fields, and a function that gives the dates of a month (by its first) that they name."""
    kind = draw(st.sampled_from(["numbers", "L", "L-n", "W", "LW", "weekdays", "nL", "#", "last of week"]))
    weekday, number, nth = draw(st.integers(1, 7)), draw(st.integers(1, 31)), draw(st.integers(1, 5))

    def month(first: date) -> list[date]:
        return [first.replace(day=day) for day in range(1, calendar.monthrange(first.year, first.month)[1] + 1)]

    name = draw(st.sampled_from([str(weekday), WEEKDAY_NAMES[weekday - 1]]))
    if kind == "numbers":
        text, values = draw(number_field(1, 31))
        return text, "?", lambda first: {day for day in month(first) if day.day in values}
    if kind == "weekdays":
        chosen = draw(st.sets(st.integers(1, 7), min_size=1))
        text = "*" if len(chosen) == 7 else ",".join(WEEKDAY_NAMES[one - 1] for one in chosen)
        return "?", text, lambda first: {day for one in chosen for day in by_weekday(first, one)}
    return {
        "L": ("L", "?", lambda first: {month(first)[-1]}),
        "L-n": (f"L-{number}", "?", lambda first: set(month(first)[::-1][number : number + 1])),
        "W": (f"{number}W", "?", lambda first: nearest_weekday(first, number)),
        "LW": ("LW", "?", lambda first: {max(day for day in month(first) if day.weekday() < 5)}),
        "nL": ("?", f"{name}L", lambda first: {by_weekday(first, weekday)[-1]}),
        "#": ("?", f"{name}#{nth}", lambda first: set(by_weekday(first, weekday)[nth - 1 : nth])),
        "last of week": ("?", "L", lambda first: set(by_weekday(first, 7))),
    }[kind]


def searched(start: datetime, end: datetime, zone: ZoneInfo, matches) -> list[datetime]:
    """The runs in a period, by looking at each of its minutes: a minute that the clock shows again is passed over."""
    found, moment = [], start
    while moment < end:
        wall = moment.astimezone(zone)
        if not wall.fold and matches(wall):
            found.append(moment)
        moment += MINUTE
    return found


@given(st.sampled_from(CHANGES), number_field(0, 59), number_field(0, 23), st.data())
@settings(max_examples=150, deadline=None)
def test_runs_are_those_of_a_search_minute_by_minute(change, minutes, hours, data) -> None:
    """Two days around a change of the clock: skipped in spring, once in autumn."""
    name, at = change
    zone, middle = ZoneInfo(name), datetime.fromisoformat(at).replace(tzinfo=UTC)
    start = middle - timedelta(minutes=data.draw(st.integers(0, 1440), label="minutes before"))
    end = start + timedelta(days=2)
    cron = Cron(f"{minutes[0]} {hours[0]} * * ? *", timezone=name)

    expected = searched(start + MINUTE, end, zone, lambda wall: wall.minute in minutes[1] and wall.hour in hours[1])

    assert list(islice(runs(cron, start, end=end - MINUTE), 3000)) == expected


@given(day_fields(), number_field(1, 12), st.integers(1999, 2101), st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_days_are_those_of_a_calendar(days, months, year, month) -> None:
    """Three years by the dates of the standard library's calendar."""
    day_of_month, day_of_week, of_month = days
    try:
        cron = Cron(f"30 12 {day_of_month} {months[0]} {day_of_week} *")
    except ConfigurationError:  # the dates of some of these fields never come
        assume(False)
    firsts = [date(year + (month - 1 + n) // 12, (month - 1 + n) % 12 + 1, 1) for n in range(36)]
    expected = sorted(day for first in firsts if first.month in months[1] for day in of_month(first))
    start = datetime(year, month, 1, tzinfo=UTC)
    end = datetime(year + 3, month, 1, tzinfo=UTC)

    assert [run.date() for run in runs(cron, start, end=end)] == expected


@given(st.sampled_from(CHANGES), number_field(0, 59), number_field(0, 23), day_fields(), st.integers(0, 3_000_000))
@settings(max_examples=150, deadline=None)
def test_next_after_is_later_and_nothing_lies_between(change, minutes, hours, days, seconds) -> None:
    """Asking from any moment before a run gives the same run: nobody can miss one by asking often."""
    name, at = change
    try:
        cron = Cron(f"{minutes[0]} {hours[0]} {days[0]} * {days[1]} *", timezone=name)
    except ConfigurationError:
        assume(False)
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC) - timedelta(days=10) + timedelta(seconds=seconds)

    run = cron.next_after(moment)

    assert run is not None
    assert run > moment
    halfway = moment + (run - moment) / 2
    assert cron.next_after(halfway) == run
    assert cron.next_after(run - timedelta(microseconds=1)) == run
    after = cron.next_after(run)
    assert after is None or after > run


def local_runs(fields: str, zone: str, after: str, count: int) -> list[str]:
    """The next runs as a clock in the zone shows them, with the offset."""
    cron = Cron(fields, timezone=zone)
    found = islice(runs(cron, datetime.fromisoformat(after)), count)
    return [run.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes") for run in found]


def test_a_time_that_spring_skips_is_skipped() -> None:
    """Half past two does not exist in Berlin on the 29th of March 2026, and runs again the day after."""
    assert local_runs("30 2 * * ? *", "Europe/Berlin", "2026-03-28T00:00+01:00", 3) == [
        "2026-03-28T02:30+01:00",
        "2026-03-30T02:30+02:00",
        "2026-03-31T02:30+02:00",
    ]


def test_a_time_that_autumn_repeats_runs_once() -> None:
    """Half past two comes twice in Berlin on the 25th of October 2026; the first counts."""
    assert local_runs("30 2 * * ? *", "Europe/Berlin", "2026-10-24T12:00+02:00", 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_a_time_that_autumn_repeats_does_not_run_again_when_asked_in_between() -> None:
    """Asked in the second hour, the day's run is over."""
    between = datetime.fromisoformat("2026-10-25T02:10+01:00")

    run = Cron("30 2 * * ? *", timezone="Europe/Berlin").next_after(between)

    assert run == datetime.fromisoformat("2026-10-26T02:30+01:00")


def test_each_time_of_the_clock_runs_once_in_the_long_night() -> None:
    """Every half hour: the repeated hour adds no runs."""
    assert local_runs("0/30 1-3 25 OCT ? 2026", "Europe/Berlin", "2026-10-25T00:00+02:00", 9) == [
        "2026-10-25T01:00+02:00",
        "2026-10-25T01:30+02:00",
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:30+02:00",
        "2026-10-25T03:00+01:00",
        "2026-10-25T03:30+01:00",
    ]


@pytest.mark.parametrize(
    ("fields", "after", "days"),
    [
        ("0 0 29 2 ? *", "2026-01-01", ["2028-02-29", "2032-02-29", "2036-02-29"]),
        ("0 0 29 2 ? *", "2095-01-01", ["2096-02-29", "2104-02-29", "2108-02-29"]),
        ("0 0 31 * ? *", "2026-01-01", ["2026-01-31", "2026-03-31", "2026-05-31"]),
        ("0 0 L * ? *", "2028-01-15", ["2028-01-31", "2028-02-29", "2028-03-31"]),
        ("0 0 L-30 * ? *", "2026-01-01", ["2026-03-01", "2026-05-01", "2026-07-01"]),
        ("0 0 1W * ? *", "2026-07-20", ["2026-08-03", "2026-09-01", "2026-10-01"]),
        ("0 0 31W * ? *", "2026-01-01", ["2026-01-30", "2026-03-31", "2026-05-29"]),
        ("0 0 LW * ? *", "2026-01-01", ["2026-01-30", "2026-02-27", "2026-03-31"]),
        ("0 0 15W AUG ? *", "2026-01-01", ["2026-08-14", "2027-08-16", "2028-08-15"]),
        ("0 0 ? * 6L *", "2026-01-01", ["2026-01-30", "2026-02-27", "2026-03-27"]),
        ("0 0 ? * L *", "2026-01-01", ["2026-01-03", "2026-01-10", "2026-01-17"]),
        ("0 0 ? * TUE#5 *", "2026-01-01", ["2026-03-31", "2026-06-30", "2026-09-29"]),
        ("0 0 ? 2 1#5 *", "2026-01-01", ["2032-02-29", "2060-02-29", "2088-02-29"]),
        ("0 0 1 1 ? 2030/5", "2026-01-01", ["2030-01-01", "2035-01-01", "2040-01-01"]),
    ],
)
def test_days_that_calendars_get_wrong(fields: str, after: str, days: list[str]) -> None:
    """Leap days, month ends, and weekdays at both ends of a month."""
    start = datetime.fromisoformat(after).replace(tzinfo=UTC)

    assert [str(run.date()) for run in islice(runs(Cron(fields), start), 3)] == days


def test_runs_end_with_the_years() -> None:
    """After the last year that is named there is none, and that is found at once."""
    cron = Cron("0 0 1 12 ? 2026-2027")

    assert len(list(runs(cron, datetime(2026, 1, 1, tzinfo=UTC)))) == 2
    assert cron.next_after(datetime(2028, 1, 1, tzinfo=UTC)) is None
    assert Cron("* * * * ? *").next_after(datetime(2199, 12, 31, 23, 59, tzinfo=UTC)) is None


def test_start_and_end_bound_the_runs() -> None:
    """A run at the very start and one at the very end count."""
    cron = Cron("0 12 * * ? *")
    start, end = datetime(2026, 5, 2, 12, tzinfo=UTC), datetime(2026, 5, 4, 12, tzinfo=UTC)

    assert [run.day for run in runs(cron, datetime(2026, 1, 1, tzinfo=UTC), start=start, end=end)] == [2, 3, 4]


def test_moments_of_any_zone_may_be_asked_from() -> None:
    """They mean the same moment; a naive one means none."""
    cron = Cron("0 12 * * ? *")
    moment = datetime(2026, 5, 2, 11, 30, tzinfo=UTC)

    assert cron.next_after(moment.astimezone(ZoneInfo("Asia/Tokyo"))) == cron.next_after(moment)
    with pytest.raises(ConfigurationError, match="timezone-aware"):
        cron.next_after(datetime(2026, 5, 2, 11, 30))


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ("* * * * ? *", 60),
        ("0/15 * * * ? *", 900),
        ("0/50 * * * ? *", 600),
        ("0 2 * * ? *", 86_400),
        ("0 2 29 2 ? *", 86_400),
        ("0 1,23 * * ? *", 7_200),
        ("0 1,23 ? * MON *", 79_200),
        ("0 1,23 ? * MON,THU *", 79_200),
        ("0 1,23 ? * MON,TUE *", 7_200),
        ("30 0 L * ? *", 86_400),
    ],
)
def test_period_is_the_least_time_between_two_runs(fields: str, seconds: int) -> None:
    """A tick may be tried again until the next one is due, and no longer."""
    cron = Cron(fields)
    found = list(islice(runs(cron, datetime(2026, 1, 1, tzinfo=UTC)), 200))

    assert cron.period_seconds() == seconds
    assert min(86_400, *((b - a).total_seconds() for a, b in pairwise(found))) == seconds


def test_month_names_count_from_january() -> None:
    """Each name is its own month."""
    for number, name in enumerate(MONTH_NAMES, 1):
        run = Cron(f"0 0 1 {name} ? *").next_after(datetime(2025, 12, 31, tzinfo=UTC))
        assert run == datetime(2026, number, 1, tzinfo=UTC)
