"""Keeps the messages in flight invisible to others for as long as their tasks run."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sqs_tasks.execution.settlement import Settlement, longest_visibility, tens
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.worker.lease import Lease

logger = logging.getLogger(__name__)

#: The share of a lease between two looks at what is due; what falls due before the next look is extended now, so that
#: every lease is extended when at most half of it is over, ten in a call.
_TICK = 1 / 8

#: Seconds that a beat may take before the next one goes beside it.
BESIDE_SECONDS = 0.25

#: Seconds for which the settlement of a message waits for a beat that has it.
SETTLE_WAIT_SECONDS = 1.0

#: Beats that may be without an answer: of one lease, and of all leases together.
MAX_UNANSWERED, MAX_UNANSWERED_IN_ALL = 3, 300


class Heartbeat:
    """Extends each lease before half of it is over, in tens; one thread looks what is due, and each beat has its own.

    A beat that is not answered holds up neither other beats nor settling: the next look sends another. So a lease of
    30 seconds, whose first beat leaves after 15 seconds at most, survives one that is lost.

    ==========  ===================================  ==================================================================
    a lease is  from                                 until
    ==========  ===================================  ==================================================================
    held        the receive                          its job is over, or it is lost
    settling    the request to delete its message    SQS has answered that; beats go on, and their failure says nothing
    lost        SQS refused a beat, or none was      its job is over; without an answer beats go on, for nobody else
                answered before the end              may have received it yet
    removed     its visibility is about to change,   for good
                or its message is deleted
    ==========  ===================================  ==================================================================

    The polling thread adds, the settle thread takes off. Taking off waits a moment for a beat that has the message: a
    beat that arrived after the settlement would undo the backoff.

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
        #: How many beats of each receipt handle are not answered yet, and what is called when they are.
        self._unanswered: Counter[str] = Counter()
        self._when_answered: dict[str, Callable[[], None]] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None
        #: Called at each look; for those who have to look at something now and then too.
        self.on_look: Callable[[], None] = lambda: None
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

    def settling(self, messages: Iterable[ReceivedMessage]) -> None:
        """Their jobs are over, and they are about to be deleted; until that is answered they are kept alive."""
        with self._changed:
            for message in messages:
                lease = self._leases.get(message.receipt_handle)
                if lease is not None:
                    lease.is_settling = True

    def remove(self, messages: Sequence[ReceivedMessage]) -> list[ReceivedMessage]:
        """Stop keeping these alive, and wait a moment for beats that have one of them.

        Returns:
            Those that a beat still has: when it arrives, it undoes a change of their visibility.
        """
        handles = {message.receipt_handle: message for message in messages}
        with self._changed:
            for handle in handles:
                self._leases.pop(handle, None)
            self._changed.wait_for(lambda: not any(map(self._unanswered.get, handles)), SETTLE_WAIT_SECONDS)
            return [message for handle, message in handles.items() if self._unanswered.get(handle)]

    def when_answered(self, message: ReceivedMessage, call: Callable[[], None]) -> None:
        """Have a function called, in a thread of a beat, when all beats that have a message are answered."""
        with self._changed:
            if self._unanswered.get(message.receipt_handle):
                self._when_answered[message.receipt_handle] = call
                return
        call()

    def forget(self, message: ReceivedMessage) -> None:
        """Stop keeping this one alive, and wait for nothing."""
        with self._changed:
            self._leases.pop(message.receipt_handle, None)

    def forget_all(self, messages: Iterable[ReceivedMessage]) -> None:
        """The same for several."""
        with self._changed:
            for message in messages:
                self._leases.pop(message.receipt_handle, None)

    def __len__(self) -> int:
        return len(self._leases)

    def messages(self) -> list[ReceivedMessage]:
        """The messages that are kept alive now and not about to be deleted."""
        with self._changed:
            return [lease.message for lease in self._leases.values() if not lease.is_settling]

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
                    # Answers to beats and settlements wake it too soon.
                    self._changed.wait_for(lambda: self._stopped, tick)
                if self._stopped:
                    return
                due = self._due(tick)
            try:
                self.on_look()
                self._lose_unanswered()
                for leases in tens(due):
                    self._send(leases)
            except Exception:  # this guards the thread that all leases depend on
                logger.exception("a heartbeat failed", extra={"action": "heartbeat_failed"})

    def _due(self, tick: float) -> list[Lease]:
        """The leases to extend now. Lock held."""
        soon, unanswered = time.monotonic() + tick, self._unanswered
        return [
            lease
            for lease in self._leases.values()
            if lease.due <= soon and unanswered.get(lease.message.receipt_handle, 0) < MAX_UNANSWERED
        ]

    def _lose_unanswered(self) -> None:
        """Report the loss of leases that have ended without an answer; one that is refused is lost at its answer."""
        now = time.monotonic()
        with self._changed:
            ended = [lease for lease in self._leases.values() if lease.until <= now and not lease.is_settling]
        for lease in ended:
            if not lease.lost and self._unanswered.get(lease.message.receipt_handle):
                self.lost += 1
                lease.lose("no heartbeat was answered before it ended")

    def _send(self, leases: Sequence[Lease]) -> None:
        """Have a beat sent, and wait for its answer, but not for long."""
        handles = [lease.message.receipt_handle for lease in leases]
        with self._changed:
            if self._unanswered.total() >= MAX_UNANSWERED_IN_ALL:
                return
            self._unanswered.update(handles)

        def beat() -> None:
            try:
                self._beat(leases)
            except Exception:  # Settlement never raises
                logger.exception("a heartbeat failed", extra={"action": "heartbeat_failed"})
            finally:
                self._answered(handles)

        thread = threading.Thread(target=beat, name="sqs-tasks-beat", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            beat()
        else:
            thread.join(BESIDE_SECONDS)

    def _answered(self, handles: Iterable[str]) -> None:
        calls: list[Callable[[], None]] = []
        with self._changed:
            for handle in handles:
                self._unanswered[handle] -= 1
                if self._unanswered[handle] <= 0:
                    del self._unanswered[handle]
                    if handle in self._when_answered:
                        calls.append(self._when_answered.pop(handle))
            self._changed.notify_all()
        for call in calls:
            call()

    def _beat(self, leases: Sequence[Lease]) -> None:
        started = time.monotonic()
        wanted: list[tuple[ReceivedMessage, int]] = []
        for lease in leases:
            seconds = min(self._lease_seconds, longest_visibility(lease.message))
            if seconds > 0:
                wanted.append((lease.message, seconds))
            else:
                self._lose(lease, "it has been in flight for 12 hours, the longest SQS allows")
        failed = {
            one.message.receipt_handle: one
            for one in self._settlement.change_visibility(wanted, action="extend", retries=0)
        }
        answered = time.monotonic()
        self.beats += len(wanted)
        for lease in leases:
            failure = failed.get(lease.message.receipt_handle)
            if failure is None and not self._fifo and lease.until <= answered:
                # A standard queue answers OK for a message that is visible again and leaves it visible; when another
                # worker has received it, the old handle even changes that worker's lease. So no further beat.
                self._lose(lease, "the beat that should extend it came after its end")
            elif failure is None:
                # A beat that was answered late may have been overtaken by another.
                lease.due = max(lease.due, started + self._lease_seconds / 2)
                lease.until = max(lease.until, started + self._lease_seconds)
            elif failure.is_final:
                self._lose(lease, failure.code)
            # Still due: the next look tries again, even after its end; nobody else may have received it yet.
            elif lease.until <= answered and not lease.lost and not lease.is_settling:
                self.lost += 1
                lease.lose(f"no heartbeat came through before it ended: {failure.code}")

    def _lose(self, lease: Lease, reason: str) -> None:
        with self._changed:
            ours = self._leases.pop(lease.message.receipt_handle, None) is not None
        # Settled in the meantime: then a refused handle says nothing about the task.
        if ours and not lease.lost and not lease.is_settling:
            self.lost += 1
            lease.lose(reason)
