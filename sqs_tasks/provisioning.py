"""Creating queues from code: for laptops, tests and small set-ups. In production the CDK stack creates them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqs_tasks import limits
from sqs_tasks.client import ClientProvider, QueueUrls, is_queue_missing
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.protocols import SQSClient
from sqs_tasks.settings import check_queue_name

#: Seconds a dead-letter queue keeps messages: the longest there is. On standard queues the clock runs from the
#: original send, so with less a message could expire as it arrives (S44).
DEAD_LETTER_RETENTION_SECONDS = limits.MAX_RETENTION_SECONDS

#: The visibility timeout of a queue whose registration names none: six times the slowest task, at least this (S19).
MIN_VISIBILITY_SECONDS = 30


class ProvisioningEnvironment(Protocol):
    """What the creation of queues uses of an environment."""

    client: ClientProvider
    urls: QueueUrls

    def get_sqs_queue_name(self, queue_name: str) -> str:
        """The name in SQS."""

    def get_queue_url(self, queue_name: str) -> str:
        """The URL."""


@dataclass(frozen=True)
class RedrivePolicy:
    """Where SQS moves a message after so many deliveries.

    Attributes:
        env: The environment of the queues.
        dead_letter_queue_name: The queue, by its name in code; it must exist.
        max_receive_count: Deliveries before the move. With 3, a message is delivered three times and moved instead
            of the fourth (S42).
    """

    env: ProvisioningEnvironment
    dead_letter_queue_name: str
    max_receive_count: int

    def __post_init__(self) -> None:
        limits.check_number(self.max_receive_count, "max_receive_count", 1, limits.MAX_RECEIVE_COUNT)

    def as_attribute(self) -> str:
        """The value of the RedrivePolicy attribute; asks SQS for the dead-letter queue's ARN."""
        url = self.env.get_queue_url(self.dead_letter_queue_name)
        arn = queue_arn(self.env.client(), url)
        return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": self.max_receive_count})


def create_standard_queue(
    env: ProvisioningEnvironment,
    queue_name: str,
    message_retention_period: int | None = None,
    visibility_timeout: int | None = None,
    redrive_policy: RedrivePolicy | None = None,
    *,
    attributes: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Create a standard queue, or bring the one that exists to these attributes; return its URL.

    Args:
        env: The environment; its prefix is added to the name.
        queue_name: The name in code.
        message_retention_period: Seconds SQS keeps a message, 60 to 1,209,600; SQS's default is 4 days.
        visibility_timeout: Seconds a received message stays hidden, 0 to 43,200; SQS's default is 30.
        redrive_policy: From ``env.redrive_policy(dead_letter_queue_name, n)``.
        attributes: More SQS attributes by their AWS names.
        tags: Tags for a queue that is created.
    """
    if queue_name.endswith(".fifo"):
        raise ConfigurationError(f"queue name {queue_name!r} ends with '.fifo'; create it with create_fifo_queue")
    given = _attributes(message_retention_period, visibility_timeout, redrive_policy, attributes)
    return _create(env, queue_name, given, tags)


def create_fifo_queue(
    env: ProvisioningEnvironment,
    queue_name: str,
    content_based_deduplication: bool = False,
    message_retention_period: int | None = None,
    visibility_timeout: int | None = None,
    redrive_policy: RedrivePolicy | None = None,
    *,
    attributes: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Create a FIFO queue, or bring the one that exists to these attributes; return its URL.

    Args:
        env: The environment; its prefix is added to the name.
        queue_name: The name in code, ending in ``.fifo``.
        content_based_deduplication: Whether SQS derives missing deduplication ids from the body.
        message_retention_period: As for :func:`create_standard_queue`.
        visibility_timeout: As for :func:`create_standard_queue`.
        redrive_policy: As for :func:`create_standard_queue`; its dead-letter queue must be FIFO too.
        attributes: More SQS attributes by their AWS names.
        tags: Tags for a queue that is created.
    """
    if not queue_name.endswith(".fifo"):
        raise ConfigurationError(
            f"queue name {queue_name!r} must end with '.fifo' for a FIFO queue; try '{queue_name}.fifo'"
        )
    given = _attributes(message_retention_period, visibility_timeout, redrive_policy, attributes)
    given["ContentBasedDeduplication"] = "true" if content_based_deduplication else "false"
    return _create(env, queue_name, given, tags, fixed={"FifoQueue": "true"})


def delete_queue(env: ProvisioningEnvironment, queue_name: str) -> None:
    """Delete a queue with all its messages. SQS takes up to a minute, and the name cannot be used again before."""
    env.client().delete_queue(QueueUrl=env.get_queue_url(queue_name))
    env.urls.forget(env.get_sqs_queue_name(queue_name))


def create_all(env: ProvisioningEnvironment, queues: Mapping[str, GenericQueue]) -> list[str]:
    """Create registered queues with their dead-letter queues, or bring them up to date; return their names in SQS."""
    created: list[str] = []
    dead = {queue.settings.dead_letter_queue for queue in queues.values()}
    for name, queue in queues.items():
        if name not in dead:
            created.extend(one for one in create_registered(env, queue) if one not in created)
    return created


def create_registered(env: ProvisioningEnvironment, queue: GenericQueue) -> list[str]:
    """Create a registered queue with its dead-letter queue first; return the names in SQS of both.

    A queue that is registered by its URL exists already, and is left as it is.
    """
    settings = queue.settings
    created: list[str] = []
    if settings.queue_url is not None:
        return created
    redrive = None
    dead = settings.dead_letter_queue
    if dead is not None and "://" not in dead:
        _create_kind(env, dead, {"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_SECONDS)}, content_based=False)
        created.append(env.get_sqs_queue_name(dead))
        redrive = RedrivePolicy(env, dead, queue.max_receive_count)
    attributes = {
        "DelaySeconds": str(settings.delay_seconds),
        "MessageRetentionPeriod": str(settings.message_retention_seconds),
        "VisibilityTimeout": str(visibility_timeout_seconds(queue)),
    }
    if redrive is not None:
        attributes["RedrivePolicy"] = redrive.as_attribute()
    _create_kind(env, settings.name, attributes, content_based=bool(settings.content_based_deduplication))
    return [*created, queue.get_sqs_queue_name()]


def visibility_timeout_seconds(queue: GenericQueue) -> int:
    """The visibility timeout a registered queue gets when nothing else computes it: six times its slowest task."""
    if queue.settings.visibility_timeout_seconds is not None:
        return queue.settings.visibility_timeout_seconds
    slowest = max((task.settings.timeout or 0 for task in queue.tasks), default=0)
    return min(max(MIN_VISIBILITY_SECONDS, round(limits.VISIBILITY_FACTOR * slowest)), limits.MAX_VISIBILITY_SECONDS)


def queue_arn(client: SQSClient, queue_url: str) -> str:
    """The ARN of a queue."""
    answer = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def _create_kind(
    env: ProvisioningEnvironment, name: str, attributes: Mapping[str, str], *, content_based: bool
) -> None:
    if name.endswith(".fifo"):
        create_fifo_queue(env, name, content_based, attributes=attributes)
    else:
        create_standard_queue(env, name, attributes=attributes)


def _attributes(
    retention: int | None,
    visibility: int | None,
    redrive: RedrivePolicy | None,
    more: Mapping[str, str] | None,
) -> dict[str, str]:
    attributes = dict(more or {})
    if retention is not None:
        least, most = limits.MIN_RETENTION_SECONDS, limits.MAX_RETENTION_SECONDS
        limits.check_number(retention, "message_retention_period", least, most, unit="seconds")
        attributes["MessageRetentionPeriod"] = str(retention)
    if visibility is not None:
        limits.check_number(visibility, "visibility_timeout", 0, limits.MAX_VISIBILITY_SECONDS, unit="seconds")
        attributes["VisibilityTimeout"] = str(visibility)
    if redrive is not None:
        attributes["RedrivePolicy"] = redrive.as_attribute()
    return attributes


def _create(
    env: ProvisioningEnvironment,
    queue_name: str,
    attributes: Mapping[str, str],
    tags: Mapping[str, str] | None,
    *,
    fixed: Mapping[str, str] | None = None,
) -> str:
    """Create or update: CreateQueue refuses a name whose attributes differ, so existing queues are set instead."""
    check_queue_name(queue_name)
    client, name = env.client(), env.get_sqs_queue_name(queue_name)
    check_queue_name(name)
    try:
        url = str(client.get_queue_url(QueueName=name)["QueueUrl"])
    except Exception as error:
        if not is_queue_missing(error):
            raise
        request: dict[str, Any] = {"QueueName": name, "Attributes": {**attributes, **(fixed or {})}}
        if tags:
            request["tags"] = dict(tags)
        return str(client.create_queue(**request)["QueueUrl"])
    if attributes:
        client.set_queue_attributes(QueueUrl=url, Attributes=dict(attributes))
    return url
