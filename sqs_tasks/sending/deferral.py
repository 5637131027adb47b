"""``with env.deferred():`` holds jobs back until the block has ended without an exception."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Protocol, Self

from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import PendingMessage, Receipt
from sqs_tasks.sending.held_messages import (
    Failed,
    HeldMessage,
    Hold,
    SendsHeld,
    held_message,
    not_accepted,
    send_all_held,
)

logger = logging.getLogger(__name__)


class HoldingEnvironment(Protocol):
    """What a deferral asks of an environment."""

    hold: Hold | None


class Deferral:
    """The jobs that one block holds back. Threads and asyncio tasks that start in the block with its context join it.

    As a context manager, plain or async. A block in a block adds its jobs to the outer one when it ends.

    Args:
        env: The environment.
    """

    def __init__(self, env: HoldingEnvironment) -> None:
        if not isinstance(env.hold, _OpenDeferral):
            env.hold = _OpenDeferral(env.hold)
        self._hold: _OpenDeferral = env.hold
        self._held: list[HeldMessage] = []
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._is_open = False
        self._token: Token[Deferral | None] | None = None

    @property
    def messages(self) -> Sequence[OutgoingMessage]:
        """The messages that wait for the end of the block, in the order in which they were added."""
        return [one.message for one in self._held]

    def __len__(self) -> int:
        return len(self._held)

    def __enter__(self) -> Self:
        self._token = self._hold.opened.set(self)
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what was held back, or drop it when the block has raised.

        Raises:
            BatchSendError: Some jobs were not accepted after retries; it carries their messages.
        """
        held = self._close(error)
        if held:
            _raise(self._send(held))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As for the plain block; the event loop goes on meanwhile."""
        import asyncio

        held = self._close(error)
        if held:
            _raise(await asyncio.to_thread(self._send, held))

    def take(self, outbox: SendsHeld, message: OutgoingMessage, pending: PendingMessage | None) -> Receipt | None:
        """Hold a message back; None when the block is over, or is the parent process's."""
        with self._lock:
            if not self._is_open or self._process != os.getpid():
                return None
            one = held_message(outbox, message, pending)
            self._held.append(one)
            return one.pending

    def _close(self, error: BaseException | None) -> list[HeldMessage]:
        """What is to be sent now that the block is over."""
        if self._token is not None:
            self._hold.opened.reset(self._token)
        with self._lock:
            self._is_open = False
            held, self._held = self._held, []
        if self._process != os.getpid():
            return []
        if error is not None:
            if held:
                logger.info(
                    "%d jobs were not sent, since the block that deferred them raised %s",
                    len(held),
                    type(error).__name__,
                    extra={"action": "deferred_jobs_dropped", "jobs": len(held)},
                )
            return []
        return held

    def _send(self, held: Sequence[HeldMessage]) -> Failed:
        # What an outer block or a transaction takes waits for that one.
        return send_all_held([one for one in held if self._hold(*one) is None])


class _OpenDeferral:
    """Gives each message to the block that is open where it is sent, and otherwise to what held messages before."""

    def __init__(self, otherwise: Hold | None) -> None:
        self._otherwise = otherwise
        self.opened: ContextVar[Deferral | None] = ContextVar("sqs_tasks_deferral", default=None)

    @property
    def keeps_until_due(self) -> bool:
        """Whether jobs that are due later are kept by a database in the end."""
        return bool(getattr(self._otherwise, "keeps_until_due", False))

    def __call__(
        self, outbox: SendsHeld, message: OutgoingMessage, pending: PendingMessage | None = None, /
    ) -> Receipt | None:
        deferral = self.opened.get()
        receipt = None if deferral is None else deferral.take(outbox, message, pending)
        if receipt is None and self._otherwise is not None:
            return self._otherwise(outbox, message, pending)
        return receipt


def _raise(failed: Failed) -> None:
    if failed.unsent:
        raise not_accepted(failed)
