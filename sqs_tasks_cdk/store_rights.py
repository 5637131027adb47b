"""The store of a registry: its table, and who may do what with its items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Aws, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from sqs_tasks_cdk.acknowledgements import acknowledge
from sqs_tasks_cdk.dead_letter_queue import KEPT
from sqs_tasks_cdk.manifest import Manifest
from sqs_tasks_cdk.store_names import (
    EXPIRES,
    KEY,
    RECORD_ACTIONS,
    TABLE_VARIABLE,
    WORK_ACTIONS,
    ManifestStore,
    table_arn,
    table_name,
)
from sqs_tasks_cdk.target_variables import HasEnvironment, TargetVariables


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRights:
    """What the users of one queue may do with the table of its tasks.

    Attributes:
        arn: The table's ARN; the same text in every stack of an account and region.
        name: The table's name, where processes learn it from their environment.
        records: Whether producers use it too.
    """

    arn: str
    name: str | None
    records: bool

    @classmethod
    def of(cls, store: ManifestStore | None, manifest: Manifest) -> StoreRights | None:
        """Those of a registered queue; None if its tasks ask for nothing."""
        if store is None:
            return None
        place = {"partition": Aws.PARTITION, "region": Aws.REGION, "account": Aws.ACCOUNT_ID}
        name = table_name(manifest.queue_prefix) if store.table is None else None
        return cls(arn=table_arn(store, manifest.queue_prefix, **place), name=name, records=store.records)

    def allow(self, grantee: iam.IGrantable, target: Any, *, works: bool) -> None:
        """Let a grantee use the items, and put the table's name into the environment of what has one."""
        if not works and not self.records:
            return
        if self.name is not None and isinstance(target, HasEnvironment):
            TargetVariables.of(target).set(TABLE_VARIABLE, self.name, instead="DynamoDBStore(table)")
        actions = WORK_ACTIONS if works else RECORD_ACTIONS
        grantee.grant_principal.add_to_principal_policy(
            iam.PolicyStatement(actions=list(actions), resources=[self.arn])
        )


class TaskStore(Construct):
    """The table of ``DynamoDBStore()``: on demand, encrypted, with its time to live.

    It is kept when it leaves the stack: what it knows of jobs that were done belongs to messages.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        table_name: The table's name.
        point_in_time_recovery: Whether it can be brought back to any second of the last 35 days, which costs as much
            as its storage again. What it holds is of use for days.
        encryption_master_key: A KMS key in place of DynamoDB's own.
        removal_policy: What happens to it when it leaves the stack; it is kept.

    Attributes:
        table: The table.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        table_name: str,
        point_in_time_recovery: bool = False,
        encryption_master_key: kms.IKey | None = None,
        removal_policy: RemovalPolicy = KEPT,
    ) -> None:
        super().__init__(scope, construct_id)
        customer = dynamodb.TableEncryption.CUSTOMER_MANAGED
        self.table = dynamodb.Table(
            self,
            "Table",
            table_name=table_name,
            partition_key=dynamodb.Attribute(name=KEY, type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=EXPIRES,
            encryption=None if encryption_master_key is None else customer,
            encryption_key=encryption_master_key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=point_in_time_recovery
            ),
            removal_policy=removal_policy,
        )
        if not point_in_time_recovery:
            acknowledge(
                self.table,
                "AwsSolutions::AwsSolutions-DDB3",
                reason="It holds states and leases that expire by themselves; an old state of them would be wrong",
            )


def make_table(scope: Construct, manifest: Manifest, *, chosen: Sequence[str], **options: Any) -> TaskStore | None:
    """The table of a registry, if a queue that is made here needs one."""
    stores = [queue.store for queue in manifest.queues if queue.name in chosen and queue.store is not None]
    if not any(store.table is None for store in stores):
        return None
    return TaskStore(scope, "Store", table_name=table_name(manifest.queue_prefix), **options)
