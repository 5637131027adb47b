"""Where a session shows itself: a protocol, and the lines of a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal, Protocol

import click

from sqs_tasks.cli.dev.depths import Depths
from sqs_tasks.cli.dev.record import Record


class Screen(Protocol):
    """What a session reports to."""

    def report(self, record: Record) -> None:
        """Show what happened."""

    def count(self, depths: Sequence[Depths]) -> None:
        """Show what the queues hold now."""

    def pulse(self) -> None:
        """A moment passed; now is the time to draw."""


class Lines:
    """One line for each record: JSON, or text for people.

    Args:
        log_format: Which of the two.
    """

    def __init__(self, log_format: Literal["text", "json"]) -> None:
        self._json = log_format == "json"

    def report(self, record: Record) -> None:
        """Print the record."""
        click.echo(record.as_json() if self._json else record.as_text())

    def count(self, depths: Sequence[Depths]) -> None:
        """Print what the queues hold."""
        said = "; ".join(
            f"{one.queue}: {one.ready} ready, {one.in_flight} in flight, {one.delayed} delayed"
            + ("" if one.dead is None else f", {one.dead} dead")
            for one in depths
        )
        self.report(Record.make(said, action="dev_queues", queues=[asdict(one) for one in depths]))

    def pulse(self) -> None:
        """Nothing to draw."""
