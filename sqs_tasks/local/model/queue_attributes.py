"""The attributes of a queue: which exist, which values they may have, and their defaults.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqs_tasks import limits
from sqs_tasks.local.model import faults

#: Attributes that are numbers, with the least and the greatest value.
NUMBERS = {
    "DelaySeconds": (0, limits.MAX_DELAY_SECONDS),
    "MaximumMessageSize": (1_024, limits.MAX_MESSAGE_BYTES),
    "MessageRetentionPeriod": (limits.MIN_RETENTION_SECONDS, limits.MAX_RETENTION_SECONDS),
    "ReceiveMessageWaitTimeSeconds": (0, limits.MAX_WAIT_SECONDS),
    "VisibilityTimeout": (0, limits.MAX_VISIBILITY_SECONDS),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}

#: Attributes that are one of a few words.
CHOICES = {
    "SqsManagedSseEnabled": ("true", "false"),
    "ContentBasedDeduplication": ("true", "false"),
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}

#: Attributes that hold a JSON object, and that an empty string removes.
DOCUMENTS = ("Policy", "RedrivePolicy", "RedriveAllowPolicy")

FIFO_ONLY = ("ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")

DEFAULTS = {
    "DelaySeconds": "0",
    "MaximumMessageSize": str(limits.MAX_MESSAGE_BYTES),
    "MessageRetentionPeriod": str(limits.DEFAULT_RETENTION_SECONDS),
    "ReceiveMessageWaitTimeSeconds": "0",
    "VisibilityTimeout": "30",
    "SqsManagedSseEnabled": "true",
}

FIFO_DEFAULTS = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}

#: Attributes that SQS computes; they can be asked for and not set.
COMPUTED = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
)

SETTABLE = (*NUMBERS, *CHOICES, *DOCUMENTS, "KmsMasterKeyId")

KNOWN = frozenset((*SETTABLE, *COMPUTED, "FifoQueue", "All"))


def checked(given: Mapping[str, str], *, fifo: bool) -> dict[str, str]:
    """The given attributes in the form SQS keeps them.

    Raises:
        SQSFault: A name that does not exist or cannot be set on this type of queue, or a value that is not allowed.
    """
    kept: dict[str, str] = {}
    for name, value in given.items():
        if name == "FifoQueue":
            if not fifo:
                raise faults.invalid_attribute_name(name)
            if value != "true":
                raise faults.invalid_attribute_value(name, "Modifying queue type is not supported.")
            continue
        if name not in SETTABLE or (name in FIFO_ONLY and not fifo):
            raise faults.invalid_attribute_name(name)
        kept[name] = _checked_value(name, value)
    if kept.get("KmsMasterKeyId") and kept.get("SqsManagedSseEnabled") == "true":
        text = (
            "You can use one type of server-side encryption (SSE) at one time. "
            "You can either enable KMS SSE or SQS SSE."
        )
        raise faults.SQSFault("InvalidAttributeName", text)
    if kept.get("KmsMasterKeyId"):
        kept["SqsManagedSseEnabled"] = "false"
    return kept


def check_together(attributes: Mapping[str, str]) -> None:
    """Refuse values that are valid each by itself and not together."""
    if (
        attributes.get("FifoThroughputLimit") == "perMessageGroupId"
        and attributes.get("DeduplicationScope") != "messageGroup"
    ):
        reason = "The perMessageGroupId value is allowed only when DeduplicationScope is set to messageGroup."
        raise faults.invalid_attribute_value("FifoThroughputLimit", reason)


def _checked_value(name: str, value: str) -> str:
    if name in NUMBERS:
        least, greatest = NUMBERS[name]
        if not value.isdecimal() or not least <= int(value) <= greatest:
            raise faults.invalid_attribute_value(name)
        return str(int(value))
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise faults.invalid_attribute_value(name)
        return value
    if name in DOCUMENTS and value:
        return _checked_document(name, value)
    return value


def _checked_document(name: str, text: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        raise _malformed(name, text) from None
    if not isinstance(document, dict):
        raise _malformed(name, text)
    return text


def _malformed(name: str, text: str) -> faults.SQSFault:
    if name == "Policy":
        return faults.invalid_attribute_value(name)
    return faults.invalid_value(name, text, "Redrive policy is not a valid JSON map.")
