"""The request to stop: made by a signal, by code or by the end of a supervisor; every thread of the worker sees it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqs_tasks.worker.log_thread import LogThread

logger = logging.getLogger(__name__)

#: Seconds that the log lines of a stop may take at its end.
LOG_SECONDS = 1.0


class Stop:
    """Whether to stop, and until when running jobs may finish. Any thread may ask and listen; signal handlers may not.

    The grace period counts from the request and not from the end of a poll that was in flight: the platform's own
    clock (30 s on ECS and Kubernetes) started with its signal.

    Args:
        grace_seconds: How long running jobs may take to finish after the request.
    """

    def __init__(self, grace_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        #: Whether somebody asked. A plain attribute, since each job asks for it.
        self.requested = False
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._listeners: list[Callable[[], None]] = []
        self._log_thread = LogThread()

    def request(self, reason: str) -> None:
        """Ask to stop; only the first request counts. Listeners are called in this thread."""
        with self._lock:
            if self._deadline is not None:
                return
            self._deadline = time.monotonic() + self.grace_seconds
            listeners = tuple(self._listeners)
        self.requested = True
        self._event.set()
        for listener in listeners:
            listener()
        # It counts before it is said: nobody may be reading the log any more.
        self.log(
            logging.INFO,
            "stopping (%s): no more messages are received, running jobs have %g s to finish",
            reason,
            self.grace_seconds,
            extra={"action": "worker_stopping", "reason": reason},
        )

    def log(self, level: int, text: str, *args: object, extra: Mapping[str, Any]) -> None:
        """Log something about the stop, and wait for nobody to read it."""
        self._log_thread.log(logger, level, text, *args, extra=extra)

    def flush_log(self) -> None:
        """Wait until all that has been logged here is written, but not for long."""
        self._log_thread.flush(LOG_SECONDS)

    def on_request(self, listener: Callable[[], None]) -> None:
        """Have a function called at the request, or now when it has been made."""
        with self._lock:
            if self._deadline is None:
                self._listeners.append(listener)
                return
        listener()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the request at most this long; whether it has been made."""
        return self._event.wait(timeout_seconds)

    def seconds_left(self) -> float | None:
        """Seconds of grace that are left, 0 when it is over; None while nobody asked."""
        deadline = self._deadline
        return None if deadline is None else max(deadline - time.monotonic(), 0)
