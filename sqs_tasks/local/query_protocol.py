"""The AWS query protocol of SQS: form parameters in, XML out, as older SDKs and plain HTTP clients speak it.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-xml.html
"""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from sqs_tasks.local.model import faults, shapes, validation
from sqs_tasks.local.model.faults import SQSFault

CONTENT_TYPE = "text/xml"

#: What a request is sent as.
REQUEST_CONTENT_TYPE = b"application/x-www-form-urlencoded"

#: Fields of a request. A batch of ten messages with ten attributes each has some 500.
MAX_FIELDS = 2_000

_NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"

#: Fields that belong to the request and not to the action.
_ENVELOPE = (
    "Action",
    "Version",
    "Expires",
    "Timestamp",
    "Signature",
    "SignatureVersion",
    "SignatureMethod",
    "AWSAccessKeyId",
    "SecurityToken",
)

#: Characters that XML would change or cannot hold as they are: a carriage return becomes a line feed in every parser.
_ENTITIES = {"\r": "&#xD;", '"': "&quot;"}

_INTEGER = re.compile(r"[+-]?\d+")

Fields = dict[str, str]


def fields(text: bytes) -> Fields:
    """The form fields of a query string or body.

    Raises:
        SQSFault: There are too many.
    """
    try:
        pairs = parse_qsl(text.decode("utf-8", errors="replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise faults.invalid_parameter(f"The request has more than {MAX_FIELDS:,} parameters.") from None
    return dict(pairs)


def read(action: str, given: Fields) -> dict[str, Any]:
    """The parameters of an action from form fields such as ``Attribute.1.Name``.

    Raises:
        SQSFault: The action is unknown, a parameter is missing, or a number is not one.
    """
    shape = shapes.INPUTS.get(action)
    if shape is None:
        raise faults.invalid_action(action)
    tree = _tree({name: value for name, value in given.items() if name not in _ENVELOPE})
    params = _read_structure(shape, tree)
    for name in shape.required:
        if name == "Entries":
            # A form cannot say that a list is empty.
            params.setdefault(name, [])
        elif name not in params:
            raise faults.missing_parameter(name)
    return params


def write(action: str, answer: dict[str, Any], request_id: str) -> bytes:
    """An answer as XML."""
    shape = shapes.OUTPUTS.get(action)
    result = ""
    if shape is not None:
        inside = _write_members(shape, answer)
        result = f"<{action}Result>{inside}</{action}Result>" if inside else f"<{action}Result/>"
    return (
        f'<?xml version="1.0"?><{action}Response xmlns="{_NAMESPACE}">{result}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    ).encode()


def write_fault(fault: SQSFault, request_id: str) -> bytes:
    """An error as XML."""
    message = fault.message
    if fault.code == "QueueDoesNotExist":
        message = "The specified queue does not exist for this wsdl version."
    # It may quote what was refused for its characters.
    message = validation.replace_forbidden_characters(message)
    side = "Sender" if fault.sender else "Receiver"
    return (
        f'<?xml version="1.0"?><ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{side}</Type>'
        f"<Code>{_text(fault.query_code)}</Code><Message>{_text(message)}</Message><Detail/></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


# -- reading

#: Form fields by the parts of their names.
_Tree = dict[str, Any]


def _tree(given: Fields) -> _Tree:
    """``{"A.1.B": "x"}`` as ``{"A": {"1": {"B": "x"}}}``."""
    root: _Tree = {}
    for name, value in given.items():
        node = root
        *path, last = name.split(".")
        for part in path:
            deeper = node.setdefault(part, {})
            if not isinstance(deeper, dict):
                raise faults.invalid_parameter(f"The parameter {name} contradicts another.")
            node = deeper
        node[last] = value
    return root


def _read_structure(shape: shapes.Structure, tree: _Tree) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, member in shape.members.items():
        given = tree.get(member.tag if isinstance(member, (shapes.ListOf, shapes.MapOf)) else name)
        if given is not None:
            params[name] = _read(member, given, name)
    return params


def _read(shape: shapes.Shape, given: Any, name: str) -> Any:
    if isinstance(shape, shapes.Scalar):
        if not isinstance(given, str):
            raise faults.invalid_parameter(f"The parameter {name} is not a single value.")
        return _scalar(shape, given, name)
    if not isinstance(given, dict):
        # A list of one may come without its index, as in "AttributeName=All".
        given = {"1": given}
    if isinstance(shape, shapes.Structure):
        return _read_structure(shape, given)
    if isinstance(shape, shapes.MapOf):
        return _read_map(shape, given, name)
    return [_read(shape.item, item, name) for _, item in _in_order(given, name)]


def _read_map(shape: shapes.MapOf, given: _Tree, name: str) -> dict[str, Any]:
    pairs = {}
    # A map of one may come without its index too: "Attribute.Name=…&Attribute.Value=…".
    items = {"1": given} if shape.key in given else given
    for _, pair in _in_order(items, name):
        if not isinstance(pair, dict) or shape.key not in pair:
            raise faults.missing_parameter(f"{shape.tag}.{shape.key}")
        pairs[pair[shape.key]] = _read(shape.value, pair.get(shape.value_tag, ""), name)
    return pairs


def _in_order(given: _Tree, name: str) -> list[tuple[int, Any]]:
    try:
        return sorted(((int(index), item) for index, item in given.items()), key=lambda pair: pair[0])
    except ValueError:
        raise faults.invalid_parameter(f"The parameter {name} has an index that is no number.") from None


def _scalar(shape: shapes.Scalar, text: str, name: str) -> Any:
    if shape.python is int:
        if not _INTEGER.fullmatch(text):
            raise faults.invalid_value(name, text, "Must be an integer.")
        return int(text)
    if shape.python is bytes:
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            raise faults.invalid_parameter(f"The parameter {name} is not base64.") from None
    return text


# -- writing


def _write_members(shape: shapes.Structure, answer: dict[str, Any]) -> str:
    return "".join(_write(member, answer[name], name) for name, member in shape.members.items() if name in answer)


def _write(shape: shapes.Shape, value: Any, name: str) -> str:
    if isinstance(shape, shapes.ListOf):
        return "".join(_write(shape.item, item, shape.tag) for item in value)
    if isinstance(shape, shapes.MapOf):
        key, tag = shape.key, shape.tag
        return "".join(
            f"<{tag}><{key}>{_text(name)}</{key}>{_write(shape.value, item, shape.value_tag)}</{tag}>"
            for name, item in value.items()
        )
    if isinstance(shape, shapes.Structure):
        return f"<{name}>{_write_members(shape, value)}</{name}>"
    if shape.python is bool:
        return f"<{name}>{'true' if value else 'false'}</{name}>"
    if shape.python is bytes:
        return f"<{name}>{base64.b64encode(value).decode('ascii')}</{name}>"
    return f"<{name}>{_text(str(value))}</{name}>"


def _text(text: str) -> str:
    return escape(text, _ENTITIES)
