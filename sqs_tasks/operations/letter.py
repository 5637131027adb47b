"""A dead letter: what it was, why and where it ended, as far as anybody has said so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from sqs_tasks.execution.dead_letter_copier import (
    FAILURE_ATTEMPTS,
    FAILURE_DETAILS,
    FAILURE_REASON,
    FAILURE_REQUEST_ID,
    FAILURE_TYPE,
)
from sqs_tasks.message import FIRST_SENT_AT, JOB_ID, OWN_DATA_TYPE, ReceivedMessage
from sqs_tasks.operations.plain_body import plain_body

#: How a letter came here: rejected by a worker; moved by SQS, whose limit of receives was reached; or nobody says.
Ending = Literal["rejected", "moved by SQS", "unknown"]

#: What it holds: a job; a message of something else; a job that cannot be read here.
Content = Literal["job", "foreign", "unreadable"]

_SOURCE_ARN = "DeadLetterQueueSourceArn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter.

    Attributes:
        message: The message as it was received, with its receipt handle.
        ending: How it came here.
        content: What it holds.
        problem: Why it is foreign or unreadable; empty for a job.
        task: The task's name, empty where none is named.
        job_id: The job's id.
        reason: Why it was rejected; empty where nobody says.
        failure_type: The class of the exception.
        attempts: The attempts that it had; None where nobody says.
        first_sent_at: When its job was first sent.
        failed_at: When it was rejected. None for what SQS moved, which does not say when.
        worker: Who rejected it: host and process, or function and log stream.
        request_id: The Lambda invocation that did.
        frames: The last lines of the application, ``file:line:function``, the innermost last.
        cause: The class of the exception's own cause.
        source: The queue that it comes from: the name in code for a rejected one, the name in SQS for a moved one.
        earlier_reason: Of a moved letter: why it had been dead before.
    """

    message: ReceivedMessage = field(repr=False)
    ending: Ending
    content: Content
    problem: str = ""
    task: str = ""
    job_id: str = ""
    reason: str = ""
    failure_type: str = ""
    attempts: int | None = None
    first_sent_at: datetime | None = None
    failed_at: datetime | None = None
    worker: str = ""
    request_id: str = ""
    frames: tuple[str, ...] = ()
    cause: str = ""
    source: str = ""
    earlier_reason: str = ""
    #: The arguments as plain data of JSON; None where they cannot be shown. Not in the repr, which ends up in logs.
    arguments: Any = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The id of its message here: another than that of the message it was in its queue."""
        return self.message.message_id

    @property
    def at(self) -> datetime | None:
        """When it died, as near as anybody says: when it was rejected, or when its message was sent."""
        return self.failed_at or self.message.sent_at

    @property
    def trace_id(self) -> str:
        """The id of its trace: W3C's or X-Ray's; empty where there is none."""
        found = re.fullmatch(r"[0-9a-f]{2}-([0-9a-f]{32})-.*", self.message.attribute("traceparent") or "")
        root = re.search(r"Root=([^;]+)", self.message.trace_header or "")
        return found[1] if found else root[1] if root else ""

    @property
    def why(self) -> str:
        """In one line why it is here."""
        if self.reason:
            return self.reason
        if self.ending == "moved by SQS":
            return "moved by SQS: its receives were used up, and no worker says why"
        return self.problem or "nobody says why"

    def as_dict(self, *, arguments: Any = None) -> dict[str, Any]:
        """The letter as plain data of JSON; without its body, and with these arguments or none."""
        row: dict[str, Any] = {
            "id": self.id,
            "job_id": self.job_id,
            "task": self.task or None,
            "content": self.content,
            "ending": self.ending,
            "why": self.why,
            "failure_type": self.failure_type or None,
            "attempts": self.attempts,
            "first_sent": _iso(self.first_sent_at),
            "failed": _iso(self.failed_at),
            "sent": _iso(self.message.sent_at),
            "source": self.source or None,
            "worker": self.worker or None,
            "request_id": self.request_id or None,
            "frames": list(self.frames),
            "cause": self.cause or None,
            "trace_id": self.trace_id or None,
            "group_id": self.message.group_id,
            "receives": self.message.receive_count,
            "bytes": len(self.message.body.encode()),
        }
        return row if arguments is None else {**row, "arguments": arguments}


def letter_of(
    message: ReceivedMessage, *, readers_of: Callable[[str], Sequence[Callable[..., Any]]] = lambda _: ()
) -> Letter:
    """The letter that a message of a dead-letter queue is.

    Args:
        message: The message, received with all attributes.
        readers_of: Gives the readers of the queue that a letter comes from, by the name that the letter says.
    """
    details = _details(message)
    moved_from = message.attributes.get(_SOURCE_ARN, "").rpartition(":")[2]
    source = moved_from or str(details.get("queue", ""))
    body = plain_body(message, readers_of(source))
    reason = _own(message, FAILURE_REASON) or str(details.get("reason", ""))
    # What SQS moved may have been dead before: its attributes are then about that death.
    is_ours = not moved_from and bool(reason or details)
    said: dict[str, Any] = {
        "reason": reason,
        "failure_type": _own(message, FAILURE_TYPE) or str(details.get("type", "")),
        "attempts": _number(_own(message, FAILURE_ATTEMPTS) or str(details.get("attempts", ""))),
        "failed_at": _moment(details.get("failed")) or message.sent_at,
        "worker": str(details.get("worker", "")),
        "request_id": _own(message, FAILURE_REQUEST_ID) or str(details.get("request_id", "")),
        "frames": tuple(map(str, details.get("frames", ()))),
        "cause": str(details.get("cause", "")),
    }
    first_sent = _moment(details.get("first_sent")) or _moment(_own(message, FIRST_SENT_AT))
    if first_sent is None and moved_from:
        first_sent = message.sent_at
    is_job = bool(body.task)
    return Letter(
        message=message,
        ending="moved by SQS" if moved_from else "rejected" if is_ours else "unknown",
        content="unreadable" if is_job and body.problem and not body.is_elsewhere else "job" if is_job else "foreign",
        problem=body.problem,
        task=body.task,
        job_id=message.attribute(JOB_ID) or body.job_id or str(details.get("message_id", "")) or message.message_id,
        first_sent_at=first_sent,
        source=source,
        earlier_reason=reason if moved_from else "",
        arguments=body.arguments,
        **(said if is_ours else {}),
    )


def _own(message: ReceivedMessage, name: str) -> str:
    """An attribute that this library wrote; a sender's own of the same name is none."""
    attribute: Mapping[str, Any] = message.message_attributes.get(name, {})
    return str(attribute.get("StringValue", "")) if attribute.get("DataType") == OWN_DATA_TYPE else ""


def _details(message: ReceivedMessage) -> dict[str, Any]:
    try:
        found = json.loads(_own(message, FAILURE_DETAILS) or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    if not isinstance(found.get("frames", []), list):
        del found["frames"]
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 9 else None  # noqa: PLR2004 - more digits are nobody's count


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
