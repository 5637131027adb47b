"""The Enums and classes with fields that an annotation speaks of, so that a task's own types need no registration.

Imported when an argument of such a type is first sent or read: not by a Lambda's cold start.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from sqs_tasks.wire.record_kinds import kind_of_record


def types_in_annotation(*annotations: Any) -> Iterator[type[Any]]:
    """Each Enum and class with fields in the annotations; see :func:`classes_in_annotation`."""
    for part in classes_in_annotation(*annotations):
        if issubclass(part, Enum) or is_dataclass(part) or kind_of_record(part) is not None:
            yield part


def classes_in_annotation(*annotations: Any) -> Iterator[type[Any]]:
    """Each class in the annotations, once, those in the fields of what it finds included.

    Looks into unions, containers, ``Annotated``, ``Literal``, type variables and aliases, ``NewType``, ``TypedDict``
    and named tuples. What it cannot resolve, such as a name that is imported for type checkers only, it passes over:
    the caller learns at send that a type is not registered, and which.

    Args:
        annotations: Resolved ones, as `typing.get_type_hints` gives them; a string is passed over.
    """
    seen: dict[int, Any] = {}  # the parts by id; kept alive, or another could take the id of one that is gone
    pending = list(reversed(annotations))
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        if not isinstance(part, type) or typing.get_args(part):
            pending.extend(reversed(_parts(part)))
            continue
        yield part
        # What is in a pydantic model is written by pydantic, and needs no name here.
        if (
            is_dataclass(part)
            or typing.is_typeddict(part)
            or hasattr(part, "_field_defaults")
            or hasattr(part, "__attrs_attrs__")
        ):
            pending.extend(reversed(_field_annotations(part)))


def types_in_signature(function: Callable[..., Any]) -> Iterator[type[Any]]:
    """Each Enum and class with fields in the annotations of a function's parameters, once."""
    return types_in_annotation(*resolved_parameters(function).values())


def resolved_parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function's parameters by name; without those that cannot be resolved."""
    names = getattr(inspect.unwrap(function), "__globals__", {})
    hints = _resolved(function, _own_annotations(function), names)
    return {name: hint for name, hint in hints.items() if name != "return"}


def _parts(annotation: Any) -> list[Any]:
    if isinstance(annotation, list | tuple):  # the arguments of a Callable, the constraints of a type variable
        return list(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return [type(value) for value in typing.get_args(annotation)]
    parts = [typing.get_origin(annotation), *typing.get_args(annotation)]
    # In turn: NewType, an alias made by the type statement, a type variable's bound and its constraints.
    for attribute in ("__supertype__", "__value__", "__bound__", "__constraints__"):
        try:
            parts.append(getattr(annotation, attribute, None))
        except NameError:  # an alias is evaluated when asked
            continue
    return [part for part in parts if part is not None]


def _field_annotations(cls: type[Any]) -> list[Any]:
    if is_dataclass(cls):
        own = {field.name: field.type for field in fields(cls)}
    elif hasattr(cls, "__attrs_attrs__"):
        own = {field.name: field.type for field in cls.__attrs_attrs__}
    else:
        own = _own_annotations(cls)
    hints = _resolved(cls, own, vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {})
    return [hints[name] for name in own if name in hints]


def _own_annotations(owner: Any) -> dict[str, Any]:
    try:
        return dict(getattr(owner, "__annotations__", None) or {})
    except NameError:  # from Python 3.14 on they are evaluated when asked
        return {}


def _resolved(owner: Any, annotations: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """The annotations with their strings evaluated; without those that cannot be."""
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except Exception:  # noqa: BLE001  annotations are any expression, and raise what they like
        evaluated = {name: _evaluated(annotation, names) for name, annotation in annotations.items()}
        return {name: hint for name, hint in evaluated.items() if hint is not None}


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    """One annotation by itself, so that its unresolvable neighbour does not hide it."""
    if not isinstance(annotation, str):
        return annotation
    holder = type("_Holder", (), {"__annotations__": {"it": annotation}})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)["it"]
    except Exception:  # noqa: BLE001  as above
        return None
