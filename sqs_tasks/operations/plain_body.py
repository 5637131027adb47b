"""The arguments of a letter as plain data of JSON: no code of the application runs, and nothing is unpickled."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqs_tasks.codecs import DEFAULT_CONTENT_TYPE, MAX_INFLATED_BYTES, SAFE_CONTENT_TYPES, check_values, inflate
from sqs_tasks.errors import UndecodableMessageError, nature
from sqs_tasks.message import CONTENT_TYPE, JOB_NAME, ReceivedMessage
from sqs_tasks.offload.pointer import is_pointer, pointer_in


class PlainBody(NamedTuple):
    """What can be seen of a body."""

    #: The task's name; empty where the message names none.
    task: str
    #: The arguments as JSON has them, tags included; None where they cannot be shown.
    arguments: Any
    #: Why they cannot be shown, or why this is no job of ours; empty for a readable job.
    problem: str
    #: The job's id where the body holds it, as in other libraries' formats.
    job_id: str = ""
    #: Whether the body is elsewhere, and no fault of the message's.
    is_elsewhere: bool = False


def plain_body(message: ReceivedMessage, readers: Sequence[Callable[..., Any]] = ()) -> PlainBody:
    """What can be seen of a message's body without running anything of the application's.

    Args:
        message: The message.
        readers: Those of its queue, for formats of other libraries.
    """
    name = message.attribute(JOB_NAME)
    if is_pointer(message.message_attributes):
        return PlainBody(name or "", None, _place(message.body), is_elsewhere=True)
    if name is not None:
        arguments, problem = _read(message.body, message.attribute(CONTENT_TYPE) or DEFAULT_CONTENT_TYPE)
        if not problem and not isinstance(arguments, dict):
            problem = "the body holds no arguments by name"
        return PlainBody(name, arguments, problem)
    for reader in readers:
        try:
            foreign = reader(message.body, _texts(message), accept=SAFE_CONTENT_TYPES)
        except UndecodableMessageError as error:
            return PlainBody("", None, str(error))
        except Exception as error:  # noqa: BLE001 - a reader may be the application's own
            return PlainBody("", None, f"{type(error).__name__} while decoding")
        if foreign is not None:
            arguments = {**foreign.kwargs, **({"*args": list(foreign.args)} if foreign.args else {})}
            return PlainBody(foreign.job_name, arguments, "", foreign.job_id or "")
    arguments, problem = _read(message.body, DEFAULT_CONTENT_TYPE)
    return PlainBody(
        "", message.body if problem else arguments, "no job of this library: there is no JobName attribute"
    )


def _place(body: str) -> str:
    try:
        pointer = pointer_in(body)
    except UndecodableMessageError as error:
        return str(error)
    return f"the arguments are in S3, which a look does not ask: s3://{pointer.bucket}/{pointer.key}"


def _read(body: str, content_type: str) -> tuple[Any, str]:
    try:
        if content_type == "json":
            return json.loads(body), ""
        if content_type == "json+zlib":
            text = inflate(binascii.a2b_base64(body, strict_mode=True), MAX_INFLATED_BYTES).decode()
            check_values(text)
            return json.loads(text), ""
    except (ValueError, RecursionError) as error:
        return None, f"the body is not {content_type}: {nature(error)}"
    except UndecodableMessageError as error:
        return None, str(error)
    if content_type.startswith("pickle"):
        return None, f"content type {content_type!r}: pickles are not opened for a look, since that runs their code"
    return None, f"content type {content_type[:40]!r} is read by the application alone"


def _texts(message: ReceivedMessage) -> dict[str, str]:
    given = message.message_attributes.items()
    return {name: one["StringValue"] for name, one in given if "StringValue" in one}
