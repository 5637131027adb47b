"""One invocation: what its queues have in common, and what of it is known to be done.

Only what is known to be done is left out of the answer. Whatever else happens, a message that nobody spoke for stays.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqs_tasks.hooks import Hook
from sqs_tasks.lambda_runtime.deadline import Deadline, ObservedDurations
from sqs_tasks.lambda_runtime.records import read_messages
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import LEAVE, UNKNOWN_TASK_NAME, NotStarted, Outcome, Verdict

if TYPE_CHECKING:
    from sqs_tasks.lambda_runtime.job_report import JobReport
    from sqs_tasks.middleware import Middleware


@dataclass(frozen=True, kw_only=True)
class InvocationOptions:
    """How a handler runs its invocations; see :class:`~sqs_tasks.aws_lambda.SQSEventHandler`."""

    margin_seconds: float | None
    concurrency: int
    eager_acknowledgement: bool
    batching_window_seconds: float
    middleware: tuple[Middleware, ...]
    on_start: Hook[[Sequence[ReceivedMessage], str]]
    on_settled: Hook[[JobReport]]
    on_responses_ignored: Hook[[str]]
    durations: ObservedDurations


class Invocation:
    """One invocation; nothing of it outlives it (S28).

    Args:
        options: The handler's.
        context: Lambda's context, or None.

    Attributes:
        done: Ids of the messages that leave their queue. Threads that run jobs add to it; the one that called the
            handler reads it.
        deadline: When it ends.
        request_id: Lambda's id of it.
        stopped: Why nothing more is started, or None.
        is_over: Whether the answer is given already; what a thread has done since is not in it.
    """

    def __init__(self, options: InvocationOptions, context: Any) -> None:
        self.options = options
        self.deadline = Deadline(context, options.margin_seconds)
        request_id = getattr(context, "aws_request_id", None)
        self.request_id = request_id if isinstance(request_id, str) else None
        self.done: set[str] = set()
        self.stopped: NotStarted | None = None
        #: Whether a coroutine ran, so that there is an event loop that may have been lost.
        self.has_run_coroutines = False
        self.is_over = False

    def may_start(self, _message: ReceivedMessage) -> NotStarted | None:
        """Why nothing more is started, or None."""
        return self.stopped

    def stop_if_time_is_up(self) -> None:
        """Let nothing more be looked at, let alone started, once the margin has begun."""
        if self.stopped is None and self.deadline.is_over:
            self.stopped = NotStarted(reason="the invocation's time is used up")

    def stop_for_memory(self) -> None:
        """Let nothing more be started in a function that has run out of memory."""
        self.stopped = NotStarted(reason="the function ran out of memory")

    def leave(self, records: Sequence[Mapping[str, Any]], queue_name: str, reason: str) -> None:
        """Report messages that nothing can be done with here; they stay as they are."""
        if self.options.on_settled.callbacks:
            for message in read_messages(records):
                self.report(queue_name, UNKNOWN_TASK_NAME, message, NotStarted(reason=reason), LEAVE, None)

    def report(
        self,
        queue_name: str,
        task_name: str,
        message: ReceivedMessage,
        outcome: Outcome,
        verdict: Verdict,
        seconds: float | None,
    ) -> None:
        """Call the hooks, if there are any, with what became of a message."""
        if not self.options.on_settled.callbacks:
            return
        from sqs_tasks.lambda_runtime.job_report import JobReport  # most functions report nothing

        sent_at = message.first_sent_at
        waited = None if sent_at is None else max(time.time() - sent_at.timestamp() - (seconds or 0.0), 0.0)
        self.options.on_settled.emit(
            JobReport(
                queue_name=queue_name,
                task_name=task_name,
                message=message,
                outcome=outcome,
                verdict=verdict,
                duration_seconds=seconds,
                queue_delay_seconds=waited,
            )
        )
