"""Bodies that are too large for messages: the bucket for them, and who may do what with its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from sqs_tasks_cdk.acknowledgements import acknowledge
from sqs_tasks_cdk.dead_letter_queue import KEPT
from sqs_tasks_cdk.manifest import Manifest, ManifestOffload
from sqs_tasks_cdk.payload_names import (
    BUCKET_VARIABLE,
    GET_ACTIONS,
    LIST_ACTIONS,
    PUT_ACTIONS,
    REMOVE_ACTIONS,
    bucket_name,
)
from sqs_tasks_cdk.target_variables import HasEnvironment, TargetVariables


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadRights:
    """What the users of one queue may do with its bodies in S3.

    Attributes:
        bucket: The bucket's name; the same text in every stack of an account and region.
        prefix: What the keys of the queue's objects begin with.
        removes: Whether workers remove a body with its job.
        is_of_stack: Whether processes learn the bucket from their environment.
    """

    bucket: str
    prefix: str
    removes: bool
    is_of_stack: bool

    @classmethod
    def of(cls, offload: ManifestOffload | None, manifest: Manifest) -> PayloadRights | None:
        """Those of a registered queue; None if its bodies stay in their messages."""
        if offload is None:
            return None
        own = bucket_name(manifest.queue_prefix, account=Aws.ACCOUNT_ID, region=Aws.REGION)
        return cls(
            bucket=offload.bucket or own,
            prefix=offload.prefix,
            removes=offload.removes,
            is_of_stack=offload.bucket is None,
        )

    def for_producers(self) -> list[iam.PolicyStatement]:
        """Put objects."""
        return [self._statement(PUT_ACTIONS, f"/{self.prefix}*")]

    def for_workers(self) -> list[iam.PolicyStatement]:
        """Get objects, learn that one is gone, and remove some."""
        actions = (*GET_ACTIONS, *REMOVE_ACTIONS) if self.removes else GET_ACTIONS
        return [self._statement(actions, f"/{self.prefix}*"), self._statement(LIST_ACTIONS, "")]

    def tell(self, target: Any) -> None:
        """Put the bucket's name into the environment of what has one."""
        if self.is_of_stack and isinstance(target, HasEnvironment):
            TargetVariables.of(target).set(BUCKET_VARIABLE, self.bucket, instead="S3Offload(bucket=...)")

    def _statement(self, actions: Sequence[str], path: str) -> iam.PolicyStatement:
        return iam.PolicyStatement(actions=list(actions), resources=[self._arn(path)])

    def _arn(self, path: str) -> str:
        return f"arn:{Aws.PARTITION}:s3:::{self.bucket}{path}"

    def finding(self) -> str:
        """What cdk-nag says of the right to all objects of the queue, whose names nobody knows before."""
        names = {Aws.PARTITION: "<AWS::Partition>", Aws.ACCOUNT_ID: "<AWS::AccountId>", Aws.REGION: "<AWS::Region>"}
        arn = self._arn(f"/{self.prefix}*")
        for token, name in names.items():
            arn = arn.replace(token, name)
        return f"AwsSolutions::AwsSolutions-IAM5[Resource::{arn}]"


def allow(payloads: PayloadRights, grantee: iam.IGrantable, *, works: bool) -> None:
    """Let a grantee put the bodies of a queue, or, if it works the queue, get them."""
    for statement in payloads.for_workers() if works else payloads.for_producers():
        grantee.grant_principal.add_to_principal_policy(statement)
    if hasattr(grantee, "node"):
        acknowledge(
            cast("IConstruct", grantee),
            payloads.finding(),
            reason="Each body is an object of its own, and what their keys begin with is all that is known of them",
        )


class PayloadBucket(Construct):
    """The bucket for the bodies of a registry: encrypted, over TLS alone, closed to the public, and emptied by a rule.

    It is kept when it leaves the stack, as queues are: its objects belong to messages.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        manifest: The registry, in its stage.
        expire_days: Days after which objects are removed: the longest of its queues.
        encryption_master_key: A KMS key in place of S3's own.
        removal_policy: What happens to it when it leaves the stack; it is kept.

    Attributes:
        bucket: The bucket.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        manifest: Manifest,
        expire_days: int,
        encryption_master_key: kms.IKey | None = None,
        removal_policy: RemovalPolicy = KEPT,
    ) -> None:
        super().__init__(scope, construct_id)
        name = bucket_name(manifest.queue_prefix, account=Aws.ACCOUNT_ID, region=Aws.REGION)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=name,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED if encryption_master_key is None else s3.BucketEncryption.KMS,
            encryption_key=encryption_master_key,
            bucket_key_enabled=None if encryption_master_key is None else True,
            enforce_ssl=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            # One rule for all keys: where two apply S3 takes the shorter, and a body must outlast its message.
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="remove-bodies",
                    expiration=Duration.days(expire_days),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
            removal_policy=removal_policy,
        )
        acknowledge(
            self.bucket,
            "AwsSolutions::AwsSolutions-S1",
            reason="Its objects are the bodies of messages, which nobody logs the use of in SQS either; CloudTrail can",
        )


def make_bucket(scope: Construct, manifest: Manifest, *, chosen: Sequence[str], **options: Any) -> PayloadBucket | None:
    """The bucket of a registry, if a queue that is made here needs one."""
    days = [
        queue.offload.expire_days
        for queue in manifest.queues
        if queue.name in chosen and queue.offload is not None and queue.offload.bucket is None
    ]
    if not days:
        return None
    return PayloadBucket(scope, "Payloads", manifest=manifest, expire_days=max(days), **options)
