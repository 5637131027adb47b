"""The records of an SQS event: checked before anything runs, and read as messages (S1-S8)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.message import ReceivedMessage, from_lambda

logger = logging.getLogger(__name__)

#: Seconds by which a redelivered message may be older than the invocation: throttled batches are tried again inside
#: one receive (S20).
RECEIVE_AGE_MARGIN_SECONDS = 60.0


def read_records(event: Any) -> list[Mapping[str, Any]]:
    """The records of an event; none for an empty one (S8).

    Raises:
        ConfigurationError: It is not an event of SQS, or a record has no id by which an answer could keep it in its
            queue. Nothing has run then, and Lambda keeps whatever it was.
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list):
        found = ", ".join(map(str, event)) if isinstance(event, Mapping) else type(event).__name__
        raise ConfigurationError(
            f"not an SQS event: it has no list of Records (it has {found or 'nothing'}); "
            "this function is for an SQS event source"
        )
    for record in records:
        source = record.get("eventSource") if isinstance(record, Mapping) else type(record).__name__
        if source != "aws:sqs":
            raise ConfigurationError(
                f"not an SQS event: a record is from {source!r}; this function is for an SQS event source"
            )
        for name in ("messageId", "eventSourceARN"):
            if not isinstance(record.get(name), str) or not record[name]:
                raise ConfigurationError(
                    f"not an SQS event: a record has the {name} {record.get(name)!r}; without one it could not be "
                    "told from the others in the answer, so nothing was run"
                )
    return records


def read_messages(records: Sequence[Mapping[str, Any]], *, batching_window_seconds: float) -> list[ReceivedMessage]:
    """The records as messages, in their order; one that came twice is there once, and unreadable ones are left out.

    A message id may repeat in a batch (S6). Its place is the first one's, its receipt handle that of the later
    receive, which is the one that SQS honours.

    Args:
        records: Records that :func:`read_records` let pass.
        batching_window_seconds: How long the mapping may have gathered them.
    """
    now, monotonic = time.time(), time.monotonic()
    messages: dict[str, ReceivedMessage] = {}
    for record in records:
        try:
            message = from_lambda(record, received_at=monotonic - _age(record, now, batching_window_seconds))
            count, group_id, _ = message.receive_count, message.group_id, message.sent_at
            if group_id is not None and not isinstance(group_id, str):
                raise TypeError(f"MessageGroupId is {type(group_id).__name__}")  # noqa: TRY301 - as those above
            known = messages.get(message.message_id)
            if known is None or known.receive_count <= count:
                messages[message.message_id] = message
        except Exception:  # a record of a shape nobody has seen: it stays in its queue, and the others go on
            logger.exception(
                "cannot read a record; its message stays in the queue",
                extra={"action": "record_unreadable", "message_id": record.get("messageId")},
            )
    return list(messages.values())


def _age(record: Mapping[str, Any], now: float, batching_window_seconds: float) -> float:
    """Seconds since the receive (S20): known for a first delivery, for others estimated, not more than is possible.

    A redelivery was received before the invocation, at most the batching window and the retries of a throttled batch
    ago; and not before the first delivery.
    """
    estimate = batching_window_seconds + RECEIVE_AGE_MARGIN_SECONDS
    attributes = record.get("attributes") or {}
    try:
        since_first = max(now - int(attributes["ApproximateFirstReceiveTimestamp"]) / 1000, 0.0)
    except (KeyError, ValueError):
        return estimate
    return since_first if attributes.get("ApproximateReceiveCount") == "1" else min(estimate, since_first)
