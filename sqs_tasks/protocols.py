"""The seams: what one part asks of another, so that nothing imports what creates it.

``SQSClient`` is the shape of ``boto3.client("sqs")`` cut down to the operations this library calls. boto3's own client
is one; the in-memory SQS of :mod:`sqs_tasks.local` is another; the conformance suite holds both to the same words.
"""

from __future__ import annotations

from typing import Any, Protocol


class SQSClient(Protocol):
    """The operations of ``boto3.client("sqs")`` that this library calls, with boto3's keyword arguments and answers.

    Failures are botocore's ``ClientError`` or an exception with the same ``response["Error"]["Code"]``.
    """

    def send_message(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def send_message_batch(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def receive_message(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def delete_message_batch(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def change_message_visibility_batch(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def get_queue_url(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def get_queue_attributes(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def set_queue_attributes(self, **kwargs: Any) -> dict[str, Any] | None:
        """As boto3 has it."""
        ...

    def create_queue(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def delete_queue(self, **kwargs: Any) -> dict[str, Any] | None:
        """As boto3 has it."""
        ...

    def purge_queue(self, **kwargs: Any) -> dict[str, Any] | None:
        """As boto3 has it."""
        ...

    def list_queue_tags(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def tag_queue(self, **kwargs: Any) -> dict[str, Any] | None:
        """As boto3 has it."""
        ...

    def untag_queue(self, **kwargs: Any) -> dict[str, Any] | None:
        """As boto3 has it."""
        ...

    def start_message_move_task(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def cancel_message_move_task(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...

    def list_message_move_tasks(self, **kwargs: Any) -> dict[str, Any]:
        """As boto3 has it."""
        ...


class StoredBody(Protocol):
    """The body of a message that travels outside of it."""

    @property
    def text(self) -> str:
        """The body."""

    def store(self) -> None:
        """Put it where its receiver finds it; more than once is as good as once."""


class SQSSession(Protocol):
    """What ``SQSEnv(session)`` accepts: the ``boto3`` module, a ``boto3.Session`` or a ``MemorySession``."""

    def client(self, service_name: str, /, **kwargs: Any) -> Any:
        """As boto3 has it."""
        ...
