"""The bucket for large bodies in a configuration of Terraform."""

from __future__ import annotations

from typing import Any

from sqs_tasks.deployment.rendering.parts import REMOVE_BODIES, BucketPart
from sqs_tasks.deployment.rendering.terraform_blocks import Blocks, document_of, tls_only

_BUCKET = "${aws_s3_bucket.payloads.id}"


def add_bucket(blocks: Blocks, bucket: BucketPart) -> None:
    """Add a bucket that is encrypted, closed to the public, used over TLS alone, and emptied by a rule."""
    blocks.add(
        "aws_s3_bucket",
        "payloads",
        {"bucket": blocks.words.fill(bucket.name), "lifecycle": {"prevent_destroy": True}},
        bucket.description,
    )
    encryption: dict[str, Any] = {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
    if blocks.kms_key_arn is not None:
        by_key = {"sse_algorithm": "aws:kms", "kms_master_key_id": blocks.kms_key_arn}
        encryption = {"apply_server_side_encryption_by_default": by_key, "bucket_key_enabled": True}
    rule = {
        "id": REMOVE_BODIES,
        "status": "Enabled",
        "filter": {},
        "expiration": {"days": bucket.expire_days},
        "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
    }
    blocked = dict.fromkeys(
        ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"), True
    )
    for kind, body in (
        ("server_side_encryption_configuration", {"rule": encryption}),
        ("lifecycle_configuration", {"rule": [rule]}),
        ("ownership_controls", {"rule": {"object_ownership": "BucketOwnerEnforced"}}),
        ("public_access_block", blocked),
        ("policy", {"policy": document_of("payloads_bucket_tls")}),
    ):
        blocks.add(f"aws_s3_bucket_{kind}", "payloads", {"bucket": _BUCKET, **body})
    arn = "${aws_s3_bucket.payloads.arn}"
    blocks.documents["payloads_bucket_tls"] = tls_only("s3:*", arn, f"{arn}/*")
