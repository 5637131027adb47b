"""The queue for messages that could not be done."""

from __future__ import annotations

from typing import Final, cast

from aws_cdk import ArnFormat, Duration, RemovalPolicy, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk import limits
from sqs_tasks_cdk.acknowledgements import acknowledge
from sqs_tasks_cdk.name_claims import claim_name

#: As long as SQS allows. On a standard queue the clock runs from the first send (S44), so that a queue that keeps a
#: message no longer than its source could drop it on arrival.
DEAD_LETTER_RETENTION: Final = Duration.days(14)

#: What happens to queues by default: messages outlive the stack. A first deployment that fails leaves no queue behind;
#: RETAIN would, and the next attempt could not make queues of the same names.
KEPT: Final = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


class DeadLetterQueue(Construct):
    """A dead-letter queue that only its own sources may use, and that keeps messages for 14 days.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``; part of the logical ids.
        logical_name: The name in the registry, as in ``env.queue(name)``.
        queue_name: The name in SQS; generated when left out.
        fifo: As the sources: a FIFO queue's dead-letter queue must be FIFO, a standard queue's standard (S30).
        retention_period: How long messages stay.
        encryption_master_key: A KMS key in place of SSE-SQS.
        removal_policy: What happens to the queue and its messages when it leaves the stack; it is kept.

    Attributes:
        queue: The queue.
        logical_name: The name in the registry.
        explicit_queue_name: The name in SQS if it was given.
        retention_period: How long messages stay.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        logical_name: str,
        queue_name: str | None = None,
        fifo: bool = False,
        retention_period: Duration = DEAD_LETTER_RETENTION,
        encryption_master_key: kms.IKey | None = None,
        removal_policy: RemovalPolicy = KEPT,
    ) -> None:
        super().__init__(scope, construct_id)
        self.logical_name = logical_name
        self.retention_period = retention_period
        self.explicit_queue_name = queue_name
        claim_name(self, "queue", queue_name)
        self.queue = sqs.Queue(
            self,
            "Queue",
            queue_name=queue_name,
            fifo=True if fifo else None,
            retention_period=retention_period,
            encryption=sqs.QueueEncryption.KMS if encryption_master_key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=encryption_master_key,
            enforce_ssl=True,
            removal_policy=removal_policy,
        )
        self._sources: list[str] | None = []
        acknowledge(
            self.queue,
            "Serverless::Serverless-SQSRedrivePolicy",
            reason="This is where a redrive policy leads to; what fails here is for people to see",
        )

    def allow_source(self, *, queue_name: str | None) -> None:
        """Let a queue of this stack's account and region move its messages here (R8).

        With a name the policy can say ``byQueue``, by an ARN that is put together and not referenced: the source
        already references this queue, and CloudFormation refuses circles (S45). A generated name, or an eleventh
        source, leaves only ``allowAll``, which is what SQS does without a policy.
        """
        if self._sources is None:
            return
        if queue_name is None or len(self._sources) == limits.MAX_REDRIVE_SOURCES:
            self._sources = None
        else:
            self._sources.append(
                Stack.of(self).format_arn(service="sqs", resource=queue_name, arn_format=ArnFormat.NO_RESOURCE_NAME)
            )
        cfn_queue = cast("sqs.CfnQueue", self.queue.node.default_child)
        cfn_queue.redrive_allow_policy = (
            {"redrivePermission": "allowAll"}
            if self._sources is None
            else {"redrivePermission": "byQueue", "sourceQueueArns": self._sources}
        )
