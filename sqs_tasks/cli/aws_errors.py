"""What the AWS client raises, in one line for the person at the prompt."""

from __future__ import annotations

import os

from sqs_tasks.client import error_code

#: Errors of botocore that mean that there was no answer.
_NO_ANSWER = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"})


def is_from_aws(error: BaseException) -> bool:
    """Whether the AWS client raised it: no credentials, no such endpoint, access denied."""
    return type(error).__module__.partition(".")[0] == "botocore" or bool(error_code(error))


def aws_sentence(error: BaseException) -> str:
    """Its code and message, and what to check if there was no answer."""
    name = type(error).__name__
    said = f"{error_code(error) or name}: {error}"
    if name not in _NO_ANSWER:
        return said
    endpoint = os.environ.get("AWS_ENDPOINT_URL_SQS")
    if endpoint is None:
        return (
            f"{said}; is there a network, and is the region right? For an SQS on this machine set AWS_ENDPOINT_URL_SQS"
        )
    return f"{said}; is 'sqs-tasks dev' or 'sqs-tasks local-sqs' running there? AWS_ENDPOINT_URL_SQS={endpoint}"
