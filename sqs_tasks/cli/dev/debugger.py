"""``breakpoint()`` in a job of ``sqs-tasks dev``: pdb at the terminal of the session."""

from __future__ import annotations

import contextlib
import logging
import os
import pdb  # noqa: T100 - the debugger that breakpoint() starts
import sys
from types import FrameType, TracebackType
from typing import Any, TextIO

from sqs_tasks.cli.dev.terminal import Terminal

logger = logging.getLogger("sqs_tasks.cli.dev.debugger")

#: Shows the cursor, which the live view hides.
_SHOW_CURSOR = "\x1b[?25h"


def break_here(*_args: Any, **_kwargs: Any) -> None:
    """Debug the caller at the session's terminal; without one, say so and go on."""
    frame = sys._getframe(1)  # noqa: SLF001 - as pdb.set_trace does
    terminal = Terminal.from_environment()
    if terminal is None:
        logger.warning(
            "breakpoint() in %s, line %d, was passed over: sqs-tasks dev has no terminal to debug at; "
            "start it in one, with its standard input not redirected",
            frame.f_code.co_filename,
            frame.f_lineno,
            extra={"action": "dev_breakpoint_passed_over"},
        )
        return
    TerminalDebugger(terminal).set_trace(frame)


class TerminalDebugger(pdb.Pdb):
    """A pdb that takes the terminal while it talks, and gives it back when the job goes on.

    Jobs that meet a breakpoint at the same time are debugged one after the other.

    Args:
        terminal: The terminal.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._lock: int | None = None
        # It belongs to the session of the system that dev runs in: opened only to talk, not to get its signals.
        descriptor = os.open(terminal.path, os.O_RDWR | os.O_NOCTTY)
        self._input: TextIO = os.fdopen(os.dup(descriptor), "r", encoding="utf-8", errors="replace")
        self._output: TextIO = os.fdopen(descriptor, "w", encoding="utf-8", errors="replace")
        super().__init__(stdin=self._input, stdout=self._output, nosigint=True)

    def interaction(self, frame: FrameType | None, traceback: TracebackType | None) -> None:
        """Talk, when it is this debugger's turn."""
        if self._lock is None:
            self._lock = self._terminal.take(wait=True)
            self._output.write(f"{_SHOW_CURSOR}\n")
        super().interaction(frame, traceback)

    def set_continue(self) -> None:
        """Let the job go on, and the view draw."""
        super().set_continue()
        self._give_back()

    def set_quit(self) -> None:
        """End the job, and let the view draw."""
        super().set_quit()
        self._give_back()

    def _give_back(self) -> None:
        lock, self._lock = self._lock, None
        with contextlib.suppress(OSError):
            self._output.flush()
        if lock is not None:
            os.close(lock)


def install() -> None:
    """Have ``breakpoint()`` come here, unless PYTHONBREAKPOINT chooses another debugger or none."""
    if not os.environ.get("PYTHONBREAKPOINT"):
        sys.breakpointhook = break_here
