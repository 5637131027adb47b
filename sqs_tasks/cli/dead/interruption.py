"""Ctrl-C and SIGTERM while letters are held: the one that is being moved is finished, the others are let go."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

import click

#: What a shell shows for a program that Ctrl-C has ended.
_EXIT_CODE = 130


class Interruption:
    """Notes a first signal in place of being interrupted by it; a second one interrupts at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._before: dict[signal.Signals, Any] = {}

    @property
    def is_asked(self) -> bool:
        """Whether somebody has asked for an end."""
        return self._event.is_set()

    def asked(self) -> bool:
        """The same as a function."""
        return self._event.is_set()

    def sleep(self, seconds: float) -> None:
        """Wait, unless somebody asks for an end."""
        self._event.wait(seconds)

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Signals as they were before, for the length of a block: a question is interrupted by the first Ctrl-C."""
        noted = {one: signal.signal(one, handler) for one, handler in self._before.items()}
        try:
            yield
        finally:
            for one, handler in noted.items():
                signal.signal(one, handler)

    def leave(self) -> None:
        """Exit as one who was interrupted, if that is so."""
        if self.is_asked:
            sys.exit(_EXIT_CODE)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for one in (signal.SIGINT, signal.SIGTERM):
                self._before[one] = signal.signal(one, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._event.is_set():
            raise KeyboardInterrupt
        self._event.set()
        name = signal.Signals(number).name
        click.echo(f"\n{name}: finishing this letter; once more interrupts at once", err=True)
