"""Finding out whether Lambda looks at the answer: without ReportBatchItemFailures it deletes the failed messages too.

The answer itself says nothing about that (S9). But a failed message that was hidden until some moment must still be
there before it: once per environment and queue, one such message is asked for. SQS says when it does not exist any
more, and then somebody deleted what the answer kept. A message that comes back proves the opposite.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqs_tasks.execution.settlement import Settlement
from sqs_tasks.loggers import kept_logger
from sqs_tasks.message import ReceivedMessage

logger = kept_logger(__name__)

#: Seconds for which a message must stay hidden still, so that the question cannot come when it is back already.
SAFE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Witness:
    """A failed message that should be there until this moment, by the monotonic clock."""

    message: ReceivedMessage
    back_at: float


class ResponseCheck:
    """What is known of one queue's event source mapping. Used by the thread that called the handler.

    Args:
        queue_name: The queue's name in code.
        on_ignored: Called once, when answers turn out to be ignored.
    """

    def __init__(self, queue_name: str, on_ignored: Callable[[str], None]) -> None:
        self.queue_name = queue_name
        self._on_ignored = on_ignored
        self._witness: _Witness | None = None
        self.is_settled = False

    def failed(self, hidden: Sequence[tuple[ReceivedMessage, float]]) -> None:
        """Remember, of the messages that were hidden and will be in the answer, the one that is so for longest."""
        if self.is_settled:
            return
        for message, back_at in hidden:
            if self._witness is None or back_at > self._witness.back_at:
                self._witness = _Witness(message, back_at)

    def arrived(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Look whether a message of an answer has come back: then Lambda reads the answers."""
        if self._witness is not None and any(one["messageId"] == self._witness.message.message_id for one in records):
            self._settle()

    def ask(self, settlement: Settlement) -> None:
        """Ask SQS for the message of an earlier answer, if it must still be hidden; one call, until it is known."""
        witness = self._witness
        if witness is None:
            return
        left = witness.back_at - time.monotonic()
        if left < SAFE_SECONDS:
            self._witness = None  # too late to tell anything; another one may be hidden for longer
            return
        # Hidden for as long as it is already: the question changes nothing.
        lost = settlement.change_visibility([(witness.message, math.ceil(left))], retries=0)
        if not lost:
            self._settle()
        elif lost[0].is_final:  # it does not exist, or is not the receiver's any more
            self._settle()
            logger.error(
                "message %s of queue %s was reported as failed and is gone: the event source mapping seems to lack "
                "FunctionResponseTypes=[ReportBatchItemFailures], so failed messages are deleted and lost",
                witness.message.message_id,
                self.queue_name,
                extra={
                    "action": "responses_ignored",
                    "queue_name": self.queue_name,
                    "message_id": witness.message.message_id,
                },
            )
            self._on_ignored(self.queue_name)
        else:
            self._witness = None  # SQS did not answer; with the next failure it is tried again

    def _settle(self) -> None:
        self.is_settled = True
        self._witness = None
