"""Batches: received messages that are gathered until an invocation is due (S7, S30, S32)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from sqs_tasks.local.event_source.source_queue import Received, groups_of
from sqs_tasks.local.function.function import MAX_PAYLOAD_BYTES

#: Seconds that a shorter window may take on a queue with little traffic (S32).
QUIET_WINDOW_SECONDS = 20.0

#: Bytes of an event around its records.
_ENVELOPE_BYTES = len('{"Records":[]}')

#: Bytes between two records.
_SEPARATOR_BYTES = len(",")


@dataclass(slots=True, kw_only=True)
class Batch:
    """The messages of one invocation.

    Attributes:
        received: The messages, in order.
        attempt: 1, and one more for each time it was throttled.
        not_before: Seconds since the epoch before which it is not tried again.
        duplicate: Whether it delivers messages a second time on purpose.
    """

    received: list[Received]
    attempt: int = 1
    not_before: float = 0.0
    duplicate: bool = False

    @property
    def groups(self) -> frozenset[str]:
        """The FIFO groups in it; none on a standard queue."""
        return groups_of(self.received)

    @property
    def expires_at(self) -> float:
        """Seconds since the epoch at which the first of its messages becomes visible again."""
        return min(item.expires_at for item in self.received)

    @property
    def size_bytes(self) -> int:
        """Bytes of the event that carries it."""
        return _ENVELOPE_BYTES + sum(item.size_bytes + _SEPARATOR_BYTES for item in self.received)


class Batcher:
    """Gathers messages and cuts batches from them.

    A batch is due when it is full, when its window has passed since the first message, or when the next message
    would take it over 6 MB. Without a window, whatever has been received is due at once.

    Owned by the thread that polls.
    """

    def __init__(self, *, batch_size: int, window_seconds: float, fifo: bool) -> None:
        self._batch_size = batch_size
        self._window_seconds = window_seconds
        self._fifo = fifo
        self._gathered: list[Received] = []
        self._window_ends_at = 0.0

    def __len__(self) -> int:
        return len(self._gathered)

    @property
    def room(self) -> int:
        """How many more messages to ask for.

        On a FIFO queue gathered messages wait for their busy groups only; messages of other groups must not wait too.
        """
        if self._fifo:
            return self._batch_size
        return max(0, self._batch_size - len(self._gathered))

    def add(self, received: Iterable[Received], now: float, *, is_slow: Callable[[], bool] = lambda: False) -> None:
        """Gather messages; the first one opens the window, and asks whether this one takes longer."""
        if not self._gathered:
            slow = 0 < self._window_seconds < QUIET_WINDOW_SECONDS and is_slow()
            self._window_ends_at = now + (QUIET_WINDOW_SECONDS if slow else self._window_seconds)
        self._gathered.extend(received)

    def drop_expired(self, now: float) -> list[Received]:
        """Take out the messages that have become visible again while they waited here."""
        expired = [item for item in self._gathered if item.expires_at <= now]
        if expired:
            self._gathered = [item for item in self._gathered if item.expires_at > now]
        return expired

    def window_left_seconds(self, now: float) -> float:
        """Seconds until what is gathered is due."""
        return max(0.0, self._window_ends_at - now)

    def take(self, now: float, busy_groups: Collection[str] = ()) -> Batch | None:
        """The batch that is due, or None; messages of busy groups keep their place and wait (S30)."""
        taken: list[Received] = []
        size = _ENVELOPE_BYTES
        full = False
        for item in self._gathered:
            if item.group_id is not None and item.group_id in busy_groups:
                continue
            if taken and size + item.size_bytes > MAX_PAYLOAD_BYTES:
                full = True
                break
            taken.append(item)
            size += item.size_bytes + _SEPARATOR_BYTES
            if len(taken) == self._batch_size:
                full = True
                break
        if not taken or not (full or now >= self._window_ends_at):
            return None
        chosen = {id(item) for item in taken}
        self._gathered = [item for item in self._gathered if id(item) not in chosen]
        self._window_ends_at = now + self._window_seconds
        return Batch(received=taken)

    def take_all(self) -> list[Received]:
        """Everything gathered, due or not; for the end."""
        gathered, self._gathered = self._gathered, []
        return gathered
