"""EventBridge Scheduler's API on the port of the local SQS: what is on the wire, and who may use it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from sqs_tasks.local.server import LocalSQSServer

TARGET = {
    "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
    "RoleArn": "arn:aws:iam::000000000000:role/x",
    "Input": json.dumps({"QueueUrl": "/000000000000/q", "MessageBody": "<aws.scheduler.scheduled-time>"}),
}
REQUEST = {
    "ScheduleExpression": "at(2099-01-01T00:00:00)",
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "Target": TARGET,
    "ClientToken": "token",
}


@pytest.fixture
def server() -> Iterator[LocalSQSServer]:
    with LocalSQSServer() as running:
        yield running


def ask(
    server: LocalSQSServer, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, Any]:
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        text = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        given = {} if text is None else {"Content-Type": "application/json"}
        connection.request(method, path, text, {**given, **(headers or {})})
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


def clients(server: LocalSQSServer, region: str = "eu-central-1") -> list[Any]:
    """SQS and EventBridge Scheduler, by boto3."""
    options = {"region_name": region, "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return [boto3.client(name, endpoint_url=server.endpoint_url, **options) for name in ("sqs", "scheduler")]


def test_a_schedules_life_on_the_wire(server: LocalSQSServer) -> None:
    """REST JSON: paths, methods, times as numbers."""
    made = ask(server, "POST", "/schedules/nightly", {**REQUEST, "Unknown": 1, "Description": None})
    found = ask(server, "GET", "/schedules/nightly?groupName=default")
    listed = ask(server, "GET", "/schedules?ScheduleGroup=default&MaxResults=5&State=ENABLED")
    deleted = ask(server, "DELETE", "/schedules/nightly?groupName=default&clientToken=other")

    arn = "arn:aws:scheduler:us-east-1:000000000000:schedule/default/nightly"
    assert (made[0], made[2]) == (200, {"ScheduleArn": arn})
    assert made[1]["Content-Type"] == "application/json"
    assert made[1]["x-amzn-RequestId"]
    assert (found[0], found[2]["Arn"]) == (200, arn)
    assert abs(found[2]["CreationDate"] - time.time()) < 60
    assert "ClientToken" not in found[2]
    assert [one["Name"] for one in listed[2]["Schedules"]] == ["nightly"]
    assert (deleted[0], deleted[2]) == (200, {})


def test_an_error_is_named_in_the_header(server: LocalSQSServer) -> None:
    """As SDKs of REST JSON look for it."""
    status, headers, body = ask(server, "GET", "/schedules/nothing")

    assert status == 404
    assert headers["x-amzn-ErrorType"] == "ResourceNotFoundException"
    assert body == {"Message": "Schedule nothing does not exist."}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/schedules/x", b"{", 400, "ValidationException"),
        ("POST", "/schedules/x", {}, 400, "ValidationException"),
        ("POST", "/schedules/x", {**REQUEST, "Target": "y"}, 400, "ValidationException"),
        ("POST", "/schedules/x", {**REQUEST, "StartDate": "soon"}, 400, "ValidationException"),
        ("POST", "/schedules/x", {**REQUEST, "FlexibleTimeWindow": {"Mode": 1}}, 400, "ValidationException"),
        (
            "POST",
            "/schedules/x",
            {**REQUEST, "Target": {**TARGET, "RetryPolicy": {"MaximumEventAgeInSeconds": 59}}},
            400,
            "ValidationException",
        ),
        ("GET", "/schedules?MaxResults=0", None, 400, "ValidationException"),
        ("GET", "/schedules?MaxResults=many", None, 400, "ValidationException"),
        ("GET", "/schedules?NextToken=%21%21", None, 400, "ValidationException"),
        ("GET", "/tags/not-an-arn", None, 400, "ValidationException"),
        ("PATCH", "/schedules/x", None, 404, "UnknownOperationException"),
        ("GET", "/tags", None, 404, "UnknownOperationException"),
    ],
)
def test_malformed_requests_are_refused(
    server: LocalSQSServer, method: str, path: str, body: Any, status: int, error: str
) -> None:
    """With an error about them; boto3 would not have sent some."""
    found, headers, answer = ask(server, method, path, body)

    assert (found, headers["x-amzn-ErrorType"]) == (status, error)
    assert answer["Message"]


def test_queues_called_like_paths_of_the_scheduler_are_queues(server: LocalSQSServer) -> None:
    """Only the beginning of a path makes it the scheduler's."""
    sqs, scheduler = clients(server)
    url = sqs.create_queue(QueueName="schedules")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")

    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "x"
    sqs.close()
    scheduler.close()


def test_the_region_is_the_signatures(server: LocalSQSServer) -> None:
    """In the ARNs of what is made; everything is found from every region."""
    sqs, here = clients(server)
    _, there = clients(server, "ap-southeast-2")
    arn = here.create_schedule(Name="x", **REQUEST)["ScheduleArn"]

    assert arn.split(":")[3] == "eu-central-1"
    assert there.get_schedule(Name="x")["Arn"] == arn
    assert there.get_schedule_group(Name="default")["Arn"].split(":")[3] == "ap-southeast-2"
    for client in (sqs, here, there):
        client.close()


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"Origin": "https://evil.example"}),
        ("POST", {"Content-Type": "text/plain"}),
        ("POST", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("POST", {"Host": "evil.example:9324"}),
        ("PUT", {"Origin": "null"}),
        ("DELETE", {"Origin": "https://evil.example"}),
        ("GET", {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_no_web_page_makes_schedules(server: LocalSQSServer, method: str, headers: dict[str, str]) -> None:
    """A page that could would run jobs for as long as the server runs."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    body = json.dumps({**REQUEST, "ScheduleExpression": "rate(1 minute)"}) if method in ("POST", "PUT") else None
    connection.request(method, "/schedules/evil", body, {"Content-Type": "application/json", **headers})
    status = connection.getresponse().status
    connection.close()

    assert status in (403, 415)
    assert ask(server, "GET", "/schedules")[2] == {"Schedules": []}


def test_a_schedule_fires_in_real_time_and_wakes_a_long_poll(server: LocalSQSServer) -> None:
    """By the server's own clock: nobody has to ask for it."""
    sqs, scheduler = clients(server)
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    moment = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)

    scheduler.create_schedule(Name="soon", **{**REQUEST, "ScheduleExpression": f"at({moment:%Y-%m-%dT%H:%M:%S})"})
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
    late = datetime.now(UTC) - moment

    assert message["Body"] == f"{moment:%Y-%m-%dT%H:%M:%S}Z"
    assert timedelta() <= late < timedelta(seconds=1)
    sqs.close()
    scheduler.close()


def test_the_command_says_where_the_scheduler_is() -> None:
    """The line to paste makes boto3 find it."""
    code = "from sqs_tasks.cli.local_sqs import local_sqs; local_sqs()"
    with subprocess.Popen([sys.executable, "-c", code, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        exports = dict(pair.split("=", 1) for pair in process.stdout.readline().split()[1:])
        process.terminate()

    assert exports["AWS_ENDPOINT_URL_SCHEDULER"] == exports["AWS_ENDPOINT_URL_SQS"]
