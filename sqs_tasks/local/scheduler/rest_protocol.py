"""The REST JSON protocol of EventBridge Scheduler: which operation a path means, its parameters, and the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from sqs_tasks.local.scheduler import faults, service_model
from sqs_tasks.local.scheduler.faults import SchedulerFault

CONTENT_TYPE = "application/json"

#: What a request with a body is sent as.
REQUEST_CONTENT_TYPE = CONTENT_TYPE.encode()

#: What paths of this API begin with.
ROOTS = frozenset({b"schedules", b"schedule-groups", b"tags"})


def is_for_scheduler(path: bytes) -> bool:
    """Whether a path belongs to this API."""
    return path[1:].partition(b"/")[0] in ROOTS


def read(method: str, path: str, query: str, body: bytes) -> tuple[str, dict[str, Any]]:
    """The operation of a request and its parameters.

    Raises:
        SchedulerFault: There is no such operation, or the body is no JSON object.
    """
    _, root, *label = path.split("/", 2)
    operation = _operation(method, f"/{root}", has_label=bool(label and label[0]))
    params: dict[str, Any] = {}
    if body:
        try:
            params = json.loads(body)
        except (ValueError, RecursionError):
            raise faults.invalid("The request body is not JSON.") from None
        if not isinstance(params, dict):
            raise faults.invalid("The request body is not a JSON object.")
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, shape in service_model.input_shape(operation).members.items():
        location, wire_name = shape.serialization.get("location"), shape.serialization.get("name", name)
        if location == "uri":
            params[name] = unquote(label[0])
        elif location == "querystring":
            given = [value for key, value in pairs if key == wire_name]
            if given:
                params[name] = given if shape.type_name == "list" else _scalar(shape, given[0])
    return operation, params


def write(answer: Mapping[str, Any]) -> bytes:
    """The body of an answer."""
    return json.dumps(answer, separators=(",", ":")).encode()


def write_fault(fault: SchedulerFault) -> tuple[bytes, str]:
    """The body of an error, and the header that names it."""
    body = json.dumps({"Message": fault.message}).encode()
    return body, f"x-amzn-ErrorType: {fault.code}\r\n"


def _operation(method: str, root: str, *, has_label: bool) -> str:
    operation = _routes().get((method, root, has_label))
    if operation is None:
        text = f"There is no operation for {method} {root}{'/...' if has_label else ''}."
        raise SchedulerFault("UnknownOperationException", text, status=404)
    return operation


@cache
def _routes() -> dict[tuple[str, str, bool], str]:
    """The operations by method, the first part of the path, and whether something follows it."""
    model = service_model.service_model()
    found = {}
    for name in model.operation_names:
        http = model.operation_model(name).http
        _, root, *label = http["requestUri"].split("/", 2)
        found[http["method"], f"/{root}", bool(label)] = str(name)
    return found


def _scalar(shape: Any, text: str) -> Any:
    if shape.type_name != "integer":
        return text
    try:
        return int(text)
    except ValueError:
        raise faults.invalid(f"Value '{text}' is no whole number.") from None
