"""A move by SQS itself, with its progress; Ctrl-C cancels it."""

from __future__ import annotations

import sys
from typing import Any

import click

from sqs_tasks.cli.dead.interruption import Interruption
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.move_task import MoveProgress, MoveTask
from sqs_tasks.operations.report import Report

#: Seconds between two questions for the progress: short at first, since small queues are moved at once.
_FIRST_SECONDS, _LONGEST_SECONDS = 0.05, 2.0


def move_by_sqs(
    queue: LetterQueue,
    interruption: Interruption,
    *,
    to: str | None,
    rate: int | None,
    dry_run: bool,
    report: Report,
    **_: Any,
) -> Report:
    """Have SQS move all letters of a queue, and wait until it has; what was asked for before goes on first."""
    counts = queue.counts()
    report.hidden = counts.in_flight + counts.delayed
    report.matched = counts.available
    if dry_run or not counts.available:
        return report
    task = MoveTask.running(queue)
    if task is not None:
        click.echo(f"a move of {queue.name} goes on already; this waits for its end", err=True)
    task = task or MoveTask.start(queue, to=to, messages_per_second=rate)
    seconds = _FIRST_SECONDS
    while True:
        progress = task.progress()
        _show(progress)
        report.done = progress.moved
        if progress.is_over:
            break
        if interruption.is_asked and not report.stopped:
            report.stopped = True
            report.done = _cancelled(task, progress)
            continue
        interruption.sleep(seconds)
        seconds = min(seconds * 2, _LONGEST_SECONDS)
    if progress.status == "FAILED":
        report.problem = f"SQS stopped the move: {progress.failure or 'it does not say why'}"
        if to is None and len(queue.sources) != 1:
            # What a worker rejected comes from nowhere for SQS (S43).
            report.problem += "; name a queue with --to, or send the letters home with 'sqs-tasks dead retry'"
    return report


def _cancelled(task: MoveTask, progress: MoveProgress) -> int:
    try:
        return task.cancel()
    except Exception:
        if task.progress().is_over:  # it was done in the meantime
            return progress.moved
        raise


def _show(progress: MoveProgress) -> None:
    if sys.stderr.isatty():
        of = "" if progress.to_move is None else f" of {progress.to_move}"
        click.echo(f"\r{progress.status.lower()}: {progress.moved}{of} moved", err=True, nl=progress.is_over)
