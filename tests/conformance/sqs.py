"""The words that conformance tests are written in."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conformance.backends import Backend

Message = dict[str, Any]

#: Puts a rule's name on a test: an S-number, or a page of the SQS documentation.
rule = pytest.mark.rule


#: Errors that have another name in the query protocol; a boto3 that speaks it knows no other.
_QUERY_CODES = {"NonExistentQueue": "QueueDoesNotExist", "QueueAlreadyExists": "QueueNameExists"}


class SQS:
    """An SQS under test: its client, and short words for what tests do all the time."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.client = backend.client
        self.name = backend.name

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._backend.wait(seconds)

    def new_name(self, *, fifo: bool = False) -> str:
        """A queue name that nobody had before."""
        return f"conformance-{uuid.uuid4().hex[:12]}{'.fifo' if fifo else ''}"

    def queue(self, name: str | None = None, **attributes: object) -> str:
        """The URL of a new queue with these attributes."""
        name = name or self.new_name(fifo="FifoQueue" in attributes)
        given = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
        url: str = self.client.create_queue(QueueName=name, Attributes=given)["QueueUrl"]
        self._backend.created.append(url)
        return url

    def fifo(self, **attributes: object) -> str:
        """The URL of a new FIFO queue; deduplication by content unless said otherwise."""
        return self.queue(**{"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes})

    def with_dead_letters(self, count: int = 1, *, fifo: bool = False, **attributes: object) -> tuple[str, str]:
        """The URLs of a new queue and its dead-letter queue; messages return at once by default."""
        make = self.fifo if fifo else self.queue
        dead = make()
        policy = {"deadLetterTargetArn": self.arn(dead), "maxReceiveCount": count}
        return make(**{"RedrivePolicy": policy, "VisibilityTimeout": "0", **attributes}), dead

    def arn(self, url: str) -> str:
        """A queue's ARN."""
        return str(self.attribute(url, "QueueArn"))

    def attribute(self, url: str, name: str) -> str | None:
        """One attribute of a queue."""
        answer = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        value: str | None = answer.get("Attributes", {}).get(name)
        return value

    def counts(self, url: str) -> tuple[int, int, int]:
        """How many messages are visible, in flight and delayed."""
        names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
        found = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        visible, in_flight, delayed = (int(found[name]) for name in names)
        return visible, in_flight, delayed

    def send(self, url: str, body: str = "body", group: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a message."""
        if group is not None:
            params["MessageGroupId"] = group
        answer: dict[str, Any] = self.client.send_message(QueueUrl=url, MessageBody=body, **params)
        return answer

    def receive(self, url: str, most: int = 1, **params: Any) -> list[Message]:
        """Receive messages; a sampled server is waited for."""
        if self._backend.sampled:
            params.setdefault("WaitTimeSeconds", 2)
        answer = self.client.receive_message(QueueUrl=url, MaxNumberOfMessages=most, **params)
        messages: list[Message] = answer.get("Messages", [])
        return messages

    def one(self, url: str, **params: Any) -> Message:
        """Receive a message that has to be there."""
        messages = self.receive(url, **params)
        assert len(messages) == 1, f"expected a message in {url}"
        return messages[0]

    def bodies(self, url: str, most: int = 10, **params: Any) -> list[str]:
        """The bodies of the messages received."""
        return [message["Body"] for message in self.receive(url, most, **params)]

    def system(self, url: str, **params: Any) -> dict[str, str]:
        """The system attributes of the message received."""
        found: dict[str, str] = self.one(url, AttributeNames=["All"], **params)["Attributes"]
        return found

    def delete(self, url: str, message: Message) -> None:
        """Delete a message by its handle."""
        self.client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def hide(self, url: str, message: Message, seconds: int) -> None:
        """Change a message's visibility by its handle."""
        self.client.change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
        )

    def batch(self, url: str, *bodies: str, **params: Any) -> dict[str, Any]:
        """Send several messages in one batch; their ids count from 0."""
        entries = [{"Id": str(at), "MessageBody": body, **params} for at, body in enumerate(bodies)]
        answer: dict[str, Any] = self.client.send_message_batch(QueueUrl=url, Entries=entries)
        return answer


@contextlib.contextmanager
def refused(code: str, status: int = 400) -> Iterator[SimpleNamespace]:
    """Expect an error with that code, in the words of either protocol, and that HTTP status."""
    caught = SimpleNamespace()
    with pytest.raises(ClientError) as raised:
        yield caught
    response = raised.value.response
    error = response["Error"]
    caught.error, caught.message, caught.kind = raised.value, error["Message"], type(raised.value).__name__
    codes = {error["Code"].rpartition(".")[2], error["Code"], error.get("QueryErrorCode")}
    codes |= {_QUERY_CODES.get(code) for code in tuple(codes)}
    assert code in codes, f"{error} instead of {code}"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
