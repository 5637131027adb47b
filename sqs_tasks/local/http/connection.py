"""One HTTP/1.1 connection, parsed by hand.

An embedded server is measured by what it takes from the laptop it shares, and a general HTTP stack costs more than the
SQS behind it. This one knows what SDKs send: small requests over kept-alive connections, one after the other.

What a client can take is bounded: the bytes of a head and of a body, what it may send ahead of an answer, what it may
leave unread, and the time for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from sqs_tasks.local.http.request import MAX_HEAD_BYTES, Request, RequestError, parse_head
from sqs_tasks.local.http.response import Response, head_of

#: Seconds for which a connection may rest between two requests. SDKs keep theirs for later; one that was closed in the
#: meantime they open again.
IDLE_SECONDS = 600.0

#: Seconds from the first byte of a request to its last.
REQUEST_SECONDS = 60.0

#: Seconds for which a client may leave answers unread that fill all buffers.
UNREAD_SECONDS = 60.0

#: Seconds for which a refused client may go on sending, so that it can read why it was refused.
REFUSED_SECONDS = 2.0

#: Seconds between two looks at whether a connection is over its time.
LOOK_SECONDS = 1.0

#: Bytes read at once; all but the largest requests come in one piece. As many may be sent ahead of an answer.
_READ_BYTES = 64 * 1024

_HEAD_END = b"\r\n\r\n"


class Handler(Protocol):
    """What a connection calls with each request."""

    def __call__(self, request: Request, reply: Callable[[Response], None], /) -> Callable[[], None] | None:
        """Call ``reply`` with the response, now or later.

        When later, the result is called if the client goes away before.
        """
        ...


class Connections:
    """The open connections of a server; ends those that are over their time. Lives on the event loop's thread."""

    def __init__(self) -> None:
        self._open: set[HTTPConnection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: HTTPConnection) -> None:
        """Note a connection that was opened."""
        self._open.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def discard(self, connection: HTTPConnection) -> None:
        """Forget a connection that was closed."""
        self._open.discard(connection)

    def abort(self) -> None:
        """Cut all connections, whatever is on its way."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in tuple(self._open):
            connection.abort()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for connection in tuple(self._open):
            connection.end_if_late(loop.time())
        # A server that nobody is connected to does not wake the machine.
        self._timer = loop.call_later(LOOK_SECONDS, self._look) if self._open else None


class HTTPConnection(asyncio.BufferedProtocol):
    """Reads requests and writes responses, in order. Lives on the event loop's thread.

    It is a BufferedProtocol because the loop otherwise allocates 256 KiB for every read, which took more time than all
    the rest of a small request.

    What it waits for, and until when:

    ==================  =============================================================  ===================
    it is               it waits for                                                   for at most
    ==================  =============================================================  ===================
    resting             the first byte of a request                                    ``IDLE_SECONDS``
    ``_pending``        the rest of a request                                          ``REQUEST_SECONDS``
    ``_busy``           the answer; bytes sent ahead stay with the client              the longest poll
    ``_choked``         the client to read; nothing more is read from it               ``UNREAD_SECONDS``
    ``_refused``        the client to close; what it still sends is thrown away        ``REFUSED_SECONDS``
    ==================  =============================================================  ===================
    """

    def __init__(self, handle: Handler, connections: Connections) -> None:
        self._handle = handle
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._chunk = bytearray(_READ_BYTES)
        self._pending = bytearray()
        self._searched = 0
        self._half: Request | None = None
        self._busy = False
        self._choked = False
        self._paused = False
        self._refused = False
        self._closing = False
        # The time is noted at the next look, because asking for it at each request would cost too much.
        self._since = 0.0
        self._moved = True
        self._abandon: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport  # type: ignore[assignment]  # a stream server hands out stream transports
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """The client is gone."""
        self._connections.discard(self)
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
        if self._refused:
            return
        data = bytes(memoryview(self._chunk)[:nbytes])
        if self._busy or self._choked or self._pending:
            self._pending += data
            if self._busy or self._choked:
                self._hold_back()
            else:
                self._read_pending()
            return
        used = self._read_one(data)
        if used < nbytes and not self._refused:
            self._moved = True
            self._pending += data[used:]
            if used and not self._busy:
                self._read_pending()

    def pause_writing(self) -> None:
        """The client does not read what it asked for: do nothing more for it meanwhile."""
        self._choked = True
        self._moved = True
        self._hold_back()

    def resume_writing(self) -> None:
        """The client has read on."""
        self._choked = False
        self._moved = True
        if not self._busy:
            self._loop.call_soon(self._read_pending)

    def end_if_late(self, now: float) -> None:
        """Close the connection if it has waited too long, counted from the last look that saw progress."""
        if self._moved:
            self._moved, self._since = False, now
            return
        waited = now - self._since
        if self._refused:
            late = waited > REFUSED_SECONDS
        elif self._choked:
            late = waited > UNREAD_SECONDS
        elif self._busy:
            late = False
        elif self._pending:
            if waited > REQUEST_SECONDS:
                self._refuse(408, f"the request was not complete after {REQUEST_SECONDS:g} seconds")
            return
        else:
            late = waited > IDLE_SECONDS
        if late:
            self.abort()

    def abort(self) -> None:
        """Cut the connection, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    def _give_up(self) -> None:
        if self._abandon is not None:
            self._abandon()
            self._abandon = None

    def _hold_back(self) -> None:
        """Leave with the client what it sends ahead of its answers, but for one read."""
        if not self._paused and self._transport is not None and len(self._pending) >= _READ_BYTES:
            self._paused = True
            self._transport.pause_reading()

    def _read_pending(self) -> None:
        """Handle every complete request that is pending, until one has to wait for its answer."""
        while self._pending and not (self._busy or self._choked or self._closing or self._refused):
            used = self._read_one(self._pending)
            if not used:
                break
            del self._pending[:used]
            self._moved = True
        if self._paused and not (self._busy or self._choked) and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _read_one(self, data: bytes | bytearray) -> int:
        """Handle the first request in the data, and return how many bytes it had; 0 when some of it is missing."""
        try:
            request = self._half or self._parse_head(data)
            if request is None:
                return 0
            whole_at = request.body_at + request.body_bytes
            end = request.chunks_end(data) if request.chunks else whole_at if whole_at <= len(data) else None
        except RequestError as error:
            self._refuse(error.status, str(error))
            return 0
        if end is None:
            self._half = request
            if request.headers.pop(b"expect", b"").lower() == b"100-continue":
                self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return 0
        self._half = None
        self._searched = 0
        request.body = bytes(data[request.body_at : end]) if request.chunks is None else request.chunks.joined()
        if request.headers.get(b"connection", b"").lower() == b"close":
            self._closing = True
        self._busy = True
        abandon = self._handle(request, self._reply)
        if self._busy:
            self._abandon = abandon
        return end

    def _parse_head(self, data: bytes | bytearray) -> Request | None:
        # What was searched before is not searched again, so that a head may come byte by byte.
        end = data.find(_HEAD_END, self._searched)
        if 0 <= end <= MAX_HEAD_BYTES:
            return parse_head(bytes(data[:end]))
        if len(data) > MAX_HEAD_BYTES:
            raise RequestError(400, f"the head of the request is longer than {MAX_HEAD_BYTES:,} bytes")
        self._searched = max(0, len(data) - len(_HEAD_END))
        return None

    def _reply(self, response: Response) -> None:
        if not self._busy:
            return
        self._busy = False
        self._abandon = None
        self._moved = True
        self._write(head_of(response) + response.body)
        if self._closing and self._transport is not None:
            self._transport.close()
        elif self._pending or self._paused:
            # Not now: the caller may be this connection's own loop over its requests.
            self._loop.call_soon(self._read_pending)

    def _refuse(self, status: int, text: str) -> None:
        """Answer with an error and read no further request; the client has a moment to read it before it is cut off."""
        self._refused = True
        self._moved = True
        self._pending.clear()
        response = Response(f"{text}\n".encode(), "text/plain", status, "Connection: close\r\n")
        self._write(head_of(response) + response.body)
        if self._transport is not None:
            self._transport.write_eof()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
