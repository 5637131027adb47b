"""Values of sub-classes travel as the plain value that they equal, those of other libraries included."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import uuid
from decimal import Decimal

import pytest
from asyncpg.pgproto import pgproto
from django.db.models import IntegerChoices, TextChoices
from django.http import QueryDict
from django.utils.safestring import mark_safe

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.codecs import JSONCodec
from sqs_tasks.errors import SerializationError
from sqs_tasks.testing import drain, in_memory
from tests.support import django_project

SOME_ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Status(TextChoices):
    PAID = "paid", "Paid"


class Level(IntegerChoices):
    HIGH = 3, "High"


class Colour(enum.StrEnum):
    RED = "red"


def _sub(base):
    return type("Sub", (base,), {})


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (pgproto.UUID(str(SOME_ID)), SOME_ID),
        (mark_safe("x"), "x"),
        (Status.PAID, "paid"),
        (Level.HIGH, 3),
        (Colour.RED, "red"),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        ({Status.PAID: mark_safe("x")}, {"paid": "x"}),
        ({Level.HIGH: 1}, {3: 1}),
        ([{"deep": {Colour.RED}}], [{"deep": {"red"}}]),
        (_sub(str)("x"), "x"),
        (_sub(int)(7), 7),
        (_sub(float)(0.5), 0.5),
        (_sub(float)("inf"), float("inf")),
        (_sub(bytes)(b"\x00"), b"\x00"),
        (_sub(list)([1]), [1]),
        (_sub(tuple)((1,)), (1,)),
        (_sub(set)({1}), {1}),
        (_sub(frozenset)({1}), frozenset({1})),
        (_sub(dict)({"$date": "x"}), {"$date": "x"}),
        (_sub(Decimal)("9.90"), Decimal("9.90")),
        (_sub(dt.datetime)(2026, 5, 1, 9, tzinfo=dt.UTC), dt.datetime(2026, 5, 1, 9, tzinfo=dt.UTC)),
        (_sub(dt.date)(2026, 5, 1), dt.date(2026, 5, 1)),
        (_sub(dt.time)(9, 30), dt.time(9, 30)),
        (_sub(dt.timedelta)(days=-1, seconds=5), dt.timedelta(days=-1, seconds=5)),
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}",
)
def test_a_sub_class_travels_as_the_plain_value_it_equals(value, plain):
    """What arrives is equal and of the plain type, and the text is that of the plain value: one deduplication id."""
    text = JSONCodec.serialize({"x": value})

    arrived = JSONCodec.deserialize(text)["x"]
    assert text == JSONCodec.serialize({"x": plain})
    assert arrived == plain
    assert type(arrived) is type(plain)


def test_an_ordered_dict_arrives_in_its_own_order():
    """Its order is not that in which its keys came."""
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")

    assert list(JSONCodec.deserialize(JSONCodec.serialize(ordered))) == ["b", "a"]


def test_a_query_dict_is_refused_since_it_shows_other_values_than_it_holds():
    """It would arrive with a list where the sender sees a text."""
    django_project.configure()

    with pytest.raises(SerializationError, match=r"argument 'query': django.* sub-class of dict .* convert it first"):
        JSONCodec.serialize({"query": QueryDict("a=1&a=2")})


def test_a_refused_value_is_named_by_its_path_inside_sub_classes():
    """The path leads through containers of sub-classes too."""
    order = collections.defaultdict(list, lines=[{"price": 1j}])

    with pytest.raises(SerializationError, match=r"argument 'order.lines\[0\].price': complex"):
        JSONCodec.serialize({"order": order})


def test_a_member_arrives_as_itself_where_the_parameter_asks_for_its_enum():
    """An annotation with the Enum keeps the member; one with the plain type gets the plain value."""
    env = SQSEnv()
    arrived = []

    @env.queue("q").processor("by_enum")
    def by_enum(status: Status) -> None:
        arrived.append(status)

    env.queue("q").processor("by_text")(arrived.append)
    with in_memory(env):
        by_enum.delay(Status.PAID)
        drain(env)

    assert arrived == [Status.PAID]
    assert type(arrived[0]) is Status


def test_a_plain_parameter_gets_the_plain_value_also_where_the_enum_is_registered():
    """For another task: a consumer of this one need not know the enum, so its name must not be in the message."""
    env = SQSEnv()
    queue = env.queue("q")
    queue.processor("by_enum")(lambda status: None)
    for kind in (Status, Level, Colour):
        env.register_type(kind)
    arrived = []

    @queue.processor("plain")
    def plain(a: str, b: int, c: str | None = None, *, d: str = "", e: object = None) -> None:
        arrived.append((a, b, c, d, e))

    with in_memory(env):
        plain.delay(Status.PAID, Level.HIGH, d=Colour.RED, c=Colour.RED, e=Colour.RED)
        plain.delay("x", b=True)
        queue.add_job("plain", a=Colour.RED, b=1)
        drain(env)

    assert arrived == [("paid", 3, "red", "red", Colour.RED), ("x", True, None, "", None), ("red", 1, None, "", None)]
    assert [type(one) for one in arrived[0]] == [str, int, str, str, Colour]
    assert type(arrived[1][1]) is bool


def test_two_enums_of_one_name_are_refused_rather_than_told_apart_by_nobody():
    """Neither can be named in a message; as a plain text it would arrive as something that no parameter asked for."""
    env = SQSEnv(MemorySession())
    first, second = (enum.StrEnum("Kind", {"A": "a"}) for _ in range(2))

    def one(kind) -> None: ...
    def two(kind) -> None: ...

    one.__annotations__["kind"], two.__annotations__["kind"] = first, second
    task = env.queue("q").processor("one")(one)
    env.queue("q").processor("two")(two)
    env.create_queues()

    with pytest.raises(SerializationError, match="the Enum Kind is not registered"):
        task.delay(first.A)
