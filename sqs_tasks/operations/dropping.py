"""Letters deleted for good."""

from __future__ import annotations

from collections.abc import Callable

from sqs_tasks.operations.letter import Letter
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.look import look
from sqs_tasks.operations.report import Report
from sqs_tasks.operations.selection import Selection


def drop(
    queue: LetterQueue,
    selection: Selection | None = None,
    *,
    dry_run: bool = False,
    before: Callable[[Letter], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    report: Report | None = None,
) -> Report:
    """Delete letters.

    Args:
        queue: The dead-letter queue.
        selection: Which letters; None for all that are there now.
        dry_run: Delete nothing, and count what would be.
        before: Called with each letter before it is deleted.
        should_stop: Asked between letters.
        report: Counted on while it goes on; a new one unless given.
    """
    report = Report() if report is None else report
    most = queue.counts().total
    with look(queue, selection, should_stop=should_stop) as letters:
        for letter in letters:
            report.matched += 1
            if not dry_run:
                before(letter)
                if letters.settlement.delete([letter.message]):
                    report.problem = f"letter {letter.id} could not be deleted; it is still here"
                    break
                letters.forget(letter)
                report.done += 1
                report.ids.append(letter.id)
            if report.matched >= most:
                break
        report.seen, report.hidden, report.behind = letters.seen, letters.hidden, letters.behind
    report.stopped = should_stop() and not report.problem
    return report
