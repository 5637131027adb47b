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

#: Bytes read at once; all but the largest requests come in one piece.
_READ_BYTES = 64 * 1024

_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    413: "Payload Too Large",
    500: "Internal Server Error",
}


@dataclass(slots=True)
class Request:
    """A request; header names are in lower case.

    Attributes:
        body_at: Where its body begins, counted from the beginning of the head.
        body_bytes: How long its body is; None when it comes in chunks.
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body_at: int
    body_bytes: int | None
    body: bytes = b""


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


class HTTPConnection(asyncio.BufferedProtocol):
    """Reads requests and writes responses, in order. Lives on the event loop's thread.

    It is a BufferedProtocol because the loop otherwise allocates 256 KiB for every read, which took more time than all
    the rest of a small request.
    """

    def __init__(self, handle: Handler, opened: set[HTTPConnection]) -> None:
        self._handle = handle
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._chunk = bytearray(_READ_BYTES)
        self._pending = bytearray()
        self._half: Request | None = None
        self._busy = False
        self._closing = False
        self._abandon: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport  # type: ignore[assignment]  # a stream server hands out stream transports
        self._opened.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Nobody is there any more."""
        self._opened.discard(self)
        self._transport = None
        self._give_up()

    def eof_received(self) -> bool:
        """The client sends nothing more and, as SDKs are, reads nothing more: close."""
        self._give_up()
        return False

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002  asyncio's signature
        """Where the loop puts what it reads."""
        return self._chunk

    def buffer_updated(self, nbytes: int) -> None:
        """Handle what was read; a request that came alone and whole is never copied into the buffer of pending data."""
        data = bytes(memoryview(self._chunk)[:nbytes])
        if self._busy or self._pending:
            self._pending += data
            if not self._busy:
                self._read_pending()
            return
        used = self._read_one(data)
        if used < nbytes:
            self._pending += data[used:]
            if used and not self._busy:
                self._read_pending()

    def abort(self) -> None:
        """Cut the connection, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    def _give_up(self) -> None:
        if self._abandon is not None:
            self._abandon()
            self._abandon = None

    def _read_pending(self) -> None:
        """Handle every complete request that is pending, until one has to wait for its answer."""
        while self._pending and not self._busy and not self._closing:
            used = self._read_one(self._pending)
            if not used:
                return
            del self._pending[:used]

    def _read_one(self, data: bytes | bytearray) -> int:
        """Handle the first request in the data, and return how many bytes it had; 0 when some of it is missing."""
        try:
            request = self._half or self._parse_head(data)
            if request is None:
                return 0
            end = _body_end(request, data)
        except ValueError:
            self._refuse(400)
            return 0
        if end is None:
            self._half = request
            if len(data) - request.body_at > MAX_BODY_BYTES or (request.body_bytes or 0) > MAX_BODY_BYTES:
                self._refuse(413)
            elif request.headers.pop(b"expect", b"").lower() == b"100-continue":
                self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return 0
        self._half = None
        body = data[request.body_at : end]
        request.body = bytes(body) if request.body_bytes is not None else _dechunked(body)
        if request.headers.get(b"connection", b"").lower() == b"close":
            self._closing = True
        self._busy = True
        abandon = self._handle(request, self._reply)
        if self._busy:
            self._abandon = abandon
        return end

    def _parse_head(self, data: bytes | bytearray) -> Request | None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > MAX_HEAD_BYTES:
                raise ValueError("the head is too long")
            return None
        return _parse_head(bytes(data[:end]))

    def _reply(self, response: Response) -> None:
        if not self._busy:
            return
        self._busy = False
        self._abandon = None
        self._write(_write_head(response) + response.body)
        if self._closing and self._transport is not None:
            self._transport.close()
        elif self._pending:
            # Not now: the caller may be this connection's own loop over its requests.
            asyncio.get_running_loop().call_soon(self._read_pending)

    def _refuse(self, status: int) -> None:
        self._closing = True
        self._write(_write_head(Response(b"", "text/plain", status, "Connection: close\r\n")))
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _parse_head(head: bytes) -> Request:
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
    size: int | None = None
    if b"transfer-encoding" not in headers:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise ValueError("a content length that is no number")
        size = int(length)
    return Request(method, target, headers, len(head) + 4, size)


def _body_end(request: Request, data: bytes | bytearray) -> int | None:
    """Where the body ends, or None while some of it is missing."""
    if request.body_bytes is not None:
        end = request.body_at + request.body_bytes
        return end if len(data) >= end else None
    at = request.body_at
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(bytes(data[at:line_end]).partition(b";")[0], 16)
        at = line_end + 2 + size + 2
        if at > len(data):
            return None
        if not size:
            return at


def _dechunked(data: bytes | bytearray) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = data.find(b"\r\n", at)
        size = int(bytes(data[at:line_end]).partition(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(bytes(data[line_end + 2 : line_end + 2 + size]))
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


def _write_head(response: Response) -> bytes:
    status = response.status
    return (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: {response.content_type}\r\n"
        f"Date: {_date()}\r\n{response.headers}Content-Length: {len(response.body)}\r\n\r\n"
    ).encode("ascii")
