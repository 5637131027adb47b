"""What a schedule does when it is due: the message that it sends, and to which queue.

Two targets reach the embedded SQS: the universal one for SendMessage, whose input is that request, and the templated
one, a queue's ARN, whose input is the body (Z9).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqs_tasks.local.model import shapes
from sqs_tasks.local.model.account import ACCOUNT_ID
from sqs_tasks.local.scheduler import faults

#: Bytes of a target's input.
MAX_INPUT_BYTES = 262_144

_UNIVERSAL = re.compile(r"arn:aws[a-z-]*:scheduler:::aws-sdk:sqs:sendMessage")
_QUEUE = re.compile(r"arn:aws[a-z-]*:sqs:([a-z0-9-]+):\d{12}:[A-Za-z0-9_-]+(\.fifo)?")
_KEYWORD = re.compile(r"<aws\.scheduler\.(scheduled-time|schedule-arn|attempt-number|execution-id)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """One attempt to invoke a target, by the names of the keywords in its input.

    Attributes:
        schedule_arn: The schedule.
        scheduled_time: Seconds since the epoch at which it was due; the same in every attempt.
        attempt_number: 1 for the first attempt.
        execution_id: An id of this attempt: it differs from attempt to attempt.
    """

    schedule_arn: str
    scheduled_time: float
    attempt_number: int
    execution_id: str

    @property
    def scheduled_text(self) -> str:
        """The scheduled time as EventBridge Scheduler writes it."""
        return datetime.fromtimestamp(self.scheduled_time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def fill_in(self, text: str) -> str:
        """The text with the keywords replaced."""
        values = {
            "scheduled-time": self.scheduled_text,
            "schedule-arn": self.schedule_arn,
            "attempt-number": str(self.attempt_number),
            "execution-id": self.execution_id,
        }
        return _KEYWORD.sub(lambda found: values[found[1]], text)


def check(target: Mapping[str, Any]) -> None:
    """Refuse a target that EventBridge Scheduler refuses when the schedule is made.

    Other services' targets are taken, as on AWS, though nothing can be sent to them here.

    Raises:
        SchedulerFault: What is wrong with it.
    """
    arn, text = target["Arn"], target.get("Input", "")
    if len(text.encode()) > MAX_INPUT_BYTES:
        raise faults.invalid(f"The input of the target has {len(text.encode())} bytes; it may have {MAX_INPUT_BYTES}.")
    if _UNIVERSAL.fullmatch(arn):
        _read_request(text)
        return
    queue = _QUEUE.fullmatch(arn)
    if queue is None and not arn.startswith("arn:"):
        raise faults.invalid(f"Provided Arn is not in correct format: {arn}")
    if queue is not None and queue[2] and "MessageGroupId" not in target.get("SqsParameters", {}):
        raise faults.invalid("SqsParameters.MessageGroupId is needed for a FIFO queue.")


def message(target: Mapping[str, Any], occasion: Occasion, queue_url: str | None) -> dict[str, Any] | None:
    """The request of SendMessage; None when the target is no queue of this machine.

    Args:
        target: The target.
        occasion: What its keywords are replaced by.
        queue_url: The URL of the queue whose ARN is the target; None when there is none.
    """
    if _UNIVERSAL.fullmatch(target["Arn"]):
        return _read_request(occasion.fill_in(target.get("Input", "")))
    if queue_url is None:
        return None
    return {"QueueUrl": queue_url, "MessageBody": payload(target, occasion), **target.get("SqsParameters", {})}


def payload(target: Mapping[str, Any], occasion: Occasion) -> str:
    """The input that is passed to the target; without one, a notification of the schedule."""
    text = target.get("Input")
    if text is not None:
        return occasion.fill_in(text)
    found = _QUEUE.fullmatch(target["Arn"])
    notification = {
        "version": "0",
        "id": occasion.execution_id,
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT_ID,
        "time": occasion.scheduled_text,
        "region": found[1] if found else "",
        "resources": [occasion.schedule_arn],
        "detail": "{}",
    }
    return json.dumps(notification)


def _read_request(text: str) -> dict[str, Any]:
    """The request of SendMessage in the input of the universal target.

    Raises:
        SchedulerFault: It is none.
    """
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        raise faults.invalid("Invalid RequestJson provided. Reason The input is not JSON.") from None
    if not isinstance(request, dict):
        raise faults.invalid("Invalid RequestJson provided. Reason The input is not a JSON object.")
    attributes = request.get("MessageAttributes")
    if isinstance(attributes, dict):
        request["MessageAttributes"] = {name: _with_bytes(value) for name, value in attributes.items()}
    found = shapes.problems(shapes.INPUTS["SendMessage"], request)
    if found:
        raise faults.invalid(f"Invalid RequestJson provided. Reason {found[0]}.")
    return request


def _with_bytes(attribute: Any) -> Any:
    """A message attribute with its binary value, which JSON carries in base64, as bytes."""
    if not isinstance(attribute, dict) or not isinstance(attribute.get("BinaryValue"), str):
        return attribute
    try:
        return {**attribute, "BinaryValue": base64.b64decode(attribute["BinaryValue"], validate=True)}
    except ValueError:
        raise faults.invalid("Invalid RequestJson provided. Reason A BinaryValue is not base64.") from None
