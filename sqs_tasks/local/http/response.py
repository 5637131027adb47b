"""A response, and its head as bytes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

_REASONS = {int(status): status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Response:
    """A response; ``headers`` are the extra ones, each ending in CRLF."""

    body: bytes
    content_type: str = "application/x-amz-json-1.0"
    status: int = 200
    headers: str = ""


class _Date:
    """The Date header, written once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True)
        return self._text


_date = _Date()


def head_of(response: Response) -> bytes:
    """The bytes before the body."""
    status = response.status
    return (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: {response.content_type}\r\n"
        f"Date: {_date()}\r\n{response.headers}Content-Length: {len(response.body)}\r\n\r\n"
    ).encode("ascii")
