"""The words that tests of schedules are written in."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conformance_scheduler.backends import Backend

UNIVERSAL = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"

#: Puts a rule's name on a test: a Z-number, or a page of the EventBridge Scheduler documentation.
rule = pytest.mark.rule


class Scheduling:
    """A scheduler under test, with its SQS."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.client = backend.client
        self.sqs = backend.sqs
        self.name = backend.name

    def now(self, later: float = 0) -> datetime:
        """The time there, or so many seconds later; whole seconds, as expressions have them."""
        return datetime.fromtimestamp(int(self._backend.now()) + later, UTC)

    def wait(self, seconds: float) -> None:
        """Let time pass, and as much more as an invocation may be late."""
        self._backend.wait(seconds + self._backend.late_seconds)

    def wait_until(self, moment: datetime) -> None:
        """Let time pass until then."""
        self.wait(moment.timestamp() - self._backend.now())

    def new_name(self) -> str:
        """A name that nobody had before."""
        return f"conformance-{uuid.uuid4().hex[:12]}"

    def queue(self, **attributes: str) -> str:
        """The URL of a new queue."""
        name = self.new_name() + (".fifo" if "FifoQueue" in attributes else "")
        url: str = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self._backend.queues.append(url)
        return url

    def arn(self, url: str) -> str:
        """A queue's ARN."""
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def group(self, name: str | None = None, **params: Any) -> str:
        """The name of a new group."""
        name = name or self.new_name()
        self.client.create_schedule_group(Name=name, **params)
        self._backend.groups.append(name)
        return name

    def sending(self, url: str, **request: Any) -> dict[str, Any]:
        """The universal target that sends to a queue."""
        text = json.dumps({"QueueUrl": url, "MessageBody": "due", **request})
        return {"Arn": UNIVERSAL, "RoleArn": self._backend.role_arn, "Input": text}

    def templated(self, url: str, body: str | None = "due", **params: Any) -> dict[str, Any]:
        """The templated target that sends to a queue."""
        target = {"Arn": self.arn(url), "RoleArn": self._backend.role_arn, **params}
        return target if body is None else {**target, "Input": body}

    def create(self, expression: str, target: dict[str, Any], name: str | None = None, **params: Any) -> str:
        """The name of a new schedule."""
        name = name or self.new_name()
        self.client.create_schedule(Name=name, **self.request(expression, target, **params))
        self._backend.schedules.append((params.get("GroupName", "default"), name))
        return name

    @staticmethod
    def request(expression: str, target: dict[str, Any], **params: Any) -> dict[str, Any]:
        """The request that makes a schedule, without its name."""
        return {
            "ScheduleExpression": expression,
            "Target": target,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            **params,
        }

    def messages(self, url: str) -> list[dict[str, Any]]:
        """All messages of a queue, deleted as they are received, in the order of their sending."""
        found: list[dict[str, Any]] = []
        while received := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in received:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found += received
        return sorted(found, key=lambda message: int(message["Attributes"]["SentTimestamp"]))

    def bodies(self, url: str) -> list[str]:
        """The bodies of all messages of a queue."""
        return [message["Body"] for message in self.messages(url)]


def at(moment: datetime) -> str:
    """The expression of a moment in UTC."""
    return f"at({moment:%Y-%m-%dT%H:%M:%S})"


def slot(moment: datetime) -> str:
    """A moment as EventBridge Scheduler writes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


@contextlib.contextmanager
def refused(code: str, status: int) -> Iterator[SimpleNamespace]:
    """Expect an error with that code and HTTP status."""
    caught = SimpleNamespace()
    with pytest.raises(ClientError) as raised:
        yield caught
    response = raised.value.response
    assert response["Error"]["Code"] == code, response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert type(raised.value).__name__ == code
    caught.message = response["Error"]["Message"]
