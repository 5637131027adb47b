"""What became of one message in an invocation; what telemetry is made of. Imported when somebody asks for reports."""

from __future__ import annotations

from dataclasses import dataclass

from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import Delete, Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What became of one message in an invocation. It holds no argument and no payload.

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
