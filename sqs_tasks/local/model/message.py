"""A message as one queue holds it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from sqs_tasks.local.clock.agenda import Alarm


class State(IntEnum):
    """Where a message is in its queue."""

    DELAYED = 0
    READY = 1
    IN_FLIGHT = 2
    GONE = 3


#: As names of their own: looking a member up in its enumeration takes Python 3.11 longer than the rest of such a line.
DELAYED, READY, IN_FLIGHT, GONE = State


class Message:
    """A message and the record of its deliveries.

    Mutable, and not shared outside the model, which gives out the dictionaries made by
    :mod:`sqs_tasks.local.model.delivery`.

    Attributes:
        number: The place in the queue's order of arrival; new for every queue the message enters. It is the sequence
            number on a FIFO queue, and what a receipt handle points at.
        sent_at: When the message was sent, in seconds; a move to a standard dead-letter queue leaves it, a move to a
            FIFO one renews it (S44). Retention counts from here.
        receive_count: Receives across all queues since it was sent, as ApproximateReceiveCount shows it.
        receives_here: Receives from this queue, which the redrive policy counts.
        handle_number: How many receipt handles were issued in this queue; the last is the current one.
        visible_at: When the delay or the visibility timeout ends, while one runs.
        was_hidden: True once it was delayed or in flight in this queue, so that its number is not the newest any more.
        entry: The message's place in the backlog, owned by the backlog.
    """

    __slots__ = (
        "alarm",
        "attributes",
        "attributes_md5",
        "body",
        "body_md5",
        "dead_letter_source_arn",
        "deduplication_id",
        "entry",
        "first_received_at",
        "group_id",
        "handle_number",
        "message_id",
        "number",
        "receive_count",
        "received_at",
        "receives_here",
        "sent_at",
        "state",
        "trace_header",
        "visible_at",
        "was_hidden",
    )

    def __init__(
        self,
        message_id: str,
        body: str,
        body_md5: str,
        sent_at: float,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
        attributes_md5: str | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
        trace_header: str | None = None,
    ) -> None:
        self.message_id = message_id
        self.body = body
        self.body_md5 = body_md5
        self.sent_at = sent_at
        self.attributes = attributes
        self.attributes_md5 = attributes_md5
        self.group_id = group_id
        self.deduplication_id = deduplication_id
        self.trace_header = trace_header
        self.number = 0
        self.receive_count = 0
        self.receives_here = 0
        self.handle_number = 0
        self.received_at = 0.0
        self.first_received_at: float | None = None
        self.visible_at = 0.0
        self.was_hidden = False
        self.dead_letter_source_arn: str | None = None
        self.state = GONE
        self.alarm: Alarm | None = None
        self.entry: list[Any] | None = None
