"""Arguments in a message that this library has not written: what looks like a tag may be somebody's own dictionary.

``{"$date": "2026-05-01"}`` is a date to us and a dictionary to MongoDB. In our own messages the one cannot be taken for
the other, since a dictionary that looks like a tag is escaped. In others a tag is read where the annotation of the
task's parameter asks for its type, and is a dictionary everywhere else.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from sqs_tasks.errors import UndecodableMessageError, nature
from sqs_tasks.wire.annotation_types import classes_in_annotation, resolved_parameters
from sqs_tasks.wire.record_kinds import kind_of_record
from sqs_tasks.wire.registered_types import RegisteredTypes
from sqs_tasks.wire.tag_decoder import untagger

#: By type: the tag that carries it.
_TAG_OF: Final[Mapping[type[Any], str]] = {
    datetime: "$datetime",
    date: "$date",
    time: "$time",
    timedelta: "$timedelta",
    Decimal: "$decimal",
    UUID: "$uuid",
    bytes: "$bytes",
    float: "$float",
    tuple: "$tuple",
    set: "$set",
    frozenset: "$frozenset",
}


def read(text: str, types: RegisteredTypes, function: Callable[..., Any] | None) -> Any:
    """The arguments in the JSON of a message, for a function if it is known.

    Raises:
        UndecodableMessageError: The text is not JSON, or a tag that the function asks for cannot be read.
    """
    try:
        arguments = json.loads(text)
        if function is None or not isinstance(arguments, dict):
            return arguments
        annotations = resolved_parameters(function)
        return {name: _revived(value, types, annotations.get(name)) for name, value in arguments.items()}
    except UndecodableMessageError:
        raise
    except Exception as error:
        raise UndecodableMessageError(f"not readable JSON: {nature(error)}") from error


def _revived(value: Any, types: RegisteredTypes, annotation: Any) -> Any:
    """A value with those tags read that its annotation asks for."""
    asked = {"$dict"} if _has_dict_with_other_keys(annotation) else set()
    for cls in classes_in_annotation(annotation):
        if cls in _TAG_OF:
            asked.add(_TAG_OF[cls])
        elif issubclass(cls, Enum):
            asked.add("$enum")
        elif is_dataclass(cls) or kind_of_record(cls) is not None:
            asked.add("$dataclass")
    if not asked:
        return value
    untag = untagger(types, asked)

    def revive(part: Any) -> Any:
        if isinstance(part, list):
            return [revive(item) for item in part]
        if isinstance(part, dict):
            return untag({name: revive(item) for name, item in part.items()})
        return part

    return revive(value)


def _has_dict_with_other_keys(annotation: Any) -> bool:
    """Whether the annotation speaks of a dictionary whose keys are not texts, which JSON cannot have."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is dict and arguments[0] not in (str, Any):
        return True
    return any(_has_dict_with_other_keys(argument) for argument in arguments)
