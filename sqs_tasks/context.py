"""The implicit context: values that a producer sets once and that travel with every job it adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqs_tasks.errors import ConfigurationError

_EMPTY: Mapping[str, Any] = {}


class SQSContext:
    """A small mapping; each thread and each asyncio task has its own (it is a context variable).

    ``env.context["user_id"] = 7`` holds until ``env.context.clear()``; ``with env.context(user_id=7):`` holds for the
    block and restores what was there. While a job runs it is the job's own context, so that jobs added by a task
    carry it on.
    """

    def __init__(self, /, **values: Any) -> None:
        self._values: ContextVar[Mapping[str, Any]] = ContextVar("sqs_tasks_context", default=values or _EMPTY)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SQSContext:
        """A context that starts with these values."""
        return cls(**values)

    def set(self, /, **values: Any) -> None:
        """Replace all values."""
        self._values.set(values)

    def hold(self, values: Mapping[str, Any]) -> None:
        """Replace all values by those of a mapping; what becomes of the mapping later does not matter."""
        if values:
            self._values.set({**values})
        elif self._values.get():
            self._values.set(_EMPTY)

    def update(self, /, **values: Any) -> None:
        """Add or replace some values."""
        self._values.set({**self._values.get(), **values})

    def clear(self) -> None:
        """Forget all values; a web application does it at the end of a request."""
        self._values.set(_EMPTY)

    def to_dict(self) -> dict[str, Any]:
        """A copy of the values."""
        return dict(self._values.get())

    def get(self, name: str, default: Any = None) -> Any:
        """One value, or the default."""
        return self._values.get().get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self._values.get()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise ConfigurationError(
                f"context[{name!r}]: a name must be a string, since not every codec can carry other keys"
            )
        self.update(**{name: value})

    def __delitem__(self, name: str) -> None:
        values = self.to_dict()
        del values[name]
        self._values.set(values)

    def __contains__(self, name: object) -> bool:
        return name in self._values.get()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values.get())

    def __len__(self) -> int:
        return len(self._values.get())

    @contextmanager
    def __call__(self, /, **values: Any) -> Iterator[SQSContext]:
        """Add values for the length of a ``with`` block, then restore what was there."""
        before = self._values.get()
        self._values.set({**before, **values})
        try:
            yield self
        finally:
            self._values.set(before)

    def __repr__(self) -> str:
        # Names only: values may be personal and a repr ends up in logs.
        return f"SQSContext({', '.join(self._values.get())})"
