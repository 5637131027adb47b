"""A registered queue as it is now: its numbers, its settings against the registry, who takes its messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqs_tasks.client import error_code, is_queue_missing
from sqs_tasks.errors import QueueNotFoundError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.provisioning import visibility_timeout_seconds
from sqs_tasks.worker.pause_tags import PAUSED_TAG


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingDifference:
    """A setting of a queue that is not as registered.

    Attributes:
        attribute: SQS's name.
        deployed: What is there; None for nothing.
        registered: What the registry says.
    """

    attribute: str
    deployed: object
    registered: object

    def __str__(self) -> str:
        there = "none" if self.deployed is None else self.deployed
        return f"{self.attribute}: {there} there, {self.registered} registered"


def queue_attributes(queue: GenericQueue) -> dict[str, str] | None:
    """All attributes of a queue, by one request; None when there is no such queue."""
    client = queue.env.client()
    try:
        return dict(client.get_queue_attributes(QueueUrl=queue.queue_url, AttributeNames=["All"])["Attributes"])
    except QueueNotFoundError:
        return None
    except Exception as error:
        if is_queue_missing(error):
            return None
        raise


def setting_differences(queue: GenericQueue, attributes: Mapping[str, str]) -> Iterator[SettingDifference]:
    """What ``create`` would change of a queue that is there.

    Args:
        queue: The registered queue.
        attributes: Those that it has.
    """
    settings = queue.settings
    wanted = {
        "DelaySeconds": settings.delay_seconds,
        "MessageRetentionPeriod": settings.message_retention_seconds,
        "VisibilityTimeout": visibility_timeout_seconds(queue),
    }
    for name, registered in wanted.items():
        deployed = int(attributes.get(name, 0))
        if deployed != registered:
            yield SettingDifference(attribute=name, deployed=deployed, registered=registered)
    if settings.fifo:
        by_content = attributes.get("ContentBasedDeduplication") == "true"
        if by_content is not bool(settings.content_based_deduplication):
            yield SettingDifference(
                attribute="ContentBasedDeduplication",
                deployed=str(by_content).lower(),
                registered=str(not by_content).lower(),
            )
    dead = settings.dead_letter_queue
    if dead is None or "://" in dead:
        return
    policy = json.loads(attributes.get("RedrivePolicy") or "{}")
    target = str(policy.get("deadLetterTargetArn", "")).rpartition(":")[2] or None
    name = queue.env.get_sqs_queue_name(dead)
    if target != name:
        yield SettingDifference(attribute="RedrivePolicy.deadLetterTargetArn", deployed=target, registered=name)
    elif int(policy["maxReceiveCount"]) != queue.max_receive_count:
        yield SettingDifference(
            attribute="RedrivePolicy.maxReceiveCount",
            deployed=int(policy["maxReceiveCount"]),
            registered=queue.max_receive_count,
        )


def mappings_of(lambda_client: Any, queue_arn: str) -> list[Mapping[str, Any]]:
    """The event source mappings of a queue, all pages of them."""
    found: list[Mapping[str, Any]] = []
    marker: dict[str, str] = {}
    while True:
        page = lambda_client.list_event_source_mappings(EventSourceArn=queue_arn, **marker)
        found += page["EventSourceMappings"]
        if not page.get("NextMarker"):
            return found
        marker = {"Marker": page["NextMarker"]}


def switch_mappings(lambda_client: Any, queue_arn: str, *, enabled: bool) -> list[str]:
    """Switch a queue's event source mappings on or off; return the names of their functions.

    Lambda takes up to a minute for it, and lets invocations that run finish. Messages wait in their queue meanwhile.
    """
    names = []
    for one in mappings_of(lambda_client, queue_arn):
        lambda_client.update_event_source_mapping(UUID=one["UUID"], Enabled=enabled)
        names.append(str(one.get("FunctionArn", "")).split(":", 6)[-1])
    return names


def set_pause_tag(queue: GenericQueue, *, paused: bool) -> None:
    """Tag a queue as paused, or take the tag off; workers that heed it look at it at their interval.

    Raises:
        Exception: SQS refuses: the right is ``sqs:TagQueue`` or ``sqs:UntagQueue``.
    """
    client = queue.env.client()
    if paused:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        client.tag_queue(QueueUrl=queue.queue_url, Tags={PAUSED_TAG: since})
    else:
        client.untag_queue(QueueUrl=queue.queue_url, TagKeys=[PAUSED_TAG])


def paused_since(queue: GenericQueue) -> str | None:
    """When a queue was paused by its tag; None where it is not, or nobody may see its tags."""
    try:
        tags = queue.env.client().list_queue_tags(QueueUrl=queue.queue_url).get("Tags") or {}
    except Exception as error:
        if not error_code(error):
            raise
        return None
    return tags.get(PAUSED_TAG)


def oldest_age_seconds(cloudwatch: Any, queue_name: str, now: float) -> float | None:
    """The age of a queue's oldest message by CloudWatch's last word; None where it has none, or may not be asked.

    Args:
        cloudwatch: A client of CloudWatch.
        queue_name: The name in SQS.
        now: The wall clock in seconds. CloudWatch is some minutes late, and silent about queues that nobody uses.
    """
    try:
        answer = cloudwatch.get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Dimensions=[{"Name": "QueueName", "Value": queue_name}],
            StartTime=datetime.fromtimestamp(now - 900, UTC),
            EndTime=datetime.fromtimestamp(now, UTC),
            Period=60,
            Statistics=["Maximum"],
        )
    except Exception as error:
        if not error_code(error):
            raise
        return None
    points = sorted(answer.get("Datapoints", ()), key=lambda point: point["Timestamp"])
    return float(points[-1]["Maximum"]) if points else None
