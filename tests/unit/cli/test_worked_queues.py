"""What the worker makes of an endpoint that does not know its queue, or not now."""

from __future__ import annotations

import io
import logging
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, EndpointConnectionError

from sqs_tasks import SQSEnv
from sqs_tasks.cli.worked_queues import check_exists
from sqs_tasks.errors import QueueNotFoundError


def answering(status: int, body: bytes) -> SQSEnv:
    """An environment whose endpoint answers each request like this; boto3 reads the answer."""
    client = boto3.client("sqs", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")

    class Raw(io.BytesIO):
        def stream(self) -> Any:
            yield body

    def answer(request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, status, {}, Raw(body))

    client.meta.events.register("before-send.sqs", answer)
    return SQSEnv(sqs_client=client)


THROTTLED = b'{"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"}'


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, THROTTLED),
        (429, b"{}"),
        (503, b"<html>no backend</html>"),
        (200, b"<html>please log in</html>"),
        (200, b"{}"),
        (200, b'["QueueUrl"]'),
    ],
    ids=["throttled", "too many", "server error", "a page", "nothing", "a list"],
)
def test_what_may_pass_is_waited_for(status: int, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The worker starts, says what it got, and its polling loop tries again."""
    with caplog.at_level(logging.WARNING):
        check_exists(answering(status, body).queue("jobs"))

    assert "cannot ask for the URL of queue jobs yet: " in caplog.text


def test_an_endpoint_that_nobody_answers_at_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """It may be started after the worker."""

    class Nobody:
        def get_queue_url(self, **_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    nobody: Any = Nobody()
    check_exists(SQSEnv(sqs_client=nobody).queue("jobs"))

    assert "cannot ask for the URL" in caplog.text


def test_missing_queues_and_rights_end_the_worker_at_once() -> None:
    """No waiting makes them appear."""
    missing = b'{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no"}'
    denied = b'{"__type": "com.amazonaws.sqs#AccessDeniedException", "message": "no"}'

    with pytest.raises(QueueNotFoundError):
        check_exists(answering(400, missing).queue("jobs"))
    with pytest.raises(ClientError, match="AccessDenied"):
        check_exists(answering(403, denied).queue("jobs"))
