"""SQS events and contexts as Lambda hands them to a handler, for tests that need no queue behind them."""

from __future__ import annotations

import json
import time
from typing import Any

ARN = "arn:aws:sqs:us-east-1:123456789012:work"
FIFO_ARN = ARN + ".fifo"


def record(
    message_id: str = "m-1",
    job: str | None = "work",
    arguments: dict[str, Any] | None = None,
    *,
    arn: str = ARN,
    body: str | None = None,
    count: int = 1,
    group: str | None = None,
    age_seconds: float = 0.0,
    **changes: Any,
) -> dict[str, Any]:
    """One record of an event: a job by our wire format unless ``body`` or ``job=None`` says otherwise."""
    now = int((time.time() - age_seconds) * 1000)
    attributes = {
        "ApproximateReceiveCount": str(count),
        "SentTimestamp": str(now),
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "ApproximateFirstReceiveTimestamp": str(now),
    }
    if group is not None:
        attributes["MessageGroupId"] = group
    message_attributes: dict[str, Any] = {}
    if job is not None:
        for name, value in (("JobName", job), ("ContentType", "json"), ("JobId", f"job-of-{message_id}")):
            message_attributes[name] = {
                "stringValue": value,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            }
    return {
        "messageId": message_id,
        "receiptHandle": f"handle-of-{message_id}",
        "body": json.dumps(arguments or {}) if body is None else body,
        "attributes": attributes,
        "messageAttributes": message_attributes,
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": "us-east-1",
        **changes,
    }


def event(*records: dict[str, Any]) -> dict[str, Any]:
    """An event of these records."""
    return {"Records": list(records)}


def failures(response: Any) -> list[str]:
    """The message ids that an answer keeps in their queue."""
    assert list(response) == ["batchItemFailures"]
    assert all(list(one) == ["itemIdentifier"] for one in response["batchItemFailures"])
    return [one["itemIdentifier"] for one in response["batchItemFailures"]]


class FakeContext:
    """Lambda's context with a time that a test moves.

    Args:
        seconds: What is left of the invocation.
    """

    def __init__(self, seconds: float = 30.0, request_id: str = "request-1") -> None:
        self.seconds = seconds
        self.aws_request_id = request_id
        self.function_name = "worker"
        self.memory_limit_in_mb = "128"
        self.invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:worker"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds, as Lambda has it."""
        return max(int(self.seconds * 1000), 0)

    def spend(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds -= seconds
