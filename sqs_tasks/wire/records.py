"""Classes with fields: dataclasses, named tuples, attrs classes and pydantic models. One travels as its fields.

attrs and pydantic are recognised by what they leave on a class, and neither is imported here: who has an instance has
imported them. Imported when the first such value is sent or read: not by a Lambda's cold start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqs_tasks.errors import UndecodableMessageError, brief, one_line
from sqs_tasks.wire.plain_values import plain_base
from sqs_tasks.wire.record_kinds import kind_of_record

#: Names that an error quotes of those in a message.
_MAX_NAMES: Final = 5

#: Faults of one model that an error quotes.
_MAX_FAULTS: Final = 3

#: Called with a field's name and its value; the plain JSON data of it.
EncodeField = Callable[[str, Any], Any]


class Record(Protocol):
    """How the instances of one class travel."""

    def obstacle(self, value: Any) -> str:
        """Why this instance could not be built again as it is; empty when it can be."""

    def content(self, value: Any, encode: EncodeField) -> Any:
        """The plain JSON data that holds this instance's fields."""

    def fields(self) -> Mapping[str, bool]:
        """Whether each field that may be given must be, by its name."""

    def make(self, values: Mapping[str, Any]) -> Any:
        """An instance of values by field, checked as its class checks them."""

    def build(self, name: str, content: Any) -> Any:
        """The instance that was sent.

        Args:
            name: What its class is called in the message.
            content: What :meth:`content` gave, with its inner values read.

        Raises:
            UndecodableMessageError: The content does not fit the class.
        """


_records: dict[type[Any], Record] = {}


def record_of(cls: type[Any]) -> Record:
    """How the instances of a class with fields travel."""
    known = _records.get(cls)
    if known is None:
        kind = kind_of_record(cls)
        known = _Model(cls) if kind == "pydantic model" else _Constructed.of(cls, kind)
        _records[cls] = known
    return known


@dataclass(frozen=True)
class _Constructed:
    """Built by its own constructor, so that its defaults and checks hold for a message as for everybody else."""

    cls: type[Any]
    #: By field: the constructor's keyword.
    accepted: Mapping[str, str]
    #: Fields that the constructor does not take.
    rest: tuple[str, ...]
    #: Fields whose value the constructor converts.
    converted: tuple[str, ...]
    why_not: str

    @classmethod
    def of(cls, target: type[Any], kind: str | None) -> _Constructed:
        import inspect

        rest: tuple[str, ...] = ()
        converted: tuple[str, ...] = ()
        if kind == "named tuple":
            accepted = {name: name for name in target._fields}
        elif kind == "attrs class":
            fields = target.__attrs_attrs__
            accepted = {field.name: field.alias for field in fields if field.init}
            rest = tuple(field.name for field in fields if not field.init)
            converted = tuple(field.name for field in fields if field.converter is not None)
        else:
            import dataclasses

            declared = dataclasses.fields(target)
            accepted = {field.name: field.name for field in declared if field.init}
            rest = tuple(field.name for field in declared if not field.init)
        why_not = ""
        try:
            inspect.signature(target).bind(**dict.fromkeys(accepted.values()))
            base = None if kind == "named tuple" else plain_base(target)
            if base is not None:
                why_not = f"it is a {base.__name__} too"
        except (TypeError, ValueError) as error:
            why_not = f"its constructor has {error}"
        return cls(target, accepted, rest, converted, why_not)

    def obstacle(self, value: Any) -> str:
        if self.why_not or not self.converted:
            return self.why_not
        try:
            rebuilt = self.make({name: getattr(value, name) for name in (*self.accepted, *self.rest)})
            changed = [name for name in self.converted if getattr(rebuilt, name) != getattr(value, name)]
        except Exception as error:  # noqa: BLE001  converters raise what they like
            return f"its constructor refuses them: {brief(error)}"
        return f"its converter of {changed[0]} changes the value once more" if changed else ""

    def content(self, value: Any, encode: EncodeField) -> Any:
        return {name: encode(name, getattr(value, name)) for name in (*self.accepted, *self.rest)}

    def build(self, name: str, content: Any) -> Any:
        if type(content) is not dict:
            raise UndecodableMessageError(f"{name!r} is not a dataclass, or its fields are not a dictionary")
        unknown = content.keys() - {*self.accepted, *self.rest}
        if unknown:
            raise UndecodableMessageError(
                f"the dataclass {name!r} has no field {', '.join(map(one_line, sorted(unknown)[:_MAX_NAMES]))}"
            )
        return self.make(content)

    def fields(self) -> Mapping[str, bool]:
        import inspect

        parameters = inspect.signature(self.cls).parameters
        return {name: parameters[word].default is inspect.Parameter.empty for name, word in self.accepted.items()}

    def make(self, values: Mapping[str, Any]) -> Any:
        instance = self.cls(**{word: values[name] for name, word in self.accepted.items() if name in values})
        for name in self.rest:
            if name in values:
                object.__setattr__(instance, name, values[name])
        return instance


@dataclass(frozen=True)
class _Model:
    """Written and read by pydantic itself, so that it holds whatever pydantic has JSON for."""

    cls: type[Any]

    def obstacle(self, value: Any) -> str:
        try:
            rebuilt = self._validated(_dump(value))
            is_equal = bool(rebuilt == value)
        except Exception as error:  # noqa: BLE001  validators and serializers raise what they like
            return faults_of(error) or brief(error)
        return "" if is_equal else "validated from its own JSON it is another (excluded, private or secret fields?)"

    def content(self, value: Any, encode: EncodeField) -> Any:
        dumped = _dump(value)
        if isinstance(dumped, dict):
            return {name: encode(name, part) for name, part in dumped.items()}
        return encode("root", dumped)

    def build(self, name: str, content: Any) -> Any:
        try:
            return self._validated(content)
        except Exception as error:
            faults = faults_of(error)
            if not faults:
                raise
            raise UndecodableMessageError(f"the pydantic model {name!r} refuses the message: {faults}") from error

    def fields(self) -> Mapping[str, bool]:
        return {name: field.is_required() for name, field in self.cls.model_fields.items()}

    def make(self, values: Mapping[str, Any]) -> Any:
        return self.cls.model_validate(dict(values), by_alias=False, by_name=True)

    def _validated(self, data: Any) -> Any:
        import json

        # As JSON, where strict models too take a text for a date.
        return self.cls.model_validate_json(json.dumps(data), by_alias=False, by_name=True)


def _dump(value: Any) -> Any:
    return value.model_dump(mode="json", round_trip=True, by_alias=False)


def faults_of(error: Exception) -> str:
    """What pydantic found, without the values, which it quotes; empty for an error of another kind."""
    errors = getattr(error, "errors", None)
    if type(error).__name__ != "ValidationError" or not callable(errors):
        return ""
    found = errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in found[:_MAX_FAULTS])
