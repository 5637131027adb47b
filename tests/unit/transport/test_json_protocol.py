"""Requests and answers in SQS's JSON protocol, held to botocore's serializer and parser over its model of SQS."""

from __future__ import annotations

import json

import pytest
from botocore.loaders import create_loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from sqs_tasks.transport.json_protocol import decoded, encoded, error_code_in
from sqs_tasks.transport.lean_client import OPERATIONS

#: Members that SQS keeps for later and never sends.
RESERVED = {"StringListValues", "BinaryListValues"}

MODEL = ServiceModel(create_loader().load_service_model("sqs", "service-2"), "sqs")


def values_of(shape):
    """Any value of a shape of the model; integers and texts without their limits."""
    match shape.type_name:
        case "structure":
            members = {name: values_of(member) for name, member in shape.members.items() if name not in RESERVED}
            required = {name: members[name] for name in shape.required_members}
            return st.fixed_dictionaries(required, optional={k: v for k, v in members.items() if k not in required})
        case "list":
            return st.lists(values_of(shape.member), max_size=3)
        case "map":
            return st.dictionaries(st.text(min_size=1, max_size=5), values_of(shape.value), max_size=3)
        case "integer":
            return st.integers(0, 2**31)
        case "boolean":
            return st.booleans()
        case "blob":
            return st.binary(max_size=20)
        case "string":
            return st.text(max_size=20)
    raise AssertionError(shape.type_name)


@pytest.mark.parametrize("operation", OPERATIONS.values())
@settings(max_examples=25)
@given(data=st.data())
def test_any_request_has_botocores_body(operation, data):
    """All members of the model, bytes in base64."""
    model = MODEL.operation_model(operation)
    parameters = data.draw(values_of(model.input_shape))

    theirs = create_serializer("json", include_validation=False).serialize_to_request(parameters, model)

    assert json.loads(encoded(parameters)) == json.loads(theirs["body"])
    assert theirs["headers"]["X-Amz-Target"] == f"AmazonSQS.{operation}"


def on_the_wire(shape, value):
    """A value as SQS sends it: bytes in base64."""
    return json.loads(encoded({"value": value}))["value"]


@pytest.mark.parametrize("operation", OPERATIONS.values())
@settings(max_examples=25)
@given(data=st.data())
def test_any_answer_is_read_as_botocore_reads_it(operation, data):
    """All members of the model, and nothing else but the metadata."""
    shape = MODEL.operation_model(operation).output_shape
    answer = data.draw(values_of(shape)) if shape is not None else {}
    body = json.dumps(on_the_wire(shape, answer)).encode()
    theirs = create_parser("json").parse({"status_code": 200, "headers": {}, "body": body, "context": {}}, shape)
    theirs.pop("ResponseMetadata")

    assert decoded(body) == theirs


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        (
            {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender"},
            b"{}",
            "AWS.SimpleQueueService.NonExistentQueue",
        ),
        ({}, b'{"__type": "com.amazonaws.sqs#QueueDoesNotExist"}', "QueueDoesNotExist"),
        ({}, b'{"__type": "ThrottlingException"}', "ThrottlingException"),
        ({}, b"<html>Bad gateway</html>", ""),
        ({}, b"[]", ""),
        ({}, b"", ""),
    ],
)
def test_code_of_an_error(headers, body, code):
    """In a header for those who knew the query protocol, else in the body, else nowhere."""
    assert error_code_in(headers, body) == code


def test_what_json_cannot_say_is_refused():
    """Before anything is sent."""
    with pytest.raises(TypeError, match="object cannot be sent"):
        encoded({"MessageBody": object()})
