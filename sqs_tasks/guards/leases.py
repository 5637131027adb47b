"""Keeps what runs hold in the store for as long as they last: one thread, in processes that run such jobs."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from sqs_tasks.guards.guard import BEAT_SECONDS

logger = logging.getLogger(__name__)


class Leases:
    """What runs of this process hold. A process that dies prolongs nothing, and what it held ends by itself."""

    def __init__(self, beat_seconds: float = BEAT_SECONDS) -> None:
        self._beat_seconds = beat_seconds
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._beats: dict[str, Callable[[], None]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, run_id: str, beat: Callable[[], None]) -> None:
        """Call this now and then, to prolong what a run holds."""
        if self._pid != os.getpid():
            self._reset()  # the thread and the runs are the parent's
        with self._changed:
            self._beats[run_id] = beat
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="sqs-tasks-store-leases", daemon=True)
                self._thread.start()

    def remove(self, run_id: str) -> None:
        """It is over."""
        if self._pid == os.getpid():
            with self._changed:
                self._beats.pop(run_id, None)

    def beat(self) -> None:
        """Prolong what all runs hold, now."""
        with self._changed:
            beats = list(self._beats.values())
        for beat in beats:
            try:
                beat()
            except Exception:  # this guards the thread that all leases depend on
                logger.exception("a lease in the store was not prolonged", extra={"action": "store_beat_failed"})

    def _work(self) -> None:
        while True:
            with self._changed:
                # By the clock and not by add(), which would cost each job a thread's waking.
                self._changed.wait(self._beat_seconds)
                if not self._beats:
                    self._thread = None  # the next run starts another
                    return
            self.beat()


#: The leases of this process.
LEASES = Leases()
