"""Logging for threads that must not wait for whoever reads the log."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Mapping
from typing import Any


class LogThread:
    """Has log records written by a thread of its own, which waits when a full pipe is not read; nobody else does."""

    def __init__(self) -> None:
        self._records: queue.SimpleQueue[tuple[logging.Logger, logging.LogRecord] | threading.Event] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def log(self, logger: logging.Logger, level: int, text: str, *args: object, extra: Mapping[str, Any]) -> None:
        """Log, as ``logger.log`` does, and return at once."""
        if not logger.isEnabledFor(level):
            return
        record = logger.makeRecord(logger.name, level, "", 0, text, args, None, extra=extra)
        self._records.put((logger, record))
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="sqs-tasks-log", daemon=True)
                with contextlib.suppress(RuntimeError):  # no more threads: the next record tries again
                    thread.start()
                    self._thread = thread

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything logged so far is written, but no longer than this; whether it is."""
        if self._thread is None:
            return self._records.empty()
        written = threading.Event()
        self._records.put(written)
        return written.wait(timeout_seconds)

    def _run(self) -> None:
        while True:
            item = self._records.get()
            if isinstance(item, threading.Event):
                item.set()
            else:
                logger, record = item
                logger.handle(record)
