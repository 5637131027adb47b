"""A request body in chunks, as HTTP clients send it that do not know its length beforehand."""

from __future__ import annotations

import re

#: Bytes of the line before a chunk: its size, and extensions that nobody uses.
_MAX_LINE_BYTES = 1_024

#: Bytes of the header fields that may follow the last chunk.
_MAX_TRAILER_BYTES = 8 * 1_024

#: Hexadecimal digits and nothing else: ``int`` would also take a sign, spaces, underscores and a prefix.
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")

_LINE_END = b"\r\n"


class ChunkedBody:
    """Finds the end of a body in chunks, going on where it stopped when more has come.

    Each byte is looked at once, however small the pieces are in which they come.

    Args:
        begins_at: Where the first chunk begins in the data.
        max_bytes: How long the body may be as it is sent, sizes and extensions counted.
    """

    def __init__(self, begins_at: int, max_bytes: int) -> None:
        self._at = self._begins_at = begins_at
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._trailer_at: int | None = None

    def end(self, data: bytes | bytearray) -> int | None:
        """Where the body ends, or None while some of it is missing.

        Raises:
            ValueError: It is not well-formed.
            OverflowError: It is too long.
        """
        while self._trailer_at is None:
            line = self._line(data, _MAX_LINE_BYTES)
            if line is None:
                return None
            size_text = line.partition(b";")[0].rstrip(b" \t")
            if not _SIZE.fullmatch(size_text):
                raise ValueError("the size of a chunk must be hexadecimal digits")
            size = int(size_text, 16)
            begin = self._at + len(line) + len(_LINE_END)
            if begin + size - self._begins_at > self._max_bytes:
                raise OverflowError(f"the body may have {self._max_bytes:,} bytes at most")
            if not size:
                self._at = self._trailer_at = begin
                break
            end = begin + size
            if len(data) < end + len(_LINE_END):
                return None
            if data[end : end + len(_LINE_END)] != _LINE_END:
                raise ValueError("a chunk is longer than its size")
            self._parts.append(bytes(data[begin:end]))
            self._at = end + len(_LINE_END)
        return self._trailer_end(data, self._trailer_at)

    def joined(self) -> bytes:
        """The body, once its end was found."""
        return b"".join(self._parts)

    def _trailer_end(self, data: bytes | bytearray, begins_at: int) -> int | None:
        while True:
            line = self._line(data, _MAX_TRAILER_BYTES)
            if line is None:
                return None
            self._at += len(line) + len(_LINE_END)
            if not line:
                return self._at
            if self._at - begins_at > _MAX_TRAILER_BYTES:
                raise ValueError(f"the fields after the last chunk may have {_MAX_TRAILER_BYTES:,} bytes at most")

    def _line(self, data: bytes | bytearray, max_bytes: int) -> bytes | None:
        """The line that begins where reading stopped, or None while its end is missing."""
        end = data.find(_LINE_END, self._at, self._at + max_bytes + len(_LINE_END))
        if end >= 0:
            return bytes(data[self._at : end])
        if len(data) - self._at > max_bytes:
            raise ValueError(f"a line may have {max_bytes:,} bytes at most")
        return None
