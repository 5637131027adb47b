"""Gathers verdicts into tens, so that settling costs a fifth of a request a job and never holds up a task."""

from __future__ import annotations

import logging
import threading
import time

from sqs_tasks import limits
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.settlement import Delete, Hide, Settlement, Verdict

logger = logging.getLogger(__name__)

#: Seconds a verdict waits for company; far below any lease, and above what a busy worker needs to fill ten.
LINGER_SECONDS = 0.03


class SettlementBuffer:
    """Settles from one thread of its own, by count or after a moment, whichever comes first.

    Args:
        settlement: Makes the calls.
        linger_seconds: How long a verdict waits for nine more.
    """

    def __init__(self, settlement: Settlement, *, linger_seconds: float = LINGER_SECONDS) -> None:
        self._settlement = settlement
        self._linger = linger_seconds
        self._deletes: list[ReceivedMessage] = []
        self._hides: list[tuple[ReceivedMessage, int]] = []
        self._oldest: float | None = None
        self._urgent = False
        self._closed = False
        self._busy = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, message: ReceivedMessage, verdict: Verdict, *, urgent: bool = False) -> None:
        """Settle a message soon; ``urgent`` does not wait for company (a FIFO group is locked until then)."""
        with self._changed:
            if isinstance(verdict, Delete):
                self._deletes.append(message)
            elif isinstance(verdict, Hide):
                self._hides.append((message, verdict.seconds))
            else:
                return
            if self._oldest is None:
                self._oldest = time.monotonic()
            self._urgent = self._urgent or urgent
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sqs-tasks-settle", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when everything added so far has been settled."""
        with self._changed:
            if self._thread is None:
                return
            self._urgent = True
            self._changed.notify_all()
            while self._busy or self._oldest is not None:
                self._changed.wait()

    def close(self) -> None:
        """Settle what is left and stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                if not self._wait_for_work():
                    return
                deletes, self._deletes = self._deletes, []
                hides, self._hides = self._hides, []
                self._oldest, self._urgent, self._busy = None, False, True
            try:
                if deletes:
                    self._settlement.delete(deletes)
                if hides:
                    self._settlement.hide(hides)
            except Exception:  # Settlement reads every failure; this guards the thread that everything depends on
                logger.exception("settling failed; the messages come back", extra={"action": "settle_failed"})

    def _wait_for_work(self) -> bool:
        """Wait until there are ten of a kind, or the oldest has waited long enough; False to stop. Lock held."""
        while True:
            if self._oldest is None:
                if self._closed:
                    return False
                self._changed.wait()
                continue
            left = self._oldest + self._linger - time.monotonic()
            full = max(len(self._deletes), len(self._hides)) >= limits.MAX_BATCH_ENTRIES
            if self._closed or self._urgent or full or left <= 0:
                return True
            self._changed.wait(left)
