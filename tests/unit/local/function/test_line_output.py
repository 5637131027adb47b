"""The output of a function as whole lines."""

from __future__ import annotations

import os
import threading

import pytest

from sqs_tasks.local.function.line_output import LineOutput


class Heard:
    """A sink that remembers, and can be waited for."""

    def __init__(self):
        self.pieces = []
        self._changed = threading.Condition()

    def __call__(self, lines):
        with self._changed:
            self.pieces.append(lines)
            self._changed.notify_all()

    def wait_for(self, text):
        with self._changed:
            assert self._changed.wait_for(lambda: b"".join(self.pieces) == text, 10), self.pieces


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def output(heard):
    output = LineOutput(heard)
    yield output
    output.close()


def test_line_waits_until_it_is_complete(output, heard):
    """Pieces of it are no lines, whenever they are written."""
    os.write(output.descriptor, b"one\ntw")
    heard.wait_for(b"one\n")

    os.write(output.descriptor, b"o\n")

    heard.wait_for(b"one\ntwo\n")
    assert all(piece.endswith(b"\n") for piece in heard.pieces)


def test_flush_passes_on_everything_that_was_written_before_it(output, heard):
    """And ends the line, so that whatever is printed next has one of its own."""
    os.write(output.descriptor, b"one\nno newline")

    output.flush()

    assert b"".join(heard.pieces) == b"one\nno newline\n"


def test_close_passes_on_what_is_left(output, heard):
    """Also while somebody else still holds the pipe: what the process started."""
    kept = os.dup(output.descriptor)
    os.write(kept, b"last words")

    output.close()
    output.flush()

    assert heard.pieces == [b"last words\n"]
    os.close(kept)


def test_line_without_end_takes_no_memory_without_end(output, heard):
    """A process that never writes a newline is heard all the same."""
    written = threading.Thread(target=lambda: [os.write(output.descriptor, b"x" * 65_536) for _ in range(40)])
    written.start()
    written.join()
    output.flush()

    assert len(heard.pieces) > 1
    assert b"".join(heard.pieces).replace(b"\n", b"") == b"x" * 65_536 * 40
