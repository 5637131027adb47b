"""A received message as a message to be sent: what the copies of a job have in common, wherever they go."""

from __future__ import annotations

from collections.abc import Mapping

from sqs_tasks import limits
from sqs_tasks.message import (
    COPY_ATTRIBUTES,
    JOB_ID,
    OWN_DATA_TYPE,
    WIRE_FORMAT,
    MessageAttribute,
    OutgoingMessage,
    ReceivedMessage,
    string_attribute,
)


def kept_attributes(message: ReceivedMessage) -> dict[str, MessageAttribute]:
    """The sender's attributes, with the job's id in them where only the message's id is one: a copy gets another.

    A sender's own of the names that copies have are kept.
    """
    attributes = {
        name: one
        for name, one in message.message_attributes.items()
        if name not in COPY_ATTRIBUTES or one["DataType"] != OWN_DATA_TYPE
    }
    if WIRE_FORMAT in attributes and JOB_ID not in attributes and len(attributes) < limits.MAX_MESSAGE_ATTRIBUTES:
        attributes[JOB_ID] = string_attribute(message.message_id)
    return attributes


def own_attribute(value: str) -> MessageAttribute:
    """An attribute that is told from a sender's own of the same name."""
    return {"DataType": OWN_DATA_TYPE, "StringValue": value}


def copy_of(
    message: ReceivedMessage,
    attributes: Mapping[str, MessageAttribute],
    *,
    fifo: bool,
    delay_seconds: int | None = None,
    trace_header: str | None = None,
) -> OutgoingMessage:
    """A copy with these attributes; the message group and the trace go along, unless another trace is given."""
    return OutgoingMessage(
        body=message.body,
        attributes=attributes,
        delay_seconds=delay_seconds,
        group_id=message.group_id or ("default" if fifo else None),
        # As SQS's own redrive does (S31): one copy per message however often the copy is tried.
        deduplication_id=message.message_id if fifo else None,
        trace_header=trace_header or message.trace_header,
        job_name=message.job_name,
    )
