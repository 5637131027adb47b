"""What an event source has done so far, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from sqs_tasks.local.function.invocation import Invocation, InvocationStatus


@dataclass(slots=True, kw_only=True)
class EventSourceStatistics:
    """Counters that only grow.

    Attributes:
        polls: Receives.
        received: Messages received.
        filtered: Messages deleted because no filter matched (S41).
        recursive: Messages not delivered because their chain came back too often (S36).
        expired: Messages dropped because they became visible again before they could be delivered (S19).
        throttles: Attempts refused because of a limit on concurrency, or by a fault.
        invocations: Invocations that reached the function; throttled attempts are not among them.
        cold_starts: Those of them that started an environment.
        errors: Those that ended in a function error.
        timeouts: Those that timed out.
        crashes: Those whose runtime exited.
        out_of_memory: Those that were killed because they used too much memory.
        records: Records in invocations.
        duplicates: Those of them that were delivered a second time on purpose.
        deleted: Messages deleted after an invocation returned.
        failed: Records that stay in the queue.
    """

    polls: int = 0
    received: int = 0
    filtered: int = 0
    recursive: int = 0
    expired: int = 0
    throttles: int = 0
    invocations: int = 0
    cold_starts: int = 0
    errors: int = 0
    timeouts: int = 0
    crashes: int = 0
    out_of_memory: int = 0
    records: int = 0
    duplicates: int = 0
    deleted: int = 0
    failed: int = 0

    def count(self, invocation: Invocation) -> None:
        """Add one invocation, or throttled attempt."""
        status = invocation.status
        if status is InvocationStatus.THROTTLED:
            self.throttles += 1
            return
        self.invocations += 1
        self.cold_starts += invocation.report.init_duration_ms is not None
        self.errors += status is InvocationStatus.ERROR
        self.timeouts += status is InvocationStatus.TIMED_OUT
        self.crashes += status is InvocationStatus.CRASHED
        self.out_of_memory += status is InvocationStatus.OUT_OF_MEMORY
        self.records += len(invocation.records)
        self.deleted += len(invocation.deleted)
        self.failed += sum(message_id in invocation.failed for message_id in invocation.message_ids)
