"""Keeps the messages in flight invisible to others for as long as their tasks run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable, Sequence

from sqs_tasks.execution.settlement import Settlement, longest_visibility
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.worker.lease import Lease

logger = logging.getLogger(__name__)

#: The share of a lease between two looks at what is due; what falls due before the next look is extended now, so that
#: every lease is extended when at most half of it is over, ten in a call.
_TICK = 1 / 8


class Heartbeat:
    """Extends each lease before half of it is over, in tens, from one thread of its own.

    The polling thread adds, the settle thread takes off. Taking off waits for a beat that has the message: a beat that
    arrived after the settlement would undo the backoff.

    Args:
        settlement: Makes the calls.
        lease_seconds: The visibility each beat asks for, counted from the beat.
        fifo: Whether it is a FIFO queue, which refuses a beat that came too late. A standard queue accepts it and does
            nothing, so there only the clock can say.
    """

    def __init__(self, settlement: Settlement, lease_seconds: int, *, fifo: bool = False) -> None:
        self._settlement = settlement
        self._lease_seconds = lease_seconds
        self._fifo = fifo
        self._leases: dict[str, Lease] = {}
        self._beating: Collection[str] = ()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None
        #: How many beats were sent, and how many leases were lost; for metrics.
        self.beats = self.lost = 0

    def add(self, messages: Sequence[ReceivedMessage]) -> None:
        """Keep these alive, counted from their receive."""
        whole = self._lease_seconds
        with self._changed:
            for message in messages:
                at = message.received_at
                self._leases[message.receipt_handle] = Lease(message, due=at + whole / 2, until=at + whole)
            if self._thread is None and messages:
                # Started by the first message, so that an idle producer that imports the worker has no thread.
                self._thread = threading.Thread(target=self._run, name="sqs-tasks-heartbeat", daemon=True)
                self._thread.start()

    def lease(self, message: ReceivedMessage) -> Lease | None:
        """The lease of a message that this worker holds."""
        return self._leases.get(message.receipt_handle)

    def remove(self, messages: Iterable[ReceivedMessage]) -> None:
        """Stop keeping these alive, waiting for a beat that has one of them."""
        with self._changed:
            for message in messages:
                self._leases.pop(message.receipt_handle, None)
                while message.receipt_handle in self._beating:
                    self._changed.wait()

    def forget(self, message: ReceivedMessage) -> None:
        """Stop keeping this one alive, and wait for nothing: it will not be settled."""
        with self._changed:
            self._leases.pop(message.receipt_handle, None)

    def __len__(self) -> int:
        return len(self._leases)

    def messages(self) -> list[ReceivedMessage]:
        """What is kept alive now."""
        with self._changed:
            return [lease.message for lease in self._leases.values()]

    def stop(self, timeout_seconds: float | None = None) -> None:
        """Stop the thread; what is still there comes back when its lease ends."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)

    def _run(self) -> None:
        tick = self._lease_seconds * _TICK
        while True:
            with self._changed:
                if not self._stopped:
                    # By the clock and not by add(): waking this thread for each receive would cost more than it does.
                    self._changed.wait(tick)
                if self._stopped:
                    return
                soon = time.monotonic() + tick
                due = [lease for lease in self._leases.values() if lease.due <= soon]
                self._beating = {lease.message.receipt_handle for lease in due}
            try:
                if due:
                    self._beat(due)
            except Exception:  # Settlement never raises; this guards the thread that all leases depend on
                logger.exception("a heartbeat failed", extra={"action": "heartbeat_failed"})
            finally:
                with self._changed:
                    self._beating = ()
                    self._changed.notify_all()

    def _beat(self, leases: Sequence[Lease]) -> None:
        started = time.monotonic()
        wanted: list[tuple[ReceivedMessage, int]] = []
        for lease in leases:
            seconds = min(self._lease_seconds, longest_visibility(lease.message))
            if seconds > 0:
                wanted.append((lease.message, seconds))
            else:
                self._lose(lease, "it has been in flight for 12 hours, the longest SQS allows")
        failed = {one.message.receipt_handle: one for one in self._settlement.hide(wanted, action="extend", retries=0)}
        answered = time.monotonic()
        self.beats += len(wanted)
        for lease in leases:
            failure = failed.get(lease.message.receipt_handle)
            if failure is None and not self._fifo and lease.until <= answered:
                # A standard queue answers OK for a message that is visible again and leaves it visible; when another
                # worker has received it, the old handle even changes that worker's lease. So no further beat.
                self._lose(lease, "the beat that should extend it came after its end")
            elif failure is None:
                lease.due = started + self._lease_seconds / 2
                lease.until = started + self._lease_seconds
            elif failure.is_final:
                self._lose(lease, failure.code)
            # Still due: the next tick tries again, even after its end; nobody else may have received it yet.
            elif lease.until <= started and not lease.lost:
                self.lost += 1
                lease.lose(f"no heartbeat came through before it ended: {failure.code}")

    def _lose(self, lease: Lease, reason: str) -> None:
        with self._changed:
            ours = self._leases.pop(lease.message.receipt_handle, None) is not None
        # Settled in the meantime: then a refused handle says nothing about the task.
        if ours and not lease.lost:
            self.lost += 1
            lease.lose(reason)
