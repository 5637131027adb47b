"""The client of Lambda for the mappings of queues; none where SQS is on this machine."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from sqs_tasks.client import is_loopback
from sqs_tasks.env import SQSEnv


def lambda_of(env: SQSEnv) -> Any:
    """boto3's client of Lambda, or None where SQS is in this process or on this machine: there are no mappings."""
    endpoint = env.client.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_SQS") or ""
    is_here = env.client.is_in_memory or is_loopback(urlsplit(endpoint).hostname or "")
    if is_here and "AWS_ENDPOINT_URL_LAMBDA" not in os.environ:
        return None
    import boto3

    return boto3.client("lambda")
