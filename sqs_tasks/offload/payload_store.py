"""Large bodies in S3: put before their messages are sent, fetched before their jobs run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sqs_tasks.client import ClientProvider, error_code
from sqs_tasks.errors import (
    ConfigurationError,
    MessageTooLargeError,
    PayloadUnavailableError,
    UndecodableMessageError,
    shortened,
)
from sqs_tasks.message import OutgoingMessage, ReceivedMessage, new_job_id
from sqs_tasks.offload.pointer import SIZE_ATTRIBUTE, SIZE_ATTRIBUTES, Pointer, is_pointer, pointer_in
from sqs_tasks.offload.s3_offload import S3Offload

logger = logging.getLogger(__name__)

J = TypeVar("J")

#: What S3 says of an object that is not there. Without the right to list the bucket it is AccessDenied instead, which
#: cannot be told from a lack of rights, and is tried again.
_MISSING = frozenset({"NoSuchKey", "404"})

#: What EventBridge Scheduler holds of a message at most, with room for what JSON adds.
_SCHEDULE_BYTES = 100_000

#: A body that is shorter gains nothing by a pointer in its place.
_POINTER_BYTES = 256

#: Objects that one request removes.
_MOST_REMOVED = 1000


class Payload:
    """The body of a message that is about to be sent, which has to be in S3 by then.

    Attributes:
        text: The body.
    """

    def __init__(self, text: str, put: Callable[[str], None]) -> None:
        self.text = text
        self._put = put
        self._is_stored = False

    def store(self) -> None:
        """Put it into S3, unless it is there. A death between this and the send leaves an object that nobody needs."""
        if not self._is_stored:
            self._put(self.text)
            self._is_stored = True


class PayloadStore:
    """The large bodies of one queue. Safe to share between threads.

    Args:
        settings: Where they go.
        client: Gives the client of S3.
        queue_name: The queue's name in code, for errors.
    """

    def __init__(self, settings: S3Offload, client: ClientProvider, *, queue_name: str) -> None:
        self.settings = settings
        self._client = client
        self._queue_name = queue_name

    # --- sending ----------------------------------------------------------------------------------------------------

    def offloaded(self, message: OutgoingMessage, *, fifo: bool, max_message_bytes: int) -> OutgoingMessage:
        """The message with a pointer for a body, if it is above the size; the object is put when it is sent.

        Args:
            message: The message.
            fifo: Whether its queue is FIFO.
            max_message_bytes: The most that its queue takes.

        Raises:
            ConfigurationError: A sender's own attribute has the name that marks a pointer.
            MessageTooLargeError: Its attributes alone are too large, or its body is larger than is ever read.
        """
        if is_pointer(message.attributes):
            raise ConfigurationError(
                f"queue {self._queue_name!r}: the message attributes {' and '.join(SIZE_ATTRIBUTES)} say that a body "
                "is in S3; give yours another name"
            )
        most = max_message_bytes
        if message.run_at is not None:
            most = min(most, _SCHEDULE_BYTES)
        if message.size_bytes <= min(self.settings.above_bytes, most):
            return message
        if self.settings.above_bytes and len(message.body) < _POINTER_BYTES:  # it is the attributes that are large
            self._check_size(message, most)
            return message
        if message.run_at is not None:
            self._check_expiry(message, message.run_at)
        # An argument of one character may be four bytes, and most bodies are ASCII.
        size = len(message.body) if message.body.isascii() else len(message.body.encode("utf-8", "surrogatepass"))
        if size > self.settings.max_bytes:
            what = f"job {message.job_name!r}" if message.job_name else "the message"
            raise MessageTooLargeError(
                f"queue {self._queue_name!r}: the body of {what} is {size} bytes, and at most "
                f"{self.settings.max_bytes} go to S3; store the data yourself and send its address, or "
                "raise S3Offload(max_bytes=...)"
            )
        place = Pointer(self._bucket(), f"{self.settings.prefix}{new_job_id()}")
        offloaded = replace(
            message,
            body=place.as_body(),
            attributes={**message.attributes, SIZE_ATTRIBUTE: {"DataType": "Number", "StringValue": str(size)}},
            payload=Payload(message.body, partial(self._put, place)),
        )
        if fifo and message.deduplication_id is None:
            # SQS would take the pointer for the content, of which no two are equal (S31).
            import hashlib

            content = hashlib.sha256(message.body.encode("utf-8", "surrogatepass")).hexdigest()
            offloaded = replace(offloaded, deduplication_id=content)
        self._check_size(offloaded, most)
        return offloaded

    def _check_size(self, message: OutgoingMessage, most: int) -> None:
        if message.size_bytes > most:
            what = f"job {message.job_name!r}" if message.job_name else "the message"
            raise MessageTooLargeError(
                f"queue {self._queue_name!r}: {what} is {message.size_bytes} bytes without its body, at most {most} "
                "are allowed; attributes and follow-ups do not go to S3: put large values into arguments"
            )

    def _check_expiry(self, message: OutgoingMessage, run_at: datetime) -> None:
        days = (run_at.timestamp() - self._client.now()) / 86_400
        if days > self.settings.expire_days:
            raise ConfigurationError(
                f"queue {self._queue_name!r}: job {message.job_name!r} is due in {days:.0f} days, and its body would "
                f"be removed from S3 after {self.settings.expire_days}; raise S3Offload(expire_days=...), or send less"
            )

    def _put(self, place: Pointer, text: str) -> None:
        self._s3().put_object(
            Bucket=place.bucket, Key=place.key, Body=text.encode(), ContentType="text/plain; charset=utf-8"
        )

    # --- receiving --------------------------------------------------------------------------------------------------

    def resolving(self, decode: Callable[[ReceivedMessage], J]) -> Callable[[ReceivedMessage], J]:
        """Decode, with the body from S3 where the message points to one."""
        return partial(self._decode, decode)

    def _decode(self, decode: Callable[[ReceivedMessage], J], message: ReceivedMessage) -> J:
        if not self.has_payload(message):
            return decode(message)
        whole = self.resolved(message)
        job = decode(whole)
        if not message.job_name:  # of another library: it is known by its body
            message.named(whole.job_name, whole.job_id)
        return job

    @staticmethod
    def has_payload(message: ReceivedMessage) -> bool:
        """Whether the body of a message is in S3."""
        return any(message.attribute(name) is not None for name in SIZE_ATTRIBUTES)

    def resolved(self, message: ReceivedMessage) -> ReceivedMessage:
        """The message with the body that its pointer means; copies are made of the one with the pointer.

        Raises:
            UndecodableMessageError: There is no pointer, it leads elsewhere, or the object is gone or too large.
            PayloadUnavailableError: S3 does not give it now.
        """
        attributes = {name: one for name, one in message.message_attributes.items() if name not in SIZE_ATTRIBUTES}
        return ReceivedMessage(
            message_id=message.message_id,
            receipt_handle=message.receipt_handle,
            body=self._fetched(self._place(message)),
            attributes=message.attributes,
            message_attributes=attributes,
            queue_arn=message.queue_arn,
            received_at=message.received_at,
        )

    def _place(self, message: ReceivedMessage) -> Pointer:
        """Where the body is; what a message says is followed into the queue's own bucket and prefix alone."""
        place, bucket = pointer_in(message.body), self._bucket()
        if place.bucket != bucket or not place.key.startswith(self.settings.prefix):
            raise UndecodableMessageError(
                f"the message points to {_words(place)}, and bodies of queue {self._queue_name!r} are read from bucket "
                f"{bucket!r} and keys that begin with {self.settings.prefix!r} alone; for others set S3Offload(...)"
            )
        return place

    def _fetched(self, place: Pointer) -> str:
        most = self.settings.max_bytes
        try:
            answer = self._s3().get_object(Bucket=place.bucket, Key=place.key)
            size = int(answer["ContentLength"])
            data: bytes = b"" if size > most else answer["Body"].read()
        except Exception as error:
            if error_code(error) in _MISSING:
                raise UndecodableMessageError(
                    f"the body of the message is in S3, and {_words(place)} is not there: it was removed, or has "
                    "expired"
                ) from error
            raise PayloadUnavailableError(
                f"S3 does not give {_words(place)} with the body of the message "
                f"({error_code(error) or type(error).__name__})"
            ) from error
        if size > most:
            raise UndecodableMessageError(
                f"{_words(place)} is {size} bytes, and at most {most} are read as a body; raise "
                "S3Offload(max_bytes=...)"
            )
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise UndecodableMessageError(f"{_words(place)} is no text in UTF-8, as a body is") from error

    # --- removing ---------------------------------------------------------------------------------------------------

    def remove(self, messages: Sequence[ReceivedMessage]) -> None:
        """Remove the bodies of messages that are deleted; never raises, since the lifecycle rule removes the rest."""
        keys: list[str] = []
        for message in messages:
            try:
                keys.append(self._place(message).key)
            except (UndecodableMessageError, ConfigurationError):
                continue
        for start in range(0, len(keys), _MOST_REMOVED):
            objects = [{"Key": key} for key in keys[start : start + _MOST_REMOVED]]
            try:
                answer = self._s3().delete_objects(Bucket=self._bucket(), Delete={"Objects": objects, "Quiet": True})
                errors = [one.get("Code") for one in answer.get("Errors") or ()]
            except Exception as error:  # noqa: BLE001 - nothing is lost by it
                errors = [error_code(error) or type(error).__name__] * len(objects)
            if errors:
                logger.warning(
                    "%d bodies of finished jobs of queue %s could not be removed from S3 (%s); the lifecycle rule of "
                    "the bucket removes them",
                    len(errors),
                    self._queue_name,
                    errors[0],
                    extra={"action": "payload_removal_failed", "queue_name": self._queue_name},
                )

    def _bucket(self) -> str:
        if self._client.is_in_memory:
            return self.settings.bucket or "in-memory"
        return self.settings.bucket_name(os.environ)

    def _s3(self) -> Any:
        return self._client.of_service("s3", endpoint_url=self.settings.endpoint_url)


def _words(place: Pointer) -> str:
    return f"object {shortened(repr(place.key))} in bucket {shortened(repr(place.bucket))}"
