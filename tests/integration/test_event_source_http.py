"""``sqs-tasks invoke`` as a developer runs it: boto3, the local SQS over HTTP, and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from botocore.config import Config
from botocore.session import get_session

#: Forwards each message to the queue that it names, with a client that knows of no endpoint by itself.
HANDLER = """
import boto3

sqs = boto3.client("sqs")

def handler(event, context):
    for record in event["Records"]:
        url = sqs.get_queue_url(QueueName=record["body"])["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="forwarded")
    return {"batchItemFailures": []}
"""

#: Feeds itself with a larger number, up to twenty.
FEEDING_ITSELF = """
import boto3

sqs = boto3.client("sqs")

def handler(event, context):
    for record in event["Records"]:
        number = int(record["body"])
        if number < 20:
            url = sqs.get_queue_url(QueueName="source")["QueueUrl"]
            sqs.send_message(QueueUrl=url, MessageBody=str(number + 1))
"""

COMMAND = [sys.executable, "-c", "from sqs_tasks.cli.invoke import invoke; invoke()"]


@pytest.fixture
def sqs(server):
    client = get_session().create_client(
        "sqs",
        region_name="us-east-1",
        endpoint_url=server.endpoint_url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"max_attempts": 1}),
    )
    yield client
    client.close()


@pytest.fixture
def start(server, tmp_path):
    """Starts the command without any AWS setting of the caller's."""
    (tmp_path / "forwarding.py").write_text(HANDLER)
    (tmp_path / "feeding.py").write_text(FEEDING_ITSELF)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    started = []

    def start(*arguments, handler="forwarding.handler"):
        process = subprocess.Popen(
            [*COMMAND, handler, "--endpoint-url", server.endpoint_url, *arguments],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_function_finds_the_same_sqs_without_any_settings(sqs, start):
    """The endpoint given to the command is the function's too, and keys are made up if there are none."""
    source = sqs.create_queue(QueueName="source")["QueueUrl"]
    target = sqs.create_queue(QueueName="target")["QueueUrl"]
    sqs.send_message(QueueUrl=source, MessageBody="target")

    process = start("--queue", "source", "--until-empty")
    stdout, stderr = process.communicate(timeout=60)

    assert process.returncode == 0, stderr
    assert "1 record: 1 deleted, 0 left" in stdout
    assert "Init Duration" in stdout
    assert sqs.receive_message(QueueUrl=target)["Messages"][0]["Body"] == "forwarded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_run_clean(sqs, start, number):
    """Nothing is left running, and the summary is told."""
    source = sqs.create_queue(QueueName="source")["QueueUrl"]
    target = sqs.create_queue(QueueName="target")["QueueUrl"]
    sqs.send_message(QueueUrl=source, MessageBody="target")
    process = start("--queue", source)
    sqs.receive_message(QueueUrl=target, WaitTimeSeconds=20)

    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 0, stderr
    assert "1 record, 1 deleted, 0 failed" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("options", "summary", "exit_code"),
    [
        ([], "17 received, 1 recursive, 16 invocations", 1),
        (["--recursive-loop", "allow"], "20 received, 20 invocations", 0),
    ],
)
def test_function_that_feeds_itself_is_stopped_unless_told_s36(sqs, start, options, summary, exit_code):
    """By the trace header that boto3 passes on by itself inside a function, and SQS keeps with the message.

    The message that was stopped is left to its visibility timeout: the queue is not empty.
    """
    url = sqs.create_queue(QueueName="source")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="1")

    process = start("--queue", "source", "--until-empty", *options, handler="feeding.handler")
    _, stderr = process.communicate(timeout=60)

    assert summary in stderr
    assert process.returncode == exit_code, stderr
