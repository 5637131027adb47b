"""What the bucket for bodies that are too large for messages is called; needs no CDK."""

from __future__ import annotations

import hashlib
import re
from typing import Final

#: Where a process finds the name of the bucket.
BUCKET_VARIABLE: Final = "SQS_TASKS_OFFLOAD_BUCKET"

#: What a producer does with a body, and what a worker does; the last is for queues that remove bodies with their jobs.
#: Without the right to list S3 says that access is denied where an object is gone, and its job would never be rejected.
PUT_ACTIONS: Final = ("s3:PutObject",)
GET_ACTIONS: Final = ("s3:GetObject",)
LIST_ACTIONS: Final = ("s3:ListBucket",)
REMOVE_ACTIONS: Final = ("s3:DeleteObject",)

#: Characters of a prefix that leave room for the rest in the 63 of a bucket's name.
_PREFIX_CHARS = 26

_NOT_IN_BUCKETS = re.compile(r"[^a-z0-9-]+")


def bucket_name(queue_prefix: str, *, account: str, region: str) -> str:
    """The bucket's name: it is unique in the world by the account, and known to other stacks without a reference."""
    prefix = _NOT_IN_BUCKETS.sub("-", queue_prefix.lower()).lstrip("-")
    if len(prefix) > _PREFIX_CHARS:
        digest = hashlib.sha256(queue_prefix.encode()).hexdigest()[:8]
        prefix = f"{prefix[: _PREFIX_CHARS - 9]}{digest}-"
    return f"{prefix}payloads-{account}-{region}"
