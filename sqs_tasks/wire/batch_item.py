"""What one job of a batch processor holds, where the annotation of its function says so: ``list[Order]``.

``Order`` is a ``TypedDict`` or a class with fields. Imported for batch processors: neither by producers of
other tasks nor by a Lambda's cold start.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqs_tasks.errors import SignatureMismatchError, brief
from sqs_tasks.wire.annotation_types import resolved_parameters
from sqs_tasks.wire.record_kinds import kind_of_record
from sqs_tasks.wire.records import Record, faults_of, record_of


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """The arguments of one job, as the keys of a ``TypedDict`` or the fields of a class.

    Attributes:
        label: The task's name, for error texts.
        type_name: The name of that type.
        required: Arguments that each job has.
        allowed: Arguments that a job may have, the required ones included.
        record: Makes the instance that the function gets; None where it gets the dictionary.
        injected: A key that the worker fills in, or None.
    """

    label: str
    type_name: str
    required: frozenset[str]
    allowed: frozenset[str]
    record: Record | None = None
    injected: str | None = None

    @classmethod
    def of(cls, function: Callable[..., Any], *, label: str, injected: str | None) -> BatchItem | None:
        """What the annotation of a function's first parameter says of its list's items; None where it says nothing.

        Args:
            function: The function of a batch processor.
            label: The task's name.
            injected: A key that the worker fills in, or None.
        """
        parameters = list(inspect.signature(function).parameters)
        annotation = resolved_parameters(function).get(parameters[0]) if parameters else None
        item: Any = next(iter(typing.get_args(annotation)), None)
        record: Record | None = None
        if hasattr(item, "__required_keys__"):  # those of typing_extensions are TypedDicts too
            required, optional = _keys(item)
        elif isinstance(item, type) and kind_of_record(item) is not None:
            record = record_of(item)
            fields = record.fields()
            required = frozenset(name for name, is_required in fields.items() if is_required)
            optional = frozenset(fields) - required
        else:
            return None
        return cls(
            label=label,
            type_name=item.__name__,
            required=required - {injected},
            allowed=(required | optional) - {injected},
            record=record,
            injected=injected if injected in required | optional else None,
        )

    def check(self, kwargs: Mapping[str, Any]) -> None:
        """Refuse arguments of a job that is about to be sent.

        Raises:
            TypeError: They do not fit; the text names what is missing or too much.
        """
        trouble = self._trouble(kwargs)
        if trouble:
            raise TypeError(f"{self.label}: a job of this batch is of the type {self.type_name}, and {trouble}")

    def arguments(self, kwargs: Mapping[str, Any], *, ignore_unknown: bool) -> Mapping[str, Any]:
        """Arguments of a job that was received.

        Raises:
            SignatureMismatchError: They do not fit; with ``ignore_unknown`` those that are too much are dropped.
        """
        if ignore_unknown:
            kwargs = {name: value for name, value in kwargs.items() if name in self.allowed}
        trouble = self._trouble(kwargs)
        if trouble:
            raise SignatureMismatchError(f"{self.label}: a job is of the type {self.type_name}, and {trouble}")
        return kwargs

    def item(self, kwargs: Mapping[str, Any]) -> Any:
        """What the function gets of a job: the instance of its class, or the arguments by name."""
        return dict(kwargs) if self.record is None else self.record.make(kwargs)

    def _trouble(self, kwargs: Mapping[str, Any]) -> str:
        return self._trouble_with_names(kwargs) or ("" if self.record is None else self._trouble_with_values(kwargs))

    def _trouble_with_values(self, kwargs: Mapping[str, Any]) -> str:
        """What the class of the items finds, where its constructor looks at them."""
        try:
            self.item(kwargs if self.injected is None else {**kwargs, self.injected: {}})
        except Exception as error:  # noqa: BLE001 - constructors raise what they like
            return faults_of(error) or brief(error)
        return ""

    def _trouble_with_names(self, kwargs: Mapping[str, Any]) -> str:
        missing, unknown = sorted(self.required - kwargs.keys()), sorted(kwargs.keys() - self.allowed)
        parts = [f"{', '.join(missing)} is missing"] if missing else []
        if unknown:
            has = ", ".join(sorted(self.allowed)) or "nothing"
            parts.append(f"{', '.join(unknown)} is not part of it; it has {has}")
        return " and ".join(parts)


def _keys(item: Any) -> tuple[frozenset[str], frozenset[str]]:
    """The keys of a TypedDict that are required, and those that are not, also where its annotations are strings."""
    required, optional = set(item.__required_keys__), set(item.__optional_keys__)
    try:
        hints = typing.get_type_hints(item, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations are any expression, and raise what they like
        hints = {}
    for name, hint in hints.items():
        origin = typing.get_origin(hint)
        if origin is typing.NotRequired:
            required.discard(name)
            optional.add(name)
        elif origin is typing.Required:
            optional.discard(name)
            required.add(name)
    return frozenset(required), frozenset(optional)
