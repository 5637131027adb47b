"""Bodies in chunks: read in whatever pieces they come, and never waited for in vain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqs_tasks.local.http.chunks import ChunkedBody

MAX_BYTES = 10_000


def read(data: bytes, pieces: list[int] | None = None) -> tuple[int | None, ChunkedBody]:
    """Where the body ends, when the data come in pieces of these sizes and then the rest."""
    body, have = ChunkedBody(3, MAX_BYTES), bytearray(b"\n\r\n")
    at = 0
    for size in [*(pieces or []), len(data)]:
        have += data[at : at + size]
        at += size
        end = body.end(have)
        if end is not None:
            return end, body
    return None, body


def encoded(chunks: list[bytes], trailer: bytes = b"") -> bytes:
    return (
        b"".join(b"%X;x=y\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n" + trailer + b"\r\n"
    )


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(1, 30), max_size=30), st.binary(max_size=9))
def test_a_body_is_the_same_however_it_comes(chunks: list[bytes], pieces: list[int], behind: bytes) -> None:
    """Cut anywhere, with another request behind it."""
    sent = encoded(chunks)

    end, body = read(sent + behind, pieces)

    assert end == 3 + len(sent)
    assert body.joined() == b"".join(chunks)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=3), st.integers(0, 200))
def test_an_unfinished_body_is_waited_for(chunks: list[bytes], cut: int) -> None:
    """No part of it is taken for the whole."""
    sent = encoded(chunks, b"Digest: x\r\n")

    assert read(sent[: min(cut, len(sent) - 1)])[0] is None


def test_fields_behind_the_last_chunk_are_no_next_request() -> None:
    """A trailer belongs to the body."""
    sent = encoded([b"abc"], b"Digest: x\r\nOther: y\r\n")

    end, body = read(sent + b"POST / HTTP/1.1\r\n")

    assert end == 3 + len(sent)
    assert body.joined() == b"abc"


@pytest.mark.parametrize("size", [b"-6", b"+6", b"0x6", b"1_0", b" 6", b"", b"z", b"6" * 17, b"\xb2"])
def test_a_size_is_hexadecimal_digits_and_nothing_else(size: bytes) -> None:
    """A size of -6 would begin with the same line again, for ever."""
    with pytest.raises(ValueError, match="hexadecimal digits"):
        read(size + b"\r\nabcdef\r\n0\r\n\r\n")


def test_a_chunk_that_is_longer_than_its_size_is_refused() -> None:
    """What follows a chunk must be the end of a line."""
    with pytest.raises(ValueError, match="longer than its size"):
        read(b"2\r\nabc\r\n0\r\n\r\n")


@pytest.mark.parametrize("sent", [b"2711\r\n", b"FFFFFFFFFFFFFFFF\r\n", b"1\r\nx\r\n" * 2_000])
def test_a_body_that_is_too_long_is_refused_before_it_is_read(sent: bytes) -> None:
    """By the size that a chunk announces, and by the sum of small ones."""
    with pytest.raises(OverflowError, match="10,000 bytes at most"):
        read(sent)


@pytest.mark.parametrize("sent", [b"1" + b";" * 2_000, b"0\r\n" + b"x" * 9_000, b"0\r\n" + b"a: b\r\n" * 2_000])
def test_lines_without_end_are_refused(sent: bytes) -> None:
    """Extensions and trailers have a limit too."""
    with pytest.raises(ValueError, match="bytes at most"):
        read(sent)
