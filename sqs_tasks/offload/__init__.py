"""Bodies that are too large for a message, in S3: ``SQSEnv(offload=S3Offload())``."""

from __future__ import annotations

from sqs_tasks.offload.s3_offload import S3Offload

__all__ = ["S3Offload"]
