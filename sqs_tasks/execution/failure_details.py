"""What a dead letter says of its end for people: when it was sent and failed, where, by whom, at which lines of code.

It is one attribute with a small object of JSON, since a message has ten attributes at most. Nothing in it is a value of
the job: frames are file, line and function alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqs_tasks.errors import RemoteError
from sqs_tasks.execution.failures import PACKAGE, STANDARD_LIBRARY
from sqs_tasks.message import ReceivedMessage

#: Frames that are kept, the last ones, and the characters of each: with the rest some 2,000 bytes at most.
MAX_FRAMES, MAX_FRAME_CHARS = 8, 160

#: Characters of each other text.
MAX_TEXT_CHARS = 200


def failure_details(
    message: ReceivedMessage, error: BaseException | None, *, queue_name: str, now: float
) -> dict[str, Any]:
    """What is known of a job's end; a key without a value is left out.

    Args:
        message: The rejected message.
        error: What the task raised, if it ran.
        queue_name: The queue's name in code.
        now: The wall clock in seconds.

    Returns:
        ``first_sent``, ``sent`` and ``failed`` (ISO 8601 in UTC), ``queue``, ``message_id``, ``worker``, ``frames``
        (the application's last lines, the innermost last) and ``cause`` (the class of the exception's own cause).
    """
    found = {
        "first_sent": _iso(message.first_sent_at),
        "sent": _iso(message.sent_at),
        "failed": _iso(datetime.fromtimestamp(now, UTC)),
        "queue": queue_name,
        "message_id": message.message_id,
        "worker": worker_name(os.environ),
        "frames": application_frames(error),
        "cause": cause_of(error),
    }
    return {
        name: value if isinstance(value, list) else str(value)[:MAX_TEXT_CHARS]
        for name, value in found.items()
        if value
    }


def details_text(details: Mapping[str, Any], most: int) -> str:
    """The details as JSON in ASCII, of at most so many characters: frames go first, the outermost before the others.

    Returns:
        The text; empty when it does not fit without any frame either.
    """
    found = dict(details)
    while len(text := json.dumps(found, separators=(",", ":"))) > most:
        frames = found.get("frames")
        if not frames:
            return ""
        found["frames"] = frames[1:]
    return text


def application_frames(error: BaseException | None) -> list[str]:
    """The last lines of the application and of what it uses, as ``file:line:function``; none of ours or of Python's.

    The innermost line is kept, whosever it is: it is where the exception was raised.
    """
    if isinstance(error, RemoteError):
        return [frame[-MAX_FRAME_CHARS:] for frame in error.frames[-MAX_FRAMES:]]
    trace = None if error is None else error.__traceback__
    frames: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        is_ours = code.co_filename.startswith(PACKAGE)
        is_python = code.co_filename.startswith((STANDARD_LIBRARY, "<")) and "site-packages" not in code.co_filename
        if not is_ours and (not is_python or (trace.tb_next is None and frames)):
            frames.append(f"{_shown(code.co_filename)}:{trace.tb_lineno}:{code.co_name}"[-MAX_FRAME_CHARS:])
        trace = trace.tb_next
    return frames[-MAX_FRAMES:]


def cause_of(error: BaseException | None) -> str:
    """The name of the type of an exception's own cause; empty without one."""
    if isinstance(error, RemoteError):
        return error.cause
    cause = None if error is None else error.__cause__
    return "" if cause is None else type(cause).__name__


def worker_name(variables: Mapping[str, str]) -> str:
    """Who works here: a function with its log stream, or a host with its process."""
    function = variables.get("AWS_LAMBDA_FUNCTION_NAME")
    if function:
        return " ".join(filter(None, (function, variables.get("AWS_LAMBDA_LOG_STREAM_NAME"))))
    import socket  # Lambda has no host that anybody knows

    return f"{socket.gethostname()} pid {os.getpid()}"


@cache
def _shown(file: str) -> str:
    """A file's name from where Python finds it: the same on every machine."""
    roots = [one for one in {*sys.path, os.getcwd()} if one and file.startswith(one.rstrip("/\\") + os.sep)]  # noqa: PTH109 - sys.path holds strings
    return file[len(max(roots, key=len)) :].lstrip("/\\") if roots else file


def _iso(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
