"""Rates, single moments, and reading all three kinds from AWS's text."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqs_tasks import At, Cron, Every
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.expressions import parse_expression, runs

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "expression", "seconds"),
    [
        (Every(minutes=1), "rate(1 minute)", 60),
        (Every(minutes=15), "rate(15 minutes)", 900),
        (Every(hours=1), "rate(1 hour)", 3600),
        (Every(days=2), "rate(2 days)", 172_800),
    ],
)
def test_rates_are_written_as_aws_reads_them(every: Every, expression: str, seconds: int) -> None:
    """One is singular, and each can be read back."""
    assert every.expression == expression
    assert every.period_seconds() == seconds
    assert parse_expression(expression) == every


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "gives 0 units"),
        ({"minutes": 1, "hours": 1}, "gives 2 units"),
        ({"minutes": 0}, "a whole number above 0"),
        ({"minutes": 1.5}, "a whole number above 0"),
        ({"minutes": True}, "a whole number above 0"),
        ({"hours": "2"}, "a whole number above 0"),
    ],
)
def test_rates_that_aws_would_refuse_are_refused(given: dict, said: str) -> None:
    """Each text says what a rate is."""
    with pytest.raises(ConfigurationError, match=said):
        Every(**given)


def test_a_rate_counts_from_its_start() -> None:
    """The first run is at the start itself; asked before it, the start is next."""
    found = islice(runs(Every(minutes=20), NOON - timedelta(hours=1), start=NOON), 3)

    assert [run - NOON for run in found] == [timedelta(), timedelta(minutes=20), timedelta(minutes=40)]


@given(st.integers(1, 5000), st.integers(0, 10**7), st.integers(0, 999_999))
def test_a_rate_keeps_its_step_from_any_moment(minutes: int, seconds: int, micros: int) -> None:
    """The next run is the first multiple after the moment."""
    moment = NOON + timedelta(seconds=seconds, microseconds=micros)
    every = Every(minutes=minutes)

    run = every.next_after(moment, start=NOON)

    assert run is not None
    assert timedelta() < run - moment <= timedelta(minutes=minutes)
    assert (run - NOON) % timedelta(minutes=minutes) == timedelta()


def test_a_rate_of_a_day_counts_real_hours() -> None:
    """So it moves on the clock when that is changed."""
    zone = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 3, 28, 12, tzinfo=zone)

    found = [run.astimezone(zone).hour for run in islice(runs(Every(days=1), start, start=start), 2)]

    assert found == [13, 13]


def test_a_single_moment_runs_once_and_never_early() -> None:
    """Parts of a second are rounded up."""
    once = At(NOON + timedelta(microseconds=1))

    assert once.expression == "at(2026-05-02T12:00:01)"
    assert list(runs(once, NOON)) == [NOON + timedelta(seconds=1)]
    assert once.next_after(once.moment) is None
    assert once.next_after(NOON, start=NOON + timedelta(days=1)) is None


def test_a_single_moment_in_the_repeated_hour_is_the_one_that_was_meant() -> None:
    """It is kept in UTC, where no hour comes twice."""
    zone = ZoneInfo("Europe/Berlin")
    first, second = (datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=zone) for fold in (0, 1))

    assert At(first).expression == "at(2026-10-25T00:30:00)"
    assert At(second).expression == "at(2026-10-25T01:30:00)"
    assert At(first) != At(second)


@pytest.mark.parametrize("moment", [datetime(2026, 5, 2, 12), "2026-05-02", None])
def test_a_moment_without_a_zone_is_refused(moment: object) -> None:
    """Nobody can say when it is."""
    with pytest.raises(ConfigurationError, match="timezone-aware"):
        At(moment)  # type: ignore[arg-type]


def test_texts_of_aws_are_read() -> None:
    """With the zone that stands beside them."""
    assert parse_expression("cron(0 2 * * ? *)", "Europe/Berlin") == Cron("0 2 * * ? *", timezone="Europe/Berlin")
    assert parse_expression("at(2026-05-02T14:00:00)", "Europe/Berlin") == At(NOON)
    assert parse_expression("rate(  5   minutes )") == Every(minutes=5)
    assert parse_expression("rate(1 hours)") == Every(hours=1)


@pytest.mark.parametrize(
    "text",
    ["", "0 2 * * ? *", "rate(5)", "rate(5 weeks)", "rate(0 minutes)", "at(2026-05-02)", "at(2026-02-30T00:00:00)"],
)
def test_other_texts_are_refused(text: str) -> None:
    """Each with an example of what is read."""
    with pytest.raises(ConfigurationError, match="try"):
        parse_expression(text)


def test_zones_are_refused_whatever_the_expression() -> None:
    """AWS checks the zone of a rate too."""
    with pytest.raises(ConfigurationError, match="time zone"):
        parse_expression("rate(5 minutes)", "Nowhere/Land")


NO_DATABASE = """
import zoneinfo
zoneinfo.reset_tzpath(to=[])
import importlib.resources
import sys
sys.modules["tzdata"] = None
from datetime import UTC, datetime
from sqs_tasks import Cron
cron = Cron("0 2 * * ? *", timezone="Europe/Berlin")
print(cron)
try:
    Cron("0 2 * * ? *", timezone="not a zone")
except ValueError as error:
    print(error)
try:
    cron.next_after(datetime.now(UTC))
except ValueError as error:
    print(error)
"""


def test_a_machine_without_time_zones_can_register_and_says_what_it_lacks() -> None:
    """A worker that only runs the jobs starts there; who computes is told to install tzdata."""
    done = subprocess.run([sys.executable, "-c", NO_DATABASE], capture_output=True, text=True, check=True)

    registered, refused, computed = done.stdout.splitlines()
    assert registered == "cron(0 2 * * ? *) Europe/Berlin"
    assert "'not a zone' is unknown" in refused
    assert "pip install tzdata" in computed


def test_registering_in_utc_imports_no_zones() -> None:
    """Functions pay for what they use: no database is opened, and no calendar either."""
    code = (
        "import sys; from sqs_tasks import Cron, Every; Cron('0 2 * * ? *'); Every(hours=1); "
        "print([name for name in ('zoneinfo', 'calendar', 'difflib', 'boto3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
