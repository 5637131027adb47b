"""A received message as the dictionary that ReceiveMessage returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqs_tasks.local.model import faults, message_attributes
from sqs_tasks.local.model.message import Message

#: System attributes that can be asked for.
SYSTEM_ATTRIBUTES = (
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
)

#: Who sent every message: AWS shows a user's or a role's id.
SENDER_ID = "AIDALOCALSQSSENDER000"

_ALL_SYSTEM = frozenset(SYSTEM_ATTRIBUTES)
_KNOWN = _ALL_SYSTEM | {"All", "SqsManagedSseEnabled"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a receive asked to see of each message.

    Attributes:
        system: System attributes by name.
        names: Message attributes by exact name; None when all are wanted.
        prefixes: Message attributes by the beginning of their name.
    """

    system: frozenset[str]
    names: frozenset[str] | None
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, system: Iterable[str], names: Sequence[str]) -> Wanted:
        """Read the request's lists.

        Raises:
            SQSFault: A system attribute that does not exist.
        """
        wanted = frozenset(system)
        if not wanted <= _KNOWN:
            raise faults.invalid_attribute_name(min(wanted - _KNOWN))
        if "All" in wanted:
            wanted = _ALL_SYSTEM
        if not names:
            return cls(wanted, frozenset(), ())
        if "All" in names or ".*" in names or "*" in names:
            return cls(wanted, None, ())
        prefixes = tuple(name[:-2] for name in names if name.endswith(".*"))
        return cls(wanted, frozenset(names), prefixes)

    def asks_for_message_attributes(self) -> bool:
        """Whether any message attribute was asked for."""
        return self.names is None or bool(self.names)


def render(message: Message, handle: str, wanted: Wanted, *, fifo: bool) -> dict[str, Any]:
    """The message as boto3 shows it; without the keys for what was not asked for.

    Message attributes are the stored ones, not copies: whoever lets others change the answer copies them first.
    """
    shown: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": handle,
        "MD5OfBody": message.body_md5,
        "Body": message.body,
    }
    if wanted.system:
        attributes = _system_attributes(message, wanted.system, fifo=fifo)
        if attributes:
            shown["Attributes"] = attributes
    if message.attributes and wanted.asks_for_message_attributes():
        _add_message_attributes(shown, message, wanted)
    return shown


def _system_attributes(message: Message, wanted: frozenset[str], *, fifo: bool) -> dict[str, str]:
    shown: dict[str, str] = {}
    if "SenderId" in wanted:
        shown["SenderId"] = SENDER_ID
    if "ApproximateFirstReceiveTimestamp" in wanted and message.first_received_at is not None:
        shown["ApproximateFirstReceiveTimestamp"] = milliseconds(message.first_received_at)
    if "ApproximateReceiveCount" in wanted:
        shown["ApproximateReceiveCount"] = str(message.receive_count)
    if "SentTimestamp" in wanted:
        shown["SentTimestamp"] = milliseconds(message.sent_at)
    if message.group_id is not None and "MessageGroupId" in wanted:
        shown["MessageGroupId"] = message.group_id
    if fifo:
        if "SequenceNumber" in wanted:
            shown["SequenceNumber"] = sequence_number(message.number)
        if "MessageDeduplicationId" in wanted and message.deduplication_id is not None:
            shown["MessageDeduplicationId"] = message.deduplication_id
    if message.trace_header is not None and "AWSTraceHeader" in wanted:
        shown["AWSTraceHeader"] = message.trace_header
    if message.dead_letter_source_arn is not None and "DeadLetterQueueSourceArn" in wanted:
        shown["DeadLetterQueueSourceArn"] = message.dead_letter_source_arn
    return shown


def _add_message_attributes(shown: dict[str, Any], message: Message, wanted: Wanted) -> None:
    """Add the attributes asked for, and the digest of just those: SDKs compute it from what they see."""
    attributes = message.attributes or {}
    if wanted.names is None:
        shown["MD5OfMessageAttributes"] = message.attributes_md5
        shown["MessageAttributes"] = attributes
        return
    chosen = {
        name: value
        for name, value in attributes.items()
        if name in wanted.names or (wanted.prefixes and name.startswith(wanted.prefixes))
    }
    if chosen:
        same = len(chosen) == len(attributes)
        shown["MD5OfMessageAttributes"] = message.attributes_md5 if same else message_attributes.digest(chosen)
        shown["MessageAttributes"] = chosen


def milliseconds(moment: float) -> str:
    """A moment as SQS writes it: milliseconds since the epoch, as text."""
    return str(int(moment * 1000))


def sequence_number(number: int) -> str:
    """A FIFO sequence number: twenty digits, growing."""
    return f"{number + 18_000_000_000_000_000_000:020d}"
