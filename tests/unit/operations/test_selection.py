"""Which letters are meant."""

from __future__ import annotations

import pytest

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.operations import Selection, grouped


@pytest.fixture
def mixed(shop):
    """Three parcels and a payment, dead a second apart, and something foreign; a minute ago."""
    shop.bury(10, 20, 30)
    shop.bury(40, task="pay")
    shop.raw("foreign")
    shop.session.advance(60)
    return shop


def numbers(shop, **conditions):
    found = shop.seen(Selection(**conditions))
    return sorted(one.arguments["number"] if isinstance(one.arguments, dict) else 0 for one in found)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [0, 10, 20, 30, 40]),
        ({"tasks": ("ship",)}, [10, 20, 30]),
        ({"tasks": ("p*", "-")}, [0, 40]),
        ({"errors": ("connection*",)}, [40]),
        ({"reasons": ("PARCEL 2",)}, [20]),
        ({"where": "number > `15`"}, [20, 30, 40]),
        ({"where": "number > `15`", "tasks": ("ship",)}, [20, 30]),
        ({"where": "starts_with(number, 'x')"}, []),
        ({"older_seconds": 62.5}, [10, 20]),
        ({"newer_seconds": 62.5}, [0, 30, 40]),
        ({"older_seconds": 61.5, "newer_seconds": 63}, [20, 30]),
    ],
)
def test_conditions(mixed, conditions, expected):
    """Each condition alone, and together they all have to be met."""
    assert numbers(mixed, **conditions) == expected


def test_ids_of_letters_or_jobs_or_an_end_of_them(mixed):
    """The whole id, or eight characters of its beginning or its end; of the job as well."""
    letter = mixed.seen(Selection(where="number == `20`"))[0]

    for one in (letter.id, letter.id[-12:], letter.job_id, letter.job_id[:8]):
        assert numbers(mixed, ids=(one,)) == [20]
    with pytest.raises(ConfigurationError, match="id '1234567' is too short to mean one letter; give 8 characters"):
        Selection(ids=("1234567",))


def test_an_expression_that_is_none_is_refused_before_anything_is_received(mixed):
    """With an example of one."""
    with pytest.raises(ConfigurationError, match=r"where='\[\[' is no JMESPath expression .* try"):
        Selection(where="[[")


def test_letters_that_ended_alike_are_one_group(mixed):
    """Their reasons differ by a number; the greatest group comes first, with its first and last death."""
    first, *others = grouped(mixed.seen())

    assert (first.task, first.count, first.failure_type) == ("ship", 3, "LookupError")
    assert "parcel N" in first.reason
    assert (first.last - first.first).total_seconds() == 2
    assert {(one.task, one.content, one.count) for one in others} == {("pay", "job", 1), ("", "foreign", 1)}
