"""Where the EventBridge Scheduler of an environment is."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit


def scheduler_endpoint(variables: Mapping[str, str], sqs_endpoint: str | None = None) -> str | None:
    """Where EventBridge Scheduler is; None leaves it to boto3.

    Who has SQS on this machine, or in an emulator, has Scheduler there too. An interface endpoint of SQS in a VPC is
    SQS's alone.

    Args:
        variables: The environment variables.
        sqs_endpoint: Where SQS is, if that is given.
    """
    if variables.get("AWS_ENDPOINT_URL_SCHEDULER"):
        return None
    url = sqs_endpoint or variables.get("AWS_ENDPOINT_URL_SQS")
    return None if url is None or ".amazonaws." in (urlsplit(url).hostname or "") else url
