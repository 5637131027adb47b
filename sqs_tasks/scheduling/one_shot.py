"""A single job that is due later than SQS can hold a message back: a schedule that sends it once and is gone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqs_tasks.errors import MessageTooLargeError
from sqs_tasks.message import CONTENT_TYPE, JOB_CONTEXT, MessageAttribute, OutgoingMessage
from sqs_tasks.scheduling.eventbridge import MAX_EVENT_AGE_SECONDS, Scheduler
from sqs_tasks.scheduling.intervals import At
from sqs_tasks.scheduling.registered_schedule import MAX_INPUT_BYTES, MAX_NAME_CHARS

_PREFIX = "job-"
_IN_NAMES = re.compile(r"[0-9A-Za-z_.-]+")

#: What EventBridge Scheduler would replace in a text, and the same for a reader of JSON.
_PLACEHOLDER, _ESCAPED = "<aws.scheduler.", "\\u003caws.scheduler."


def one_shot_name(job_id: str) -> str:
    """The name of the schedule that sends a job: found again by the job id alone."""
    name = f"{_PREFIX}{job_id}"
    if len(name) <= MAX_NAME_CHARS and _IN_NAMES.fullmatch(name):
        return name
    import hashlib  # ids that this library makes fit

    return f"{_PREFIX}{hashlib.sha256(job_id.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def one_shot_request(message: OutgoingMessage, scheduler: Scheduler, *, queue_url: str) -> dict[str, Any]:
    """The request of CreateSchedule for a message that is to be sent at its ``run_at``.

    Scheduler is precise to the minute, and what it does with seconds it does not say; the next whole minute is never
    too early.

    Raises:
        MessageTooLargeError: The message exceeds what Scheduler can hold.
    """
    run_at = message.run_at if message.run_at is not None else datetime.now(UTC)
    if message.size_bytes > MAX_INPUT_BYTES // 2:  # the rest is for what JSON adds by escaping
        raise MessageTooLargeError(
            f"job {message.job_name!r} is {message.size_bytes} bytes with its attributes and due at "
            f"{run_at.isoformat()}; EventBridge Scheduler holds it until then, and takes {MAX_INPUT_BYTES // 2}; store "
            "large data elsewhere and send its address"
        )
    job_id = message.job_id or ""
    send_message = {"QueueUrl": queue_url, **_literal(message).as_request()}
    return {
        "Name": one_shot_name(job_id),
        "GroupName": scheduler.group,
        "ClientToken": job_id,  # a request whose answer was lost can be made again
        "Description": f"Job {job_id} of task {message.job_name} on queue {message.queue_name}"[:512],
        "ScheduleExpression": At(whole_minute(run_at)).expression,
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": scheduler.target(send_message, event_age_seconds=MAX_EVENT_AGE_SECONDS),
    }


def whole_minute(moment: datetime) -> datetime:
    """The moment itself when it is a whole minute, or else the next."""
    minute = moment.replace(second=0, microsecond=0)
    return minute if minute == moment else minute + timedelta(minutes=1)


def _literal(message: OutgoingMessage) -> OutgoingMessage:
    """The message, with nothing in it that Scheduler would replace: JSON has another way to write it."""
    attributes = message.attributes
    content_type = attributes.get(CONTENT_TYPE)
    if content_type is None or content_type.get("StringValue") != "json":
        return message  # compressed, or not ours to write otherwise
    context: Mapping[str, MessageAttribute] = {}
    given = attributes.get(JOB_CONTEXT)
    if given is not None and _PLACEHOLDER in given.get("StringValue", ""):
        context = {JOB_CONTEXT: {**given, "StringValue": _escaped(given["StringValue"])}}
    elif _PLACEHOLDER not in message.body:
        return message
    return replace(message, body=_escaped(message.body), attributes={**attributes, **context})


def _escaped(text: str) -> str:
    return text.replace(_PLACEHOLDER, _ESCAPED)
