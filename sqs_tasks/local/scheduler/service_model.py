"""The service model of EventBridge Scheduler, as boto3 has it: operations, paths, members and their limits.

It is read from botocore, which boto3 brings along, so that lengths, patterns and ranges stand nowhere a second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqs_tasks.local.scheduler import faults

SERVICE = "scheduler"


@cache
def service_model() -> Any:
    """Botocore's ``ServiceModel``; read on first use, so that tests without schedules stay light."""
    from botocore.loaders import create_loader
    from botocore.model import ServiceModel

    return ServiceModel(create_loader().load_service_model(SERVICE, "service-2"), SERVICE)


@cache
def input_shape(operation: str) -> Any:
    """What an operation takes."""
    return service_model().operation_model(operation).input_shape


@cache
def operation_of_method() -> Mapping[str, str]:
    """The operations by the names of boto3's methods."""
    from botocore import xform_name

    return {xform_name(name): name for name in service_model().operation_names}


def checked(operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without nulls and unknown members, times as seconds since the epoch.

    Raises:
        SchedulerFault: A member is missing, or is not within its limits.
    """
    shape = input_shape(operation)
    cleaned = _cleaned(shape, params)
    found = list(_violations(shape, cleaned, ""))
    if found:
        errors = "error" if len(found) == 1 else "errors"
        raise faults.invalid(f"{len(found)} validation {errors} detected: {'; '.join(found)}")
    return dict(cleaned)


def _cleaned(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        members = shape.members
        return {
            name: _cleaned(members[name], item) for name, item in value.items() if item is not None and name in members
        }
    if kind == "list" and isinstance(value, (list, tuple)):
        return [_cleaned(shape.member, item) for item in value]
    if kind == "map" and isinstance(value, Mapping):
        return {key: _cleaned(shape.value, item) for key, item in value.items()}
    if kind == "timestamp":
        return _seconds(value)
    return value


def _seconds(value: Any) -> Any:
    """A time as seconds since the epoch; whatever boto3 takes for one."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return value


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    """What is wrong with a value, in AWS's words."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        for name in shape.required_members:
            if name not in value:
                yield f"Value null at '{_joined(path, name)}' failed to satisfy constraint: Member must not be null"
        for name, item in value.items():
            yield from _violations(shape.members[name], item, _joined(path, name))
    elif kind == "list" and isinstance(value, list):
        yield from _out_of_range(shape, len(value), path, value, "length")
        for at, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{at}.member")
    elif kind == "map" and isinstance(value, Mapping):
        yield from _out_of_range(shape, len(value), path, value, "length")
        for key, item in value.items():
            yield from _violations(shape.value, item, _joined(path, str(key)))
    elif kind == "string" and isinstance(value, str):
        yield from _text_violations(shape, value, path)
    elif kind == "integer" and isinstance(value, int) and not isinstance(value, bool):
        yield from _out_of_range(shape, value, path, value, "value")
    elif not _is_of_type(kind, value):
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must be a {kind}"


def _text_violations(shape: Any, value: str, path: str) -> Iterator[str]:
    yield from _out_of_range(shape, len(value), path, value, "length")
    if shape.enum and value not in shape.enum:
        yield _failed(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        yield _failed(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _out_of_range(shape: Any, number: int, path: str, value: Any, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and number < least:
        yield _failed(value, path, f"Member must have {what} greater than or equal to {least}")
    if most is not None and number > most:
        yield _failed(value, path, f"Member must have {what} less than or equal to {most}")


def _failed(value: Any, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


def _is_of_type(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    return kind == "timestamp" and isinstance(value, (int, float)) and not isinstance(value, bool)


def _joined(path: str, name: str) -> str:
    """The path of a member, as AWS writes it: ``target.deadLetterConfig.arn``."""
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name
