"""Whose turn it is to fetch messages that are known to be there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds to wait for one's turn before going without: what a receive takes of the interpreter, with room. One that
#: takes longer waits for the network, and then others may as well go on.
PATIENCE_SECONDS = 0.005


class Turn:
    """Has receives that are answered at once made one after the other, whichever queues they are for.

    Threads that are inside boto3 together take the interpreter from each other at every step. Long polls, which wait
    and do not compute, need no turn.

    Args:
        patience_seconds: How long to wait for another; ``PATIENCE_SECONDS`` unless given.
    """

    def __init__(self, patience_seconds: float | None = None) -> None:
        self._patience_seconds = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn and keep it for the block; for a block that takes long the others wait no longer."""
        mine = self._lock.acquire(timeout=self._patience_seconds)
        try:
            yield
        finally:
            if mine:
                self._lock.release()
