"""Connections to one HTTP endpoint that are kept open and used again, by any thread."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - the first connection would import it, and a fork may meet it half imported
import http.client
import os
import select
import socket
import ssl
import weakref
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from sqs_tasks.transport.trust import trusting


class Response(NamedTuple):
    """What an endpoint answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotConnectedError(Exception):
    """Nothing was sent: there was no connection. ``__cause__`` says why."""


class NoAnswerError(Exception):
    """A request was sent, or part of it, and no whole answer came. ``__cause__`` says why."""


class Connections:
    """Sends requests to one endpoint.

    Args:
        scheme: ``https`` or ``http``.
        host: The host.
        port: The port; None for the scheme's own.
        connect_timeout: Seconds until a connection that is not there has failed.
        read_timeout: Seconds between two pieces of an answer; longer than the longest poll.
        most_idle: How many connections are kept for the next request; more are closed when their answer has come.
        ca_bundle: A file of certificates to trust; None for those that botocore trusts, or the system's.
    """

    def __init__(
        self,
        scheme: str,
        host: str,
        port: int | None,
        *,
        connect_timeout: float,
        read_timeout: float,
        most_idle: int,
        ca_bundle: str | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._most_idle = most_idle
        self._tls = None if scheme == "http" else trusting(ca_bundle)
        self._pid = os.getpid()
        # Last in, first out: those that nobody needs grow old at the other end. Appending and popping are atomic.
        self._idle: deque[http.client.HTTPConnection] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def post(self, headers: Mapping[str, str], body: bytes) -> Response:
        """Send a request to ``/`` and wait for its answer.

        A kept connection that the endpoint has closed meanwhile is noticed before anything is sent.

        Raises:
            NotConnectedError: The endpoint cannot be reached.
            NoAnswerError: The connection broke, or the answer did not come in time.
        """
        request = _head(headers, len(body)) + body
        connection = self._taken()
        try:
            # One write, so that small requests are one packet; http.client's own way is two, and many calls.
            connection.sock.sendall(request)
            answer = http.client.HTTPResponse(connection.sock, method="POST")
            try:
                answer.begin()
                response = Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
            finally:
                answer.close()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NoAnswerError(str(error)) from error
        except BaseException:  # interrupted by a signal: what comes later on this connection belongs to nobody
            connection.close()
            raise
        if answer.will_close or len(self._idle) >= self._most_idle or self._pid != os.getpid():
            connection.close()
        else:
            self._idle.append(connection)
        return response

    def close(self) -> None:
        """Close what nobody uses."""
        _close_all(self._idle)

    def _taken(self) -> http.client.HTTPConnection:
        if self._pid != os.getpid():
            # A forked child has copies of its parent's sockets: to write to them, or to end their TLS, would hurt it.
            self._pid, self._idle = os.getpid(), deque()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connected()
            if not _is_readable(connection.sock):
                return connection
            connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._connect_timeout)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._connect_timeout, context=self._tls
            )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise NotConnectedError(str(error)) from error
        connection.sock.settimeout(self._read_timeout)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection


def _close_all(idle: deque[http.client.HTTPConnection]) -> None:
    while True:
        try:
            idle.pop().close()
        except IndexError:
            return


def _head(headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join(("POST / HTTP/1.1", *lines, f"content-length: {length}", "", ""))
    if text.count("\n") != len(lines) + 3 or text.count("\r") != len(lines) + 3:
        raise ValueError("a header has a line break")  # its value may be a secret
    return text.encode("latin-1")


def _is_readable(sock: socket.socket | None) -> bool:
    """Whether an idle connection has something to read. Nobody asked: it is the end, or an answer to nobody."""
    if sock is None:
        return True
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])
