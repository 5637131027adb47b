"""The Enums and dataclasses of a task's annotations travel without being registered."""

from __future__ import annotations

import dataclasses
import enum
import json
import threading
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar

import pytest

from sqs_tasks.codecs import CodecRegistry
from sqs_tasks.errors import SerializationError, UndecodableMessageError
from sqs_tasks.wire.annotation_types import types_in_annotation, types_in_signature

if TYPE_CHECKING:
    from nowhere import Absent


class Size(enum.Enum):
    S = 1


class Shape(enum.Flag):
    ROUND = 1


class Way(enum.StrEnum):
    UP = "up"


@dataclasses.dataclass
class Inner:
    size: Size


@dataclasses.dataclass
class Outer:
    inners: list[Inner] | None
    again: Outer | None = None


@dataclasses.dataclass
class Partly:
    absent: Absent
    way: Way


T = TypeVar("T")
Bound = TypeVar("Bound", bound=Inner)
Either = TypeVar("Either", Size, Way)


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class Typed(TypedDict, total=False):
    size: typing.Required[Size]


class Named(NamedTuple):
    way: Way


SizeId = NewType("SizeId", Size)


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        (int, set()),
        (None, set()),
        (Any, set()),
        ("Size", set()),
        (Size, {Size}),
        (Shape, {Shape}),
        (Optional[Size], {Size}),  # noqa: UP045
        (Size | Way | None, {Size, Way}),
        (dict[Size, list[tuple[Way, ...]]], {Size, Way}),
        (Mapping[str, Size], {Size}),
        (Annotated[Size, "doc"], {Size}),
        (Literal[Size.S, "x"], {Size}),
        (Callable[[Size], Way], {Size, Way}),
        (type[Size], {Size}),
        (Inner, {Inner, Size}),
        (Outer, {Outer, Inner, Size}),
        (Partly, {Partly, Way}),
        (Box[Way], {Box, Way}),
        (Bound, {Inner, Size}),
        (Either, {Size, Way}),
        (Typed, {Size}),
        (Named, {Named, Way}),
        (SizeId, {Size}),
    ],
)
def test_types_are_found_wherever_they_stand(annotation, found):
    """Each once, the fields of classes that have some included, and what cannot be resolved passed over."""
    listed = list(types_in_annotation(annotation))

    assert set(listed) == found
    assert len(listed) == len(found)


def test_the_parameters_of_a_function_are_looked_at_and_not_its_result():
    """Types of parameters are found, through containers and fields; the result's are not."""

    def task(a: Inner, *rest: Way, absent: Absent = None, **named: Shape) -> Outer: ...

    assert set(types_in_signature(task)) == {Inner, Size, Way, Shape}
    assert list(types_in_signature(len)) == []
    assert list(types_in_signature(object())) == []


def test_an_alias_of_something_unknown_is_passed_over():
    """A type statement is evaluated when it is asked for, and so are annotations from Python 3.14 on."""

    class Lazy:
        @property
        def __value__(self):
            raise NameError("Absent")

        @property
        def __annotations__(self):
            raise NameError("Absent")

        def __call__(self): ...

    assert list(types_in_annotation(list[Lazy()], Way)) == [Way]
    assert list(types_in_signature(Lazy())) == []


def test_an_unresolvable_field_does_not_hide_its_neighbours():
    """A field whose annotation cannot be resolved is passed over."""
    made = dataclasses.make_dataclass("Made", [("absent", "Absent"), ("way", Way), ("size", "Unknown[Size]")])

    assert list(types_in_annotation(made)) == [made, Way]


def test_a_type_in_an_annotation_needs_no_registration():
    """An annotated dataclass with an Enum comes back as it was."""
    made = CodecRegistry()

    def task(inner: Inner) -> None: ...

    made.collect_types_of(task)
    codec = made.get("json")

    text = codec.serialize({"inner": Inner(Size.S)})

    assert codec.deserialize(text) == {"inner": Inner(Size.S)}


def test_a_consumer_that_has_sent_nothing_reads_the_types_of_its_tasks():
    """What is read first is looked up first: nothing need have been written before."""
    made = CodecRegistry()

    def task(way: Way) -> None: ...

    made.collect_types_of(task)

    assert made.get("json").deserialize('{"$enum": ["Way", "UP"]}') is Way.UP


def test_annotations_are_not_looked_at_before_they_are_needed():
    """Plain messages pay nothing for them, in a Lambda's cold start above all."""
    looks: list[int] = []

    def source():
        looks.append(1)
        return [Way]

    made = CodecRegistry()
    made.types.collect_from(source)
    codec = made.get("json")

    codec.deserialize(codec.serialize({"to": "a@example.com", "pair": (1, 2)}))
    assert looks == []
    for _ in range(3):
        codec.deserialize(codec.serialize(Way.UP))
    assert looks == [1]


def test_a_task_that_is_registered_later_adds_its_types():
    """A codec that was used already learns the types of later tasks."""
    made = CodecRegistry()
    made.types.collect_from(lambda: [Size])
    codec = made.get("json")
    assert codec.deserialize(codec.serialize(Size.S)) is Size.S

    made.types.collect_from(lambda: [Way])

    assert codec.deserialize(codec.serialize(Way.UP)) is Way.UP


def namesake(value: str) -> type[enum.Enum]:
    return enum.Enum("Size", {value: value})


def test_two_collected_types_of_one_name_do_not_travel():
    """The message could not say which it means, so it is not sent, and not guessed at when it comes from elsewhere."""
    other = namesake("XL")
    made = CodecRegistry()
    made.types.collect_from(lambda: [Size])
    made.types.collect_from(lambda: [other])
    codec = made.get("json")

    for member in (Size.S, other["XL"]):
        with pytest.raises(SerializationError, match="the Enum Size is not registered"):
            codec.serialize(member)
    with pytest.raises(UndecodableMessageError, match="'Size', and several types of that name are known here"):
        codec.deserialize('{"$enum": ["Size", "S"]}')


def test_a_name_of_its_own_settles_which_is_meant():
    """Of two types of one name, the one with a registered name of its own goes by that."""
    other = namesake("XL")
    made = CodecRegistry()
    made.types.collect_from(lambda: [Size, other])
    made.register_type(other, "shop.Size")
    codec = made.get("json")

    texts = [codec.serialize(member) for member in (Size.S, other["XL"])]

    assert [json.loads(text)["$enum"][0] for text in texts] == ["Size", "shop.Size"]
    assert [codec.deserialize(text) for text in texts] == [Size.S, other["XL"]]


def test_a_registered_type_comes_before_a_collected_one():
    """A registered type takes the name from one that an annotation brought."""
    other = namesake("XL")
    made = CodecRegistry()
    made.types.collect_from(lambda: [other])
    with pytest.raises(UndecodableMessageError):
        made.get("json").deserialize('{"$enum": ["Size", "S"]}')

    made.register_type(Size)

    assert made.get("json").deserialize('{"$enum": ["Size", "S"]}') is Size.S
    with pytest.raises(SerializationError):
        made.get("json").serialize(other["XL"])


def test_threads_that_meet_a_type_together_all_find_it():
    """The one that comes second waits until the first has looked at the annotations."""
    entered, go_on = threading.Event(), threading.Event()

    def slow_source():
        entered.set()
        assert go_on.wait(10)
        return [Way]

    made = CodecRegistry()
    made.types.collect_from(slow_source)
    codec = made.get("json")
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(codec.serialize(Way.UP))) for _ in range(4)]

    for thread in threads:
        thread.start()
    assert entered.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert found == ['{"$enum": ["Way", "UP"]}'] * 4
