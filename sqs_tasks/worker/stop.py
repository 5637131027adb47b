"""The request to stop: asked by a signal, by code or by a parent that is gone; heard by every thread of the worker."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Stop:
    """Whether to stop, and until when running jobs may finish. Any thread may ask and listen; signal handlers may not.

    The grace period counts from the request and not from the end of a poll that was in flight: the platform's own
    clock (30 s on ECS and Kubernetes) started with its signal.

    Args:
        grace_seconds: How long running jobs may take to finish after the request.
    """

    def __init__(self, grace_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    def request(self, reason: str) -> None:
        """Ask to stop; only the first request counts. Listeners are called in this thread."""
        with self._lock:
            if self._deadline is not None:
                return
            self._deadline = time.monotonic() + self.grace_seconds
            listeners = tuple(self._listeners)
        logger.info(
            "stopping (%s): no more messages are received, running jobs have %g s to finish",
            reason,
            self.grace_seconds,
            extra={"action": "worker_stopping", "reason": reason},
        )
        self._event.set()
        for listener in listeners:
            listener()

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
