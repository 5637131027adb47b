"""A table: drawn on a terminal, plain columns in a pipe."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

import click


class Table:
    """Rows under a header; the first columns are text, the others are numbers.

    Args:
        header: The columns' names.
        texts: How many of them are text.
    """

    def __init__(self, header: Sequence[str], *, texts: int = 1) -> None:
        self._header = tuple(header)
        self._texts = texts
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: object) -> None:
        """Add a row; None is shown as a dash."""
        self._rows.append(tuple("-" if cell is None else _shown(cell) for cell in cells))

    def print(self) -> None:
        """Print the table to standard output."""
        if sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
            self._draw()
            return
        for line in self.lines():
            click.echo(line)

    def lines(self) -> list[str]:
        """The plain form: columns two spaces apart, as ``awk`` and ``cut`` like them."""
        rows = [self._header, *self._rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(self._header))]
        return [
            "  ".join(
                cell.rjust(width) if column >= self._texts else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]

    def _draw(self) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable

        drawn = RichTable(box=box.SIMPLE_HEAD)
        for column, name in enumerate(self._header):
            drawn.add_column(name, justify="right" if column >= self._texts else "left")
        for row in self._rows:
            drawn.add_row(*row)
        Console().print(drawn)


def _shown(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) and sys.stdout.isatty() else str(cell)
