"""Settling within an invocation, before its end and without costing the answer. Imported when the first job fails."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

from sqs_tasks.execution.settlement import RETRIES, Settlement, Unsettled
from sqs_tasks.lambda_runtime.deadline import OutOfTime
from sqs_tasks.lambda_runtime.invocation import Invocation
from sqs_tasks.lambda_runtime.records import received_before
from sqs_tasks.limits import MAX_BATCH_ENTRIES
from sqs_tasks.loggers import kept_logger
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import LEAVE, ChangeVisibility, Delete, Outcome, Rejected, Verdict

logger = kept_logger(__name__)

#: Calls about visibilities that may fail as a whole before no more are made in an invocation.
MAX_LOST_CALLS = 3


class TimedSettlement:
    """Settles what Lambda does not settle after the invocation, or too late. Safe to share between threads.

    Args:
        settlement: The queue's.
        invocation: The invocation.

    Attributes:
        hidden: Messages whose visibility SQS changed, with the moment at which each is back, by the monotonic clock.
    """

    def __init__(self, settlement: Settlement, invocation: Invocation) -> None:
        self._settlement = settlement
        self._invocation = invocation
        self._deadline = invocation.deadline
        self.hidden: list[tuple[ReceivedMessage, float]] = []
        #: Those whose visibility is to be changed, in the same form.
        self._waiting: list[tuple[ReceivedMessage, float]] = []
        self._lock = threading.Lock()
        self._lost_calls = 0
        self._is_out_of_time = False

    def conclude(self, message: ReceivedMessage, outcome: Outcome) -> Verdict:
        """What becomes of a message; sending a copy somewhere is given up where it would cost the answer."""
        # Messages that cannot run are not asked for their time, and each may cost a call.
        self._invocation.stop_if_time_is_up()
        message = received_before(message, self._invocation.options.batching_window_seconds)
        if not self._settlement.may_call(message, outcome):
            return self._settlement.conclude(message, outcome)
        if self._invocation.is_over or self._is_out_of_time:
            # The answer keeps the message, or nearly has to be given: a copy would be a second one of it, or each of
            # many messages would take a little of the time that is no more there.
            return LEAVE
        try:
            with self._deadline.settling():
                return self._settlement.conclude(message, outcome, request_id=self._invocation.request_id)
        except OutOfTime:
            self._is_out_of_time = True
            logger.exception(
                "SQS took too long over a copy of message %s; it stays in its queue",
                message.message_id,
                extra=self._extra(
                    "dead_letter_failed" if isinstance(outcome, Rejected) else "copy_failed",
                    message_id=message.message_id,
                ),
            )
            return LEAVE

    def settle(self, message: ReceivedMessage, outcome: Outcome, verdict: Verdict) -> None:
        """Carry out a verdict; visibilities are gathered into tens."""
        if isinstance(verdict, Delete):
            # A dead letter is among them: should the invocation be lost, its copy would be made again.
            self.guarded(lambda: self._settlement.delete([message]))
        elif isinstance(verdict, ChangeVisibility):
            self._hide(message, verdict.seconds)
        if isinstance(getattr(outcome, "error", None), MemoryError):
            self._invocation.stop_for_memory()

    def flush(self) -> None:
        """Carry out what still waits for company."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if waiting:
            self._change_visibility(waiting)

    def guarded(self, call: Callable[[], object]) -> bool:
        """Make a settlement call; without it messages come back later or are deleted later, but none is lost (S21).

        Returns:
            Whether it came back in time.
        """
        try:
            with self._deadline.settling():
                call()
        except BaseException:  # nothing about settling may cost the answer
            logger.exception("cannot settle", extra=self._extra("settle_failed"))
            return False
        return True

    def _hide(self, message: ReceivedMessage, seconds: int) -> None:
        with self._lock:
            self._waiting.append((message, time.monotonic() + seconds))
            if len(self._waiting) < MAX_BATCH_ENTRIES:
                return
            waiting, self._waiting = self._waiting, []
        self._change_visibility(waiting)

    def _change_visibility(self, waiting: Sequence[tuple[ReceivedMessage, float]]) -> None:
        """Hide messages for what is left of their delays: it was counted from the failure, not from this call."""
        if self._lost_calls >= MAX_LOST_CALLS:
            return
        now = time.monotonic()
        # Rounded up; less a millisecond, because a sum and a difference of floats may come out a trifle above.
        pairs = [(message, max(math.ceil(back_at - now - 0.001), 0)) for message, back_at in waiting]
        unsettled: list[Unsettled] | None = None
        try:
            with self._deadline.settling():
                # Where SQS did not answer before, each further try costs time that the other jobs need.
                unsettled = self._settlement.change_visibility(pairs, retries=0 if self._lost_calls else RETRIES)
        except BaseException:  # nothing about settling may cost the answer
            logger.exception("cannot settle", extra=self._extra("settle_failed"))
        if unsettled is not None and len(unsettled) < len(waiting):
            lost = {one.message.message_id for one in unsettled}
            self.hidden += [(message, back_at) for message, back_at in waiting if message.message_id not in lost]
        if unsettled is None or (len(unsettled) == len(pairs) and not all(one.is_final for one in unsettled)):
            self._lost_calls += 1
            if self._lost_calls == MAX_LOST_CALLS:
                logger.error(
                    "SQS accepts no visibility changes; failed messages of this invocation come back "
                    "when their visibility timeouts end",
                    extra=self._extra("change_visibility_given_up"),
                )

    def _extra(self, action: str, **more: str) -> dict[str, str]:
        return {"action": action, "queue_name": self._settlement.queue_name, **more}
