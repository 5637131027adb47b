"""SQS's JSON protocol: boto3's keyword arguments as a body, and a body as boto3's answer.

Both are JSON as they stand but for bytes, which only message attributes have.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any


def encoded(parameters: Mapping[str, Any]) -> bytes:
    """The body of a request."""
    try:
        return json.dumps(parameters).encode()
    except TypeError:
        return json.dumps(parameters, default=_as_base64).encode()


def decoded(body: bytes) -> dict[str, Any]:
    """The answer in a body; values of binary attributes are bytes.

    Raises:
        ValueError: It is no JSON object.
    """
    answer: dict[str, Any] = json.loads(body) if body else {}
    if not isinstance(answer, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - what json raises for what is no JSON either
    if b'"BinaryValue"' in body:
        for message in answer.get("Messages", ()):
            _read_binary(message.get("MessageAttributes", {}).values())
    return answer


def error_code_in(headers: Mapping[str, str], body: bytes) -> str:
    """The code of an error, as botocore gives it; empty where there is none."""
    code = headers.get("x-amzn-query-error", "").partition(";")[0]
    if not code:
        try:
            told = json.loads(body)
        except ValueError:
            return ""
        code = str(told.get("__type", "")).rpartition("#")[2] if isinstance(told, dict) else ""
    return code


def _as_base64(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return binascii.b2a_base64(value, newline=False).decode()
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _read_binary(attributes: Iterable[dict[str, Any]]) -> None:
    for attribute in attributes:
        if "BinaryValue" in attribute:
            attribute["BinaryValue"] = binascii.a2b_base64(attribute["BinaryValue"])
