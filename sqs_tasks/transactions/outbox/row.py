"""A message as a row of the table, and a row as the message that is sent: all that SQS gets is fixed in it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqs_tasks import limits
from sqs_tasks.message import MessageAttribute, OutgoingMessage

#: What a relay reads of a row, in this order.
COLUMNS = ("id", "queue_name", "group_id", "job_name", "job_id", "message", "due_ms")


class Row(NamedTuple):
    """A row, as far as sending needs it.

    Attributes:
        id: Its number, which gives the order.
        queue_name: The queue's name in code.
        group_id: The message group on FIFO queues; None on others.
        job_name: The task's name; empty for a raw message.
        job_id: The job's id; empty for a raw message.
        message: The message as JSON.
        due_ms: When the job is due, in milliseconds since 1970; None for at once.
    """

    id: int
    queue_name: str
    group_id: str | None
    job_name: str
    job_id: str
    message: str
    due_ms: int | None


def values_of(message: OutgoingMessage, now: float) -> dict[str, Any]:
    """What is written for a message.

    Args:
        message: The message.
        now: The time in seconds.
    """
    if message.payload is not None:
        from sqs_tasks.offload.pointer import inline  # the relay puts it into S3: a rollback leaves nothing there

        message = inline(message)
    fifo = message.queue_name.endswith(".fifo")
    created = round(now * 1000)
    due: int | None = None
    if message.run_at is not None:
        due = round(message.run_at.timestamp() * 1000)
    elif message.delay_seconds is not None:
        due = created + message.delay_seconds * 1000
    ready = created
    if due is not None:
        # SQS holds a message back for so long itself, which is more precise than a relay that looks each second.
        ready = max(created, due if fifo else due - limits.MAX_DELAY_SECONDS * 1000)
    written: dict[str, Any] = {"body": message.body}
    if message.attributes:
        written["attributes"] = {name: _written(attribute) for name, attribute in message.attributes.items()}
    for name in ("group_id", "deduplication_id", "trace_header"):
        if getattr(message, name) is not None:
            written[name] = getattr(message, name)
    return {
        "queue_name": message.queue_name,
        "group_id": message.group_id if fifo else None,
        "job_name": message.job_name,
        "job_id": message.job_id or "",
        "message": json.dumps(written),
        "created_ms": created,
        "due_ms": due,
        "ready_ms": ready,
        "attempts": 0,
        "error": "",
        "refused_ms": None,
    }


def message_of(row: Row, now: float) -> OutgoingMessage:
    """The message that is sent for a row; what is left of its delay is counted from now.

    Args:
        row: The row.
        now: The time in seconds.
    """
    written: Mapping[str, Any] = json.loads(row.message)
    delay = None
    if row.due_ms is not None and not row.queue_name.endswith(".fifo"):
        delay = min(max(0, math.ceil(row.due_ms / 1000 - now)), limits.MAX_DELAY_SECONDS)
    return OutgoingMessage(
        body=written["body"],
        attributes={name: _read(attribute) for name, attribute in written.get("attributes", {}).items()},
        delay_seconds=delay,
        group_id=written.get("group_id"),
        deduplication_id=written.get("deduplication_id"),
        trace_header=written.get("trace_header"),
        queue_name=row.queue_name,
        job_name=row.job_name,
        job_id=row.job_id or None,
    )


def _written(attribute: MessageAttribute) -> Mapping[str, str]:
    binary = attribute.get("BinaryValue")
    if binary is None:
        return {"DataType": attribute["DataType"], "StringValue": attribute.get("StringValue", "")}
    return {"DataType": attribute["DataType"], "BinaryValue": base64.b64encode(binary).decode("ascii")}


def _read(attribute: Mapping[str, str]) -> MessageAttribute:
    read: MessageAttribute = {"DataType": attribute["DataType"]}
    if "BinaryValue" in attribute:
        read["BinaryValue"] = base64.b64decode(attribute["BinaryValue"])
    else:
        read["StringValue"] = attribute["StringValue"]
    return read
