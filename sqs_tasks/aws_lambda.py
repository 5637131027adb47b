"""The Lambda runtime: an SQS event in, exactly ``{"batchItemFailures": [...]}`` out.

Two lines make a function of a registry::

    from sqs_tasks.aws_lambda import SQSEventHandler
    handler = SQSEventHandler(env)

The event source mapping must report batch item failures (the CDK constructs always switch it on): without that Lambda
ignores the answer and deletes the whole batch (S9).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

from sqs_tasks.arn import QueueArn
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.executor import Executor
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.hooks import Hook
from sqs_tasks.interrupting import main_thread_timeout
from sqs_tasks.lanes import Lane, plan, run_lane
from sqs_tasks.message import ReceivedMessage, from_lambda
from sqs_tasks.middleware import Middleware
from sqs_tasks.outcome import NotStarted, Outcome, Retried
from sqs_tasks.settlement import Delete, Hide, Settlement, Verdict

logger = logging.getLogger(__name__)

#: Seconds kept free at the end of an invocation for settling and for flushing telemetry (S51).
DEADLINE_MARGIN_SECONDS = 2.0

#: Seconds by which a redelivered message may be older than the invocation: throttled batches are tried again inside
#: one receive (S20).
RECEIVE_AGE_MARGIN_SECONDS = 60.0

#: The mapping's batching window in seconds, which the stack tells the function.
BATCHING_WINDOW_VARIABLE = "SQS_TASKS_BATCHING_WINDOW_SECONDS"

#: A task that exits or interrupts is a failed task, not a failed batch (S53).
LAMBDA_FAILURES: tuple[type[BaseException], ...] = (Exception, SystemExit, KeyboardInterrupt)


class BatchItemFailure(TypedDict):
    """One message that stays in the queue."""

    itemIdentifier: str


class BatchResponse(TypedDict):
    """The partial batch response (S10, S11)."""

    batchItemFailures: list[BatchItemFailure]


class LambdaContext(Protocol):
    """What the handler asks of Lambda's context."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""


class SQSEventHandler:
    """A Lambda handler for the queues of an environment. It raises for events that are not SQS's, and for nothing else.

    Args:
        env: The environment with its queues and tasks.
        margin_seconds: What is kept free at the end of an invocation.
        middleware: Wraps each job outside the environment's own, for what concerns this runtime alone.

    Attributes:
        on_settled: Hook, called with each message, its outcome, its verdict and its queue's name in code.
    """

    def __init__(
        self,
        env: SQSEnv,
        *,
        margin_seconds: float = DEADLINE_MARGIN_SECONDS,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self.env = env
        self.margin_seconds = margin_seconds
        self.middleware = tuple(middleware)
        self.on_settled: Hook[[ReceivedMessage, Outcome, Verdict, str]] = Hook("on_settled")
        self._window = float(os.environ.get(BATCHING_WINDOW_VARIABLE) or 0)
        self._by_sqs_name: dict[str, GenericQueue] = {}

    def __call__(self, event: Any, context: LambdaContext | None = None) -> BatchResponse:
        """Run the jobs of an event and name those that stay in the queue.

        Raises:
            ConfigurationError: The event is not from SQS; Lambda then keeps whatever it was.
        """
        records = _records(event)
        invocation = _Invocation(self, context)
        by_arn: dict[str, list[Mapping[str, Any]]] = {}
        for record in records:
            by_arn.setdefault(record["eventSourceARN"], []).append(record)
        for arn, batch in by_arn.items():
            invocation.run(arn, batch)
        return {"batchItemFailures": [{"itemIdentifier": one} for one in invocation.failed]}

    def queue_for(self, arn: str) -> GenericQueue | None:
        """The registered queue an ARN means, or None."""
        try:
            name = QueueArn.parse(arn).queue_name
        except ConfigurationError:
            return None
        queue = self._by_sqs_name.get(name)
        if queue is None:
            for one in self.env.queues.values():
                url = one.settings.queue_url
                known = one.get_sqs_queue_name() if url is None else url.rstrip("/").rpartition("/")[2]
                self._by_sqs_name[known] = one
            queue = self._by_sqs_name.get(name)
        return queue


@dataclass
class _Invocation:
    """One invocation; nothing of it outlives it (S28)."""

    handler: SQSEventHandler
    context: LambdaContext | None
    #: Ids of messages that stay, each once, in the order they were found.
    failed: dict[str, None] = field(default_factory=dict)
    _started: bool = False
    _stopped: NotStarted | None = None

    def run(self, arn: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Run the records of one queue; whatever happens, each of them is settled or listed."""
        done: set[str] = set()
        hides: list[tuple[ReceivedMessage, int]] = []
        settlement: Settlement | None = None
        try:
            queue = self.handler.queue_for(arn)
            if queue is None:
                logger.error(
                    "no queue is registered for %s; its messages stay in the queue",
                    arn,
                    extra={"action": "unknown_queue", "queue_arn": arn},
                )
                return
            executor, settlement = self._executor(queue), queue.settlement()
            for lane in plan(self._messages(records), executor, fifo=queue.settings.fifo):
                self._run_lane(lane, queue, executor, settlement, done, hides)
        except LAMBDA_FAILURES:  # ours or a collaborator's bug: what is not done is listed, never thrown away
            logger.exception("the batch was cut short", extra={"action": "batch_failed", "queue_arn": arn})
        finally:
            for record in records:
                message_id = record.get("messageId")
                if message_id not in done and isinstance(message_id, str) and message_id:
                    self.failed[message_id] = None
            self._hide(settlement, hides)

    def _run_lane(
        self,
        lane: Lane,
        queue: GenericQueue,
        executor: Executor,
        settlement: Settlement,
        done: set[str],
        hides: list[tuple[ReceivedMessage, int]],
    ) -> None:
        may_start = self._may_start_on(queue, executor)
        for message, outcome, verdict in run_lane(lane, executor, settlement, may_start, request_id=self._request_id()):
            if isinstance(verdict, Delete):
                done.add(message.message_id)
            elif isinstance(verdict, Hide):
                hides.append((message, verdict.seconds))
            if isinstance(outcome, Retried) and isinstance(outcome.error, MemoryError):
                self._stopped = NotStarted(reason="the function ran out of memory")
            self.handler.on_settled.emit(message, outcome, verdict, queue.name)

    def _executor(self, queue: GenericQueue) -> Executor:
        return queue.executor(
            run_coroutine=_run_coroutine,
            interrupter=main_thread_timeout,
            failures=LAMBDA_FAILURES,
            middleware=self.handler.middleware,
        )

    def _messages(self, records: Sequence[Mapping[str, Any]]) -> list[ReceivedMessage]:
        """The records as messages; one that cannot be read stays, and one that came twice is run once (S6)."""
        now = time.time()
        messages: dict[str, ReceivedMessage] = {}
        for record in records:
            try:
                message = from_lambda(record, received_at=time.monotonic() - self._age(record, now))
            except Exception:  # a record of a shape nobody has seen; it is listed and the others go on
                logger.exception("cannot read record", extra={"action": "record_unreadable"})
                continue
            messages.setdefault(message.message_id, message)
        return list(messages.values())

    def _age(self, record: Mapping[str, Any], now: float) -> float:
        """Seconds since the receive: known for a first delivery, estimated for others (S20)."""
        attributes = record.get("attributes") or {}
        if attributes.get("ApproximateReceiveCount") == "1":
            try:
                return max(now - int(attributes["ApproximateFirstReceiveTimestamp"]) / 1000, 0)
            except (KeyError, ValueError):
                pass
        return self.handler._window + RECEIVE_AGE_MARGIN_SECONDS  # noqa: SLF001 - two halves of one module

    def _may_start_on(self, queue: GenericQueue, executor: Executor) -> Callable[[ReceivedMessage], NotStarted | None]:
        def may_start(message: ReceivedMessage) -> NotStarted | None:
            if self._stopped is not None:
                return self._stopped
            first, self._started = not self._started, True
            left = self._seconds_left()
            if left is None:
                return None
            task = executor.tasks.get(message.job_name)
            need = (task.settings.timeout or 0) if task is not None else 0
            if left >= need + self.handler.margin_seconds:
                return None
            if first:
                # No later invocation will have more time than a fresh one: better a run that may end in time.
                logger.warning(
                    "the function's timeout leaves %.1f s for task %s, which may take %.1f s; raise it",
                    left,
                    message.job_name,
                    need,
                    extra={"action": "deadline_too_short", "queue_name": queue.name, "job_name": message.job_name},
                )
                return None
            return NotStarted(reason=f"{left:.1f} s are left, the task may take {need:g} s")

        return may_start

    def _seconds_left(self) -> float | None:
        remaining = getattr(self.context, "get_remaining_time_in_millis", None)
        return None if remaining is None else remaining() / 1000

    def _request_id(self) -> str | None:
        return getattr(self.context, "aws_request_id", None)

    def _hide(self, settlement: Settlement | None, hides: Sequence[tuple[ReceivedMessage, int]]) -> None:
        if settlement is None or not hides:
            return
        try:
            settlement.hide(hides)
        except LAMBDA_FAILURES:  # without it they come back when their visibility ends: later, but not lost (S21)
            logger.exception("cannot change visibilities", extra={"action": "hide_failed"})


def _records(event: Any) -> list[Mapping[str, Any]]:
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list):
        keys = ", ".join(map(str, event)) if isinstance(event, Mapping) else type(event).__name__
        raise ConfigurationError(
            f"not an SQS event: it has no Records (it has {keys or 'nothing'}); "
            "this function is for an SQS event source"
        )
    for record in records:
        source = record.get("eventSource") if isinstance(record, Mapping) else type(record).__name__
        if source != "aws:sqs" or not isinstance(record.get("eventSourceARN"), str):
            raise ConfigurationError(
                f"not an SQS event: a record is from {source!r}; this function is for an SQS event source"
            )
    return records


def _run_coroutine(coroutine: Any, *, timeout_seconds: float | None) -> Any:
    from sqs_tasks.event_loop import run_coroutine  # only a function with async tasks imports asyncio

    return run_coroutine(coroutine, timeout_seconds=timeout_seconds)


__all__ = ["BatchItemFailure", "BatchResponse", "LambdaContext", "SQSEventHandler"]
