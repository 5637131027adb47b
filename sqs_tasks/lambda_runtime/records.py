"""The records of an SQS event: checked before anything runs, and read as messages (S1-S8)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqs_tasks.errors import MAX_QUOTED_CHARS, ConfigurationError, UndecodableMessageError, one_line
from sqs_tasks.message import ReceivedMessage

logger = logging.getLogger(__name__)

#: Seconds by which a redelivered message may be older than the invocation: throttled batches are tried again inside
#: one receive (S20).
RECEIVE_AGE_MARGIN_SECONDS = 60.0

#: Names of an event's members that an error quotes.
_MAX_NAMES = 5


def read_records(event: Any) -> list[Mapping[str, Any]]:
    """The records of an event; none for an empty one (S8).

    Raises:
        ConfigurationError: It is not an event of SQS, or a record has no id by which an answer could keep it in its
            queue. Nothing has run then, and Lambda keeps whatever it was.
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list):
        raise ConfigurationError(
            f"not an SQS event: it has no list of Records, it {_found(event)}; this function takes the events of an "
            "SQS event source mapping; send this event to another function, or map a queue to this one"
        )
    for record in records:
        try:
            source, message_id, arn = record["eventSource"], record["messageId"], record["eventSourceARN"]
        except (KeyError, TypeError, IndexError):
            source = message_id = arn = None
        if not (source == "aws:sqs" and message_id and arn and isinstance(message_id, str) and isinstance(arn, str)):
            raise _not_ours(record)
    return list(records)  # whoever holds the event may change its list


def _not_ours(record: Any) -> ConfigurationError:
    if not isinstance(record, Mapping):
        return ConfigurationError(
            f"not an SQS event: a record is {_quoted(record)}; each must be an object with an eventSource; this "
            "function takes the events of an SQS event source mapping"
        )
    source = record.get("eventSource")
    if source != "aws:sqs":
        return ConfigurationError(
            f"not an SQS event: the eventSource of a record is {_quoted(source)}; this function takes records from "
            "'aws:sqs'; remove its other event sources"
        )
    given = {name: record.get(name) for name in ("messageId", "eventSourceARN")}
    name = next(name for name, value in given.items() if not isinstance(value, str) or not value)
    return ConfigurationError(
        f"not an SQS event: the {name} of a record is {_quoted(given[name])}; it must be a text that is not empty, "
        "since the answer names failed messages by it, so nothing was run; to make an event for a test, use "
        "sqs_tasks.testing.lambda_event"
    )


def _found(event: Any) -> str:
    """What an event is or has, for an error: the names of a few members, and none of their values."""
    if not isinstance(event, Mapping):
        return f"is {_quoted(event)}"
    names = ", ".join(map(_quoted, islice(event, _MAX_NAMES)))
    more = f" and {len(event) - _MAX_NAMES} more" if len(event) > _MAX_NAMES else ""
    return f"has {names}{more}" if names else "is empty"


def _quoted(value: Any) -> str:
    """A value of an event, for an error: of a text what fits into a line, of anything else its type."""
    if isinstance(value, str):
        return ascii(value) if len(value) <= MAX_QUOTED_CHARS else f"{value[:MAX_QUOTED_CHARS]!a}..."
    return "missing" if value is None else f"of the type {type(value).__name__}"


def read_messages(records: Sequence[Mapping[str, Any]]) -> Iterator[ReceivedMessage]:
    """The records as messages, in their order, each made when it is asked for; unreadable ones are left out.

    A message id may repeat in a batch (S6). It is there once, at the first one's place and with the receipt handle of
    the later receive, which is the one that SQS honours.

    Args:
        records: Records that :func:`read_records` let pass.
    """
    now = time.monotonic()
    for record in _without_repetitions(records):
        try:
            message = from_lambda(record, received_at=now)
        except Exception as error:  # a record of a shape nobody has seen: it stays in its queue, and the others go on
            # The text of the error may hold values of the message; it is logged for those who ask for DEBUG.
            extra = {"action": "record_unreadable", "message_id": one_line(record["messageId"])}
            why = error if isinstance(error, UndecodableMessageError) else type(error).__name__
            logger.error("cannot read a record: %s; its message stays in the queue", why, extra=extra)  # noqa: TRY400
            logger.debug("how reading the record failed", exc_info=error, extra=extra)
            continue
        yield message


def from_lambda(record: Mapping[str, Any], *, received_at: float) -> ReceivedMessage:
    """A record of a Lambda SQS event (S1, S2, S3): lowerCamel names, binary values in base64.

    Args:
        record: One of the event's ``Records``; unknown keys are passed over.
        received_at: ``time.monotonic()`` of the receive, as near as known: it happened before the invocation (S20).

    Raises:
        UndecodableMessageError: It is not what Lambda makes of a message.
    """
    attributes, lambda_attributes = record.get("attributes") or {}, record.get("messageAttributes") or {}
    if not isinstance(attributes, dict) or not isinstance(lambda_attributes, dict):
        raise UndecodableMessageError("its attributes are no object")
    return ReceivedMessage(
        record["messageId"],
        record.get("receiptHandle", ""),
        record.get("body") or "",
        attributes,
        None,
        record.get("eventSourceARN"),
        received_at,
        lambda_attributes,
    )


def _without_repetitions(records: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    if len({record["messageId"] for record in records}) == len(records):
        return records
    latest: dict[str, Mapping[str, Any]] = {}
    for record in records:
        known = latest.get(record["messageId"])
        if known is None or _receive_count(known) <= _receive_count(record):
            latest[record["messageId"]] = record
    return list(latest.values())


def _receive_count(record: Mapping[str, Any]) -> int:
    try:
        return int(record["attributes"]["ApproximateReceiveCount"])
    except (KeyError, TypeError, ValueError):
        return 0


def received_before(message: ReceivedMessage, batching_window_seconds: float) -> ReceivedMessage:
    """The message with the moment at which it was received in place of that at which the invocation read it (S20).

    It is known for a first delivery. A redelivery was received at most the batching window and the retries of a
    throttled batch before the invocation, and not before the first delivery.

    Args:
        message: A message that :func:`read_messages` read. Only those that are to be hidden need this.
        batching_window_seconds: How long the mapping may have gathered it.
    """
    now = time.monotonic()
    estimate = now - message.received_at + batching_window_seconds + RECEIVE_AGE_MARGIN_SECONDS
    first = message.first_received_at
    if first is None:
        age = estimate
    else:
        since_first = max(time.time() - first.timestamp(), 0.0)
        age = since_first if message.attributes.get("ApproximateReceiveCount") == "1" else min(estimate, since_first)
    return message.received(now - age)
