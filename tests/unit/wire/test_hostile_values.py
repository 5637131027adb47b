"""Messages that are made to cost time and memory: what reading one takes is bounded by the size of a message."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest

from sqs_tasks.codecs import MAX_INFLATED_BYTES, MAX_VALUE_BYTES, CodecRegistry, CompressedJSONCodec, JSONCodec
from sqs_tasks.errors import SerializationError, UndecodableMessageError
from sqs_tasks.limits import MAX_MESSAGE_BYTES

#: Numbers that differ by it have one hash.
MODULUS = sys.hash_info.modulus

JSON = JSONCodec()


def numbers(count: int) -> Iterable[int]:
    return range(MODULUS, (count + 1) * MODULUS, MODULUS)


def of_size(items: Iterable[str]) -> str:
    """As many of these as a message can hold."""
    chosen, size = [], 0
    for item in items:
        size += len(item) + 1
        if size > MAX_MESSAGE_BYTES - 100:
            break
        chosen.append(item)
    return ",".join(chosen)


def tagged(tag: str, items: Iterable[str]) -> str:
    return '{"x":{"' + tag + '":[' + of_size(items) + "]}}"


#: By name: the tag, and one of its items from a number.
COLLISIONS: dict[str, tuple[str, Callable[[int], str]]] = {
    "set of numbers": ("$set", str),
    "frozenset of numbers": ("$frozenset", str),
    "dictionary of numbers": ("$dict", lambda n: f"[{n},1]"),
    "set of decimals": ("$set", lambda n: json.dumps({"$decimal": str(n)})),
    "set of ids": ("$set", lambda n: json.dumps({"$uuid": f"{n:032x}"})),
    "set of tuples": ("$set", lambda n: json.dumps({"$tuple": [n]})),
    "set of sets": ("$set", lambda n: json.dumps({"$frozenset": [n]})),
    "one value again and again": ("$set", lambda _: "1"),
}


@pytest.mark.parametrize(("tag", "item"), COLLISIONS.values(), ids=COLLISIONS)
def test_values_with_one_hash_are_refused_in_no_time(tag: str, item: Callable[[int], str]) -> None:
    """Each would be compared with all that came before it: a minute for a message, which nothing interrupts."""
    made = tagged(tag, map(item, numbers(60_000)))
    began = time.process_time()

    with pytest.raises(UndecodableMessageError, match="values with one hash"):
        JSON.deserialize(made)

    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "value",
    [
        set(range(50_000)),
        {n: str(n) for n in range(50_000)},
        {-1, -2},
        frozenset(Decimal(n) / 7 for n in range(5_000)),
        {(n, -n) for n in range(5_000)},
        {str(n) for n in range(50_000)},
        set(numbers(60)),
    ],
    ids=lambda value: f"{type(value).__name__} of {len(value)}",
)
def test_large_sets_and_dictionaries_arrive(value: Any) -> None:
    """Honest values have other hashes, and a few with one are none of an attacker."""
    assert JSON.deserialize(JSON.serialize({"x": value})) == {"x": value}


def compressed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def many(item: str, last: str) -> str:
    return '{"x":[' + item * (MAX_INFLATED_BYTES // len(item) - 10) + last + "]}"


BOMBS: dict[str, Callable[[], str]] = {
    "lists": lambda: many("[],", "[]"),
    "sets": lambda: many('{"$set":[]},', "{}"),
    "numbers": lambda: many("0,", "0"),
    "objects": lambda: many('{"a":{}},', "{}"),
    "a text that does not end": lambda: '{"x":"' + '\\"' * (MAX_INFLATED_BYTES // 2 - 10),
    "texts of brackets": lambda: '{"x":"' + "[" * (MAX_INFLATED_BYTES - 10) + '"}',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_message_does_not_become_much(bomb: str) -> None:
    """85 KB of zlib became 1.6 GB of objects. Measured in a process of its own, which has 300 MB to spare."""
    program = """
import resource, sys, time
from sqs_tasks.codecs import CompressedJSONCodec
text = sys.stdin.read()
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.process_time()
try:
    CompressedJSONCodec().deserialize(text)
except Exception as error:
    print(type(error).__name__)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used) // 1024, time.process_time() - began)
"""
    text = compressed(BOMBS[bomb]())
    assert len(text) < 100_000

    done = subprocess.run([sys.executable, "-c", program], input=text, capture_output=True, text=True, check=True)

    *error, numbers_ = done.stdout.split("\n")[:-1]
    mebibytes, seconds = map(float, numbers_.split())
    assert error in ([], ["UndecodableMessageError"]), done.stdout
    assert mebibytes < 200
    assert seconds < 5


def test_a_large_honest_body_is_compressed_and_read() -> None:
    """Records, numbers and texts with all the characters that are counted."""
    codec = CompressedJSONCodec()
    value = {
        "rows": [{"id": n, "name": f"name {n}", "tags": ["a", "b"], "note": "[{,}] " * 20} for n in range(20_000)],
        "csv": "1,2,3,[4]\n" * 500_000,
    }
    text = codec.serialize(value)

    assert len(json.dumps(value)) > 8 * MAX_MESSAGE_BYTES
    assert codec.deserialize(text) == value


def test_what_no_consumer_would_read_is_not_written() -> None:
    """The producer hears of it, and not the dead-letter queue."""
    with pytest.raises(SerializationError, match=f"more than {MAX_VALUE_BYTES} bytes in memory; send fewer in one job"):
        CompressedJSONCodec().serialize({"x": [[]] * 1_100_000})


def test_a_body_that_is_not_compressed_is_bounded_by_its_size() -> None:
    """SQS bounds it; it is read whatever it holds."""
    text = '{"x":[' + of_size(["[]"] * 400_000) + "]}"

    assert len(CodecRegistry().get("json").deserialize(text)["x"]) > 300_000
