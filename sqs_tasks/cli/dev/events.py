"""The events of a dev session, in the order in which its loop takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias

from sqs_tasks.cli.dev.depths import Depths


@dataclass(frozen=True, slots=True)
class Line:
    """The child wrote a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A child ended, and everything it wrote has been heard.

    Attributes:
        number: Which child, counted from 1.
        exit_code: Its exit code, or minus the signal that killed it.
    """

    number: int
    exit_code: int


@dataclass(frozen=True, slots=True)
class Changed:
    """Sources were saved."""

    paths: Sequence[str]


@dataclass(frozen=True, slots=True)
class Counted:
    """The queues were counted."""

    depths: Sequence[Depths]


@dataclass(frozen=True, slots=True)
class Stop:
    """A signal asked the session to stop: Ctrl-C, SIGTERM, or a terminal that closed."""


Event: TypeAlias = Line | Ended | Changed | Counted | Stop

#: Signal handlers put into it too, which only this kind of queue allows.
Events: TypeAlias = SimpleQueue[Event]
