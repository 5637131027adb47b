"""The attribute in which a job carries its follow-ups, as JSON (docs/wire-format.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError, UndecodableMessageError
from sqs_tasks.message import (
    CONTENT_TYPE,
    FOLLOW_UPS,
    JOB_CONTEXT,
    JOB_ID,
    JOB_NAME,
    OWN_DATA_TYPE,
    WIRE_FORMAT,
    MessageAttribute,
    OutgoingMessage,
    ReceivedMessage,
    string_attribute,
)

#: When a follow-up is sent: its job has succeeded, or is about to be copied to the dead-letter queue.
Kind: TypeAlias = Literal["then", "on_failure"]

_OWN = frozenset({CONTENT_TYPE, JOB_CONTEXT, JOB_NAME, JOB_ID, WIRE_FORMAT, FOLLOW_UPS})
_JSON, _NO_CONTEXT = "json", "{}"


def follow_ups_attribute(followers: Mapping[Kind, OutgoingMessage]) -> MessageAttribute:
    """The attribute with these messages, each of which may have follow-ups of its own.

    Raises:
        ConfigurationError: One has an attribute that is no text.
    """
    text = json.dumps({kind: _written(message) for kind, message in followers.items()}, separators=(",", ":"))
    return {"DataType": OWN_DATA_TYPE, "StringValue": text}


def _written(message: OutgoingMessage) -> dict[str, Any]:
    texts = {name: one.get("StringValue") for name, one in message.attributes.items()}
    written: dict[str, Any] = {"queue": message.queue_name, "name": message.job_name, "body": message.body}
    if texts[CONTENT_TYPE] != _JSON:
        written["type"] = texts[CONTENT_TYPE]
    if texts[JOB_CONTEXT] != _NO_CONTEXT:
        written["context"] = texts[JOB_CONTEXT]
    if message.group_id is not None:
        written["group"] = message.group_id
    if message.delay_seconds:
        written["delay"] = message.delay_seconds
    more = {name: one for name, one in message.attributes.items() if name not in _OWN}
    for name, one in more.items():
        if "StringValue" not in one:
            raise ConfigurationError(
                f"follow-up {message.job_name!r}: its message attribute {name!r} is binary, and travels as text; send "
                "it in an argument"
            )
    if more:
        written["attributes"] = {name: [one["DataType"], one["StringValue"]] for name, one in more.items()}
    following = message.attributes.get(FOLLOW_UPS)
    if following is not None:  # as an object, since text in text in text would double its backslashes each time
        written["follow_ups"] = json.loads(following["StringValue"])
    return written


def follow_up_in(message: ReceivedMessage, kind: Kind) -> OutgoingMessage | None:
    """What is to be sent when the job of a message is over in this way; None for nothing.

    Its queue is named in ``queue_name``. Its id is the job's with the kind behind it, so that each run of the job sends
    the same one.

    Raises:
        UndecodableMessageError: The attribute was not written by this library.
    """
    attribute = message.message_attributes.get(FOLLOW_UPS)
    if attribute is None or attribute["DataType"] != OWN_DATA_TYPE:  # there is none, or it is the sender's own
        return None
    try:
        written = json.loads(attribute["StringValue"])
        one = written.get(kind)
        return None if one is None else _read(one, f"{message.job_id}/{kind}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UndecodableMessageError(
            f"the attribute {FOLLOW_UPS} cannot be read ({type(error).__name__}); only this library writes it"
        ) from error


def _read(written: Mapping[str, Any], job_id: str) -> OutgoingMessage:
    texts = {
        CONTENT_TYPE: written.get("type", _JSON),
        JOB_CONTEXT: written.get("context", _NO_CONTEXT),
        JOB_NAME: written["name"],
        JOB_ID: job_id,
    }
    attributes: dict[str, MessageAttribute] = {
        name: {"DataType": kind, "StringValue": text} for name, (kind, text) in written.get("attributes", {}).items()
    }
    attributes |= {name: string_attribute(text) for name, text in texts.items()}
    if "follow_ups" in written:
        text = json.dumps(written["follow_ups"], separators=(",", ":"))
        attributes[FOLLOW_UPS] = {"DataType": OWN_DATA_TYPE, "StringValue": text}
    fields = (written["queue"], written["body"], *texts.values(), *(one["StringValue"] for one in attributes.values()))
    if not all(isinstance(text, str) for text in fields):
        raise TypeError("a field is no text")
    return OutgoingMessage(
        body=written["body"],
        attributes=attributes,
        delay_seconds=written.get("delay"),
        group_id=written.get("group"),
        queue_name=written["queue"],
        job_name=written["name"],
        job_id=job_id,
    )


def deduplication_id(job_id: str) -> str:
    """The id by which a FIFO queue drops a second copy: the job's, or its digest where it is too long."""
    if len(job_id) <= limits.MAX_GROUP_ID_CHARS:
        return job_id
    import hashlib

    return hashlib.sha256(job_id.encode()).hexdigest()
