"""One invocation, as CloudWatch would report it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from sqs_tasks.local.function.event_record import EventRecord


class InvocationStatus(StrEnum):
    """How an invocation ended; the response matters only when it is SUCCEEDED."""

    SUCCEEDED = "succeeded"
    ERROR = "error"
    TIMED_OUT = "timeout"
    CRASHED = "crash"
    OUT_OF_MEMORY = "oom"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationReport:
    """The numbers of CloudWatch's REPORT line.

    Attributes:
        request_id: The invocation's id.
        status: How it ended.
        duration_ms: Milliseconds in the handler; for a timeout the function's whole timeout.
        init_duration_ms: Milliseconds of the cold start before it, or None in a warm environment.
        memory_size_mb: The function's configured megabytes.
        max_memory_used_mb: The environment's highest resident megabytes so far, or None where it cannot be known.
        error_type: ``ValueError``, ``Runtime.ExitError``, ``Sandbox.Timedout``, ..., or None.
    """

    request_id: str
    status: InvocationStatus
    duration_ms: float
    init_duration_ms: float | None = None
    memory_size_mb: int
    max_memory_used_mb: int | None = None
    error_type: str | None = None

    @property
    def billed_duration_ms(self) -> int:
        """Whole milliseconds that Lambda bills; since August 2025 the cold start is billed too."""
        return math.ceil(self.duration_ms + (self.init_duration_ms or 0.0))

    def __str__(self) -> str:
        parts = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {self.duration_ms:.2f} ms",
            f"Billed Duration: {self.billed_duration_ms} ms",
            f"Memory Size: {self.memory_size_mb} MB",
        ]
        if self.max_memory_used_mb is not None:
            parts.append(f"Max Memory Used: {self.max_memory_used_mb} MB")
        if self.init_duration_ms is not None:
            parts.append(f"Init Duration: {self.init_duration_ms:.2f} ms")
        if self.status is InvocationStatus.TIMED_OUT:
            parts.append("Status: timeout")
        elif self.status in (InvocationStatus.CRASHED, InvocationStatus.OUT_OF_MEMORY):
            parts.append(f"Status: error\tError Type: {self.error_type}")
        return "\t".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionError:
    """What a function left when it failed.

    Attributes:
        type: The exception's class name, or Lambda's own name (``Runtime.ExitError``).
        message: The exception's text.
        stack_trace: The traceback as the runtime client reports it, entry by entry; empty if there is none.
    """

    type: str
    message: str
    stack_trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"[ERROR] {self.type}: {self.message}"]
        if self.stack_trace:
            lines += ["Traceback (most recent call last):", *(entry.rstrip("\n") for entry in self.stack_trace)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What became of one batch at one attempt.

    Attributes:
        records: The records of the event, in order.
        attempt: 1, and one more each time the batch was throttled before.
        report: Duration, memory, status.
        response: The function's answer as it was sent, or None if there was none.
        error: What went wrong in the function, or None.
        failed: Message ids that stay in the queue until their visibility ends (S16); all of them unless the response
            says otherwise. Empty for a throttled attempt: nothing is settled yet.
        deleted: Message ids that were deleted after the invocation returned (S15).
        complete_failure: Why a response failed the whole batch (S11), or None.
    """

    records: tuple[EventRecord, ...]
    attempt: int
    report: InvocationReport
    response: bytes | None = None
    error: FunctionError | None = None
    failed: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()
    complete_failure: str | None = None

    @property
    def request_id(self) -> str:
        """The invocation's id."""
        return self.report.request_id

    @property
    def status(self) -> InvocationStatus:
        """How the invocation ended."""
        return self.report.status

    @property
    def message_ids(self) -> tuple[str, ...]:
        """The records' message ids, in order; one may repeat on a duplicate delivery (S6)."""
        return tuple(record["messageId"] for record in self.records)
