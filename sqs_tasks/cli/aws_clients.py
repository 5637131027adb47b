"""The clients of Lambda and CloudWatch for what SQS does not say of its queues; none where SQS is on this machine."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from sqs_tasks.client import is_loopback
from sqs_tasks.env import SQSEnv


def lambda_of(env: SQSEnv) -> Any:
    """boto3's client of Lambda, or None where SQS is in this process or on this machine: there are no mappings."""
    return _client(env, "lambda")


def cloudwatch_of(env: SQSEnv) -> Any:
    """boto3's client of CloudWatch, or None as above."""
    return _client(env, "cloudwatch")


def _client(env: SQSEnv, service: str) -> Any:
    endpoint = env.client.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_SQS") or ""
    is_here = env.client.is_in_memory or is_loopback(urlsplit(endpoint).hostname or "")
    if is_here and f"AWS_ENDPOINT_URL_{service.upper()}" not in os.environ:
        return None
    import boto3

    return boto3.client(service)
