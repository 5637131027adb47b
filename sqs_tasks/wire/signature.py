"""Arguments against a task's signature: bound to names where the job is sent, and back where it runs.

The wire holds keyword arguments only, so a job stays readable in the console and survives parameters that change
places. ``*args`` travels as a list under its own name, ``**kwargs`` travels flat.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

from sqs_tasks.errors import ConfigurationError, SignatureMismatchError

_POSITIONAL_ONLY = inspect.Parameter.POSITIONAL_ONLY
_POSITIONAL_OR_KEYWORD = inspect.Parameter.POSITIONAL_OR_KEYWORD
_VAR_POSITIONAL = inspect.Parameter.VAR_POSITIONAL
_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
_VAR_KEYWORD = inspect.Parameter.VAR_KEYWORD
_EMPTY = inspect.Parameter.empty

#: Keywords that ``delay`` and ``add_job`` take for themselves, as sqs-workers does.
RESERVED_NAMES = frozenset({"_content_type", "_deduplication_id", "_delay_seconds", "_group_id"})


#: The kinds of parameters that take one value.
_SINGLE = (_POSITIONAL_ONLY, _POSITIONAL_OR_KEYWORD, _KEYWORD_ONLY)

#: Annotations of parameters that want a text or a number, as objects and as ``from __future__ import annotations`` has
#: them.
_PLAIN_ANNOTATIONS = (str, int, str | None, int | None)
_PLAIN_TEXTS = frozenset({"str", "int", "str | None", "int | None", "Optional[str]", "Optional[int]"})


class TaskSignature:
    """The parameters that producers fill in; a parameter the worker injects (the context) is left out.

    Args:
        fn: The task's function.
        injected: The name of a parameter that the worker fills in, or None.
        label: The task's name, for error texts.

    Raises:
        ConfigurationError: A parameter has a reserved name, or the injected one does not exist.
    """

    def __init__(self, fn: Callable[..., Any], *, label: str, injected: str | None = None) -> None:
        full = inspect.signature(fn)
        taken = RESERVED_NAMES.intersection(full.parameters)
        if taken:
            raise ConfigurationError(
                f"task {label!r}: parameter {min(taken)!r} has a name that delay() and add_job() reserve; "
                "give it another name"
            )
        self.label = label
        self.injected = injected
        if injected is not None:
            parameter = full.parameters.get(injected)
            by_keywords = any(p.kind is _VAR_KEYWORD for p in full.parameters.values())
            if (parameter is None and not by_keywords) or (
                parameter is not None and parameter.kind in (_POSITIONAL_ONLY, _VAR_POSITIONAL, _VAR_KEYWORD)
            ):
                raise ConfigurationError(
                    f"task {label!r}: pass_context=True needs a parameter {injected!r} that can be passed by keyword; "
                    "add it, or name yours with context_var="
                )
        self._signature = full.replace(parameters=[p for name, p in full.parameters.items() if name != injected])
        self._parameters = tuple(self._signature.parameters.values())
        self._variadic = next((p.name for p in self._parameters if p.kind is _VAR_POSITIONAL), None)
        self._flat = next((p.name for p in self._parameters if p.kind is _VAR_KEYWORD), None)
        self._order = tuple(p.name for p in self._parameters if p.name != self._flat)
        self._names = frozenset(self._order)
        #: Parameters that want a text or a number: a member of an enum is one to them.
        self._plain = tuple(p.name for p in self._parameters if p.kind in _SINGLE and _is_plain(p.annotation))
        # What must travel when *args is used or a later positional-only argument is given: everything before it.
        self.is_plain = all(p.kind in (_POSITIONAL_OR_KEYWORD, _KEYWORD_ONLY) for p in self._parameters)
        self._required = frozenset(
            p.name for p in self._parameters if p.default is _EMPTY and p.name not in (self._variadic, self._flat)
        )

    def __str__(self) -> str:
        return f"{self.label}{self._signature}"

    def check_parameter(self, name: str, option: str) -> None:
        """Refuse an option that names a parameter which no job can have.

        Raises:
            ConfigurationError: There is no parameter of that name.
        """
        if name not in self._names and self._flat is None:
            raise ConfigurationError(
                f"task {self.label!r}: {option}={name!r} is none of its parameters, which are "
                f"{', '.join(sorted(self._names)) or 'none'}; name one of them"
            )

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of these names that no keyword argument of a job can have."""
        return [] if self._flat is not None else [name for name in names if name not in self._names]

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of a call as the keyword arguments that travel, in the order of the parameters.

        What goes into ``**kwargs`` comes last, in its own order, which the function sees.

        Raises:
            TypeError: They do not fit the signature; the text names what is missing or too much.
        """
        if self.injected is not None and self.injected in kwargs and self._flat is None:
            raise TypeError(f"{self}: {self.injected!r} is filled in by the worker; set it with env.context instead")
        if not args and self.is_plain and self._required <= kwargs.keys() <= self._names:
            # In the order of the signature, as below: the same arguments give the same text.
            if tuple(kwargs) == self._order:
                bound = dict(kwargs)
            else:
                bound = {name: kwargs[name] for name in self._order if name in kwargs}
            return _with_plain(bound, self._plain) if self._plain else bound
        try:
            bound = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{self}: {error}") from None
        if self._variadic in bound:
            bound[self._variadic] = list(bound[self._variadic])
        if self._flat in bound:
            extra = bound.pop(self._flat)
            clash = self._names.intersection(extra) | RESERVED_NAMES.intersection(extra)
            if clash:
                raise TypeError(
                    f"{self}: keyword {min(clash)!r} has the name of another parameter and cannot travel beside "
                    "it; pass it under another name"
                )
            bound.update(extra)
        return _with_plain(bound, self._plain) if self._plain else bound

    def arguments(
        self, job_kwargs: Mapping[str, Any], *, ignore_unknown: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments for the function, from those that travelled.

        Raises:
            SignatureMismatchError: Something required is missing, or something is there that the task does not take
                (with ``ignore_unknown``, the latter is dropped: for deploys in which producers go first).
        """
        left = dict(job_kwargs)
        if self.is_plain and left.keys() == self._names:
            return (), left  # all there is, by name: most jobs
        missing = self._required - left.keys()
        if missing:
            raise SignatureMismatchError(f"{self}: the message lacks {', '.join(sorted(missing))}")
        if self._flat is None and not left.keys() <= self._names:
            unknown = sorted(map(str, left.keys() - self._names))
            if not ignore_unknown:
                raise SignatureMismatchError(f"{self}: the message has unknown arguments {', '.join(unknown)}")
            left = {name: value for name, value in left.items() if name in self._names}
        if self.is_plain:
            return (), left
        return self._positional(left), left

    def _positional(self, left: dict[str, Any]) -> tuple[Any, ...]:
        """Take out of ``left`` what has to be passed by position, defaults filled in where a later one is given."""
        variadic = left.pop(self._variadic, ()) if self._variadic is not None else ()
        if not isinstance(variadic, (list, tuple)):
            raise SignatureMismatchError(f"{self}: {self._variadic!r} must be a list, not {type(variadic).__name__}")
        kinds = (_POSITIONAL_ONLY, _POSITIONAL_OR_KEYWORD) if variadic else (_POSITIONAL_ONLY,)
        leading = [p for p in self._parameters if p.kind in kinds]
        if not variadic:
            given = [index for index, p in enumerate(leading) if p.name in left]
            leading = leading[: given[-1] + 1] if given else []
        return (*(left.pop(p.name) if p.name in left else p.default for p in leading), *variadic)


def _is_plain(annotation: Any) -> bool:
    return annotation in _PLAIN_TEXTS if isinstance(annotation, str) else annotation in _PLAIN_ANNOTATIONS


def _with_plain(bound: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The arguments with plain values in place of the members of a StrEnum, IntEnum or Django's choices.

    Where that enum is registered, for another task, a member would travel as one: to a consumer that may not know it.
    """
    for name in names:
        value = bound.get(name)
        kind = type(value)
        if kind is not str and kind is not int and isinstance(value, (str, int)) and isinstance(value, Enum):
            plain = str.__str__(value) if isinstance(value, str) else int(value)
            if plain == value:  # else the codec refuses it
                bound[name] = plain
    return bound


def check_function(fn: object, label: str) -> None:
    """Refuse what can be registered and never be run.

    Raises:
        ConfigurationError: It cannot be called, calling it runs nothing (a generator), or it lacks an instance (a
            method of a class).
    """
    if not callable(fn):
        raise ConfigurationError(f"{label}: {fn!r} cannot be called; register a function")
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise ConfigurationError(
            f"{label}: {fn!r} is a generator, of which a call runs nothing; return instead of yield, or wrap it in a "
            "function that iterates over it"
        )
    try:
        first = next(iter(inspect.signature(fn).parameters.values()), None)
    except ValueError as error:
        raise ConfigurationError(
            f"{label}: {fn!r} does not say its parameters; wrap it in a function that names them"
        ) from error
    holder = getattr(fn, "__qualname__", "").rpartition(".")[0]
    if first is not None and first.name in ("self", "cls") and holder and not holder.endswith("<locals>"):
        raise ConfigurationError(
            f"{label}: {fn!r} is a method of the class {holder!r}, and no job has a {first.name!r} for it; register a "
            "function, or the method of an instance"
        )


def is_coroutine_function(fn: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine, also for callable objects."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004
