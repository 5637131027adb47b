"""The queues themselves: whether they are there, as registered, closed to strangers, and not full."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from sqs_tasks import limits
from sqs_tasks.client import is_queue_missing
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import QueueNotFoundError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.operations.doctor.finding import Finding
from sqs_tasks.provisioning import visibility_timeout_seconds

#: The part of SQS's limit of messages in flight from which on it is near.
_NEAR = 0.8

_CREATE = "sqs-tasks queues create, or deploy the stack"


def queue_findings(env: SQSEnv) -> Iterator[Finding]:
    """What is wrong with the registered queues and their dead-letter queues."""
    dead = {queue.settings.dead_letter_queue for queue in env.queues.values()}
    for name, queue in env.queues.items():
        if name not in dead:
            yield from _of_queue(env, queue)


def _of_queue(env: SQSEnv, queue: GenericQueue) -> Iterator[Finding]:
    name = queue.get_sqs_queue_name()
    found = _attributes(env, lambda: queue.queue_url)
    if found is None:
        yield Finding(
            kind="queue-missing",
            severity="error",
            subject=f"queue {name}",
            what="there is no such queue in this account and region",
            why="delay() raises, and workers do not start",
            fix=_CREATE,
        )
        return
    yield from _settings(queue, name, found)
    yield from _full(name, found)
    yield from _open(name, found)
    yield from _key(name, found)
    if queue.settings.dead_letter_queue is not None:
        yield from _of_dead_letters(env, queue, name, found)


def _settings(queue: GenericQueue, name: str, found: Mapping[str, str]) -> Iterator[Finding]:
    settings, visibility = queue.settings, int(found.get("VisibilityTimeout", 30))
    wanted: dict[str, tuple[object, object]] = {
        "DelaySeconds": (settings.delay_seconds, int(found.get("DelaySeconds", 0))),
        "MessageRetentionPeriod": (settings.message_retention_seconds, int(found.get("MessageRetentionPeriod", 0))),
    }
    if settings.visibility_timeout_seconds is not None:
        wanted["VisibilityTimeout"] = (settings.visibility_timeout_seconds, visibility)
    for attribute, (registered, there) in wanted.items():
        if registered != there:
            yield Finding(
                kind="setting-differs",
                severity="warning",
                subject=f"queue {name}",
                what=f"{attribute} is {there}, and {registered} is registered",
                why="what the code says does not hold; the next deploy changes it back",
                fix=f"{_CREATE}; or register what is meant",
            )
    slowest = max((math.ceil(task.settings.timeout or 0) for task in queue.tasks), default=0)
    if visibility < slowest:
        yield Finding(
            kind="visibility-too-short",
            severity="error",
            subject=f"queue {name}",
            what=f"its visibility timeout is {visibility} s, and its slowest task may take {slowest} s",
            why="a job that is still running is delivered again, and runs twice at once",
            fix=f"set VisibilityTimeout to {visibility_timeout_seconds(queue)} or more: {_CREATE}",
        )
    if settings.content_based_deduplication is not None and settings.fifo:
        there = found.get("ContentBasedDeduplication") == "true"
        if there is not settings.content_based_deduplication:
            yield Finding(
                kind="deduplication-differs",
                severity="error",
                subject=f"queue {name}",
                what=f"content-based deduplication is {'on' if there else 'off'}, and registered otherwise",
                why="equal jobs are dropped that were meant to run, or run that were meant to be dropped",
                fix=_CREATE,
            )


def _full(name: str, found: Mapping[str, str]) -> Iterator[Finding]:
    in_flight = int(found.get("ApproximateNumberOfMessagesNotVisible", 0))
    if in_flight >= _NEAR * limits.MAX_IN_FLIGHT_MESSAGES:
        yield Finding(
            kind="in-flight-limit",
            severity="error",
            subject=f"queue {name}",
            what=f"{in_flight:,} messages are in flight",
            why=f"SQS delivers nothing more beyond {limits.MAX_IN_FLIGHT_MESSAGES:,}",
            fix="shorten the backoff of what fails, or lower the concurrency",
        )


def _open(name: str, found: Mapping[str, str]) -> Iterator[Finding]:
    for statement in _statements(found.get("Policy")):
        principal = statement.get("Principal")
        values = list(principal.values()) if isinstance(principal, dict) else [principal]
        is_everybody = any("*" in (value if isinstance(value, list) else [value]) for value in values)
        if statement.get("Effect") == "Allow" and is_everybody and not statement.get("Condition"):
            yield Finding(
                kind="policy-open",
                severity="error",
                subject=f"queue {name}",
                what=f"its policy allows {statement.get('Action')} to everybody, without a condition",
                why="any AWS account can do that; whoever sends decides what runs",
                fix="name accounts or roles in Principal, or add a Condition with aws:SourceAccount",
            )


def _key(name: str, found: Mapping[str, str]) -> Iterator[Finding]:
    if found.get("KmsMasterKeyId", "").endswith("alias/aws/sqs"):
        yield Finding(
            kind="key-of-aws",
            severity="warning",
            subject=f"queue {name}",
            what="it is encrypted with the key alias/aws/sqs, whose policy nobody can change",
            why="EventBridge, S3, SNS and other accounts cannot send to it",
            fix="use SSE-SQS (SqsManagedSseEnabled=true), or a key of your own",
        )


def _of_dead_letters(env: SQSEnv, queue: GenericQueue, name: str, found: Mapping[str, str]) -> Iterator[Finding]:
    policy: dict[str, Any] = json.loads(found.get("RedrivePolicy") or "{}")
    dead = _attributes(env, queue.dead_letter_queue_url)
    if dead is None:
        yield Finding(
            kind="dead-letter-queue-missing",
            severity="error",
            subject=f"queue {name}",
            what=f"its dead-letter queue {queue.settings.dead_letter_queue} is not there",
            why="what is rejected cannot be moved, and comes back until it expires",
            fix=_CREATE,
        )
        return
    dead_name = str(dead.get("QueueArn", "")).rpartition(":")[2]
    if policy.get("deadLetterTargetArn") != dead.get("QueueArn"):
        there = str(policy.get("deadLetterTargetArn", "none")).rpartition(":")[2]
        yield Finding(
            kind="redrive-policy",
            severity="error",
            subject=f"queue {name}",
            what=f"SQS moves its dead letters to {there}, and {dead_name} is registered",
            why="a message whose worker dies each time comes back for ever, or is looked for in the wrong place",
            fix=_CREATE,
        )
    elif int(policy.get("maxReceiveCount", 0)) != queue.max_receive_count:
        yield from _receives(queue, name, int(policy.get("maxReceiveCount", 0)))
    retention, own = int(dead.get("MessageRetentionPeriod", 0)), int(found.get("MessageRetentionPeriod", 0))
    if retention <= own and retention < limits.MAX_RETENTION_SECONDS:
        yield Finding(
            kind="dead-letters-expire",
            severity="error",
            subject=f"queue {dead_name}",
            what=f"it keeps messages for {retention} s, and {name} for {own} s",
            why="on standard queues a message's age counts from its first send: dead letters may expire as they arrive",
            fix=f"aws sqs set-queue-attributes --queue-url URL --attributes MessageRetentionPeriod="
            f"{limits.MAX_RETENTION_SECONDS}",
        )
    count = sum(int(dead.get(one, 0)) for one in _COUNTS)
    if count:
        yield Finding(
            kind="dead-letters",
            severity="warning",
            subject=f"queue {dead_name}",
            what=f"{count:,} dead letter{'' if count == 1 else 's'}",
            why=f"their jobs are not done, and expire {retention // 86_400} days after they were sent",
            fix=f"sqs-tasks dead ls APP {queue.name}",
        )


_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


def _receives(queue: GenericQueue, name: str, there: int) -> Iterator[Finding]:
    attempts = max((task.settings.max_attempts or 0 for task in queue.tasks), default=0)
    yield Finding(
        kind="receives-differ",
        severity="error" if there < attempts else "warning",
        subject=f"queue {name}",
        what=f"maxReceiveCount is {there}, and {queue.max_receive_count} is registered or follows from max_attempts",
        why="SQS moves a message after that many deliveries, whether or not its task has attempts left"
        if there < attempts
        else "a message whose worker dies each time goes round more or less often than the code says",
        fix=_CREATE,
    )


def _attributes(env: SQSEnv, url: Any) -> dict[str, str] | None:
    """All attributes of a queue, or None when there is no such queue."""
    try:
        return dict(env.client().get_queue_attributes(QueueUrl=url(), AttributeNames=["All"])["Attributes"])
    except QueueNotFoundError:
        return None
    except Exception as error:
        if is_queue_missing(error):
            return None
        raise


def _statements(policy: str | None) -> list[dict[str, Any]]:
    found = json.loads(policy or "{}").get("Statement", [])
    return found if isinstance(found, list) else [found]
