"""``sqs-tasks local-sqs`` as a process: what it prints, and how it stops."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import boto3
import pytest

from sqs_tasks.local.application import HEALTH_PATH

COMMAND = [sys.executable, "-W", "error", "-c", "from sqs_tasks.cli.local_sqs import local_sqs; local_sqs()"]


def start(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with start("--port", "0") as running:
        yield running
        running.kill()


def endpoint_of(process: subprocess.Popen[str]) -> str:
    """The endpoint in the first line it prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, line
    return found.group()


def test_it_prints_where_it_is_and_what_to_paste(process: subprocess.Popen[str]) -> None:
    """The second line, pasted into another terminal, makes every SDK talk to it."""
    endpoint = endpoint_of(process)
    assert process.stdout is not None
    exports = process.stdout.readline().strip()
    assert exports.startswith("export ")
    environment = dict(pair.split("=", 1) for pair in exports.removeprefix("export ").split())

    code = "import boto3; print(boto3.client('sqs').create_queue(QueueName='pasted')['QueueUrl'])"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run([sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True)

    assert done.stdout.strip() == f"{endpoint}/000000000000/pasted", done.stderr


def test_it_answers_on_its_health_path(process: subprocess.Popen[str]) -> None:
    """As soon as the first line is there."""
    with urllib.request.urlopen(endpoint_of(process) + HEALTH_PATH) as response:
        assert response.status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_at_once_and_clean(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """With a long poll waiting: exit code 0, nothing on stderr."""
    endpoint = endpoint_of(process)
    port = int(endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as polling:
        body = b'{"QueueUrl":"q","WaitTimeSeconds":20}'
        for action, content in (("CreateQueue", b'{"QueueName":"q"}'), ("ReceiveMessage", body)):
            head = (
                f"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.{action}\r\nContent-Type: application/x-amz-json-1.0\r\n"
            )
            polling.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        polling.recv(1000)
        start_time = time.monotonic()
        process.send_signal(number)

        assert process.wait(5) == 0
        assert time.monotonic() - start_time < 2
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_a_port_in_use_is_said_in_a_sentence(process: subprocess.Popen[str]) -> None:
    """Not in a traceback."""
    port = endpoint_of(process).rpartition(":")[2]

    with start("--port", port) as second:
        _, error = second.communicate(timeout=10)

    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in error
    assert "Traceback" not in error


def test_an_open_address_is_warned_about() -> None:
    """On stderr and once, because there are no credentials."""
    with start("--port", "0", "--host", "0.0.0.0") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        _, error = process.communicate(timeout=10)

    assert error.count("WARNING") == 1
    assert "the local SQS listens on 0.0.0.0: everyone who can reach this machine" in error


def test_awss_waits_can_be_enforced() -> None:
    """A purge right after a purge."""
    with start("--port", "0", "--enforce-waits") as process:
        client = boto3.client(
            "sqs",
            endpoint_url=endpoint_of(process),
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        url = client.create_queue(QueueName="q")["QueueUrl"]
        client.purge_queue(QueueUrl=url)

        with pytest.raises(client.exceptions.PurgeQueueInProgress):
            client.purge_queue(QueueUrl=url)
        client.close()
        process.terminate()
        process.communicate(timeout=10)
