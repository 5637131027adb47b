"""The bucket for large bodies in a CloudFormation template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqs_tasks.deployment.rendering.cloudformation_queues import KEPT
from sqs_tasks.deployment.rendering.cloudformation_values import attribute, document, value
from sqs_tasks.deployment.rendering.parts import REMOVE_BODIES, BucketPart
from sqs_tasks.deployment.rendering.placeholders import Words
from sqs_tasks.deployment.rendering.yaml_text import Entry


def bucket_entries(bucket: BucketPart, words: Words, *, kms_key_arn: str | None) -> Iterator[Entry]:
    """A bucket that is encrypted, closed to the public, used over TLS alone, and emptied by a rule; and its policy."""
    encryption: dict[str, Any] = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    if kms_key_arn is not None:
        by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key_arn}
        encryption = {"ServerSideEncryptionByDefault": by_key, "BucketKeyEnabled": True}
    rule = {
        "Id": REMOVE_BODIES,
        "Status": "Enabled",
        "ExpirationInDays": bucket.expire_days,
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    yield Entry(
        id="PayloadsBucket",
        body={
            "Type": "AWS::S3::Bucket",
            **KEPT,
            "Properties": {
                "BucketName": value(words, bucket.name),
                "BucketEncryption": {"ServerSideEncryptionConfiguration": [encryption]},
                "LifecycleConfiguration": {"Rules": [rule]},
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
            },
        },
        comment=bucket.description,
    )
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:*",
        "Resource": [attribute("PayloadsBucket", "Arn"), {"Fn::Sub": "${PayloadsBucket.Arn}/*"}],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    yield Entry(
        id="PayloadsBucketPolicy",
        body={
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {"Bucket": {"Ref": "PayloadsBucket"}, "PolicyDocument": document([statement])},
        },
    )
