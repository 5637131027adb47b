"""The AWS JSON protocol of SQS: what SDKs of today speak.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
"""

from __future__ import annotations

import base64
import json
from typing import Any, cast

from sqs_tasks.local.model import faults, shapes
from sqs_tasks.local.model.faults import SQSFault

CONTENT_TYPE = "application/x-amz-json-1.0"

#: What a request is sent as.
REQUEST_CONTENT_TYPE = CONTENT_TYPE.encode()

#: What the X-Amz-Target header begins with.
TARGET_PREFIX = "AmazonSQS."


_decode = json.JSONDecoder().raw_decode

_SENDS = ("SendMessage", "SendMessageBatch")

#: What only some entries of a batch that was sent are answered with.
_SOMETIMES_SENT = ("MD5OfMessageAttributes", "SequenceNumber", "MD5OfMessageSystemAttributes")


def _binary(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"{type(value)} is no JSON")


_encode = json.JSONEncoder(separators=(",", ":"), default=_binary).encode


def read(action: str, body: bytes) -> dict[str, Any]:
    """The parameters of a request, with binary values as bytes.

    Sends are not checked member by member, because that would double the cost of reading them. The model checks a
    message before it stores it; when it cannot work with one, the server calls :func:`repair` to find out why.

    Raises:
        SQSFault: The body is no JSON object, or a parameter is missing or of a wrong type.
    """
    try:
        params = _read_object(body) if body else {}
    except (ValueError, RecursionError):
        raise _serialization("the request body is not JSON") from None
    shape = shapes.INPUTS.get(action)
    if shape is None:
        raise SQSFault("UnknownOperationException", f"The action {action} is not valid for this endpoint.", status=404)
    plain_send = action in _SENDS and b"Binary" not in body and b"SystemAttr" not in body
    if plain_send and params.__class__ is dict:
        return cast("dict[str, Any]", params)
    if b"Binary" in body:
        params = _with_bytes(shape, params)
    return params if shape.fits(params) else repair(action, params)


def _read_object(body: bytes) -> Any:
    text = body.decode()
    # The usual case, without the searches for space around the object that json.loads makes.
    found, end = _decode(text)
    return found if end == len(text) else json.loads(text)


def repair(action: str, params: Any) -> dict[str, Any]:
    """The parameters without nulls and unknown members, both of which AWS ignores.

    Raises:
        SQSFault: There is more wrong than that.
    """
    shape = shapes.INPUTS[action]
    repaired = _without_nulls(shape, params)
    if not isinstance(repaired, dict):
        raise _serialization("the request body is not a JSON object")
    found = shapes.problems(shape, repaired)
    missing = [text for text in found if text.startswith("Missing")]
    if len(missing) < len(found):
        raise _serialization(next(text for text in found if text not in missing))
    if missing:
        raise faults.missing_parameter(missing[0].split('"')[1])
    return repaired


def write(action: str, answer: dict[str, Any]) -> bytes:
    """The body of an answer."""
    if action == "SendMessageBatch" and "Failed" not in answer:
        return _write_sent(answer["Successful"])
    return _encode(answer).encode("ascii")


def _write_sent(entries: list[dict[str, str]]) -> bytes:
    """The most frequent answer, written by hand: nothing in it is ever more than letters, digits and hyphens."""
    written = []
    for entry in entries:
        text = f'{{"Id":"{entry["Id"]}","MessageId":"{entry["MessageId"]}"'
        text += f',"MD5OfMessageBody":"{entry["MD5OfMessageBody"]}"'
        for name in _SOMETIMES_SENT:
            if name in entry:
                text += f',"{name}":"{entry[name]}"'
        written.append(text)
    return f'{{"Successful":[{"},".join(written)}}}]}}'.encode("ascii")


def write_fault(fault: SQSFault) -> tuple[bytes, str]:
    """The body of an error, and the header with its code in the query protocol."""
    namespace = "com.amazonaws.sqs" if fault.is_modelled else "com.amazon.coral.service"
    body = _encode({"__type": f"{namespace}#{fault.code}", "message": fault.message})
    side = "Sender" if fault.sender else "Receiver"
    return body.encode("ascii"), f"x-amzn-query-error: {fault.query_code};{side}\r\n"


def _without_nulls(shape: shapes.Shape, value: Any) -> Any:
    if isinstance(shape, shapes.Structure) and isinstance(value, dict):
        return {
            name: _without_nulls(shape.members[name], item)
            for name, item in value.items()
            if item is not None and name in shape.members
        }
    if isinstance(shape, shapes.MapOf) and isinstance(value, dict):
        return {key: _without_nulls(shape.value, item) for key, item in value.items() if item is not None}
    if isinstance(shape, shapes.ListOf) and isinstance(value, list):
        return [_without_nulls(shape.item, item) for item in value if item is not None]
    return value


def _with_bytes(shape: shapes.Shape, value: Any) -> Any:
    """The value with base64 text decoded wherever the shape has binary data."""
    if isinstance(shape, shapes.Structure) and isinstance(value, dict):
        return {
            name: _with_bytes(shape.members[name], item) if name in shape.members else item
            for name, item in value.items()
        }
    if isinstance(shape, shapes.MapOf) and isinstance(value, dict):
        return {key: _with_bytes(shape.value, item) for key, item in value.items()}
    if isinstance(shape, shapes.ListOf) and isinstance(value, list):
        return [_with_bytes(shape.item, item) for item in value]
    if shape is shapes.BLOB and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            raise _serialization("a binary value is not base64") from None
    return value


def _serialization(text: str) -> SQSFault:
    return SQSFault("SerializationException", text)
