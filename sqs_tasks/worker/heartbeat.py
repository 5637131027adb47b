"""Keeps the messages in flight invisible to others for as long as their tasks run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from sqs_tasks.message import ReceivedMessage
from sqs_tasks.settlement import Settlement, longest_visibility

logger = logging.getLogger(__name__)


class Heartbeat:
    """Extends each message's visibility at half its lease, in tens, from one thread of its own.

    A message is removed before it is settled, and :meth:`remove` waits for a beat that has it: a beat that arrived
    after the settlement would undo the backoff.

    Args:
        settlement: Makes the calls.
        lease_seconds: The visibility each beat asks for, counted from the beat.
    """

    def __init__(self, settlement: Settlement, lease_seconds: int) -> None:
        self._settlement = settlement
        self._lease = lease_seconds
        self._due: dict[str, tuple[float, ReceivedMessage]] = {}
        self._beating: frozenset[str] = frozenset()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def add(self, messages: Sequence[ReceivedMessage]) -> None:
        """Keep these alive, counted from their receive."""
        with self._changed:
            for message in messages:
                self._due[message.receipt_handle] = (message.received_at + self._lease / 2, message)
            if self._thread is None and messages:
                # Started by the first message, so that an idle producer that imports the worker has no thread.
                self._thread = threading.Thread(target=self._run, name="sqs-tasks-heartbeat", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def remove(self, message: ReceivedMessage) -> bool:
        """Stop keeping this one alive, waiting for a beat that has it; whether its lease was still ours."""
        with self._changed:
            ours = self._due.pop(message.receipt_handle, None) is not None
            while message.receipt_handle in self._beating:
                self._changed.wait()
            return ours

    def stop(self) -> None:
        """Stop the thread; what is still there comes back when its lease ends."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._wait_for_due()
                if due is None:
                    return
                self._beating = frozenset(message.receipt_handle for message in due)
            try:
                self._beat(due)
            finally:
                with self._changed:
                    self._beating = frozenset()
                    self._changed.notify_all()

    def _wait_for_due(self) -> list[ReceivedMessage] | None:
        """The messages whose beat is due, taken as one; None to stop. Called with the lock held."""
        while not self._stopped:
            if not self._due:
                self._changed.wait()
                continue
            now = time.monotonic()
            first = min(due for due, _ in self._due.values())
            if first > now:
                self._changed.wait(first - now)
                continue
            # What is due within the next quarter rides along: one call for ten instead of ten calls.
            return [message for due, message in self._due.values() if due <= now + self._lease / 8]
        return None

    def _beat(self, messages: Sequence[ReceivedMessage]) -> None:
        now = time.monotonic()
        wanted = [(message, min(self._lease, longest_visibility(message))) for message in messages]
        lost = {m.receipt_handle for m in self._settlement.hide([(m, s) for m, s in wanted if s > 0], final=False)}
        with self._changed:
            for message, seconds in wanted:
                handle = message.receipt_handle
                if handle not in self._due:
                    continue
                if seconds <= 0:
                    del self._due[handle]
                    logger.error(
                        "message %s has been in flight for 12 hours and cannot be kept longer",
                        message.message_id,
                        extra={"action": "lease_over", "message_id": message.message_id},
                    )
                else:
                    # A failed beat is tried again while the lease still holds.
                    pause = self._lease / 8 if handle in lost else self._lease / 2
                    self._due[handle] = (now + pause, message)
