"""Redrive policies: when a message goes to the dead-letter queue, and who may use a queue as one.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqs_tasks.limits import MAX_RECEIVE_COUNT
from sqs_tasks.local.model import faults

#: Source queues that a RedriveAllowPolicy can name (S45).
MAX_SOURCE_QUEUES = 10

_ARN_PARTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RedrivePolicy:
    """Where messages go that were received too often."""

    dead_letter_target_arn: str
    max_receive_count: int

    @classmethod
    def parse(cls, text: str) -> RedrivePolicy:
        """Read the attribute; maxReceiveCount may be a number or its text."""
        document = _object("RedrivePolicy", text)
        for name in document:
            if name not in ("deadLetterTargetArn", "maxReceiveCount"):
                raise _bad_policy(text, f"{name} is not a valid attribute.")
        for name in ("deadLetterTargetArn", "maxReceiveCount"):
            if name not in document:
                raise _bad_policy(text, f"Redrive policy does not contain mandatory attribute: {name}.")
        arn = document["deadLetterTargetArn"]
        if not isinstance(arn, str) or not _is_queue_arn(arn):
            raise _bad_policy(text, "Invalid value for deadLetterTargetArn.")
        count = str(document["maxReceiveCount"])
        if not count.isdecimal() or not 1 <= int(count) <= MAX_RECEIVE_COUNT:
            both = f"valid values are from 1 to {MAX_RECEIVE_COUNT} both inclusive."
            raise _bad_policy(text, f"Invalid value for maxReceiveCount: {count}, {both}")
        return cls(dead_letter_target_arn=arn, max_receive_count=int(count))

    def text(self) -> str:
        """The attribute as SQS gives it back."""
        document = {"deadLetterTargetArn": self.dead_letter_target_arn, "maxReceiveCount": self.max_receive_count}
        return json.dumps(document, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveAllowPolicy:
    """Which source queues may name a queue as their dead-letter queue."""

    permission: str = "allowAll"
    source_arns: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> RedriveAllowPolicy:
        """Read the attribute."""
        document = _object("RedriveAllowPolicy", text)
        permission, arns = document.get("redrivePermission"), document.get("sourceQueueArns")
        if permission not in ("allowAll", "denyAll", "byQueue"):
            raise _bad_allow(text, "redrivePermission must be one of allowAll, denyAll and byQueue.")
        if permission != "byQueue" and arns is not None:
            raise _bad_allow(text, "sourceQueueArns is allowed only with redrivePermission byQueue.")
        if permission == "byQueue" and (
            not isinstance(arns, list)
            or not 1 <= len(arns) <= MAX_SOURCE_QUEUES
            or not all(isinstance(arn, str) and _is_queue_arn(arn) for arn in arns)
        ):
            raise _bad_allow(text, f"sourceQueueArns must be 1 to {MAX_SOURCE_QUEUES} queue ARNs.")
        return cls(permission=permission, source_arns=tuple(arns or ()))

    def allows(self, source_arn: str) -> bool:
        """Whether that queue may move its messages here."""
        return self.permission == "allowAll" or (self.permission == "byQueue" and source_arn in self.source_arns)


def _bad_policy(text: str, reason: str) -> faults.SQSFault:
    return faults.invalid_value("RedrivePolicy", text, reason)


def _bad_allow(text: str, reason: str) -> faults.SQSFault:
    return faults.invalid_value("RedriveAllowPolicy", text, reason)


def _object(name: str, text: str) -> dict[str, Any]:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise faults.invalid_value(name, text, "Redrive policy is not a valid JSON map.")
    return document


def _is_queue_arn(arn: str) -> bool:
    parts = arn.split(":")
    return len(parts) == _ARN_PARTS and parts[0] == "arn" and parts[2] == "sqs" and bool(parts[5])
