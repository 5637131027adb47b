"""Values of a template: those that are known, and those that are only known when it is deployed.

A value that an intrinsic function makes, such as ``Ref`` to a parameter, is unknown. No rule answers for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

#: What stands for a property that is left out.
_NO_VALUE: Final = {"Ref": "AWS::NoValue"}

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.Arn)?\}")


def is_given(properties: Mapping[str, Any], name: str) -> bool:
    """Whether a property is there, known or not."""
    return name in properties and properties[name] is not None and properties[name] != _NO_VALUE


def number(properties: Mapping[str, Any], name: str, *, default: int | None = None) -> int | None:
    """A whole number; None when it is unknown, or left out and without a default."""
    if not is_given(properties, name):
        return default
    value = properties[name]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,12}", value) else None


def text(properties: Mapping[str, Any], name: str) -> str | None:
    """A text; None when it is unknown or left out."""
    value = properties.get(name)
    return value if isinstance(value, str) else None


def flag(properties: Mapping[str, Any], name: str) -> bool | None:
    """Yes or no; no when it is left out, None when it is unknown."""
    if not is_given(properties, name):
        return False
    value = str(properties[name]).lower()
    return {"true": True, "false": False}.get(value)


def mapping(properties: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """An object with members of its own; None when it is unknown or left out. JSON in a text is read too."""
    value = properties.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return None
    return value if isinstance(value, Mapping) and not is_function(value) else None


def is_function(value: Any) -> bool:
    """Whether an intrinsic function makes this value."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref", "Condition"))


def is_import(value: Any) -> bool:
    """Whether the value is an export of another stack."""
    return isinstance(value, Mapping) and "Fn::ImportValue" in value


def referenced(value: Any) -> str | None:
    """The logical id that a reference to a resource names; None for anything else."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((function, argument),) = value.items()
        if function == "Ref" and isinstance(argument, str):
            return argument
        if function == "Fn::GetAtt":
            return str(argument[0]) if isinstance(argument, list) and argument else str(argument).partition(".")[0]
        if function == "Fn::Sub" and isinstance(argument, str):
            found = _REFERENCE.fullmatch(argument)
            return None if found is None else found[1]
    return None


def last_part(value: Any) -> str | None:
    """What stands after the last colon of an ARN, which is a queue's name; None when that is unknown."""
    if isinstance(value, str):
        return value.rpartition(":")[2] or None
    if isinstance(value, Mapping) and len(value) == 1:
        ((function, argument),) = value.items()
        if function == "Fn::Join" and isinstance(argument, list) and len(argument) == 2:  # noqa: PLR2004  # of two
            separator, parts = argument
            if isinstance(parts, list) and parts and isinstance(parts[-1], str):
                end = parts[-1]
                return end.rpartition(":")[2] if ":" in end or separator == ":" else None
        if function == "Fn::Sub" and isinstance(argument, str):
            end = argument.rpartition(":")[2]
            return end if end and "$" not in end else None
    return None
