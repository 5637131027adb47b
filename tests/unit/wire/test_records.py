"""Classes with fields travel by annotation: dataclasses, named tuples, attrs classes and pydantic models."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, NamedTuple

import attrs
import pydantic
import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.codecs import CodecRegistry
from sqs_tasks.errors import SerializationError, UndecodableMessageError
from sqs_tasks.testing import drain, in_memory


class Place(NamedTuple):
    city: str
    code: int = 0


@attrs.define
class Line:
    sku: str = attrs.field(converter=str.strip)
    _price: Decimal = Decimal(0)
    place: Place | None = None
    total: Decimal = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.total = self._price * 2


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    at: dt.datetime
    site: pydantic.HttpUrl
    lines: list[Inner] = pydantic.Field(alias="orderLines")
    tags: dict[str, Any] = {}


class Inner(pydantic.BaseModel):
    price: Decimal


Order.model_rebuild()


class Ids(pydantic.RootModel[list[int]]):
    pass


class Doubling(pydantic.BaseModel):
    n: int

    @pydantic.field_validator("n")
    @classmethod
    def twice(cls, n: int) -> int:
        return 2 * n


class Login(pydantic.BaseModel):
    password: pydantic.SecretStr


@attrs.define
class Growing:
    name: str = attrs.field(converter=lambda name: name + "!")


def _order(**tags: Any) -> Order:
    return Order(
        at=dt.datetime(2026, 5, 1, tzinfo=dt.UTC),
        site=pydantic.HttpUrl("https://example.com/a"),
        orderLines=[Inner(price=Decimal("9.90"))],
        tags=tags,
    )


def _codec(*classes):
    registry = CodecRegistry()
    for cls in classes:
        registry.register_type(cls)
    return registry.get("json")


def _places(place: Place, line: Line, order: Order, ids: list[Ids]) -> None: ...


@pytest.mark.parametrize(
    "value",
    [
        Place("Bern", 3000),
        Line("a", Decimal("9.90"), Place("Bern")),
        _order(),
        _order(looks={"$date": "2026-05-01"}),
        [Ids([1, 2])],
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_annotated_record_arrives_as_it_was_sent(value):
    """It is built by its own library, aliases, strict models and what looks like a tag included."""
    registry = CodecRegistry()
    registry.collect_types_of(_places)
    codec = registry.get("json")

    arrived = codec.deserialize(codec.serialize({"value": value}))["value"]

    assert arrived == value
    assert type(arrived) is type(value)


def test_a_task_gets_records_by_its_annotations():
    """Nothing is registered by hand, in any part of the signature."""
    env = SQSEnv()
    arrived: list[Any] = []

    @env.queue("q").processor("take")
    def take(order: Order, lines: list[Line], place: Place | None = None) -> None:
        arrived.extend((order, lines, place))

    with in_memory(env):
        take.delay(_order(), [Line("a", Decimal(1))], place=Place("Bern"))
        drain(env)

    assert arrived == [_order(), [Line("a", Decimal(1))], Place("Bern")]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Doubling(n=1), "Doubling cannot be built again from its fields: validated from its own JSON it is another"),
        (Login(password=pydantic.SecretStr("x")), "Login cannot be built again .* private or secret fields"),
        (Growing("a"), "Growing cannot be built again from its fields: its converter of name changes the value once"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_record_that_would_arrive_changed_is_refused(value, why):
    """Validators and converters that are not idempotent, and fields that are not written, are found at the send."""
    with pytest.raises(SerializationError, match=rf"argument 'it\[0\]': {why}"):
        _codec(type(value)).serialize({"it": [value]})


def test_an_unregistered_record_is_refused_with_the_way_out():
    """The error says what it is, and that an annotation is enough."""
    with pytest.raises(SerializationError, match="argument 'o': the pydantic model Order is not registered; annotate"):
        _codec().serialize({"o": _order()})
    with pytest.raises(SerializationError, match="argument 'l': the attrs class Line is not registered; annotate"):
        _codec().serialize({"l": Line("a")})
    with pytest.raises(SerializationError, match=r"argument 'p': .*Place is a sub-class of tuple.*without its names"):
        _codec().serialize({"p": Place("Bern")})


def test_a_value_inside_a_record_is_refused_by_its_path():
    """The path goes through the fields."""
    with pytest.raises(SerializationError, match=r"argument 'lines\[1\].place.code': complex"):
        _codec(Line, Place).serialize({"lines": [1, Line("a", Decimal(1), Place("Bern", 1j))]})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"$dataclass": ["Inner", {"price": "secret"}]}', "the pydantic model 'Inner' refuses the message: price: "),
        ('{"$dataclass": ["Inner", 5]}', "the pydantic model 'Inner' refuses the message: it: "),
        ('{"$dataclass": ["Line", {"sku": "a", "colour": 1}]}', "the dataclass 'Line' has no field colour"),
        ('{"$dataclass": ["Place", [1]]}', "its fields are not a dictionary"),
        ('{"$dataclass": ["Place", {}]}', "cannot be read"),
    ],
)
def test_a_message_that_does_not_fit_its_record_is_undecodable(text, why):
    """The message is at fault, and its values are not quoted."""
    with pytest.raises(UndecodableMessageError, match=why) as caught:
        _codec(Inner, Line, Place).deserialize(text)

    assert "secret" not in str(caught.value)
