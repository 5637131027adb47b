"""The output of a function as whole lines, each passed on in one piece."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from collections.abc import Callable
from typing import TypeAlias

#: Takes whole lines, one or more, each with its newline; called in the thread of the output and by whoever flushes.
LineSink: TypeAlias = Callable[[bytes], None]

#: What a pipe holds, on most systems.
_CHUNK_BYTES = 65_536

#: Chunks that one look reads: a process that writes without a pause must not keep a flush waiting forever.
_CHUNKS = 16

#: The longest line that is waited for.
_MAX_LINE_BYTES = 1_048_576


class LineOutput:
    """A pipe for the standard output and error of one process, whose lines reach a sink unbroken.

    A process that writes to a terminal or a file by itself may end in the middle of a line, or write a line in pieces
    between which another process writes. Here a line waits until it is complete, or until :meth:`flush` ends it.

    Args:
        sink: Takes the lines.

    Attributes:
        descriptor: What the process writes to.
    """

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink
        self._reader, self.descriptor = os.pipe()
        os.set_blocking(self._reader, False)
        self._wake_reader, self._wake_writer = os.pipe()
        self._lock = threading.Lock()
        self._partial = b""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="lambda-output", daemon=True)
        self._thread.start()

    def started(self) -> None:
        """The process has its end: this one closes its own, so that the end of the process is seen."""
        self._close_descriptor()

    def flush(self) -> None:
        """Pass on what has been written so far, and end a line that is not complete."""
        with self._lock:
            if not self._closed:
                self._flush()

    def close(self) -> None:
        """Pass on what is left and read no more; what the process left running may still hold the pipe."""
        with contextlib.suppress(OSError):
            os.write(self._wake_writer, b"x")
        self._thread.join()
        with self._lock:
            if self._closed:
                return
            self._flush()
            self._closed = True
            self._close_descriptor()
            for descriptor in (self._reader, self._wake_reader, self._wake_writer):
                os.close(descriptor)

    def _flush(self) -> None:
        self._read()
        if self._partial:
            self._sink(self._partial + b"\n")
            self._partial = b""

    def _work(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while not any(key.fd == self._wake_reader for key, _ in selector.select()):
                with self._lock:
                    if not self._read():
                        return  # the process and all that it started have ended

    def _read(self) -> bool:
        """Read what there is; False at the end of the pipe."""
        for _ in range(_CHUNKS):
            try:
                data = os.read(self._reader, _CHUNK_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            lines, newline, self._partial = (self._partial + data).rpartition(b"\n")
            if newline:
                self._sink(lines + newline)
            if len(self._partial) > _MAX_LINE_BYTES:
                self._sink(self._partial + b"\n")
                self._partial = b""
        return True

    def _close_descriptor(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)
