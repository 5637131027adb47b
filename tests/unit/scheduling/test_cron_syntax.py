"""Which cron expressions are taken, and what the refusal of the others says."""

from __future__ import annotations

import copy
import pickle

import pytest

from sqs_tasks import Cron
from sqs_tasks.errors import ConfigurationError

#: Expressions of AWS's documentation, and of the Quartz forms that AWS takes.
TAKEN = [
    "15 10 ? * 6L 2022-2023",
    "0 10 * * ? *",
    "15 12 * * ? *",
    "0 18 ? * MON-FRI *",
    "0 8 1 * ? *",
    "0/15 * * * ? *",
    "0/10 * ? * MON-FRI *",
    "0/5 8-17 ? * MON-FRI *",
    "5,35 14 * * ? *",
    "0/30 20-23 * JAN,FEB,MAR ? *",
    "0 0 3W * ? *",
    "0 0 LW * ? *",
    "0 0 L * ? *",
    "0 0 L-3 * ? *",
    "0 0 ? * L *",
    "0 0 ? * FRIL *",
    "0 0 ? * MON#1 *",
    "0 0 ? 1/3 6#3 2026/2",
    "10-50/20 0-6/2 1-31/10 1-12 ? 2026,2028-2030",
]


@pytest.mark.parametrize("fields", TAKEN)
def test_expressions_of_the_documentation_are_taken(fields: str) -> None:
    """They are, and AWS gets them as they were written."""
    assert Cron(fields).expression == f"cron({fields})"


def test_names_in_any_case_and_spaces_of_any_number_go_out_in_one_form() -> None:
    """Two ways to write one schedule must not show as a difference to what is deployed."""
    assert Cron("  0 9  ? * mon-Fri * ") == Cron("cron(0 9 ? * MON-FRI *)")
    assert Cron("0 9 ? * mon *").expression == "cron(0 9 ? * MON *)"


def test_an_expression_is_a_value() -> None:
    """It can be compared, hashed, copied and pickled: it stands in settings."""
    one = Cron("0 9 ? * 2#1 *", timezone="Europe/Berlin")

    assert {one, copy.deepcopy(one), pickle.loads(pickle.dumps(one))} == {one}
    assert one != Cron("0 9 ? * 2#1 *")
    assert str(one) == "cron(0 9 ? * 2#1 *) Europe/Berlin"


@pytest.mark.parametrize(
    ("five", "six"),
    [
        ("0 2 * * *", ["0 2 * * ? *"]),
        ("*/15 8-17 * * 1-5", ["*/15 8-17 ? * MON-FRI *"]),
        ("0 0 * * 0", ["0 0 ? * SUN *"]),
        ("0 0 * * 7", ["0 0 ? * SUN *"]),
        ("0 0 * * sun,wed", ["0 0 ? * SUN,WED *"]),
        ("0 0 * * 5-7", ["0 0 ? * SUN,FRI,SAT *"]),
        ("0 0 * * */2", ["0 0 ? * SUN,TUE,THU,SAT *"]),
        ("0 0 * * 0-6", ["0 0 * * ? *"]),
        ("0 0 1 1 *", ["0 0 1 1 ? *"]),
        ("0 0 1 * 1", ["0 0 1 * ? *", "0 0 ? * MON *"]),
    ],
)
def test_five_fields_are_refused_with_their_six_in_the_text(five: str, six: list[str]) -> None:
    """Unix's weekday numbers differ by one, and its two kinds of day mean "or": the text has the true translation."""
    with pytest.raises(ConfigurationError, match="has 5 fields") as refused:
        Cron(five)

    text = str(refused.value)
    assert [part.split("'")[0] for part in text.split("Cron('")[1:]] == six
    for one in six:
        Cron(one)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("", "has 0 fields"),
        ("@daily", "has 1 fields"),
        ("a b c d e", "has 5 fields"),
        ("0 0 2 * * ? *", "leave out the seconds"),
        ("0 2 * * * *", "both are set.*try '0 2 \\* \\* \\? \\*'"),
        ("0 2 1 * MON *", "both are set.*try '0 2 \\? \\* MON \\*'"),
        ("0 2 ? * ? *", "both are '\\?'"),
        ("60 2 * * ? *", "minutes has '60'; it takes 0-59"),
        ("0 24 * * ? *", "hours has '24'; it takes 0-23"),
        ("0 2 0 * ? *", "day-of-month has '0'; it takes 1-31"),
        ("0 2 32W * ? *", "day-of-month has '32'"),
        ("0 2 * 13 ? *", "month has '13'; it takes 1-12 or JAN-DEC"),
        ("0 2 * FOO ? *", "month has 'FOO'"),
        ("0 2 ? * 0 *", "Sunday is 1 or SUN"),
        ("0 2 ? * 8 *", "day-of-week has '8'; it takes 1-7 or SUN-SAT"),
        ("0 2 * * ? 1969", "year has '1969'; it takes 1970-2199"),
        ("0 2 * * ? 2200", "year has '2200'"),
        ("0 2 * ? ? *", "month has '\\?'"),
        ("0 L * * ? *", "hours has 'L'"),
        ("5-3 * * * ? *", "write two, 5-59,0-3"),
        ("0 2 ? * FRI-MON *", "write two, FRI-SAT,SUN-MON"),
        ("0/0 2 * * ? *", "a step is 1 to 59"),
        ("0/60 2 * * ? *", "a step is 1 to 59"),
        ("0/x 2 * * ? *", "a step is 1 to 59"),
        ("0 2 ? * */2 *", "name the values, SUN,TUE,THU,SAT"),
        ("0 2 ? * 3#6 *", "after # stands 1 to 5"),
        ("0 2 ? * 3#1,6#3 *", "one schedule for each"),
        ("0 2 ? * 2,6L *", "one schedule for each"),
        ("0 2 1,15W * ? *", "one schedule for each"),
        ("0 2 1,L * ? *", "one schedule for each"),
        ("1,,2 2 * * ? *", "minutes has ''"),
        ("1.5 2 * * ? *", "minutes has '1.5'"),
        ("-1 2 * * ? *", "minutes has ''"),
        ("٣ 2 * * ? *", "minutes has '٣'"),
    ],
)
def test_what_aws_would_refuse_is_refused_where_it_is_written(fields: str, said: str) -> None:
    """Not at the deploy, when AWS would."""
    with pytest.raises(ConfigurationError, match=said):
        Cron(fields)


@pytest.mark.parametrize(
    "fields",
    ["0 2 30 2 ? *", "0 2 31 4,6,9,11 ? *", "0 2 29 2 ? 2025-2027", "0 2 29 2 ? 2100", "0 2 31W JUN ? *"],
)
def test_dates_that_never_come_are_refused(fields: str) -> None:
    """AWS takes them, and nothing ever runs."""
    with pytest.raises(ConfigurationError, match="never runs"):
        Cron(fields)


@pytest.mark.parametrize("fields", ["0 2 29 2 ? 2028", "0 2 29 2 ? 2000-2199", "0 2 ? 2 1#5 *", "0 2 L FEB ? *"])
def test_rare_dates_are_taken(fields: str) -> None:
    """A leap day is a date, and a February can have five Sundays."""
    assert Cron(fields).fields == fields


def test_years_gone_by_are_taken() -> None:
    """A registration that worked last year must not stop the service on New Year's Day."""
    assert Cron("0 2 * * ? 2020").fields == "0 2 * * ? 2020"


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Europe/Berln", "try 'Europe/Berlin'"),
        ("europe/berlin ", "unknown"),
        ("", "IANA"),
        ("../etc/passwd", "unknown"),
        (None, "None"),
        (2, "unknown"),
    ],
)
def test_zones_that_do_not_exist_are_refused(zone: object, said: str) -> None:
    """With the name that may have been meant."""
    with pytest.raises(ConfigurationError, match=said):
        Cron("0 2 * * ? *", timezone=zone)  # type: ignore[arg-type]


def test_fields_that_are_no_text_are_refused() -> None:
    """``Cron(5)`` says what it wants."""
    with pytest.raises(ConfigurationError, match="try Cron\\('0 2 \\* \\* \\? \\*'\\)"):
        Cron(5)  # type: ignore[arg-type]
