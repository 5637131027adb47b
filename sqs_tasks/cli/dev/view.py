"""The live view on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
from sqs_tasks.cli.dev.record import OUTPUT, Record

#: Seconds between two drawings at least.
DRAW_SECONDS = 0.1

#: Jobs that are shown, and lines of a traceback: less on a low terminal.
SHOWN_JOBS, SHOWN_TRACE_LINES = 10, 12

#: Lines of a traceback at least.
MIN_TRACE_LINES = 3

#: Rows that stay free: the cursor goes to the next one when the drawing ends.
_BELOW = 1

_STYLES = {"succeeded": "green", "retried": "yellow", "postponed": "cyan"}


class View:
    """Draws the board at the bottom of the terminal; what tasks print scrolls above it.

    Args:
        heading: What stays on top: the application, where SQS is, what to paste.
        console: The terminal.
        clock: Seconds that only grow.
    """

    def __init__(
        self, heading: Sequence[str], console: Console, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.board = Board()
        self._heading = heading
        self._console = console
        self._clock = clock
        self._changed = True
        self._drawn_at = float("-inf")
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def tell(self, record: Record) -> None:
        """Take note of a record; what has no place on the board is printed above it."""
        self.board.tell(record)
        self._changed = True
        if record.told["logger"] == OUTPUT or (
            record.level != "INFO" and record.outcome is None and not record.exception
        ):
            self._console.print(Text(record.as_text()))

    def count(self, depths: Sequence[Depths]) -> None:
        """Take note of what the queues hold."""
        self.board.depths = depths
        self._changed = True

    def pulse(self) -> None:
        """Draw, if there is anything new and the last drawing is a moment ago."""
        now = self._clock()
        if self._changed and now - self._drawn_at >= DRAW_SECONDS:
            self._changed, self._drawn_at = False, now
            self._live.update(self.render(), refresh=True)

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
        if board.jobs and jobs:
            parts.append(_jobs(board, jobs))
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
        self._live.update(self.render(), refresh=True)
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


def _jobs(board: Board, count: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("time", "queue", "job", "outcome"):
        table.add_column(name)
    for name in ("attempt", "duration"):
        table.add_column(name, justify="right")
    for run in list(board.jobs)[:count]:
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
