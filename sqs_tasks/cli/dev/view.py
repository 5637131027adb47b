"""The live view on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sqs_tasks.cli.dev.board import Board, Failure
from sqs_tasks.cli.dev.depths import Depths
from sqs_tasks.cli.dev.record import OUTPUT, Record, is_ours

#: Seconds between two drawings at least.
DRAW_SECONDS = 0.1

#: Seconds between two drawings that show how long jobs have been running.
CLOCK_SECONDS = 1.0

#: Jobs that are shown, and lines of a traceback: less on a low terminal.
SHOWN_JOBS, SHOWN_TRACE_LINES = 10, 12

#: Lines of a traceback at least.
MIN_TRACE_LINES = 3

#: Rows that stay free: the cursor goes to the next one when the drawing ends.
_BELOW = 1

_STYLES = {"succeeded": "green", "retried": "yellow", "postponed": "cyan"}


def always() -> AbstractContextManager[bool]:
    """A turn at a terminal that is used by nothing else."""
    return nullcontext(True)


class View:
    """Draws the board at the bottom of the terminal; what the application prints and logs scrolls above it.

    While a debugger has the terminal nothing is written; what was to be printed meanwhile follows afterwards.

    Args:
        heading: What stays on top: the application, where SQS is, what to paste.
        console: The terminal.
        turn: Tells whether the terminal may be written to, for the length of a block.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        heading: Sequence[str],
        console: Console,
        *,
        turn: Callable[[], AbstractContextManager[bool]] = always,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.board = Board(clock)
        self._heading = heading
        self._console = console
        self._clock = clock
        self._turn = turn
        self._changed = True
        self._drawn_at = float("-inf")
        self._printed: list[Text] = []
        self._given_away = False
        self._live = self._new_live()

    def _new_live(self) -> Live:
        # Nothing but this class writes to the terminal here, so there is nothing to redirect.
        return Live(
            console=self._console, auto_refresh=False, transient=False, redirect_stdout=False, redirect_stderr=False
        )

    def report(self, record: Record) -> None:
        """Put a record on the board, or print it above the board."""
        self.board.report(record)
        self._changed = True
        if _is_printed(record):
            self._printed.append(Text(record.as_text()))
            self._write(self._print)

    def count(self, depths: Sequence[Depths]) -> None:
        """Show what the queues hold."""
        self.board.depths = depths
        self._changed = True

    def pulse(self) -> None:
        """Draw, if there is anything new and the last drawing is a moment ago."""
        now = self._clock()
        seconds = now - self._drawn_at
        if (self._changed and seconds >= DRAW_SECONDS) or (self.board.running and seconds >= CLOCK_SECONDS):
            self._write(self._draw)

    def _draw(self) -> None:
        self._print()
        self._changed, self._drawn_at = False, self._clock()
        self._live.update(self.render(), refresh=True)

    def _print(self) -> None:
        while self._printed:
            self._console.print(self._printed.pop(0))

    def _write(self, write: Callable[[], None]) -> None:
        """Write if the terminal is free. After a debugger has used it, write below the lines of the debugger."""
        with self._turn() as is_free:
            if not is_free:
                self._given_away = True
                return
            if self._given_away:
                # The drawing that is above the debugger's lines must not be drawn over any more.
                self._given_away = False
                self._console.clear_live()
                self._console.pop_render_hook()
                self._console.line()  # the debugger's prompt may be the last that stands there
                self._print()
                self._live = self._new_live()
                self._live.start()
            write()

    def render(self) -> RenderableType:
        """The board, drawn: as much of it as fits, since what is higher than the terminal cannot be drawn over."""
        jobs, trace_lines = SHOWN_JOBS, SHOWN_TRACE_LINES
        while True:
            drawn = self._drawn(jobs, trace_lines)
            over = len(self._console.render_lines(drawn, pad=False)) - (self._console.height - _BELOW)
            if over <= 0 or (jobs, trace_lines) == (0, MIN_TRACE_LINES):
                return drawn
            # Half of it each, and then whatever is left to shorten: long lines of a traceback take several.
            if trace_lines > MIN_TRACE_LINES and (trace_lines >= jobs or not jobs) and self.board.failure is not None:
                trace_lines -= 1
            elif jobs:
                jobs -= 1
            else:
                trace_lines = MIN_TRACE_LINES

    def _drawn(self, jobs: int, trace_lines: int) -> RenderableType:
        board = self.board
        parts: list[RenderableType] = [
            Text(line, style="bold" if not at else "") for at, line in enumerate(self._heading)
        ]
        parts += [Text(board.status, style="cyan"), _queues(board.depths)]
        if (board.jobs or board.running) and jobs:
            parts.append(_jobs(board, jobs, self._clock()))
        if board.failure is not None:
            parts.append(_failure(board.failure, trace_lines))
        # The cursor stands in the last row. Were that full, a typed ^C would begin another, and the next drawing would
        # start one row too low.
        return Group(*parts, Text(""))

    def __enter__(self) -> Self:
        self._live.start()
        self.pulse()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(self._draw)
        self._live.stop()


def _queues(depths: Sequence[Depths]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("queue")
    for name in ("ready", "in flight", "delayed", "dead"):
        table.add_column(name, justify="right")
    for one in depths:
        dead = Text("-" if one.dead is None else f"{one.dead:,}", style="bold red" if one.dead else "")
        table.add_row(Text(one.queue), f"{one.ready:,}", f"{one.in_flight:,}", f"{one.delayed:,}", dead)
    return table


def _is_printed(record: Record) -> bool:
    """What the application prints or logs, and what this library reports beside jobs and failures."""
    if record.fields["logger"] == OUTPUT or not is_ours(str(record.fields["logger"])):
        return True
    if record.action == "dev_schedule":
        return True
    return record.level != "INFO" and record.outcome is None and not record.exception


def _jobs(board: Board, count: int, now: float) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("time", "queue", "job", "outcome"):
        table.add_column(name)
    for name in ("attempt", "duration"):
        table.add_column(name, justify="right")
    running = list(board.running.values())[:count]
    for one in running:
        attempt = "-" if one.attempt is None else str(one.attempt)
        seconds = duration(now - one.since)
        table.add_row(one.time, Text(one.queue), Text(one.job), Text("running", style="blue"), attempt, seconds)
    for run in list(board.jobs)[: count - len(running)]:
        table.add_row(
            run.time,
            Text(run.queue),
            Text(run.job),
            Text(run.outcome, style=_STYLES.get(run.outcome, "red")),
            "-" if run.attempt is None else str(run.attempt),
            "-" if run.seconds is None else duration(run.seconds),
        )
    return table


def _failure(failure: Failure, lines: int) -> Panel:
    trace = (failure.trace or "").rstrip().splitlines()
    shown = trace if len(trace) <= lines else ["…", *trace[-(lines - 1) :]]
    text = Text("\n".join(shown) if shown else failure.title, no_wrap=False)
    title = failure.title.splitlines()[0] if failure.title else ""
    return Panel(text, title=Text(f"{failure.time} {title}"), border_style="red")


def duration(seconds: float) -> str:
    """``12 ms``, ``3.4 s`` or ``2 min 5 s``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
