"""Hooks only watch: callbacks on an event, and the context of each request to SQS.

When a callback raises, the error is logged and nothing else changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar
from weakref import WeakSet

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
        """Remove a callback; an unknown one is ignored."""
        self.callbacks = tuple(known for known in self.callbacks if known is not callback)

    def emit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call each callback; errors are logged, never raised."""
        for callback in self.callbacks:
            try:
                callback(*args, **kwargs)
            except (Exception, SystemExit):  # a hook is user code that only watches
                logger.exception("%s hook %r failed", self.name, callback, extra={"action": "hook_failed"})


#: The hooks of all environments in this process that want to know of event loops.
NEW_LOOP_HOOKS: WeakSet[NewLoopHook] = WeakSet()


class NewLoopHook(Hook[[]]):
    """Called on each event loop that this process runs async jobs on, before the first of them."""

    __slots__ = ("__weakref__",)

    def __call__(self, callback: Callback) -> Callback:
        """Register a callback, plain or async, and return it unchanged."""
        NEW_LOOP_HOOKS.add(self)
        return super().__call__(callback)


#: Send; receive; delete, when a job is done; change_visibility, when it is to come back later; extend, while it runs.
Operation: TypeAlias = Literal["send", "receive", "delete", "change_visibility", "extend"]


@dataclass(slots=True)
class Request:
    """A request that is about to be made."""

    operation: Operation
    #: The queue's name in code.
    queue_name: str
    #: What it is about: outgoing messages or received ones. Those of a receive are there once it has been answered.
    messages: Sequence[Any] = ()


#: Makes the context that a request is made in. It sees what the request raises, and should raise nothing itself.
AroundRequest: TypeAlias = Callable[[Request], AbstractContextManager[Any]]

_NOTHING: AbstractContextManager[Any] = nullcontext()


def made(
    around: AroundRequest | None, operation: Operation, queue_name: str, messages: Callable[[], Sequence[Any]]
) -> AbstractContextManager[Any]:
    """The context for a request; nothing is made, and nobody asked for the messages, where nobody wants to know."""
    return _NOTHING if around is None else around(Request(operation, queue_name, messages()))
