"""A request: its head parsed, and how long its body may be."""

from __future__ import annotations

from dataclasses import dataclass

from sqs_tasks.local.http.chunks import ChunkedBody

#: Bytes of the largest request head.
MAX_HEAD_BYTES = 64 * 1024

#: Bytes of the largest request body: a message of 1 MiB may be escaped to six times its size in JSON.
MAX_BODY_BYTES = 8 * 1024 * 1024

#: Digits of a Content-Length that are looked at.
_MAX_LENGTH_DIGITS = 20


class RequestError(Exception):
    """A request that cannot be read.

    Attributes:
        status: The HTTP status that answers it.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Request:
    """A request; header names are in lower case.

    Attributes:
        body_at: Where its body begins, counted from the beginning of the head.
        body_bytes: How long its body is, unless it comes in chunks.
        chunks: The chunks of its body, if it comes in chunks.
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body_at: int
    body_bytes: int
    chunks: ChunkedBody | None = None
    body: bytes = b""

    def chunks_end(self, data: bytes | bytearray) -> int | None:
        """Where the chunks end in the data that begin with the head; None while some of them are missing.

        Raises:
            RequestError: They are not well-formed, or too long.
        """
        if self.chunks is None:
            return self.body_at
        try:
            return self.chunks.end(data)
        except ValueError as error:
            raise RequestError(400, f"the chunks of the body cannot be read: {error}") from None
        except OverflowError as error:
            raise RequestError(413, str(error)) from None


def parse_head(head: bytes) -> Request:
    """The request of a head, without the empty line at its end.

    Raises:
        RequestError: It is no HTTP/1 request, or its body would be too long.
    """
    lines = head.split(b"\r\n")
    try:
        method, target, version = lines[0].split(b" ")
    except ValueError:
        raise RequestError(400, "the first line must be METHOD TARGET HTTP/1.1") from None
    if not version.startswith(b"HTTP/1."):
        raise RequestError(400, "the version must be HTTP/1.1")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon:
            raise RequestError(400, "a header line has no colon")
        headers[name.lower()] = value.strip()
    if version == b"HTTP/1.0" and headers.get(b"connection", b"").lower() != b"keep-alive":
        headers[b"connection"] = b"close"
    body_at = len(head) + 4
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise RequestError(501, "the only Transfer-Encoding that is understood is chunked")
        return Request(method, target, headers, body_at, 0, ChunkedBody(body_at, MAX_BODY_BYTES))
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise RequestError(400, "the Content-Length must be a whole number")
    # Thousands of digits could not be converted at all.
    if len(length) > _MAX_LENGTH_DIGITS or (size := int(length)) > MAX_BODY_BYTES:
        raise RequestError(413, f"the body may have {MAX_BODY_BYTES:,} bytes at most")
    return Request(method, target, headers, body_at, size)
