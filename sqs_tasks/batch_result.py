"""What one ``process_batch`` did, and what shutdown policies are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqs_tasks.message import ReceivedMessage


@dataclass
class BatchProcessingResult:
    """The messages of one turn, by whether their jobs are done.

    Attributes:
        queue_name: The queue's name in code.
        succeeded: Messages whose tasks returned.
        failed: All others: retried, rejected, unknown, not started.
    """

    queue_name: str
    succeeded: list[ReceivedMessage] = field(default_factory=list)
    failed: list[ReceivedMessage] = field(default_factory=list)

    def update_with_message(self, message: ReceivedMessage, success: bool) -> None:
        """Add a message."""
        (self.succeeded if success else self.failed).append(message)

    def succeeded_count(self) -> int:
        """How many jobs succeeded."""
        return len(self.succeeded)

    def failed_count(self) -> int:
        """How many did not."""
        return len(self.failed)

    def total_count(self) -> int:
        """How many messages there were."""
        return len(self.succeeded) + len(self.failed)
