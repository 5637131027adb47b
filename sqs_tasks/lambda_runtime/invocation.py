"""One invocation: what is done, what stays, and when it ends.

Only what is known to be done is left out of the answer. Whatever else happens, a message that nobody spoke for stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.hooks import Hook
from sqs_tasks.lambda_runtime.deadline import Deadline, ObservedDurations
from sqs_tasks.lambda_runtime.queue_run import UNKNOWN_TASK, QueueRun
from sqs_tasks.lambda_runtime.records import read_messages
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.middleware import Middleware
from sqs_tasks.outcome import NotStarted, Outcome
from sqs_tasks.settlement import LEAVE, Delete, Settlement, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What became of one message in an invocation; what telemetry is made of. It holds no argument and no payload.

    Attributes:
        queue_name: The queue's name in code; its name in SQS when it is not registered here.
        task_name: The task's registered name, or ``(unknown)``.
        message: The message.
        outcome: What became of its job.
        verdict: What becomes of the message.
        duration_seconds: How long it ran; None when it did not. A batch processor's jobs each have the call's.
        queue_delay_seconds: How long it had waited since it was sent, retries included; None when that is not known.
    """

    queue_name: str
    task_name: str
    message: ReceivedMessage
    outcome: Outcome
    verdict: Verdict
    duration_seconds: float | None
    queue_delay_seconds: float | None

    @property
    def is_done(self) -> bool:
        """Whether the message leaves its queue."""
        return isinstance(self.verdict, Delete)


class AnswerCheck(Protocol):
    """Finds out whether answers are heeded: :class:`~sqs_tasks.lambda_runtime.response_check.ResponseCheck`."""

    is_settled: bool

    def failed(self, hidden: Sequence[tuple[ReceivedMessage, float]]) -> None:
        """These were hidden until these moments, and are in the answer."""

    def arrived(self, records: Sequence[Mapping[str, Any]]) -> None:
        """These came in."""

    def ask(self, settlement: Settlement) -> None:
        """Ask SQS, if that can tell anything now."""


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
        anything_started: Whether a job has been; the first one is, whatever time is left.
        is_over: Whether the answer is given already; what a thread has done since is not in it.
    """

    def __init__(self, options: InvocationOptions, context: Any) -> None:
        self.options = options
        self.deadline = Deadline(context, options.margin_seconds)
        request_id = getattr(context, "aws_request_id", None)
        self.request_id = request_id if isinstance(request_id, str) else None
        self.done: set[str] = set()
        self.stopped: NotStarted | None = None
        self.anything_started = False
        self.is_over = False

    def run(
        self,
        queue: GenericQueue,
        records: Sequence[Mapping[str, Any]],
        *,
        fifo: bool,
        queue_url: Callable[[], str],
        check: AnswerCheck | None,
    ) -> AnswerCheck | None:
        """Run the jobs of one queue and settle their messages.

        Args:
            queue: The queue.
            records: Its records of the event.
            fifo: Whether each message group keeps its order.
            queue_url: Gives the queue's URL.
            check: What is known of the queue's mapping; None until a message has failed.

        Returns:
            The same, or a new one when a message failed for the first time.
        """
        settlement = queue.settlement(queue_url=queue_url)
        run = QueueRun(self, queue, settlement)
        run.run(read_messages(records, batching_window_seconds=self.options.batching_window_seconds), fifo=fifo)
        if check is not None and not check.is_settled:
            check.arrived(records)
            run.guarded(lambda: check.ask(settlement))
        if run.hidden and (check is None or not check.is_settled):
            if check is None:
                # Imported with the first failure, which has paid for boto3 as well.
                from sqs_tasks.lambda_runtime.response_check import ResponseCheck

                check = ResponseCheck(queue.name, self.options.on_responses_ignored.emit)
            check.failed(run.hidden)
        return check

    def leave(self, records: Sequence[Mapping[str, Any]], queue_name: str, reason: str) -> None:
        """Report messages that nothing can be done with here; they stay as they are."""
        if self.options.on_settled:
            for message in read_messages(records, batching_window_seconds=0):
                self.report(queue_name, UNKNOWN_TASK, message, NotStarted(reason=reason), LEAVE, None)

    def report(
        self,
        queue_name: str,
        task_name: str,
        message: ReceivedMessage,
        outcome: Outcome,
        verdict: Verdict,
        seconds: float | None,
    ) -> None:
        """Tell the hooks, if there are any, what became of a message."""
        if not self.options.on_settled:
            return
        sent_at = message.sent_at
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
