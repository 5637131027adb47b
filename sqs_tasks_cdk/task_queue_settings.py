"""What can be said of a queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypedDict

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs

from sqs_tasks_cdk.dead_letter_queue import DeadLetterQueue
from sqs_tasks_cdk.manifest import ManifestTask


class TaskQueueSettings(TypedDict, total=False):
    """What code may decide about a queue of the registry."""

    #: How long a received message is hidden, up to 12 hours; computed when left out.
    visibility_timeout: Duration | None

    #: How long a new message is held back, up to 15 minutes.
    delivery_delay: Duration | None

    #: How long a message stays that nobody deletes, 1 minute to 14 days; 4 days when left out.
    retention_period: Duration | None

    #: Deliveries before a message is dead-lettered, 1 to 1,000; ``max(5, attempts + 3)`` when left out (R3).
    max_receive_count: int | None

    #: The largest message, 1,024 to 1,048,576 bytes; what SQS gives new queues when left out.
    max_message_size_bytes: int | None

    #: Over the queue or each message group; FIFO only.
    deduplication_scope: sqs.DeduplicationScope | None

    #: For the queue or each message group; FIFO only.
    fifo_throughput_limit: sqs.FifoThroughputLimit | None

    #: A dead-letter queue to share, in place of one of its own.
    dead_letter_queue: DeadLetterQueue | sqs.IQueue | None

    #: A KMS key in place of SSE-SQS, for its own dead-letter queue too.
    encryption_master_key: kms.IKey | None

    #: How long SQS may reuse a data key of ``encryption_master_key``, 1 minute to 24 hours.
    data_key_reuse: Duration | None

    #: What happens to the queues and their messages when they leave the stack; kept when left out.
    removal_policy: RemovalPolicy | None

    #: An existing queue, in place of every setting that would make one. What one of this app says of itself is read:
    #: visibility timeout, retention, redrive policy. Of another one ``visibility_timeout``, ``retention_period``,
    #: ``max_receive_count`` and ``dead_letter_queue`` say what it has, and what is not said is unknown.
    queue: sqs.IQueue | None


class NewTaskQueueSettings(TaskQueueSettings, total=False):
    """All settings of a queue: those above, and those that the registration of a queue answers."""

    #: The name in the registry, as in ``env.queue(name)``; the construct id when left out.
    logical_name: str | None

    #: The name in SQS, by which producers anywhere find it; generated when left out.
    queue_name: str | None

    #: The tasks on it, whose timeouts and attempts decide the defaults.
    tasks: Sequence[ManifestTask]

    #: Whether it is a FIFO queue.
    fifo: bool | None

    #: Whether SQS makes deduplication ids from bodies; FIFO only.
    content_based_deduplication: bool | None

    #: The name in SQS of its own dead-letter queue; ``queue_name`` with ``_dead`` when left out.
    dead_letter_queue_name: str | None

    #: The logical name of its dead-letter queue; ``logical_name`` with ``_dead`` when left out.
    dead_letter_logical_name: str | None

    #: Have no dead-letter queue. A message that always fails then comes back until it expires.
    without_dead_letter_queue: bool


class ExistingTaskQueueSettings(TypedDict, total=False):
    """What can be said of a queue that exists already, besides where it is."""

    #: The name in the registry, as in ``env.queue(name)``; the construct id when left out.
    logical_name: str | None

    #: The tasks on it.
    tasks: Sequence[ManifestTask]

    #: How long it hides a received message; unknown when left out.
    visibility_timeout: Duration | None

    #: How long it keeps a message that nobody deletes; unknown when left out.
    retention_period: Duration | None

    #: Deliveries before it dead-letters a message; unknown when left out.
    max_receive_count: int | None

    #: Where its redrive policy sends messages. When left out, workers cannot copy rejected jobs there.
    dead_letter_queue: DeadLetterQueue | sqs.IQueue | None

    #: The logical name of its dead-letter queue; ``logical_name`` with ``_dead`` when left out.
    dead_letter_logical_name: str | None

    #: That it has none.
    without_dead_letter_queue: bool


#: What can be said of a queue that exists already; every other setting is for one that is made.
OF_EXISTING_QUEUES: Final = frozenset({"queue", *ExistingTaskQueueSettings.__annotations__})

#: What only FIFO queues have.
OF_FIFO_QUEUES: Final = ("content_based_deduplication", "deduplication_scope", "fifo_throughput_limit")
