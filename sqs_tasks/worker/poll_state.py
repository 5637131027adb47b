"""What a polling thread is doing, for those who ask whether it is still alive."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds a receive may be under way before it counts as stuck: the longest poll, and three tries of botocore that
#: each run into the read timeout.
STUCK_SECONDS = 120.0

#: Seconds of nothing but errors after which a queue counts as not served.
FAILING_SECONDS = 60.0


class PollState:
    """Written by one polling thread, read by any.

    A worker that sits in its tasks is alive, one that sits in a receive for minutes is not (celery/celery#8243: a
    worker that has silently stopped consuming looks idle to everybody else).

    Args:
        queue_name: The queue's name in code.
        clock: The monotonic clock, for tests.
    """

    def __init__(self, queue_name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.queue_name = queue_name
        self._clock = clock
        self._receiving_since: float | None = None
        self._failing_since: float | None = None
        self.last_error = ""
        self.has_received = False
        self.is_over = False
        #: Called by the first answer.
        self.on_first_answer: Callable[[], None] = lambda: None

    def receiving(self) -> None:
        """A receive is sent."""
        self._receiving_since = self._clock()

    def received(self) -> None:
        """It was answered."""
        self._receiving_since = self._failing_since = None
        self.last_error = ""
        if not self.has_received:
            self.has_received = True
            self.on_first_answer()

    def failed(self, error: str) -> None:
        """It failed."""
        self._receiving_since = None
        self._failing_since = self._failing_since or self._clock()
        self.last_error = error

    @property
    def is_receiving(self) -> bool:
        """Whether a receive is under way."""
        return self._receiving_since is not None

    def is_stuck(self) -> bool:
        """Whether a receive has been under way for longer than any can take."""
        since = self._receiving_since
        return not self.is_over and since is not None and self._clock() - since > STUCK_SECONDS

    def is_failing(self) -> bool:
        """Whether SQS has answered nothing but errors for a while."""
        since = self._failing_since
        return not self.is_over and since is not None and self._clock() - since > FAILING_SECONDS
