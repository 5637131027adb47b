"""Hooks watch and cannot hurt: any number of callbacks on an event; one that raises is logged and passed over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

logger = logging.getLogger(__name__)

P = ParamSpec("P")
Callback = TypeVar("Callback", bound=Callable[..., Any])


class Hook(Generic[P]):
    """The callbacks of one event, in the order they were registered; also the decorator that registers them.

    Registering after tasks were declared works: callbacks are looked up when the event happens.

    Attributes:
        name: For logs.
        callbacks: Those that are registered; where one event happens for each job, looking here is cheaper than a
            call to find that nobody listens.
    """

    __slots__ = ("callbacks", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.callbacks: tuple[Callable[P, Any], ...] = ()

    def __call__(self, callback: Callback) -> Callback:
        """Register a callback and return it unchanged, so that this works as a decorator."""
        self.callbacks = (*self.callbacks, callback)
        return callback

    def __bool__(self) -> bool:
        return bool(self.callbacks)

    def remove(self, callback: Callable[..., Any]) -> None:
        """Take a callback off again; unknown ones are ignored."""
        self.callbacks = tuple(known for known in self.callbacks if known is not callback)

    def emit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call each callback; errors are logged, never raised."""
        for callback in self.callbacks:
            try:
                callback(*args, **kwargs)
            except (Exception, SystemExit):  # a hook is user code that only watches
                logger.exception("%s hook %r failed", self.name, callback, extra={"action": "hook_failed"})
