"""Settling for queues that remove a large body together with its job: ``S3Offload(remove_with_job=True)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sqs_tasks.execution.settlement import Settlement, Unsettled
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import Delete, Outcome, Skipped, Succeeded, Verdict


class Payloads(Protocol):
    """The large bodies of a queue: :class:`~sqs_tasks.offload.payload_store.PayloadStore`."""

    def has_payload(self, message: ReceivedMessage, /) -> bool:
        """Whether the body of a message is in S3."""

    def remove(self, messages: Sequence[ReceivedMessage], /) -> None:
        """Remove the bodies of messages; never raises."""


class RemovingSettlement(Settlement):
    """Removes the bodies of finished jobs once their messages are deleted, and those of no others.

    A body that a dead letter or another copy points to stays. Who dies between the two requests leaves an object, which
    the lifecycle rule of the bucket removes.

    Args:
        payloads: The bodies.
        **options: Those of :class:`~sqs_tasks.execution.settlement.Settlement`.
    """

    def __init__(self, payloads: Payloads, **options: Any) -> None:
        super().__init__(**options)
        self._payloads = payloads
        #: The receipt handles of messages whose jobs are finished, and that are not deleted yet.
        self._finished: set[str] = set()

    def conclude(self, message: ReceivedMessage, outcome: Outcome, *, request_id: str | None = None) -> Verdict:
        """What becomes of a message; a body whose job is finished is noted."""
        verdict = super().conclude(message, outcome, request_id=request_id)
        if (
            isinstance(outcome, (Succeeded, Skipped))
            and isinstance(verdict, Delete)
            and self._payloads.has_payload(message)
        ):
            self._finished.add(message.receipt_handle)
        return verdict

    def delete(self, messages: Sequence[ReceivedMessage]) -> list[Unsettled]:
        """Delete messages, and then the bodies of those that are deleted."""
        unsettled = super().delete(messages)
        kept = {one.message.receipt_handle for one in unsettled}
        over = [
            message
            for message in messages
            if message.receipt_handle in self._finished and message.receipt_handle not in kept
        ]
        self._finished.difference_update(message.receipt_handle for message in over)
        if over:
            self._payloads.remove(over)
        return unsettled
