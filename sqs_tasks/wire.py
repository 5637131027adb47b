"""Jobs to messages and back, by the wire format of :mod:`sqs_tasks.message`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqs_tasks import limits
from sqs_tasks.codecs import DEFAULT_CONTENT_TYPE, CodecRegistry
from sqs_tasks.errors import (
    ConfigurationError,
    MessageTooLargeError,
    SerializationError,
    UndecodableMessageError,
)
from sqs_tasks.message import (
    CONTENT_TYPE,
    JOB_CONTEXT,
    JOB_ID,
    JOB_NAME,
    Job,
    MessageAttribute,
    OutgoingMessage,
    ReceivedMessage,
    string_attribute,
)

#: Bytes the context may add to every message; it is meant for a request id and the like.
MAX_CONTEXT_BYTES = 16_384

#: The content types a consumer decodes unless told otherwise; pickle never is among them (fault W4).
SAFE_CONTENT_TYPES = frozenset({"json", "json+zlib"})


class ClaimCheck(Protocol):
    """Keeps bodies that are too large for a message, and gives a ticket for each: the place for it, not built yet.

    It will stand between codec and message: :meth:`JobWriter.write` would call :meth:`put` in place of raising
    MessageTooLargeError, and :meth:`JobReader.read` would call :meth:`get` before it decodes.
    """

    def put(self, body: str) -> str:
        """Keep a body for at least as long as SQS may keep the message, and return its ticket."""

    def get(self, ticket: str) -> str:
        """The body of a ticket.

        Raises:
            UndecodableMessageError: There is no such body, or no longer.
        """


@dataclass(frozen=True, kw_only=True)
class JobWriter:
    """Writes the jobs of one queue.

    Attributes:
        codecs: The environment's codecs.
        content_type: What bodies are written in unless a send says otherwise.
        compress_above_bytes: JSON bodies above it go out as ``json+zlib``; None never.
        max_message_bytes: The size limit of one message with its attributes.
        queue_name: The queue's name in code, for hooks.
    """

    codecs: CodecRegistry
    content_type: str = DEFAULT_CONTENT_TYPE
    compress_above_bytes: int | None = None
    max_message_bytes: int = limits.MAX_MESSAGE_BYTES
    queue_name: str = ""

    def write(
        self,
        job_name: str,
        kwargs: Mapping[str, Any],
        context: Mapping[str, Any],
        *,
        content_type: str | None = None,
        message_attributes: Mapping[str, MessageAttribute] | None = None,
        delay_seconds: int | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
    ) -> OutgoingMessage:
        """The message that carries a job.

        Raises:
            SerializationError: An argument or a context value cannot travel; the text names it.
            MessageTooLargeError: Body and attributes together exceed the limit.
            ConfigurationError: There is no such content type, or there are too many attributes.
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
        job_id = new_job_id()
        attributes: dict[str, MessageAttribute] = {
            CONTENT_TYPE: string_attribute(chosen),
            JOB_CONTEXT: string_attribute(context_text),
            JOB_NAME: string_attribute(job_name),
            JOB_ID: string_attribute(job_id),
        }
        if message_attributes:
            attributes = {**message_attributes, **attributes}
            if len(attributes) > limits.MAX_MESSAGE_ATTRIBUTES:
                raise ConfigurationError(
                    f"job {job_name!r}: {len(attributes)} message attributes, 4 of them the library's own; "
                    f"SQS takes {limits.MAX_MESSAGE_ATTRIBUTES}"
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
        self._check_size(message, kwargs)
        return message

    def _check_size(self, message: OutgoingMessage, kwargs: Mapping[str, Any]) -> None:
        # A body of ASCII, as all our codecs write, is at most this long; the exact count is only needed near the limit.
        if len(message.body) < self.max_message_bytes // 4 and not message.attributes.keys() - _OWN_ATTRIBUTES:
            return
        size = message.size_bytes
        if size <= self.max_message_bytes:
            return
        sizes = {name: len(self.codecs.get(self.content_type).serialize({name: kwargs[name]})) for name in kwargs}
        largest = max(sizes, key=lambda name: sizes[name], default=None)
        hint = "" if largest is None else f"; the largest argument is {largest!r} with {sizes[largest]} bytes"
        raise MessageTooLargeError(
            f"job {message.job_name!r} is {size} bytes with its attributes, at most {self.max_message_bytes} are "
            f"allowed{hint}; store large data elsewhere and send its address"
        )


_OWN_ATTRIBUTES = frozenset({CONTENT_TYPE, JOB_CONTEXT, JOB_NAME, JOB_ID})


@dataclass(frozen=True, kw_only=True)
class JobReader:
    """Reads the jobs of one queue.

    Attributes:
        queue_name: The queue's name in code.
        codecs: The environment's codecs.
        accept: The content types that may be decoded: the consumer's choice, never the message's (design §2.6).
        readers: Foreign formats, asked in turn for messages that are not ours.
    """

    queue_name: str
    codecs: CodecRegistry
    accept: frozenset[str] = SAFE_CONTENT_TYPES
    readers: Sequence[Callable[..., Any]] = ()

    def read(self, message: ReceivedMessage) -> Job:
        """The job a message carries.

        Raises:
            UndecodableMessageError: It carries none that this consumer reads.
        """
        job_name = message.attribute(JOB_NAME)
        if job_name is None or self.readers:
            foreign = self._read_foreign(message)
            if foreign is not None:
                return foreign
        if job_name is None:
            raise UndecodableMessageError(
                "the message has no JobName attribute; was it sent by something else? "
                "A queue for foreign messages is a RawQueue, or has readers="
            )
        content_type = message.attribute(CONTENT_TYPE) or DEFAULT_CONTENT_TYPE
        if content_type not in self.accept:
            raise UndecodableMessageError(
                f"content type {content_type!r} is not accepted by this consumer, which takes "
                f"{', '.join(sorted(self.accept))}; to change that, set accept= on the queue or the environment"
            )
        deserialize = self.codecs.deserializers.get(content_type) or self.codecs.get(content_type).deserialize
        kwargs = deserialize(message.body)
        if not _is_by_name(kwargs):
            raise UndecodableMessageError(f"the body holds {type(kwargs).__name__}, not arguments by name")
        context_text = message.attribute(JOB_CONTEXT)
        # Most jobs have an empty context, and nothing has to be decoded to know what that means in JSON.
        if not context_text or (context_text == "{}" and content_type == DEFAULT_CONTENT_TYPE):
            context = {}
        else:
            context = deserialize(context_text)
            if not _is_by_name(context):
                raise UndecodableMessageError("the JobContext attribute does not hold values by name")
        job_id = message.attribute(JOB_ID) or message.message_id
        return Job(job_name, kwargs, context, self.queue_name, message, job_id)

    def _read_foreign(self, message: ReceivedMessage) -> Job | None:
        attributes = {
            name: attribute["StringValue"]
            for name, attribute in message.message_attributes.items()
            if "StringValue" in attribute
        }
        for reader in self.readers:
            foreign = reader(message.body, attributes, accept=self.accept)
            if foreign is not None:
                return Job(
                    job_name=foreign.job_name,
                    args=tuple(foreign.args),
                    kwargs=foreign.kwargs,
                    context=foreign.context,
                    queue_name=self.queue_name,
                    message=message,
                    job_id=foreign.job_id or message.message_id,
                    not_before=foreign.eta,
                    expires_at=foreign.expires,
                )
        return None


def _is_by_name(values: Any) -> bool:
    if not isinstance(values, dict):
        return False
    for name in values:  # noqa: SIM110 - a generator would cost more than all the names
        if not isinstance(name, str):
            return False
    return True


def new_job_id() -> str:
    """An id that no other job has."""
    import uuid  # consumers never need it

    return str(uuid.uuid4())
