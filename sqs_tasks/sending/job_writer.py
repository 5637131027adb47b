"""A job as the message that carries it, by the wire format of :mod:`sqs_tasks.message`."""

from __future__ import annotations

import uuid  # noqa: F401 - new_job_id() would import it, and a fork may meet it half imported
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqs_tasks import limits
from sqs_tasks.codecs import DEFAULT_CONTENT_TYPE, CodecRegistry
from sqs_tasks.errors import (
    ConfigurationError,
    MessageTooLargeError,
    SerializationError,
)
from sqs_tasks.message import (
    CONTENT_TYPE,
    JOB_CONTEXT,
    JOB_ID,
    JOB_NAME,
    WIRE_FORMAT,
    MessageAttribute,
    OutgoingMessage,
    string_attribute,
)

#: Bytes the context may add to every message; it is meant for a request id and the like.
MAX_CONTEXT_BYTES = 16_384


@dataclass(frozen=True, kw_only=True)
class JobWriter:
    """Writes the jobs of one queue.

    Attributes:
        codecs: The environment's codecs.
        content_type: What bodies are written in unless a send says otherwise.
        compress_above_bytes: JSON bodies above it go out as ``json+zlib``; None never.
        max_message_bytes: The size limit of one message with its attributes; None leaves it to the caller.
        queue_name: The queue's name in code, for hooks.
    """

    codecs: CodecRegistry
    content_type: str = DEFAULT_CONTENT_TYPE
    compress_above_bytes: int | None = None
    max_message_bytes: int | None = limits.MAX_MESSAGE_BYTES
    queue_name: str = ""

    def write(
        self,
        job_name: str,
        kwargs: Mapping[str, Any],
        context: Mapping[str, Any],
        *,
        job_id: str | None = None,
        content_type: str | None = None,
        message_attributes: Mapping[str, MessageAttribute] | None = None,
        delay_seconds: int | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
    ) -> OutgoingMessage:
        """The message that carries a job.

        Without a ``job_id`` the id that SQS gives the message is the job's.

        Raises:
            SerializationError: An argument or a context value cannot travel; the text names it.
            MessageTooLargeError: Body and attributes together exceed the limit.
            ConfigurationError: There is no such content type, there are too many attributes, or one has the name of
                one of ours.
        """
        chosen = content_type or self.content_type
        codec = self.codecs.get(chosen)
        try:
            body = codec.serialize(kwargs)
            context_text = codec.serialize(context)
        except SerializationError as error:
            raise SerializationError(f"job {job_name!r}: {error}") from error
        if len(context_text) > MAX_CONTEXT_BYTES:
            raise SerializationError(
                f"job {job_name!r}: the context is {len(context_text)} bytes and travels with every job, at most "
                f"{MAX_CONTEXT_BYTES} are allowed; put large values into the arguments"
            )
        if self.compress_above_bytes is not None and chosen == "json" and len(body) > self.compress_above_bytes:
            compressed = self.codecs.get("json+zlib")
            chosen, body, context_text = "json+zlib", compressed.serialize(kwargs), compressed.serialize(context)
        attributes: dict[str, MessageAttribute] = {
            CONTENT_TYPE: string_attribute(chosen),
            JOB_CONTEXT: string_attribute(context_text),
            JOB_NAME: string_attribute(job_name),
        }
        # Either says that the message is ours, so that what looks like a tag in it is one.
        if job_id is None:
            attributes[WIRE_FORMAT] = string_attribute("1")
        else:
            attributes[JOB_ID] = string_attribute(job_id)
        if message_attributes:
            taken = _OWN_ATTRIBUTES & message_attributes.keys()
            if taken:
                raise ConfigurationError(
                    f"job {job_name!r}: the message attribute {min(taken)!r} is written by the library; "
                    f"{', '.join(sorted(_OWN_ATTRIBUTES))} are taken, any other name is free"
                )
            attributes = {**message_attributes, **attributes}
            if len(attributes) > limits.MAX_MESSAGE_ATTRIBUTES:
                raise ConfigurationError(
                    f"job {job_name!r}: {len(attributes)} message attributes with those of the library; "
                    f"SQS allows {limits.MAX_MESSAGE_ATTRIBUTES}"
                )
        message = OutgoingMessage(
            body=body,
            attributes=attributes,
            delay_seconds=delay_seconds,
            group_id=group_id,
            deduplication_id=deduplication_id,
            queue_name=self.queue_name,
            job_name=job_name,
            job_id=job_id,
        )
        if self.max_message_bytes is not None:
            self._check_size(message, kwargs, self.max_message_bytes)
        return message

    def _check_size(self, message: OutgoingMessage, kwargs: Mapping[str, Any], most: int) -> None:
        # A body of ASCII, as all our codecs write, is at most this long; the exact count is only needed near the limit.
        if len(message.body) < most // 4 and not message.attributes.keys() - _OWN_ATTRIBUTES:
            return
        size = message.size_bytes
        if size <= most:
            return
        sizes = {name: len(self.codecs.get(self.content_type).serialize({name: kwargs[name]})) for name in kwargs}
        largest = max(sizes, key=lambda name: sizes[name], default=None)
        hint = "" if largest is None else f"; the largest argument is {largest!r} with {sizes[largest]} bytes"
        raise MessageTooLargeError(
            f"job {message.job_name!r} is {size} bytes with its attributes, at most {most} are "
            f"allowed{hint}; store large data elsewhere and send its address"
        )


_OWN_ATTRIBUTES = frozenset({CONTENT_TYPE, JOB_CONTEXT, JOB_NAME, JOB_ID, WIRE_FORMAT})
