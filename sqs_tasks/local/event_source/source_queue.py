"""The queue as an event source sees it: its facts, and the three calls Lambda makes to it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqs_tasks.client import receive_request
from sqs_tasks.limits import MAX_BATCH_ENTRIES
from sqs_tasks.local.clock import Clock
from sqs_tasks.local.function.event_record import EventRecord, record_from_message, record_size_bytes
from sqs_tasks.protocols import SQSClient

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message that was received and is not settled yet.

    Attributes:
        record: The message as the event carries it.
        expires_at: Seconds since the epoch at which its visibility ends and its receipt handle is no longer valid.
        group_id: The message group on a FIFO queue; None on a standard queue, group id or not (S2).
        size_bytes: Bytes of the record in the event's JSON.
    """

    record: EventRecord
    expires_at: float
    group_id: str | None
    size_bytes: int

    @property
    def message_id(self) -> str:
        """The SQS message id."""
        return self.record["messageId"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceQueue:
    """The queue of an event source mapping.

    Attributes:
        client: Any SQS client of boto3's shape.
        url: The queue's URL.
        arn: The queue's ARN.
        visibility_timeout_seconds: The queue's own visibility timeout.
        max_receive_count: Deliveries before the dead-letter queue, or None without one.
        clock: The time by which visibility ends.
    """

    client: SQSClient
    url: str
    arn: str
    visibility_timeout_seconds: int
    max_receive_count: int | None
    clock: Clock

    @classmethod
    def find(cls, client: SQSClient, url: str, clock: Clock) -> SourceQueue:
        """The queue at ``url``; its attributes are read once."""
        attributes: Mapping[str, str] = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        redrive = json.loads(attributes.get("RedrivePolicy") or "{}")
        count = redrive.get("maxReceiveCount")
        return cls(
            client=client,
            url=url,
            arn=attributes["QueueArn"],
            visibility_timeout_seconds=int(attributes["VisibilityTimeout"]),
            max_receive_count=None if count is None else int(count),
            clock=clock,
        )

    @property
    def name(self) -> str:
        """The queue's name, with ``.fifo`` if it has it."""
        return self.arn.rpartition(":")[2]

    @property
    def fifo(self) -> bool:
        """Whether this is a FIFO queue: its ARN says so, not a group id (S2)."""
        return self.arn.endswith(".fifo")

    def receive(
        self, max_messages: int, *, wait_seconds: int, visibility_timeout_seconds: int | None
    ) -> list[Received]:
        """Up to ten messages, invisible for the queue's own time, or for ``visibility_timeout_seconds`` if given."""
        request = receive_request(
            self.url,
            min(max_messages, MAX_BATCH_ENTRIES),
            wait_seconds=wait_seconds,
            visibility_timeout_seconds=visibility_timeout_seconds,
        )
        messages = self.client.receive_message(**request).get("Messages", [])
        invisible = (
            self.visibility_timeout_seconds if visibility_timeout_seconds is None else visibility_timeout_seconds
        )
        expires_at = self.clock.now() + invisible
        return [self._received(message, expires_at) for message in messages]

    def delete(self, received: Sequence[Received]) -> set[str]:
        """Delete the messages, in tens, and return the ids of those that SQS deleted.

        A refused delete (a receipt that expired on a FIFO queue) is logged: that message comes back.
        """
        return self._in_tens(
            received,
            "delete",
            lambda entries: self.client.delete_message_batch(QueueUrl=self.url, Entries=entries),
        )

    def release(self, received: Sequence[Received]) -> set[str]:
        """Make messages that never reached the function visible at once, and return their ids."""
        return self._in_tens(
            received,
            "release",
            lambda entries: self.client.change_message_visibility_batch(
                QueueUrl=self.url, Entries=[{**entry, "VisibilityTimeout": 0} for entry in entries]
            ),
        )

    def _in_tens(
        self,
        received: Sequence[Received],
        action: str,
        call: Callable[[list[dict[str, Any]]], Mapping[str, Any]],
    ) -> set[str]:
        done: set[str] = set()
        # One entry for each receipt: a duplicate delivery carries the same one twice (S6).
        unique = list({item.record["receiptHandle"]: item for item in received}.values())
        for start in range(0, len(unique), MAX_BATCH_ENTRIES):
            chunk = unique[start : start + MAX_BATCH_ENTRIES]
            answer = call(
                [{"Id": str(i), "ReceiptHandle": item.record["receiptHandle"]} for i, item in enumerate(chunk)]
            )
            refused = {int(entry["Id"]): entry for entry in answer.get("Failed", ())}
            for index, item in enumerate(chunk):
                if index not in refused:
                    done.add(item.message_id)
                    continue
                logger.warning(
                    "could not %s message %s of %s: %s",
                    action,
                    item.message_id,
                    self.name,
                    refused[index].get("Code"),
                    extra={"action": f"event_source_{action}_refused", "queue_name": self.name},
                )
        return done

    def _received(self, message: Mapping[str, Any], expires_at: float) -> Received:
        record = record_from_message(message, queue_arn=self.arn)
        return Received(
            record=record,
            expires_at=expires_at,
            group_id=record["attributes"].get("MessageGroupId") if self.fifo else None,
            size_bytes=record_size_bytes(record),
        )


def groups_of(received: Iterable[Received]) -> frozenset[str]:
    """The FIFO groups among the messages; none on a standard queue."""
    return frozenset(item.group_id for item in received if item.group_id is not None)
