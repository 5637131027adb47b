"""A long poll: a receive that waits for a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqs_tasks.local.clock.agenda import Alarm
from sqs_tasks.local.model.delivery import Wanted
from sqs_tasks.local.model.faults import SQSFault


class Poll:
    """A receive that found nothing and waits, at most until its deadline.

    The queue answers it the moment a message becomes available. Whoever opened the poll sets ``on_answer`` to be
    called, or looks at ``done``.

    Attributes:
        done: True when there is an answer, or nobody waits for one any more.
        answer: What ReceiveMessage returns, or the fault it raises.
    """

    __slots__ = (
        "alarm",
        "answer",
        "attempt_id",
        "done",
        "ends_at",
        "limit",
        "on_answer",
        "visibility_seconds",
        "wanted",
    )

    def __init__(self, *, limit: int, visibility_seconds: int | None, wanted: Wanted, attempt_id: str | None) -> None:
        self.limit = limit
        self.visibility_seconds = visibility_seconds
        self.wanted = wanted
        self.attempt_id = attempt_id
        self.done = False
        self.answer: dict[str, Any] | SQSFault = {}
        self.alarm: Alarm | None = None
        self.ends_at = 0.0
        self.on_answer: Callable[[Poll], None] | None = None

    def finish(self, answer: dict[str, Any] | SQSFault) -> None:
        """Answer the poll; one that is done already stays as it is."""
        if self.done:
            return
        self.done = True
        self.answer = answer
        if self.on_answer is not None:
            self.on_answer(self)

    def abandon(self) -> None:
        """Nobody waits any more: the queue must not hand messages to this poll."""
        self.done = True
        self.on_answer = None
