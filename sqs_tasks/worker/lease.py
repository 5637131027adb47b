"""A lease: the time for which SQS hides a message from all other workers.

A task that must not work on when its message may be running elsewhere asks for it::

    from sqs_tasks.worker.lease import current_lease

    @videos.processor("transcode")
    def transcode(path: str) -> None:
        lease = current_lease()
        for chunk in chunks(path):
            if lease is not None and lease.lost:
                return
            ...
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextvars import ContextVar

from sqs_tasks.execution import forks
from sqs_tasks.message import ReceivedMessage

logger = logging.getLogger(__name__)


class Lease:
    """The hold on one message. The heartbeat's thread keeps it and declares it lost; the task's thread asks.

    Attributes:
        message: The message.
        lost: Whether SQS may have given the message to another worker: its handle was refused, its queue is gone, no
            beat reached SQS before the lease ended, or it has been in flight for 12 hours, the longest SQS allows.
        reason: Why it was lost; empty while it is held.
        until: ``time.monotonic()`` of its end, unless the next beat extends it.
        due: ``time.monotonic()`` of the next beat.
        is_settling: Whether the job is over and its message about to be deleted.
    """

    __slots__ = ("_callbacks", "_forks", "due", "is_settling", "lost", "message", "reason", "until")

    def __init__(self, message: ReceivedMessage, *, due: float, until: float) -> None:
        self.message = message
        self.lost = False
        self.reason = ""
        self.due = due
        self.is_settling = False
        self.until = until
        self._forks = forks.forks_so_far
        self._callbacks: tuple[Callable[[Lease], None], ...] = ()

    @property
    def is_of_this_process(self) -> bool:
        """Whether the heartbeat that prolongs it runs in this process."""
        return self._forks == forks.forks_so_far

    def on_lost(self, callback: Callable[[Lease], None]) -> None:
        """Have a function called, in the heartbeat's thread, when the lease is lost; at once when it is already."""
        with _lock:
            if not self.lost:
                self._callbacks = (*self._callbacks, callback)
                return
        callback(self)

    def wait_lost(self, timeout_seconds: float) -> bool:
        """Wait for the loss at most this long; whether it has happened."""
        event = threading.Event()
        self.on_lost(lambda _: event.set())
        return event.wait(timeout_seconds)

    def lose(self, reason: str) -> None:
        """Declare it lost and call the callbacks of the task; what they raise is logged."""
        with _lock:
            if self.lost:
                return
            self.lost, self.reason = True, reason
            callbacks, self._callbacks = self._callbacks, ()
        logger.error(
            "lost the lease of message %s (%s): it may run elsewhere too",
            self.message.message_id,
            reason,
            extra={
                "action": "lease_lost",
                "message_id": self.message.message_id,
                "job_name": self.message.job_name,
                "reason": reason,
            },
        )
        for callback in callbacks:
            try:
                callback(self)
            except Exception:  # a task's callback must not end the beat of all others
                logger.exception("a lease callback failed", extra={"action": "lease_callback_failed"})


#: One for all: it is held for a few assignments, and a lock in each lease would cost more than the lease.
_lock = threading.Lock()

if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

_current: ContextVar[Lease | None] = ContextVar("sqs_tasks_lease", default=None)


def current_lease() -> Lease | None:
    """The lease of the job that runs here; None outside a job, in a batch processor and in Lambda.

    None also in a process that a job forks: nobody prolongs the lease there, and nobody would report its loss.
    """
    lease = _current.get()
    return lease if lease is not None and lease.is_of_this_process else None


def set_current_lease(lease: Lease | None) -> None:
    """Say whose job runs here now; for the worker."""
    _current.set(lease)
