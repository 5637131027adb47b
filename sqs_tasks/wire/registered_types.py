"""The Enums and the classes with fields that may travel, by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from enum import Enum
from threading import RLock
from typing import Any

from sqs_tasks.errors import ConfigurationError, UndecodableMessageError, shortened

#: One for all tables. A fork waits until no other thread holds it, or it would stay locked in the child for ever.
_lock = RLock()

if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class RegisteredTypes:
    """The Enums and the classes with fields that may travel, by name.

    A message names a type; only this table says which it is. Threads may share it.
    """

    def __init__(self) -> None:
        self._classes: dict[str, type[Any]] = {}
        self._names: dict[type[Any], str] = {}
        self._collected: dict[str, type[Any] | None] = {}  # None: several classes have this name
        self._sources: list[Callable[[], Iterable[type[Any]]]] = []

    def register(self, cls: type[Any], name: str | None = None) -> None:
        """Let members or instances of ``cls`` travel under ``name``, its qualified name unless given.

        A class may be registered under several names: it is written under the first and read under each, so that a
        renamed class still reads the messages in flight.

        Raises:
            ConfigurationError: ``cls`` is neither an Enum nor a class with fields (a dataclass, a named tuple, an
                attrs class, a pydantic model), or the name means another class.
        """
        if not isinstance(cls, type) or not (issubclass(cls, Enum) or _has_fields(cls)):
            raise ConfigurationError(
                f"{cls!r} cannot be registered: only Enum classes and dataclasses, named tuples, attrs classes and "
                "pydantic models can"
            )
        if name is None:
            name = cls.__qualname__
        known = self._classes.setdefault(name, cls)
        if known is not cls:
            raise ConfigurationError(
                f"type name {name!r} already means {known.__module__}.{known.__qualname__}; "
                f"register {cls.__module__}.{cls.__qualname__} under a name of its own: register_type(cls, name=...)"
            )
        self._names.setdefault(cls, name)

    def collect_from(self, source: Callable[[], Iterable[type[Any]]]) -> None:
        """Let the types that ``source()`` gives travel under their qualified names.

        The source, a look at a task's annotations for instance, is asked when the first type is met that is not
        registered, so it costs nothing until then. What was registered before comes first; of two collected types with
        one name neither travels until it is registered under a name of its own.
        """
        with _lock:
            self._sources.append(source)

    def name_of(self, cls: type[Any]) -> str | None:
        """The name that ``cls`` is written under, or None if it may not travel."""
        name = self._names.get(cls)
        if name is None:
            self._collect()
            if self._find(cls.__qualname__) is cls:
                return cls.__qualname__
        return name

    def is_ambiguous(self, cls: type[Any]) -> bool:
        """Whether ``cls`` shares its name with another class that a task is annotated with, so that neither travels."""
        return self._collected.get(cls.__qualname__, cls) is None

    def resolve(self, name: object, base: str) -> type[Any]:
        """The class that ``name`` means.

        Raises:
            UndecodableMessageError: There is none, in this process.
        """
        cls = None
        if isinstance(name, str):
            if name not in self._classes:
                self._collect()
            cls = self._find(name)
        if cls is None:
            trouble = "several types of that name are" if name in self._collected else "no type of that name is"
            raise UndecodableMessageError(
                f"the message holds the {base} {shortened(repr(name))}, and {trouble} known here; "
                "annotate the task's parameter with it, or register it with register_type(cls, name=...)"
            )
        return cls

    def _find(self, name: str) -> type[Any] | None:
        return self._classes.get(name) or self._collected.get(name)

    def _collect(self) -> None:
        if not self._sources:
            return
        with _lock:
            for source in self._sources:
                for cls in source():
                    if cls not in self._names:
                        known = self._collected.setdefault(cls.__qualname__, cls)
                        if known is not cls:
                            self._collected[cls.__qualname__] = None
            self._sources.clear()


def _has_fields(cls: type[Any]) -> bool:
    if "__dataclass_fields__" in vars(cls):
        return True
    from sqs_tasks.wire.record_kinds import kind_of_record  # most types that are registered are Enums and dataclasses

    return kind_of_record(cls) is not None
