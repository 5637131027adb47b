"""Arguments from words: by the parameters' annotations, or as an object of JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest

from sqs_tasks.cli.arguments import ArgumentReader
from sqs_tasks.codecs import CodecRegistry


class Colour(Enum):
    RED = 1


def task(
    to: str,
    copies: int,
    share: float,
    total: Decimal,
    when: datetime,
    day: date,
    ident: UUID,
    urgent: bool,
    colour: Colour,
    maybe: int | None,
    either: int | str,
    tags: list[str],
    anything,
):
    """One parameter of each kind."""


@pytest.fixture
def reader():
    codecs = CodecRegistry()
    return ArgumentReader(task, codecs.get("json"))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("to=0123", "0123"),
        ("to=", ""),
        ("to=a=b", "a=b"),
        ("to=true", "true"),
        ("copies=3", 3),
        ("share=0.5", 0.5),
        ("total=12.50", Decimal("12.50")),
        ("when=2026-01-31T12:00:00+00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("day=2026-01-31", date(2026, 1, 31)),
        ("ident=00000000-0000-4000-8000-000000000001", UUID("00000000-0000-4000-8000-000000000001")),
        ("urgent=True", True),
        ("urgent=false", False),
        ("colour=RED", Colour.RED),
        ("maybe=null", None),
        ("maybe=4", 4),
        ("either=4", 4),
        ("either=four", "four"),
        ('tags=["a", "b"]', ["a", "b"]),
        ("anything=4", 4),
        ("anything=four", "four"),
        ("unknown=4", 4),
    ],
)
def test_value_is_read_as_its_parameter_wants_it(reader, word, value):
    """The annotation decides the type; without one, JSON is tried and text is the rest."""
    (read,) = reader.read([word]).values()

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("word", ["copies=many", "total=much", "urgent=maybe", "colour=BLUE", "day=soon", "maybe=much"])
def test_value_that_does_not_fit_is_refused_without_repeating_it(reader, word):
    """What is typed may be a secret, and error texts end in logs."""
    name, _, value = word.partition("=")

    with pytest.raises(ValueError, match=f"^{name}: not the .* that the task wants") as caught:
        reader.read([word])

    assert value not in str(caught.value)


@pytest.mark.parametrize("word", ["secret", "=x", "a b=c", "[1]"])
def test_word_that_is_no_argument_is_refused_without_repeating_it(reader, word):
    """The error says the form, and does not repeat what may be a secret."""
    with pytest.raises(ValueError, match="must be KEY=VALUE") as caught:
        reader.read([word])

    assert "secret" not in str(caught.value)


def test_object_is_read_as_a_body_would_be(reader):
    """A JSON object may hold tagged values; pairs after it go before its own."""
    codec = CodecRegistry().get("json")
    body = codec.serialize({"total": Decimal("1.5"), "to": "x"})

    assert reader.read([body, "copies=2"]) == {"total": Decimal("1.5"), "to": "x", "copies": 2}


@pytest.mark.parametrize("text", ["{", "[]", "7"])
def test_only_objects_are_arguments(reader, text):
    """JSON that is not an object is refused."""
    with pytest.raises(ValueError, match="object of JSON"):
        reader.read_object(text)


def test_annotations_that_do_not_resolve_are_passed_over():
    """They name types that exist for the type checker alone."""

    def lonely(number: NotThere) -> None:  # noqa: F821
        """Nothing."""

    reader = ArgumentReader(lonely, CodecRegistry().get("json"))

    assert reader.read(["number=4"]) == {"number": 4}


@pytest.mark.parametrize(
    ("word", "example"),
    [("day=yesterday", "2026-01-31"), ("maybe=much", "17 or null"), ("colour=BLUE", "RED"), ("total=much", "12.50")],
)
def test_refused_value_is_told_how_to_write_one(reader, word, example):
    """The error ends with an example for the parameter's type."""
    with pytest.raises(ValueError, match=f"that the task wants, for example {example}$"):
        reader.read([word])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"to": "0123"}', "0123"),
        ('{"copies": "3"}', 3),
        ('{"share": 1}', 1.0),
        ('{"total": "12.50"}', Decimal("12.50")),
        ('{"total": 12.5}', Decimal("12.5")),
        ('{"when": "2026-01-31T12:00:00+00:00"}', datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ('{"day": "2026-01-31"}', date(2026, 1, 31)),
        ('{"ident": "00000000-0000-4000-8000-000000000001"}', UUID("00000000-0000-4000-8000-000000000001")),
        ('{"urgent": true}', True),
        ('{"urgent": "false"}', False),
        ('{"colour": "RED"}', Colour.RED),
        ('{"maybe": null}', None),
        ('{"maybe": "4"}', 4),
        ('{"either": "4"}', "4"),
        ('{"tags": ["a"]}', ["a"]),
        ('{"anything": {"a": 1}}', {"a": 1}),
    ],
)
def test_value_of_an_object_is_converted_as_a_pair_is(reader, text, value):
    """A task that takes a date must not get a text, because the job was written as JSON."""
    (read,) = reader.read([text]).values()

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"to": 7}',
        '{"to": null}',
        '{"copies": "many"}',
        '{"copies": 1.5}',
        '{"copies": true}',
        '{"total": "much"}',
        '{"urgent": 1}',
        '{"day": "soon"}',
        '{"colour": "BLUE"}',
        '{"either": 1.5}',
    ],
)
def test_value_of_an_object_that_does_not_fit_is_refused(reader, text):
    """As a pair is, at the prompt and not in the worker."""
    with pytest.raises(ValueError, match="that the task wants"):
        reader.read([text])
