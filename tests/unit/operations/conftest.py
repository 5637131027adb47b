"""A shop whose jobs die in memory, and its dead-letter queue as operations see it."""

from __future__ import annotations

from typing import Any

import pytest

from sqs_tasks import JobQueue, MemorySession, SQSEnv
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.operations import Letter, LetterQueue, Look, Selection, letter_queues, look
from sqs_tasks.testing import drain


class Shop:
    """A queue whose task fails when it is asked to, and its letters."""

    def __init__(self, name: str = "orders", **options: Any) -> None:
        self.session = MemorySession(clock=ManualClock(1_796_083_200))
        self.env = SQSEnv(self.session, queue_prefix="s-")
        self.queue: JobQueue = self.env.queue(name, compress_above_bytes=None, **options)
        self.ran: list[Any] = []
        self.fails = True
        self.queue.processor("ship", max_attempts=1)(self.ship)
        self.queue.processor("pay", max_attempts=1)(self.pay)
        self.env.create_queues()

    def ship(self, number: int = 0, **more: Any) -> None:
        if self.fails:
            raise LookupError(f"no parcel {number}")
        self.ran.append(number)

    def pay(self, number: int = 0) -> None:
        if self.fails:
            raise ConnectionError("the bank does not answer")
        self.ran.append(-number)

    def bury(self, *numbers: int, task: str = "ship", **more: Any) -> None:
        """Jobs as dead letters, each a second after the one before."""
        for number in numbers:
            self.queue.add_job(task, number=number, **more)
            drain(self.queue, raise_errors=False)
            self.session.advance(1)

    @property
    def letters(self) -> LetterQueue:
        return letter_queues(self.env)[0]

    def seen(self, selection: Selection | None = None) -> list[Letter]:
        with look(self.letters, selection) as letters:
            return list(letters)

    def look(self, selection: Selection | None = None) -> Any:
        return look(self.letters, selection)

    def counts(self) -> tuple[int, int, int]:
        """Letters that are ready, in flight and delayed."""
        counts = self.letters.counts()
        return counts.available, counts.in_flight, counts.delayed

    def raw(self, *bodies: str, **more: Any) -> None:
        """Messages of somebody else in the dead-letter queue."""
        for body in bodies:
            self.env.client().send_message(QueueUrl=self.letters.url, MessageBody=body, **more)

    def work(self) -> list[Any]:
        """What runs from here on, without failing."""
        self.fails = False
        drain(self.queue)
        return self.ran


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def fifo_shop() -> Shop:
    return Shop("orders.fifo")


__all__ = ["Look", "Shop"]
