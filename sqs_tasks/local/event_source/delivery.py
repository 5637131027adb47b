"""Delivery: invokes the function with one batch, reads its response, deletes what succeeded, and logs the report."""

from __future__ import annotations

import logging
import random
import threading
import uuid

from sqs_tasks.local.clock import Clock
from sqs_tasks.local.event_source.batch import Batch
from sqs_tasks.local.event_source.batch_response import BatchVerdict, all_failed, read_response
from sqs_tasks.local.event_source.lineage import lineage_count, next_trace_header
from sqs_tasks.local.event_source.settings import EventSourceSettings
from sqs_tasks.local.event_source.source_queue import Received, SourceQueue
from sqs_tasks.local.function.event_record import encode_event
from sqs_tasks.local.function.fault_injection import FaultDice, Faults
from sqs_tasks.local.function.function import MAX_PAYLOAD_BYTES, InvokeRequest, InvokeResult, LambdaFunction
from sqs_tasks.local.function.invocation import FunctionError, Invocation, InvocationReport, InvocationStatus

logger = logging.getLogger(__name__)

_THROTTLED = InvokeResult(
    status=InvocationStatus.THROTTLED,
    duration_ms=0.0,
    error=FunctionError(type="TooManyRequestsException", message="Rate Exceeded."),
)


class Delivery:
    """Delivers batches to a function. Safe for threads: what is drawn at random is drawn under a lock."""

    def __init__(
        self,
        queue: SourceQueue,
        function: LambdaFunction,
        settings: EventSourceSettings,
        *,
        faults: Faults,
        seed: int | str | None,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._function = function
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._dice = FaultDice(faults, seed)
        # Ids and trace headers need not be secret, and tests need them to be repeatable.
        self._ids = random.Random(None if seed is None else f"{seed}:ids")  # noqa: S311

    def throttled(self) -> bool:
        """Whether a fault refuses the next attempt."""
        with self._lock:
            return self._dice.hits("throttle")

    def window_is_slow(self) -> bool:
        """Whether a fault extends the window that opens now."""
        with self._lock:
            return self._dice.hits("slow_window")

    def refuse(self, batch: Batch) -> Invocation:
        """The record of a throttled attempt: nothing reached the function, and nothing is settled."""
        invocation = Invocation(
            records=tuple(item.record for item in batch.received),
            attempt=batch.attempt,
            report=self._report(self._request_id(), _THROTTLED),
            error=_THROTTLED.error,
        )
        logger.warning(
            "throttled: a batch of %d from %s, attempt %d",
            len(batch.received),
            self._queue.name,
            batch.attempt,
            extra={"action": "event_source_throttled", "queue_name": self._queue.name},
        )
        return invocation

    def duplicates(self, batch: Batch) -> list[Received]:
        """Repeat some records inside the batch, and return others to deliver once more after it (S6).

        A FIFO batch is repeated whole, after itself, so that the order within its groups stays right.
        """
        with self._lock:
            hit = [] if batch.duplicate else [item for item in batch.received if self._dice.hits("duplicate")]
            if self._queue.fifo:
                return list(batch.received) if hit else []
            later: list[Received] = []
            for item in hit:
                fits = (
                    len(batch.received) < self._settings.batch_size
                    and batch.size_bytes + item.size_bytes <= MAX_PAYLOAD_BYTES
                )
                (batch.received if self._dice.coin() and fits else later).append(item)
            return later

    def deliver(self, batch: Batch) -> Invocation:
        """Invoke the function with the batch; delete what succeeded, leave what failed untouched (S15, S16)."""
        message_ids = [item.message_id for item in batch.received]
        request = self._request(batch)
        result = self._function.invoke(request)
        verdict = self._verdict(result, message_ids)
        done = [item for item in batch.received if item.message_id not in verdict.failed]
        invocation = Invocation(
            records=tuple(item.record for item in batch.received),
            attempt=batch.attempt,
            report=self._report(request.request_id, result),
            response=result.payload,
            error=result.error,
            failed=verdict.failed,
            deleted=frozenset(self._queue.delete(done)),
            complete_failure=verdict.complete_failure,
        )
        self._log(invocation, verdict)
        return invocation

    def _request(self, batch: Batch) -> InvokeRequest:
        arn = self._function.configuration.arn
        headers = [item.record["attributes"].get("AWSTraceHeader") for item in batch.received]
        longest = max(headers, key=lambda header: lineage_count(header, arn))
        request_id = self._request_id()
        with self._lock:
            return InvokeRequest(
                request_id=request_id,
                payload=encode_event([item.record for item in batch.received]),
                trace_header=next_trace_header(longest, arn, now=self._clock.now(), rng=self._ids),
                fault=self._dice.lost(),
                fault_early=self._dice.coin(),
                cold_start=self._dice.hits("cold_start"),
            )

    def _request_id(self) -> str:
        with self._lock:
            return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))

    def _verdict(self, result: InvokeResult, message_ids: list[str]) -> BatchVerdict:
        if result.status is not InvocationStatus.SUCCEEDED:
            return all_failed(message_ids)
        return read_response(
            result.payload, message_ids, report_batch_item_failures=self._settings.report_batch_item_failures
        )

    def _report(self, request_id: str, result: InvokeResult) -> InvocationReport:
        return InvocationReport(
            request_id=request_id,
            status=result.status,
            duration_ms=result.duration_ms,
            init_duration_ms=result.init_duration_ms,
            memory_size_mb=self._function.configuration.memory_mb,
            max_memory_used_mb=result.max_memory_used_mb,
            error_type=result.error.type if result.error else None,
        )

    def _log(self, invocation: Invocation, verdict: BatchVerdict) -> None:
        extra = {
            "queue_name": self._queue.name,
            "function_name": self._function.configuration.name,
            "request_id": invocation.request_id,
        }
        if invocation.error is not None:
            logger.error(
                "%s",
                invocation.error,
                extra={
                    "action": "event_source_function_error",
                    "message_ids": list(invocation.message_ids),
                    **extra,
                },
            )
        odd = verdict.complete_failure or verdict.advice
        if odd:
            effect = "the whole batch failed: " if verdict.complete_failure else ""
            logger.warning("%s%s", effect, odd, extra={"action": "event_source_odd_response", **extra})
        logger.info("%s", invocation.report, extra={"action": "event_source_report", **extra})
