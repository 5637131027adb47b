"""What goes through a codec comes back as it was; what is not a codec's text is refused, and runs nothing."""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pickle
import subprocess
import sys
import uuid
import zlib
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sqs_tasks import codecs
from sqs_tasks.codecs import (
    CONTENT_TYPES_CODECS,
    DEFAULT_CONTENT_TYPE,
    Codec,
    CodecRegistry,
    CompressedJSONCodec,
    JSONCodec,
    PickleCodec,
    PickleCompatCodec,
    get_codec,
)
from sqs_tasks.errors import ConfigurationError, SerializationError, UndecodableMessageError
from sqs_tasks.wire import json_values
from sqs_tasks.wire.tags import TAGS


class Color(enum.Enum):
    RED = "r"
    CRIMSON = RED  # an alias
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1


class Unit(enum.StrEnum):
    METRE = "m"


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


class Mode(enum.IntFlag):
    OWNER = 4
    GROUP = 2


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    start: Any
    length: float = dataclasses.field(init=False, default=0.0)


NAMED_TYPES = (Color, Level, Unit, Permission, Mode, Point, Line)
ENUM_MEMBERS = [
    *Color,
    *Level,
    *Unit,
    *Permission,
    *Mode,
    Permission(0),
    Permission.READ | Permission.WRITE,
    Mode.OWNER | Mode.GROUP,
    Mode(9),
]


def registry() -> CodecRegistry:
    made = CodecRegistry()
    for cls in NAMED_TYPES:
        made.register_type(cls)
    return made


REGISTRY = registry()
JSON = REGISTRY.get("json")

plain_atoms = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
offsets = st.integers(-86_399, 86_399).map(lambda seconds: dt.timezone(dt.timedelta(seconds=seconds)))
rich_atoms = (
    st.floats()
    | st.binary(max_size=20)
    | st.datetimes(timezones=st.none() | offsets)
    | st.dates()
    | st.times(timezones=st.none() | offsets)
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.sampled_from(ENUM_MEMBERS)
    | st.sampled_from(["$set", "$datetime", "$", "$$", '"$', "\x00\x1f\x7f", "\ud800", "\uffff"])
)
tag_names = st.sampled_from([*TAGS, "$gt", "$"])
keys = st.text(max_size=10) | tag_names
hashables = st.recursive(
    (plain_atoms | rich_atoms).filter(lambda value: not (isinstance(value, decimal.Decimal) and value.is_snan())),
    lambda inner: (
        st.tuples(inner, inner) | st.frozensets(inner, max_size=3) | st.builds(lambda *v: tuple(v), inner, inner)
    ),
    max_leaves=4,
)


def line(start: Any) -> Line:
    made = Line(start=start)
    object.__setattr__(made, "length", 2.5)
    return made


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(hashables, inner, max_size=3)
        | st.sets(hashables, max_size=3)
        | st.frozensets(hashables, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(line, inner)
        | st.builds(lambda key, value: {key: value}, tag_names, inner)
    )


values = st.recursive(plain_atoms | rich_atoms, containers, max_leaves=12)
plain_values = st.recursive(
    plain_atoms,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


def exact(value: Any) -> Any:
    """A value in which everything that must survive can be compared: types, NaN, the sign of zero, offsets, order."""
    kind = type(value)
    if isinstance(value, enum.Enum):
        return kind, value._value_
    if isinstance(value, float | decimal.Decimal):
        return kind, str(value)
    if isinstance(value, dt.datetime | dt.time):
        return kind, value.isoformat()
    if isinstance(value, list | tuple):
        return kind, [exact(item) for item in value]
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(exact(item)) for item in value)
    if isinstance(value, dict):
        return kind, [(exact(key), exact(item)) for key, item in value.items()]
    if dataclasses.is_dataclass(value):
        return kind, [(field.name, exact(getattr(value, field.name))) for field in dataclasses.fields(value)]
    return kind, value


# --- round trips ------------------------------------------------------------------------------------------------------


@given(values)
@example({"$set": [1]})
@example({"$dict": [["$set", [1]]]})
@example({"$float": {"$float": "NaN"}})
@example({Unit.METRE: 1, "m2": 2})
@example({1: "one", None: 0, (1, "$"): 2})
def test_any_value_arrives_as_it_was_sent(value):
    """Type, value, order, NaN and time zone offset survive, at any depth, compressed or not."""
    for content_type in ("json", "json+zlib"):
        codec = REGISTRY.get(content_type)

        arrived = codec.deserialize(codec.serialize(value))

        assert exact(arrived) == exact(value)


@given(values)
def test_text_is_ascii_without_control_characters(value):
    """SQS refuses some characters in a body; none of ours can be among them."""
    for content_type in ("json", "json+zlib"):
        text = REGISTRY.get(content_type).serialize(value)

        assert text.isascii()
        assert text.replace("\x7f", "").isprintable()


@given(plain_values)
def test_plain_data_is_the_json_that_sqs_workers_writes(value):
    """Plain data goes out as json.dumps has it, and what json.dumps wrote comes in as json.loads has it."""
    text = json.dumps(value)

    assert JSONCodec.serialize(value) == text
    assert exact(JSONCodec.deserialize(text)) == exact(value)


@given(values)
def test_text_is_json_for_other_readers(value):
    """A reader that knows no tags can parse every text, without the constants that are not JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(JSON.serialize(value), parse_constant=refuse)


def test_tags_show_the_value():
    """What a person sees in the SQS console."""
    value = {
        "at": dt.datetime(2026, 5, 1, 9, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        "day": dt.date(2026, 5, 1),
        "hour": dt.time(9, 30),
        "wait": dt.timedelta(days=1, seconds=1.5),
        "back": -dt.timedelta(microseconds=1),
        "price": decimal.Decimal("9.90"),
        "id": uuid.UUID("12345678-1234-5678-1234-567812345678"),
        "raw": b"\x00\xff",
        "tags": {"b", "a"},
        "pair": (1, 2),
        "odd": {1: "one"},
        "limit": float("-inf"),
        "color": Color.RED,
        "both": Permission.READ | Permission.WRITE,
        "point": Point(1, [Level.LOW]),
    }

    text = JSON.serialize(value)

    assert json.loads(text) == {
        "at": {"$datetime": "2026-05-01T09:00:00+02:00"},
        "day": {"$date": "2026-05-01"},
        "hour": {"$time": "09:30:00"},
        "wait": {"$timedelta": "PT86401.5S"},
        "back": {"$timedelta": "-PT0.000001S"},
        "price": {"$decimal": "9.90"},
        "id": {"$uuid": "12345678-1234-5678-1234-567812345678"},
        "raw": {"$bytes": "AP8="},
        "tags": {"$set": ["a", "b"]},
        "pair": {"$tuple": [1, 2]},
        "odd": {"$dict": [[1, "one"]]},
        "limit": {"$float": "-Infinity"},
        "color": {"$enum": ["Color", "RED"]},
        "both": {"$enum": ["Permission", 3]},
        "point": {"$dataclass": ["Point", {"x": 1, "y": [{"$enum": ["Level", "LOW"]}]}]},
    }


def test_equal_sets_give_equal_text():
    """Content-based deduplication needs one text for one set, whatever its order in memory."""
    one, other = set(), set()
    one.update([0, 8])
    other.update([8, 0])
    assert list(one) != list(other)

    assert JSON.serialize(one) == JSON.serialize(other) == '{"$set": [0, 8]}'


@pytest.mark.parametrize(
    "value",
    [
        {"$set": {"a": 1}},  # MongoDB's update
        {"$gt": 5},
        {"$date": {"$numberLong": "0"}},
        {"$datetime": "2026-05-01", "more": 1},
        {"$ref": "#/definitions/x"},
        {"$float": 1.5},
        {"$": [1]},
    ],
)
def test_dictionaries_that_are_no_tags_stay_plain(value):
    """Only one key of the table with a value of its JSON type is a tag; the rest is the user's, written and read."""
    text = json.dumps(value)

    assert JSON.serialize(value) == text
    assert JSON.deserialize(text) == value


def test_a_dictionary_that_looks_like_a_tag_is_escaped():
    """It comes back as the dictionary it was, whatever is in it."""
    value = {"$datetime": "2026-05-01T00:00:00"}

    text = JSON.serialize(value)

    assert json.loads(text) == {"$dict": [["$datetime", "2026-05-01T00:00:00"]]}
    assert JSON.deserialize(text) == value


def test_a_tag_is_found_however_its_key_is_escaped():
    """Equal JSON gives equal values, whoever wrote it."""
    assert JSON.deserialize('{"\\u0024tuple": [1]}') == (1,)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT90S", 90), ("P1DT2H3M4.5S", 93784.5), ("-PT1M", -60), ("P2D", 172_800), ("+PT0.25S", 0.25)],
)
def test_durations_written_by_others_are_read(text, seconds):
    """ISO 8601, for producers in other languages."""
    assert JSON.deserialize(json.dumps({"$timedelta": text})) == dt.timedelta(seconds=seconds)


def test_nan_of_other_writers_is_read():
    """json.dumps of sqs-workers writes NaN bare."""
    assert JSON.deserialize('{"x": Infinity}') == {"x": float("inf")}


def test_test_clocks_may_stand_in_for_datetime(monkeypatch):
    """The library freezegun puts classes of its own into the datetime module; what they make travels as what they stand for."""

    class FakeDate(dt.date):
        pass

    class FakeDatetime(dt.datetime):
        pass

    monkeypatch.setattr(dt, "date", FakeDate)
    monkeypatch.setattr(dt, "datetime", FakeDatetime)

    text = JSON.serialize([FakeDatetime(2026, 5, 1), FakeDate(2026, 5, 1)])

    assert json.loads(text) == [{"$datetime": "2026-05-01T00:00:00"}, {"$date": "2026-05-01"}]


# --- dataclasses and Enums --------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Order:
    number: int
    note: str = "none"
    total: int = dataclasses.field(init=False)

    def __post_init__(self):
        if self.number < 0:
            raise ValueError("number must not be negative")
        self.total = self.number * 2


def order_codec() -> Codec:
    made = CodecRegistry()
    made.register_type(Order)
    return made.get("json")


def test_a_field_that_the_sender_did_not_know_takes_its_default():
    """A worker may be deployed before its producers."""
    assert order_codec().deserialize('{"$dataclass": ["Order", {"number": 3}]}') == Order(3)


def test_the_constructor_of_a_dataclass_checks_what_arrives():
    """A message cannot make an instance that the class would refuse."""
    with pytest.raises(UndecodableMessageError, match="number must not be negative"):
        order_codec().deserialize('{"$dataclass": ["Order", {"number": -3}]}')


@pytest.mark.parametrize("fields", ['{"number": 1, "colour": 2}', '{"note": "x"}', "[1]", '{"__class__": 1}'])
def test_fields_that_do_not_fit_are_undecodable(fields):
    """Unknown, missing or misplaced fields of a dataclass are refused rather than passed over."""
    with pytest.raises(UndecodableMessageError):
        order_codec().deserialize(f'{{"$dataclass": ["Order", {fields}]}}')


def test_a_dataclass_that_cannot_be_built_again_is_refused_at_send():
    """The loss of an InitVar is found where the author is, not at the worker."""

    @dataclasses.dataclass
    class Secret:
        shown: int
        key: dataclasses.InitVar[str]

    made = CodecRegistry()
    made.register_type(Secret, "Secret")

    with pytest.raises(SerializationError, match=r"argument 's': .*Secret cannot be built again .*'key'"):
        made.get("json").serialize({"s": Secret(1, key="k")})


def test_a_dataclass_that_is_a_dict_too_is_refused():
    """Its items would be lost."""

    @dataclasses.dataclass
    class Both(dict):
        x: int

    made = CodecRegistry()
    made.register_type(Both, "Both")

    with pytest.raises(SerializationError, match="it is a dict too"):
        made.get("json").serialize(Both(1))


def test_types_are_resolved_among_the_registered_only():
    """What a message names is never imported: neither a class in the standard library nor one defined here."""
    for name in ("Order", "tests.unit.test_codecs.Order", "os._Environ", "Color", "", None, ["Color"], 5):
        for tag in ("$enum", "$dataclass"):
            text = json.dumps({tag: [name, {}]})
            with pytest.raises(UndecodableMessageError):
                JSONCodec.deserialize(text)


def test_an_enum_does_not_pass_for_a_dataclass_nor_the_reverse():
    """The tag has to fit the registered class."""
    for text in ('{"$enum": ["Point", "x"]}', '{"$dataclass": ["Color", {"value": "r"}]}'):
        with pytest.raises(UndecodableMessageError):
            JSON.deserialize(text)


@pytest.mark.parametrize("member", ['"GREEN"', '"_value_"', '"__class__"', "1", "null", "[]", "99999"])
def test_unknown_members_are_undecodable(member):
    """Members by name alone; a number only for a Flag, whose combinations have no names."""
    with pytest.raises(UndecodableMessageError):
        JSON.deserialize(f'{{"$enum": ["Color", {member}]}}')
    with pytest.raises(UndecodableMessageError):
        JSON.deserialize(f'{{"$enum": ["Permission", {member.replace("1", "true")}]}}')


def test_an_enum_that_is_a_string_is_an_enum():
    """json.dumps alone would send its value, and the task would receive a str."""
    arrived = JSON.deserialize(JSON.serialize({"unit": Unit.METRE, "level": Level.LOW}))

    assert arrived["unit"] is Unit.METRE
    assert arrived["level"] is Level.LOW


def test_an_unregistered_type_is_refused_with_the_way_out():
    """The error says which argument it was and how to register the type."""
    with pytest.raises(SerializationError, match=r"argument 'c': the Enum Color is not registered.*register_type"):
        JSONCodec.serialize({"c": Color.RED})
    with pytest.raises(SerializationError, match=r"the value: the dataclass Point is not registered"):
        JSONCodec.serialize(Point(1))


def test_a_renamed_type_reads_its_old_name():
    """It is written under the first name it was given and read under each."""
    made = CodecRegistry()
    made.register_type(Color, "Colour")
    made.register_type(Color, "OldColour")
    codec = made.get("json")

    assert json.loads(codec.serialize(Color.RED)) == {"$enum": ["Colour", "RED"]}
    assert codec.deserialize('{"$enum": ["OldColour", "RED"]}') is Color.RED


def test_one_name_means_one_class():
    """A second class under a taken name is refused; the same class again is not."""
    made = CodecRegistry()
    made.register_type(Color)
    made.register_type(Color)

    with pytest.raises(ConfigurationError, match=r"'Color' already means .*test_codecs\.Color"):
        made.register_type(Unit, "Color")


@pytest.mark.parametrize("thing", [int, "Color", None, Color.RED, collections.OrderedDict])
def test_only_enums_and_dataclasses_can_be_registered(thing):
    """Anything else is refused at registration."""
    with pytest.raises(ConfigurationError, match="only Enum classes and dataclasses"):
        CodecRegistry().register_type(thing)


def test_types_of_one_environment_are_unknown_to_another():
    """Registered types belong to a registry, not to the process."""
    text = JSON.serialize(Color.RED)

    with pytest.raises(UndecodableMessageError, match="'Color', and no type of that name is known here"):
        CodecRegistry().get("json").deserialize(text)


# --- refusals at send -------------------------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()


class Pair(NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"items": [0, 1, 2, {"price": 1j}]}, "argument 'items[3].price': complex"),
        ({"point": Point(1, [object()])}, "argument 'point.y[0]': object"),
        ({"odd": {"two words": {"x": 1j}}}, "argument \"odd['two words'].x\": complex"),
        ({"by_id": {7: 1j}}, "argument 'by_id[7]': complex"),
        ({"by_key": {(1, 1j): 1}}, "argument 'by_key[...][1]': complex"),
        ({"bag": {(1, 1j)}}, "argument 'bag[...][1]': complex"),
        ({"f": print}, "argument 'f': builtin_function_or_method"),
        ({"f": int}, "argument 'f': type"),
        ({"b": bytearray(b"x")}, "argument 'b': bytearray"),
        ({"g": (x for x in ())}, "argument 'g': generator"),
        ([1j], "argument '[0]': complex"),
        (1j, "the value: complex"),
    ],
)
def test_a_value_that_cannot_travel_is_named_by_its_place(arguments, place):
    """The error says where it stands, what it is and what may stand there."""
    with pytest.raises(SerializationError) as caught:
        JSON.serialize(arguments)

    assert str(caught.value).startswith(f"{place} cannot travel in a message; allowed are None, bool, int,")


class Moment(dt.datetime):
    """As pandas' Timestamp, finer than a datetime."""

    nanoseconds = 5

    def __eq__(self, other):
        return isinstance(other, Moment) and super().__eq__(other)

    __hash__ = dt.datetime.__hash__


class Shown(dict):
    """As Django's QueryDict, it shows other values than it holds."""

    def items(self):
        return [(key, values[-1]) for key, values in super().items()]


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (Pair(1, 2), "tuple"),
        (Moment(2026, 5, 1), "datetime"),
        (Shown(a=[1, 2]), "dict"),
        (type("Odd", (str,), {"__eq__": lambda self, other: False, "__hash__": str.__hash__})("x"), "str"),
        (type("Broken", (int,), {"__eq__": lambda self, other: 1 / 0, "__hash__": int.__hash__})(1), "int"),
    ],
)
def test_a_sub_class_is_refused_when_it_would_arrive_changed(value, base):
    """A value that does not equal that of its base would be another on arrival, and is refused when it is sent."""
    with pytest.raises(SerializationError, match=rf"argument 'x': .* is a sub-class of {base} and would arrive"):
        JSON.serialize({"x": value})


def test_a_value_that_contains_itself_is_refused():
    """A loop is found by its depth, and the error shows the path into it."""
    loop: dict[str, Any] = {}
    loop["again"] = [loop]

    with pytest.raises(SerializationError, match=r"argument 'again\[0\]\.again.*nested in more than 100 levels"):
        JSON.serialize(loop)


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: (inner,), lambda inner: {1: inner}, Point])
def test_the_deepest_value_that_is_written_can_be_read(wrap):
    """Writing and reading have the same limit of depth."""
    value: Any = 1
    for _ in range(json_values.MAX_DEPTH):
        value = wrap(value)

    assert JSON.deserialize(JSON.serialize(value)) == value
    with pytest.raises(SerializationError, match="nested in more than"):
        JSON.serialize(wrap(value))


def test_an_int_that_python_would_not_read_is_refused_by_name():
    """CPython reads no more than 4,300 digits unless told otherwise, so the message would be lost at the worker."""
    with pytest.raises(SerializationError, match=r"argument 'n\[1\]': int of about 49[0-9]+ digits"):
        JSON.serialize({"n": [1, 10**4983]})


@pytest.mark.parametrize("offset", [None, dt.timedelta(microseconds=1)])
def test_a_zone_without_an_offset_in_seconds_is_refused(offset):
    """It would arrive as a naive time, or as UTC."""

    class Nowhere(dt.tzinfo):
        def utcoffset(self, when):
            return offset

    with pytest.raises(SerializationError, match="argument 't': the UTC offset of this time is"):
        JSON.serialize({"t": dt.time(9, tzinfo=Nowhere())})
    with pytest.raises(SerializationError, match="argument 't': the UTC offset of this datetime is"):
        JSON.serialize({"t": dt.datetime(2026, 5, 1, tzinfo=Nowhere())})


# --- anything may arrive ----------------------------------------------------------------------------------------------


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_arbitrary_text_is_read_or_undecodable(text):
    """Nothing but UndecodableMessageError leaves a codec, so no message can stop a worker."""
    for content_type in REGISTRY:
        for candidate in (text, base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()):
            try:
                REGISTRY.get(content_type).deserialize(candidate)
            except UndecodableMessageError:
                continue
            assert content_type == "json"


json_texts = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["Color", "Point"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=2)
        | st.builds(lambda key, value: {key: value}, tag_names, inner)
        | st.builds(lambda key, *items: {key: list(items)}, tag_names, inner, inner)
    ),
    max_leaves=12,
).map(json.dumps)


@given(json_texts)
@example('{"$set": [[1]]}')
@example('{"$dict": [[[], 1]]}')
@example('{"$dict": ["ab", "cd"]}')
@example('{"$decimal": "1e9999999999999999999"}')
@example('{"$timedelta": "P999999999999D"}')
@example('{"$timedelta": "PT"}')
@example('{"$bytes": "AP8"}')
@example('{"$uuid": "x"}')
@example('{"$float": "1"}')
@example('{"$enum": []}')
@example('{"$dataclass": [{"$tuple": []}, {}]}')
def test_arbitrary_tags_are_read_or_undecodable(text):
    """Tags with any content, by hand, by another library or by an attacker."""
    with contextlib.suppress(UndecodableMessageError):
        JSON.deserialize(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"$tuple": [' * 5_000 + "]}" * 5_000,
        "1" * 5_000,
        "",
        "{",
        '"\ud800',
        "\ufeff1",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_json_is_undecodable(text):
    """Recursion beyond the interpreter's limit and integers beyond its digits included."""
    for candidate in (text, text + '"$'):
        with pytest.raises(UndecodableMessageError):
            JSON.deserialize(candidate)


def test_an_error_does_not_quote_a_megabyte():
    """Error texts are short, whatever the size of the value."""
    with pytest.raises(UndecodableMessageError) as caught:
        JSON.deserialize(json.dumps({"$date": "9" * 1_000_000}))

    assert len(str(caught.value)) < 500


def bomb(inflated_bytes: int) -> str:
    packer = zlib.compressobj(9)
    pieces = [packer.compress(b" " * 1_048_576) for _ in range(inflated_bytes // 1_048_576)]
    return base64.b64encode(b"".join(pieces) + packer.flush()).decode()


@pytest.mark.parametrize(
    ("codec", "limit"),
    [
        (CompressedJSONCodec(), codecs.MAX_INFLATED_BYTES),
        (PickleCodec(), codecs.MAX_INFLATED_PICKLE_BYTES),
        (PickleCompatCodec(), codecs.MAX_INFLATED_PICKLE_BYTES),
    ],
    ids=lambda value: getattr(value, "content_type", None),
)
def test_a_zip_bomb_is_not_inflated(codec, limit):
    """A message within SQS's size could otherwise fill the memory of the worker."""
    text = bomb(limit + 1_048_576)
    assert len(text) < 200_000

    with pytest.raises(UndecodableMessageError, match=f"inflates to more than {limit} bytes"):
        codec.deserialize(text)


def test_what_inflates_beyond_the_limit_is_not_written_either():
    """A producer cannot send what no consumer would read."""
    for codec in (CompressedJSONCodec(max_inflated_bytes=100), PickleCodec(max_inflated_bytes=100)):
        assert codec.deserialize(codec.serialize("x" * 50)) == "x" * 50
        with pytest.raises(SerializationError, match="before compression; at most 100 are read"):
            codec.serialize("x" * 200)


@pytest.mark.parametrize("codec", [CompressedJSONCodec(), PickleCodec()], ids=lambda codec: codec.content_type)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:-5],
        lambda data: data + b"more",
        lambda data: data[:10] + bytes([data[10] ^ 1]) + data[11:],
        lambda data: b"",
        lambda data: zlib.compress(b"\xff\xfe{"),
        lambda data: zlib.compress(b""),
    ],
)
def test_damaged_data_is_undecodable(codec, damage):
    """Truncated, extended or changed data is refused as undecodable, with no other exception."""
    data = base64.urlsafe_b64decode(codec.serialize({"a": "some text" * 5}))

    with pytest.raises(UndecodableMessageError):
        codec.deserialize(base64.b64encode(damage(data)).decode())


# --- pickle, as sqs-workers has it ------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(), values, max_size=3))
def test_pickles_are_those_of_sqs_workers(value):
    """Its codec is urlsafe-base64(zlib(pickle)); each reads what the other wrote."""
    for codec, protocol in ((PickleCodec(), pickle.DEFAULT_PROTOCOL), (PickleCompatCodec(), 2)):
        theirs = base64.urlsafe_b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()

        assert exact(codec.deserialize(theirs)) == exact(value)
        ours = zlib.decompress(base64.urlsafe_b64decode(codec.serialize(value)))
        assert ours[:2] == bytes([0x80, protocol])
        assert exact(pickle.loads(ours)) == exact(value)


def test_an_argument_that_cannot_be_pickled_is_named():
    """The error says which argument it was, and its type."""
    with pytest.raises(SerializationError, match="argument 'f': function cannot be pickled"):
        PickleCodec.serialize({"x": 1, "f": lambda: None})
    with pytest.raises(SerializationError, match="the value: generator cannot be pickled"):
        PickleCodec.serialize(x for x in ())


def test_a_pickle_that_fails_to_load_is_undecodable():
    """A pickle of a class that the consumer lacks is an undecodable message."""
    missing = zlib.compress(b"cno_such_module\nThing\n.")

    with pytest.raises(UndecodableMessageError, match="not a readable pickle: ModuleNotFoundError"):
        PickleCodec.deserialize(base64.urlsafe_b64encode(missing).decode())


class Canary:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return eval, ("__import__('sys').modules.__setitem__('pickle_canary', 1)",)


@pytest.mark.parametrize("content_type", ["json", "json+zlib"])
def test_json_codecs_run_no_pickle(content_type):
    """Fault W4 of sqs-workers needs the consumer's help here: its JSON codecs do not know pickle."""
    text = PickleCodec.serialize({"x": Canary()})

    with pytest.raises(UndecodableMessageError):
        REGISTRY.get(content_type).deserialize(text)

    assert "pickle_canary" not in sys.modules


# --- the registry and sqs-workers' names ------------------------------------------------------------------------------


def test_the_names_of_sqs_workers():
    """Its users switch by changing the import."""
    assert DEFAULT_CONTENT_TYPE == "json"
    assert set(CONTENT_TYPES_CODECS) == {"json", "json+zlib", "pickle", "pickle_compat"}
    for content_type, codec in CONTENT_TYPES_CODECS.items():
        assert get_codec(content_type) is codec
        assert codec.deserialize(codec.serialize({"x": [1]})) == {"x": [1]}
    for cls in (JSONCodec, CompressedJSONCodec, PickleCodec, PickleCompatCodec):
        assert cls.deserialize(cls.serialize({"x": [1]})) == {"x": [1]}
        assert isinstance(cls(), Codec)
    with pytest.raises(KeyError):
        get_codec("yaml")


class Reversed:
    content_type = "reversed"

    def serialize(self, value: Any, /) -> str:
        return json.dumps(value)[::-1]

    def deserialize(self, text: str, /) -> Any:
        return json.loads(text[::-1])


def test_a_codec_of_ones_own():
    """A registered codec is found by its content type, in its own registry only."""
    made = CodecRegistry()
    codec = Reversed()

    made.register(codec)

    assert made.get("reversed") is codec
    assert "reversed" in made
    assert list(made) == ["json", "json+zlib", "pickle", "pickle_compat", "reversed"]
    assert "reversed" not in CodecRegistry()


def test_a_taken_content_type_is_replaced_only_on_purpose():
    """Replacing a codec needs ``replace=True``."""
    made = CodecRegistry()
    other = JSONCodec()

    with pytest.raises(ConfigurationError, match="content type 'json' already has the codec"):
        made.register(other)
    made.register(other, replace=True)

    assert made.get("json") is other


@pytest.mark.parametrize(
    "thing", [object(), None, JSONCodec.serialize, type("NoType", (Reversed,), {"content_type": ""})()]
)
def test_what_is_not_a_codec_is_not_registered(thing):
    """A codec has a content type and two methods; anything else is refused."""
    with pytest.raises(ConfigurationError, match="is not a codec"):
        CodecRegistry().register(thing)


def test_an_unknown_content_type_names_the_known():
    """The error lists the content types that there are."""
    with pytest.raises(ConfigurationError, match=r"'yaml'; there are json, json\+zlib, pickle, pickle_compat"):
        CodecRegistry().get("yaml")


# --- weight -----------------------------------------------------------------------------------------------------------


def run_fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


LATE = "('pickle', 'zlib', 'base64', 'datetime', 'decimal', 'uuid', 'dataclasses', 'inspect')"


def test_plain_messages_import_none_of_the_rest():
    """A Lambda's cold start pays for json alone."""
    code = (
        "import sys; from sqs_tasks.codecs import CodecRegistry; r = CodecRegistry(); c = r.get('json')\n"
        "c.deserialize(c.serialize({'a': [1, (2,), {3}]}))\n"
        f"print([name for name in {LATE} if name in sys.modules])"
    )

    assert run_fresh(code) == "[]"


def test_a_tag_imports_what_it_needs_alone():
    """A date imports datetime and none of the other modules that tags may need."""
    code = (
        "import sys; from sqs_tasks.codecs import JSONCodec\n"
        """JSONCodec.deserialize('{"a": {"$datetime": "2026-05-01"}, "b": {"$bytes": ""}}')\n"""
        f"print([name for name in {LATE} if name in sys.modules])"
    )

    assert run_fresh(code) == "['datetime']"
