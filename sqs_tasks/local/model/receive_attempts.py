"""Receive-request attempt ids: a receive whose answer was lost can be repeated on a FIFO queue.

For five minutes the same id returns the same messages with the same receipt handles and starts their visibility
timeout anew, as long as none of them was deleted or had its visibility changed.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-receiverequestattemptid-request-parameter.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sqs_tasks.local.model import faults
from sqs_tasks.local.model.message import IN_FLIGHT, Message

#: Seconds for which an attempt can be repeated.
INTERVAL_SECONDS = 300.0


class ReceiveAttempts:
    """The answers of a FIFO queue's latest receives, by attempt id."""

    def __init__(self) -> None:
        self._attempts: dict[str, list[tuple[Message, int, int, float]]] = {}
        self._ends: deque[tuple[float, str]] = deque()

    def remember(self, attempt_id: str, messages: Sequence[Message], now: float) -> None:
        """Note what a receive returned."""
        if attempt_id not in self._attempts:
            self._ends.append((now + INTERVAL_SECONDS, attempt_id))
        self._attempts[attempt_id] = [
            (message, message.number, message.handle_number, message.visible_at) for message in messages
        ]

    def repeat(self, attempt_id: str, now: float) -> list[Message] | None:
        """The messages of that attempt, or None when it is unknown or their visibility timeout is over.

        Raises:
            SQSFault: One of them was deleted or had its visibility changed, so the receive cannot be repeated.
        """
        while self._ends and self._ends[0][0] <= now:
            self._attempts.pop(self._ends.popleft()[1], None)
        attempt = self._attempts.get(attempt_id)
        if attempt is None:
            return None
        if any(visible_at <= now for _, _, _, visible_at in attempt):
            return None
        for message, number, handle_number, visible_at in attempt:
            if (
                message.state is not IN_FLIGHT
                or message.number != number
                or message.handle_number != handle_number
                or message.visible_at != visible_at
            ):
                reason = "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
                raise faults.invalid_value("ReceiveRequestAttemptId", attempt_id, reason)
        return [message for message, _, _, _ in attempt]

    def clear(self) -> None:
        """Forget everything."""
        self._attempts.clear()
        self._ends.clear()
