"""What the worker and a child tell each other: JSON in frames on a socket. No form of it names code to be run."""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from typing import Any

#: The length of what follows, in bytes.
_LENGTH = struct.Struct("!I")

#: Seconds that a send may wait for the other end to read; only what exceeds the buffer has to wait.
SEND_SECONDS = 30

#: Bytes that are asked for at once.
_CHUNK_BYTES = 1 << 20


class ConnectionOverError(Exception):
    """The other end is closed."""


class Frames:
    """One end of the connection. Several threads may send; one receives.

    Args:
        connection: The socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        # Never a timeout of the socket: it would be one for the other thread's sends too, and cut a frame.
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
        self._connection = connection
        self._lock = threading.Lock()
        self._received = bytearray()

    def send(self, frame: dict[str, Any]) -> None:
        """Send a frame.

        Raises:
            ConnectionOverError: Nobody is there to read it.
        """
        data = json.dumps(frame, separators=(",", ":")).encode()
        try:
            with self._lock:
                self._connection.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise ConnectionOverError from error

    def receive(self, timeout_seconds: float | None = None) -> dict[str, Any] | None:
        """The next frame; None when none came in this time. What has come of it is kept.

        Raises:
            ConnectionOverError: The other end is closed, or does not speak this language.
        """
        while (frame := self._taken()) is None:
            try:
                # Each wait has the whole time: a frame comes in one piece, or its sender has died.
                if timeout_seconds is not None and not self._is_readable(timeout_seconds):
                    return None
                data = self._connection.recv(_CHUNK_BYTES)
            except (OSError, ValueError) as error:  # a closed socket has no number
                raise ConnectionOverError from error
            if not data:
                raise ConnectionOverError
            self._received += data
        return frame

    def close(self) -> None:
        """Close this end."""
        self._connection.close()

    def _is_readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _taken(self) -> dict[str, Any] | None:
        if len(self._received) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
        if len(self._received) < end:
            return None
        data = bytes(self._received[_LENGTH.size : end])
        del self._received[:end]
        try:
            frame = json.loads(data)
        except ValueError as error:
            raise ConnectionOverError from error
        if not isinstance(frame, dict):
            raise ConnectionOverError
        return frame
