"""A session of the AWS CLI against the embedded SQS."""

from __future__ import annotations

import json
import os

import pytest

from sqs_tasks.local.server import LocalSQSServer
from tests.support import aws_cli
from tests.support.aws_cli import AwsCli


@pytest.fixture
def aws():
    if not aws_cli.is_installed():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the AWS CLI is not installed; 'make test' installs it")
    with LocalSQSServer() as server:
        yield AwsCli(server.endpoint_url)


def test_life_of_a_message(aws):
    """Create, send, receive, postpone, delete, purge; the CLI checks every MD5 on the way."""
    url = aws.run("create-queue", "--queue-name", "cli", "--attributes", "VisibilityTimeout=40", "--tags", "team=mail")[
        "QueueUrl"
    ]
    attribute = json.dumps({"kind": {"DataType": "String", "StringValue": "größe"}})
    sent = aws.run("send-message", "--queue-url", url, "--message-body", "héllo", "--message-attributes", attribute)

    (message,) = aws.run(
        "receive-message", "--queue-url", url, "--message-attribute-names", "All", "--attribute-names", "All"
    )["Messages"]

    assert (message["MessageId"], message["Body"]) == (sent["MessageId"], "héllo")
    assert message["MessageAttributes"]["kind"]["StringValue"] == "größe"
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    handle = ("--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
    aws.run("change-message-visibility", *handle, "--visibility-timeout", "0")
    (again,) = aws.run("receive-message", "--queue-url", url, "--attribute-names", "All")["Messages"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    aws.run("delete-message", "--queue-url", url, "--receipt-handle", again["ReceiptHandle"])
    entries = json.dumps([{"Id": str(number), "MessageBody": "x"} for number in range(3)])
    assert len(aws.run("send-message-batch", "--queue-url", url, "--entries", entries)["Successful"]) == 3
    aws.run("purge-queue", "--queue-url", url)
    attributes = aws.run("get-queue-attributes", "--queue-url", url, "--attribute-names", "All")["Attributes"]
    assert (attributes["ApproximateNumberOfMessages"], attributes["VisibilityTimeout"]) == ("0", "40")
    assert aws.run("list-queue-tags", "--queue-url", url)["Tags"] == {"team": "mail"}
    assert aws.run("list-queues")["QueueUrls"] == [url]
    aws.run("delete-queue", "--queue-url", url)


def test_refusals_carry_the_codes_of_aws(aws):
    """The AWS CLI shows the error codes that it would get from AWS."""
    gone = aws.process("get-queue-url", "--queue-name", "nothing")
    wrong = aws.process("create-queue", "--queue-name", "not a name")

    assert "AWS.SimpleQueueService.NonExistentQueue" in gone.stderr
    assert "InvalidParameterValue" in wrong.stderr
