"""What a command on letters shows while it works: a bar on a terminal, a line for each letter elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

import click

from sqs_tasks.operations.letter import Letter


class Progress:
    """Names each letter before something is done with it, so that it is known after a kill at any moment.

    Args:
        verb: What is done: ``retrying``.
        total: How many letters are expected.
    """

    def __init__(self, verb: str, total: int) -> None:
        self._verb = verb
        self._total = total
        self._bar: Any = None
        self._task: Any = None
        self._count = 0

    def before(self, letter: Letter) -> None:
        """Name a letter."""
        self.note(f"{letter.id} {letter.task or f'({letter.content})'}")

    def note(self, what: str) -> None:
        """Name what is done next."""
        if self._bar is None:
            click.echo(f"{self._verb} {what}", err=True)
            return
        # Drawn at once, and not by the bar's own thread: it may be the last thing that is seen.
        self._bar.update(self._task, description=f"{self._verb} {what}", completed=self._count, refresh=True)
        self._count += 1

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                BarColumn(bar_width=16),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Bar(*columns, console=Console(stderr=True), auto_refresh=False)
            self._bar.start()
            self._task = self._bar.add_task(self._verb, total=self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._count, description="", refresh=True)
            self._bar.stop()
