"""Queues in a CloudFormation template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqs_tasks.deployment.rendering.cloudformation_values import attribute, document, value
from sqs_tasks.deployment.rendering.parts import QueuePart
from sqs_tasks.deployment.rendering.placeholders import Words
from sqs_tasks.deployment.rendering.yaml_text import Entry

#: Messages outlive the stack, but for a first deployment that fails: the next attempt makes queues of the same names.
KEPT: Final = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}


def queue_entries(queue: QueuePart, stem: str, words: Words, *, kms_key_arn: str | None) -> Iterator[Entry]:
    """A queue and its policy."""
    properties: dict[str, Any] = {
        "QueueName": queue.queue_name,
        **({"FifoQueue": True} if queue.fifo else {}),
        **({"ContentBasedDeduplication": True} if queue.content_based_deduplication else {}),
        **({"DelaySeconds": queue.delay_seconds} if queue.delay_seconds else {}),
    }
    if queue.visibility_timeout_seconds is not None:
        properties["VisibilityTimeout"] = queue.visibility_timeout_seconds
    properties["MessageRetentionPeriod"] = queue.message_retention_seconds
    if queue.dead_letter_arn is not None:
        properties["RedrivePolicy"] = {
            "deadLetterTargetArn": value(words, queue.dead_letter_arn),
            "maxReceiveCount": queue.max_receive_count,
        }
    properties["RedriveAllowPolicy"] = _redrive_allow_policy(queue, words)
    yield from locked_queue(stem, properties, kms_key_arn=kms_key_arn, comment=queue.description)


def locked_queue(
    stem: str, properties: Mapping[str, Any], *, kms_key_arn: str | None, comment: str = ""
) -> Iterator[Entry]:
    """A queue that is encrypted and takes requests over TLS alone."""
    key = {"SqsManagedSseEnabled": True} if kms_key_arn is None else {"KmsMasterKeyId": kms_key_arn}
    yield Entry(
        id=f"{stem}Queue",
        body={"Type": "AWS::SQS::Queue", **KEPT, "Properties": {**properties, **key}},
        comment=comment,
    )
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "sqs:*",
        "Resource": attribute(f"{stem}Queue", "Arn"),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    yield Entry(
        id=f"{stem}QueuePolicy",
        body={
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {"Queues": [{"Ref": f"{stem}Queue"}], "PolicyDocument": document([statement])},
        },
    )


def _redrive_allow_policy(queue: QueuePart, words: Words) -> dict[str, Any]:
    if queue.sources is None:
        return {"redrivePermission": "allowAll"}
    if not queue.sources:
        return {"redrivePermission": "denyAll"}
    # By name and not by reference: the source refers to this queue already, and circles are refused (S45).
    sources = [value(words, arn, references=False) for arn in queue.sources]
    return {"redrivePermission": "byQueue", "sourceQueueArns": sources}
