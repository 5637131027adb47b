"""Message attributes: kept, filtered, digested, refused."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest

from tests.conformance.sqs import SQS, refused, rule

THREE = {
    "Help.Me": {"DataType": "String", "StringValue": "Me"},
    "Hello": {"DataType": "String", "StringValue": "There"},
    "General": {"DataType": "String", "StringValue": "Kenobi"},
}


@rule("sqs-message-metadata")
def test_attributes_come_back_as_they_were(sqs: SQS) -> None:
    """Text, numbers, bytes, and custom types."""
    url = sqs.queue()
    attributes: dict[str, Any] = {
        "text": {"DataType": "String", "StringValue": "grüße"},
        "number": {"DataType": "Number", "StringValue": "3.14"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\x1e\xff"},
        "label": {"DataType": "String.json", "StringValue": "{}"},
    }

    sent = sqs.send(url, MessageAttributes=attributes)

    received = sqs.one(url, MessageAttributeNames=["All"])
    assert received["MessageAttributes"] == attributes
    assert received["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]


@rule("sqs-message-metadata")
def test_digest_of_attributes(sqs: SQS) -> None:
    """As AWS computes it: by name, with lengths and types."""
    sent = sqs.send(sqs.queue(), "msg", MessageAttributes=THREE)

    assert sent["MD5OfMessageAttributes"] == "4c360f3fdafd970e05fae2f149d997f5"


@rule("sqs-message-metadata")
def test_digest_of_bytes(sqs: SQS) -> None:
    """Binary values have another mark than text."""
    value = b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01"

    sent = sqs.send(sqs.queue(), MessageAttributes={"attr1": {"DataType": "Binary", "BinaryValue": value}})

    assert sent["MD5OfMessageAttributes"] == "8cbe4db156db8a94db8b801b7addb984"


@rule("sqs-message-metadata")
def test_digest_of_long_values_of_every_type(sqs: SQS) -> None:
    """Computed here as the documentation says, whatever the order in which they were given."""
    attributes: dict[str, Any] = {
        "z": {"DataType": "String", "StringValue": "ü" * 100},
        "a": {"DataType": "Number", "StringValue": "1" * 30},
        "M": {"DataType": "Binary.png", "BinaryValue": bytes(range(256))},
    }
    digest = hashlib.md5()
    for name in sorted(attributes):
        value = attributes[name]
        kind = b"\x02" if "BinaryValue" in value else b"\x01"
        data = value.get("BinaryValue") or value["StringValue"].encode()
        for part in (name.encode(), value["DataType"].encode()):
            digest.update(struct.pack("!I", len(part)) + part)
        digest.update(kind + struct.pack("!I", len(data)) + data)

    sent = sqs.send(sqs.queue(), MessageAttributes=attributes)

    assert sent["MD5OfMessageAttributes"] == digest.hexdigest()


@rule("API_ReceiveMessage")
def test_attributes_come_only_when_asked_for(sqs: SQS) -> None:
    """Without names there are neither attributes nor their digest."""
    url = sqs.queue()
    sqs.send(url, MessageAttributes=THREE)

    received = sqs.one(url)

    assert "MessageAttributes" not in received
    assert "MD5OfMessageAttributes" not in received


@rule("API_ReceiveMessage")
@pytest.mark.parametrize(
    ("names", "found", "digest"),
    [
        (["All"], {"Help.Me", "Hello", "General"}, "4c360f3fdafd970e05fae2f149d997f5"),
        ([".*"], {"Help.Me", "Hello", "General"}, "4c360f3fdafd970e05fae2f149d997f5"),
        (["Hello", "General"], {"Hello", "General"}, "fca026605781cb4126a1e9044df24232"),
        (["Foo", "Hello"], {"Hello"}, "a311262e065454b75da111d535b8dacd"),
        (["Hel.*"], {"Help.Me", "Hello"}, "83fee93c1bcd8b9a5a923ffacdc636c7"),
        (["hello"], set(), None),
    ],
)
def test_names_select_attributes_and_the_digest_is_of_those(
    sqs: SQS, names: list[str], found: set[str], digest: str | None
) -> None:
    """All, exact names and prefixes; SDKs check the digest against what they see."""
    url = sqs.queue()
    sqs.send(url, "msg", MessageAttributes=THREE)

    received = sqs.one(url, MessageAttributeNames=names)

    assert set(received.get("MessageAttributes", {})) == found
    assert received.get("MD5OfMessageAttributes") == digest


@rule("sqs-message-metadata")
def test_ten_attributes_are_accepted_and_eleven_refused(sqs: SQS) -> None:
    """A message can have up to 10."""
    url = sqs.queue()
    attributes = {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(10)}

    sqs.send(url, MessageAttributes=attributes)

    with refused("InvalidParameterValue"):
        sqs.send(url, MessageAttributes={**attributes, "a10": {"DataType": "String", "StringValue": "x"}})


@rule("sqs-message-metadata", "API_MessageAttributeValue")
@pytest.mark.parametrize(
    "name",
    ["aWs.x", "AMAZON.x", ".x", "x.", "a..b", "a b", "a!", "x" * 257],
    ids=["aws", "amazon", "leading", "trailing", "two-periods", "space", "bang", "long"],
)
def test_bad_attribute_names_are_refused(sqs: SQS, name: str) -> None:
    """Letters, digits, _, - and single inner periods; no reserved prefix; 256 characters."""
    with refused("InvalidParameterValue"):
        sqs.send(sqs.queue(), MessageAttributes={name: {"DataType": "String", "StringValue": "x"}})


@rule("API_MessageAttributeValue")
@pytest.mark.parametrize(
    "value",
    [
        {"DataType": "String", "StringValue": ""},
        {"DataType": "Wrong", "StringValue": "x"},
        {"DataType": "Number", "StringValue": "many"},
        {"DataType": "String", "StringValue": "bad \x08"},
        {"DataType": "String", "BinaryValue": b"x"},
        {"DataType": "Binary", "StringValue": "x"},
        {"DataType": "Number." + "L" * 256, "StringValue": "1"},
    ],
    ids=["empty", "type", "number", "control", "bytes-as-text", "text-as-bytes", "long-type"],
)
def test_bad_attribute_values_are_refused(sqs: SQS, value: dict[str, Any]) -> None:
    """A value is not empty, fits its type, and holds no forbidden character."""
    with refused("InvalidParameterValue"):
        sqs.send(sqs.queue(), MessageAttributes={"name": value})


@rule("sqs-message-metadata")
def test_a_receive_does_not_change_attributes(sqs: SQS) -> None:
    """The next receive sees the same."""
    url = sqs.queue(VisibilityTimeout="0")
    sqs.send(url, MessageAttributes=THREE)

    first = sqs.one(url, MessageAttributeNames=["All"])
    first["MessageAttributes"].clear()

    assert sqs.one(url, MessageAttributeNames=["All"])["MessageAttributes"] == THREE
