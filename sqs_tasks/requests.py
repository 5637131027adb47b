"""The requests that queues make of SQS, for those who trace and measure them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

#: Send; receive; delete, when a job is done; hide, when it is to come back later; extend, while it runs.
Operation: TypeAlias = Literal["send", "receive", "delete", "hide", "extend"]


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
