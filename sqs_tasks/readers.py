"""Readers for the messages of other task queues, so that a new worker can drain an old queue.

A queue is given the readers of the systems that sent to it, and asks them in turn::

    env.queue("emails", readers=[readers.pyqs, readers.celery])

===================  ===============================================================================================
reader               reads
===================  ===============================================================================================
`sqs_workers_v02`    sqs-workers before 0.4, whose messages have no ``JobContext``; later ones need no reader
`simple_worker`      simple-worker
`pyqs`               PyQS; it also worked off Celery's messages, for which there is `celery`
`squids`             SQuidS with its JSON serde
`celery`             Celery, message protocols 1 and 2, in JSON or, where the consumer accepts it, pickle
===================  ===============================================================================================

A message is recognised by the keys of its JSON, never by words somewhere in it. The name in it is looked up among
the registered tasks, as with our own: nothing is imported because a message says so, and pickle is read only where the
consumer has put it on its list.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any, Final, Protocol
from uuid import UUID

from sqs_tasks.codecs import (
    MAX_INFLATED_BYTES,
    MAX_INFLATED_PICKLE_BYTES,
    PickleCodec,
    check_values,
    inflate,
    unpickle,
)
from sqs_tasks.errors import UndecodableMessageError, nature


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignJob:
    """A job as another system wrote it.

    Attributes:
        job_name: The task's name in that system: a dotted path for PyQS and SQuidS, and mostly for Celery.
        args: Its positional arguments.
        kwargs: Its arguments by name.
        context: Values for ``env.context``; none of these systems has any.
        job_id: The id it was sent with, if the system gives one.
        content_type: Our name for what the arguments were written in, ``json`` or ``pickle``.
        eta: When it should run at the earliest, with a time zone.
        expires: When it should not be run any more, with a time zone.
    """

    job_name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: dict[str, Any]
    job_id: str | None
    content_type: str
    eta: datetime | None = None
    expires: datetime | None = None


class Reader(Protocol):
    """Reads the messages of one system."""

    def __call__(
        self, body: str, message_attributes: Mapping[str, str], *, accept: frozenset[str]
    ) -> ForeignJob | None:
        """The job that a message carries, or None if it is not one of that system's messages.

        Args:
            body: The message's body.
            message_attributes: The text of its attributes, by name.
            accept: The content types that the consumer accepts.

        Raises:
            UndecodableMessageError: It is one of that system's but broken, or in a format that is not accepted.
        """
        ...


def sqs_workers_v02(body: str, message_attributes: Mapping[str, str], *, accept: frozenset[str]) -> ForeignJob | None:
    """Reads what sqs-workers 0.1 to 0.3 wrote: the name and the content type in attributes, and no context."""
    job_name, content_type = message_attributes.get("JobName"), message_attributes.get("ContentType")
    if not job_name or content_type is None or "JobContext" in message_attributes:
        return None
    _check_accepted(content_type, accept, sender="sqs-workers")
    if content_type == "json":
        # Plain JSON, which ours reads as well, but here no dictionary is a tag.
        kwargs = _loads_json(body, sender="sqs-workers")
    elif content_type in _SQS_WORKERS_PICKLES:
        kwargs = _PICKLE.deserialize(body)
    else:
        raise UndecodableMessageError(f"sqs-workers has no content type {content_type!r}")
    return _job("sqs-workers", job_name, [], kwargs, content_type=content_type)


def simple_worker(body: str, message_attributes: Mapping[str, str], *, accept: frozenset[str]) -> ForeignJob | None:
    """Reads ``{"task_name": ..., "task_payload": {...}}``."""
    message = _json_object(body, message_attributes)
    if not message.keys() >= {"task_name", "task_payload"}:
        return None
    _check_accepted("json", accept, sender="simple-worker")
    return _job("simple-worker", message["task_name"], [], message["task_payload"])


def pyqs(body: str, message_attributes: Mapping[str, str], *, accept: frozenset[str]) -> ForeignJob | None:
    """Reads ``{"task": ..., "args": [...], "kwargs": {...}}``."""
    return _task_args_kwargs("PyQS", body, message_attributes, accept)


def squids(body: str, message_attributes: Mapping[str, str], *, accept: frozenset[str]) -> ForeignJob | None:
    """Reads ``{"task": ..., "args": [...], "kwargs": {...}}``, with named arguments made positional."""
    return _task_args_kwargs("SQuidS", body, message_attributes, accept)


@dataclass(frozen=True, slots=True, kw_only=True)
class CeleryReader:
    """Reads Celery's messages, as its SQS transport writes them, of the protocols 1 and 2.

    Priorities, time limits, the result backend and group membership are passed over: the job runs, and nobody hears of
    its result. Times without a zone are taken for UTC, which is Celery's default.

    Attributes:
        ignore_follow_ups: Also take jobs that Celery would follow with others: the rest of a chain, a chord, callbacks
            and error callbacks. These are then lost, since this worker does not send them. Unless this is set such a
            job is undecodable, and goes where those go, with nothing of it run.
    """

    ignore_follow_ups: bool = False

    def __call__(
        self, body: str, message_attributes: Mapping[str, str], *, accept: frozenset[str]
    ) -> ForeignJob | None:
        """The job of a Celery message, or None if it is none; see `Reader`."""
        envelope = _celery_envelope(body, message_attributes)
        if envelope is None:
            return None
        headers = _typed(envelope, "headers", dict)
        content_type, content = _celery_content(envelope, headers, accept)
        if "task" in headers:
            if type(content) not in (list, tuple) or len(content) != 3:  # noqa: PLR2004  args, kwargs, embed
                raise UndecodableMessageError("Celery message of protocol 2 without [args, kwargs, embed]")
            args, kwargs, follow_ups = content
            about = headers
        else:
            if type(content) is not dict or not content.keys() >= {"task", "args", "kwargs"}:
                raise UndecodableMessageError("message of Celery's transport that is no task, in protocol 1 or 2")
            args, kwargs, follow_ups, about = content["args"], content["kwargs"], content, content
        self._check_follow_ups(follow_ups)
        job_id = about.get("id")
        return _job(
            "Celery",
            about["task"],
            args,
            kwargs,
            content_type=content_type,
            job_id=job_id if type(job_id) is str else None,
            eta=_celery_time(about, "eta"),
            expires=_celery_time(about, "expires"),
        )

    def _check_follow_ups(self, follow_ups: Any) -> None:
        if type(follow_ups) is not dict:
            raise UndecodableMessageError("Celery message whose follow-up jobs are not a dictionary")
        wanted = [name for name in ("chain", "chord", "callbacks", "errbacks") if follow_ups.get(name)]
        if wanted and not self.ignore_follow_ups:
            raise UndecodableMessageError(
                f"Celery message that asks for further jobs ({', '.join(wanted)}), which only Celery can send; "
                "CeleryReader(ignore_follow_ups=True) runs the job without them"
            )


#: Reads Celery's messages; those that ask for follow-up jobs are undecodable.
celery: Final = CeleryReader()


def _task_args_kwargs(
    sender: str, body: str, message_attributes: Mapping[str, str], accept: frozenset[str]
) -> ForeignJob | None:
    message = _json_object(body, message_attributes)
    if not message.keys() >= {"task", "args", "kwargs"}:
        return None
    _check_accepted("json", accept, sender=sender)
    return _job(sender, message["task"], message["args"], message["kwargs"])


def _job(
    sender: str,
    job_name: Any,
    args: Any,
    kwargs: Any,
    *,
    content_type: str = "json",
    job_id: str | None = None,
    eta: datetime | None = None,
    expires: datetime | None = None,
) -> ForeignJob:
    """The job, if its parts are what they should be. A pickle can put anything anywhere, so these are exact types."""
    if type(job_name) is not str or not job_name:
        raise UndecodableMessageError(f"{sender} message whose task name is not a text")
    if type(args) not in (list, tuple):
        raise UndecodableMessageError(f"{sender} message for {job_name[:100]!r} whose arguments are not a list")
    if type(kwargs) is not dict or not all(type(name) is str for name in kwargs):
        raise UndecodableMessageError(f"{sender} message for {job_name[:100]!r} whose arguments have no names")
    return ForeignJob(
        job_name=job_name,
        args=tuple(args),
        kwargs=kwargs,
        context={},
        job_id=job_id,
        content_type=content_type,
        eta=eta,
        expires=expires,
    )


_PICKLE: Final = PickleCodec()

_SQS_WORKERS_PICKLES: Final = ("pickle", "pickle_compat")


def _check_accepted(content_type: str, accept: frozenset[str], *, sender: str) -> None:
    if content_type not in accept:
        raise UndecodableMessageError(
            f"{sender} message in {content_type[:100]!r}, which is not accepted by this consumer: it takes "
            f"{', '.join(sorted(accept))}"
        )


def _json_object(body: str, message_attributes: Mapping[str, str]) -> dict[str, Any]:
    """The object that the body holds. Empty, so like no format, if there is none or the message is one of ours."""
    if "JobName" in message_attributes:
        return {}
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return message if type(message) is dict else {}


def _loads_json(text: str, *, sender: str, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    try:
        return json.loads(text, object_hook=object_hook)
    except UndecodableMessageError:
        raise
    except Exception as error:
        raise UndecodableMessageError(f"{sender} message that is not readable JSON: {nature(error)}") from error


def _typed(holder: dict[str, Any], key: str, kind: type[Any]) -> Any:
    value = holder.get(key)
    if type(value) is not kind:
        raise UndecodableMessageError(f"Celery message whose {key} is not a {kind.__name__}")
    return value


# --- Celery: kombu's envelope around the task, base64 around each unless told otherwise -------------------------------

#: By the name that kombu gives a serializer in the message; the rest of its serializers are not read.
_KOMBU_CONTENT_TYPES: Final = {"application/json": "json", "application/x-python-serialize": "pickle"}

_KOMBU_ZLIB: Final = "application/x-gzip"  # zlib data in spite of its name


def _celery_envelope(body: str, message_attributes: Mapping[str, str]) -> dict[str, Any] | None:
    """What kombu puts around a message, recognised by its keys: no other format has all of them."""
    text = body if body.lstrip().startswith("{") else _optional_base64(body)
    envelope = _json_object(text, message_attributes)
    return envelope if envelope.keys() >= {"body", "content-type", "headers", "properties"} else None


def _optional_base64(text: str) -> str:
    try:
        return binascii.a2b_base64(text, strict_mode=True).decode("utf-8")
    except ValueError:
        return ""


def _celery_content(envelope: dict[str, Any], headers: dict[str, Any], accept: frozenset[str]) -> tuple[str, Any]:
    """What the serializer wrote, decoded if the consumer accepts the serializer."""
    named = envelope["content-type"]
    content_type = _KOMBU_CONTENT_TYPES.get(named) if type(named) is str else None
    if content_type is None:
        raise UndecodableMessageError(
            f"Celery message in {str(named)[:100]!r}; {' and '.join(_KOMBU_CONTENT_TYPES)} are read"
        )
    _check_accepted(content_type, accept, sender="Celery")
    data = _celery_body(envelope)
    compression = headers.get("compression")
    if compression is not None:
        if compression != _KOMBU_ZLIB:
            raise UndecodableMessageError(
                f"Celery message compressed as {str(compression)[:100]!r}; {_KOMBU_ZLIB!r}, its 'zlib', is read"
            )
        data = inflate(data, MAX_INFLATED_PICKLE_BYTES if content_type == "pickle" else MAX_INFLATED_BYTES)
    if content_type == "pickle":
        return content_type, unpickle(data)
    try:
        # kombu's JSON is UTF-8. The envelope names an encoding too, but to look one up is to import it.
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UndecodableMessageError(f"Celery message whose JSON is not UTF-8: {error}") from error
    check_values(text)
    return content_type, _loads_json(text, sender="Celery", object_hook=_untag_kombu)


def _celery_body(envelope: dict[str, Any]) -> bytes:
    body: str = _typed(envelope, "body", str)
    encoding = _typed(envelope, "properties", dict).get("body_encoding")
    try:
        if encoding == "base64":
            return binascii.a2b_base64(body, strict_mode=True)
        if encoding is None:
            return body.encode("utf-8")
    except ValueError as error:
        raise UndecodableMessageError(f"Celery message whose body is not base64: {error}") from error
    raise UndecodableMessageError(f"Celery message whose body is encoded as {str(encoding)[:100]!r}; base64 is read")


#: kombu's tagged values, since its version 5.3. Before, dates and numbers were texts, and so they arrive.
_KOMBU_VALUES: Final[dict[str, Callable[[Any], Any]]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda value: datetime.fromisoformat(value).date(),
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": lambda value: UUID(value["hex"]),
    "bytes": lambda value: value.encode("utf-8"),
    "base64": lambda value: binascii.a2b_base64(value, strict_mode=True),
}


def _untag_kombu(value: dict[str, Any]) -> Any:
    if value.keys() != {"__type__", "__value__"}:
        return value
    kind = value["__type__"]
    decode = _KOMBU_VALUES.get(kind) if type(kind) is str else None
    if decode is None:
        raise UndecodableMessageError(f"Celery message with a value of the type {str(kind)[:100]!r}, unknown here")
    return decode(value["__value__"])


def _celery_time(about: dict[str, Any], key: str) -> datetime | None:
    value = about.get(key)
    if value is None:
        return None
    try:
        when = value if type(value) is datetime else datetime.fromisoformat(value)
    except (ValueError, TypeError) as error:
        raise UndecodableMessageError(f"Celery message whose {key} is not a time: {nature(error)}") from error
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
