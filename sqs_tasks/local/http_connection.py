"""One HTTP/1.1 connection, parsed by hand.

An embedded server is measured by what it takes from the laptop it shares, and a general HTTP stack costs more than the
SQS behind it. This one knows what SDKs send: small requests over kept-alive connections, one after the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Protocol

#: Bytes of the largest request body: a message of 1 MiB may be escaped to six times its size in JSON.
MAX_BODY_BYTES = 8 * 1024 * 1024

#: Bytes of the largest request head.
MAX_HEAD_BYTES = 64 * 1024

_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    413: "Payload Too Large",
    500: "Internal Server Error",
}  # noqa: E501


@dataclass(slots=True)
class Request:
    """A request; header names are in lower case."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes


@dataclass(slots=True)
class Response:
    """A response; ``headers`` are the extra ones, each ending in CRLF."""

    body: bytes
    content_type: str = "application/x-amz-json-1.0"
    status: int = 200
    headers: str = ""


class Handler(Protocol):
    """What a connection calls with each request."""

    def __call__(self, request: Request, reply: Callable[[Response], None], /) -> Callable[[], None] | None:
        """Call ``reply`` with the response, now or later.

        When later, the result is called if the client goes away before.
        """
        ...


class HTTPConnection(asyncio.Protocol):
    """Reads requests and writes responses, in order. Lives on the event loop's thread."""

    def __init__(self, handle: Handler, opened: set[HTTPConnection]) -> None:
        self._handle = handle
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._busy = False
        self._closing = False
        self._abandon: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream server hands out stream transports
        self._opened.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._opened.discard(self)
        self._transport = None
        if self._abandon is not None:
            self._abandon()
            self._abandon = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._read_requests()

    def eof_received(self) -> bool:
        """The client will send nothing more; a response on its way is still written, a long poll is not."""
        if self._abandon is not None:
            self._abandon()
            self._abandon = None
        return False

    def abort(self) -> None:
        """Cut the connection, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    def _read_requests(self) -> None:
        """Handle every complete request in the buffer, until one has to wait for its answer."""
        while self._buffer and not self._busy and not self._closing:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > MAX_HEAD_BYTES:
                    self._refuse(400)
                return
            try:
                method, target, headers = _parse_head(bytes(self._buffer[:end]))
                body_end = self._body_end(headers, end + 4)
            except ValueError:
                self._refuse(400)
                return
            if body_end is None:
                return
            if headers.get(b"transfer-encoding"):
                body = _dechunked(bytes(self._buffer[end + 4 : body_end]))
            else:
                body = bytes(self._buffer[end + 4 : body_end])
            del self._buffer[:body_end]
            if headers.get(b"connection", b"").lower() == b"close":
                self._closing = True
            self._busy = True
            self._abandon = self._handle(Request(method, target, headers, body), self._reply)
            if not self._busy:
                self._abandon = None

    def _body_end(self, headers: dict[bytes, bytes], start: int) -> int | None:
        """Where the body ends, or None while some of it is missing."""
        buffer = self._buffer
        if b"transfer-encoding" in headers:
            end = buffer.find(b"0\r\n\r\n", start)
            size = len(buffer) - start
            complete = end >= 0 and _chunks_end(bytes(buffer[start:])) is not None
            body_end = start + (_chunks_end(bytes(buffer[start:])) or 0) if complete else None
        else:
            size = int(headers.get(b"content-length", b"0"))
            if size < 0:
                raise ValueError("negative content length")
            body_end = start + size if len(buffer) >= start + size else None
        if size > MAX_BODY_BYTES:
            self._refuse(413)
            return None
        if body_end is None and headers.get(b"expect", b"").lower() == b"100-continue" and len(buffer) == start:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return body_end

    def _reply(self, response: Response) -> None:
        if not self._busy:
            return
        self._busy = False
        self._abandon = None
        self._write(_head(response) + response.body)
        if self._closing and self._transport is not None:
            self._transport.close()
        elif self._buffer:
            # Not now: the caller may be this connection's own loop over its requests.
            asyncio.get_running_loop().call_soon(self._read_requests)

    def _refuse(self, status: int) -> None:
        self._closing = True
        self._write(_head(Response(b"", "text/plain", status, "Connection: close\r\n")))
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _parse_head(head: bytes) -> tuple[bytes, bytes, dict[bytes, bytes]]:
    lines = head.split(b"\r\n")
    method, target, version = lines[0].split(b" ")
    if not version.startswith(b"HTTP/1."):
        raise ValueError("not HTTP/1")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon:
            raise ValueError("a header without a colon")
        headers[name.lower()] = value.strip()
    if version == b"HTTP/1.0" and headers.get(b"connection", b"").lower() != b"keep-alive":
        headers[b"connection"] = b"close"
    return method, target, headers


def _chunks_end(data: bytes) -> int | None:
    """Where a chunked body ends, or None while some of it is missing."""
    at = 0
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(data[at:line_end].partition(b";")[0], 16)
        at = line_end + 2 + size + 2
        if at > len(data):
            return None
        if not size:
            return at


def _dechunked(data: bytes) -> bytes:
    parts = []
    at = 0
    while True:
        line_end = data.find(b"\r\n", at)
        size = int(data[at:line_end].partition(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(data[line_end + 2 : line_end + 2 + size])
        at = line_end + 2 + size + 2


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


def _head(response: Response) -> bytes:
    status = response.status
    return (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: {response.content_type}\r\n"
        f"Date: {_date()}\r\n{response.headers}Content-Length: {len(response.body)}\r\n\r\n"
    ).encode("ascii")
