"""A message to its job, or why it never runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqs_tasks.codecs import DEFAULT_CONTENT_TYPE, SAFE_CONTENT_TYPES, CodecRegistry
from sqs_tasks.errors import UndecodableMessageError
from sqs_tasks.message import CONTENT_TYPE, JOB_CONTEXT, JOB_ID, JOB_NAME, Job, ReceivedMessage


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
