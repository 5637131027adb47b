"""The client in memory: what code that expects boto3's finds there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError

from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession

REQUEST: dict[str, Any] = {
    "ScheduleExpression": "at(2099-01-01T00:00:00)",
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "Target": {
        "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
        "RoleArn": "arn:aws:iam::000000000000:role/x",
        "Input": json.dumps({"QueueUrl": "q", "MessageBody": "x"}),
    },
}


@pytest.fixture
def session() -> MemorySession:
    return MemorySession(ManualClock())


@pytest.fixture
def client(session: MemorySession) -> Any:
    return session.client("scheduler")


def test_it_has_the_methods_of_boto3s_client(client: Any) -> None:
    """All operations, and the pages that boto3 has."""
    real = boto3.client("scheduler", region_name="us-east-1")
    methods = list(real.meta.method_to_api_mapping)

    assert client.meta.method_to_api_mapping == dict(real.meta.method_to_api_mapping)
    assert [client.can_paginate(name) for name in methods] == [real.can_paginate(name) for name in methods]
    assert all(callable(getattr(client, name)) for name in methods)
    real.close()
    client.close()


def test_unknown_methods_and_pages_are_errors(client: Any) -> None:
    """As with boto3: no attribute, and no paginator."""
    with pytest.raises(AttributeError, match="run_schedule"):
        client.run_schedule()
    with pytest.raises(ValueError, match="list_schedules"):
        client.get_paginator("get_schedule")


@pytest.mark.parametrize(
    "change",
    [
        {"ScheduleExpression": 5},
        {"Colour": "red"},
        {"Target": {"Arn": "x"}},
        {"StartDate": "not a time"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 0}},
    ],
)
def test_parameters_are_checked_as_boto3_does(client: Any, change: dict[str, Any]) -> None:
    """The same error, with the same text, before anything is asked."""
    real = boto3.client("scheduler", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    texts = []
    for one in (client, real):
        with pytest.raises(ParamValidationError) as raised:
            one.create_schedule(Name="x", **{**REQUEST, **change})
        texts.append(str(raised.value))
    real.close()

    assert texts[0] == texts[1]


def test_errors_are_boto3s(client: Any) -> None:
    """Caught by the client's own classes, and by ClientError; with what a response has."""
    with pytest.raises(client.exceptions.ResourceNotFoundException) as raised:
        client.get_schedule(Name="x")

    assert isinstance(raised.value, ClientError)
    assert raised.value.operation_name == "GetSchedule"
    assert raised.value.response["Error"] == {
        "Code": "ResourceNotFoundException",
        "Message": "Schedule x does not exist.",
    }
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_what_the_caller_changes_later_is_not_the_schedules(client: Any) -> None:
    """Neither what was given nor what was answered."""
    target = {**REQUEST["Target"], "RetryPolicy": {"MaximumRetryAttempts": 1}}
    client.create_schedule(Name="x", **{**REQUEST, "Target": target})
    target["RetryPolicy"]["MaximumRetryAttempts"] = 2

    client.get_schedule(Name="x")["Target"]["RetryPolicy"]["MaximumRetryAttempts"] = 3

    assert client.get_schedule(Name="x")["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 1


@pytest.mark.parametrize(
    "given", [datetime(2098, 1, 1, tzinfo=UTC), "2098-01-01T00:00:00Z", datetime(2098, 1, 1, tzinfo=UTC).timestamp()]
)
def test_times_are_given_as_boto3_takes_them(client: Any, given: Any) -> None:
    """A datetime, a text or a number; answered as an aware datetime."""
    client.create_schedule(Name="x", **{**REQUEST, "ScheduleExpression": "rate(1 day)", "StartDate": given})

    assert client.get_schedule(Name="x")["StartDate"] == datetime(2098, 1, 1, tzinfo=UTC)


def test_all_clients_of_a_session_see_the_same_schedules(session: MemorySession, client: Any) -> None:
    """Whichever made them."""
    client.create_schedule(Name="x", **REQUEST)

    assert session.client("scheduler").get_schedule(Name="x")["Name"] == "x"
