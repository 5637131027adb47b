"""Letters back to work, or elsewhere, one after the other: the copy is accepted, then the original is deleted.

A letter is copied and deleted before the next is touched. Whoever is killed between the two has one job in both queues,
and ``before`` has named it. What is refused stays where it is.

``retry`` sends jobs that begin anew: what was said of their end goes, and so do the attempts of the copies by which
they went on (``Attempt``, ``FirstSentAt``, ``NotBefore``), so that each has all attempts of its task again. ``move``
keeps all of it, as SQS's own move does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.execution.dead_letter_copier import without_failure
from sqs_tasks.execution.message_copy import kept_attributes
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.operations.letter import Letter
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.look import Look, look
from sqs_tasks.operations.report import Report
from sqs_tasks.operations.selection import Selection
from sqs_tasks.operations.sending_once import NoAnswerError, send_once

#: Seconds that a letter must be hidden for when it is sent, or another could receive it before it is deleted.
_ENOUGH_SECONDS = 15

#: Makes the message that is sent in place of a letter.
Copy = Callable[[Letter], OutgoingMessage]

#: Called with each letter that is about to be sent.
Before = Callable[[Letter], None]


def retry(
    queue: LetterQueue,
    selection: Selection | None = None,
    *,
    to: str | None = None,
    messages_per_second: float | None = None,
    dry_run: bool = False,
    before: Before = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
    report: Report | None = None,
) -> Report:
    """Send letters back to the queues that they come from, as jobs that begin anew.

    Args:
        queue: The dead-letter queue.
        selection: Which letters; None for all that are there now.
        to: The URL of another queue for all of them.
        messages_per_second: No faster than this.
        dry_run: Send nothing, and count what would be.
        before: Called with each letter before it is sent: the one that it named last is the one in doubt after a kill.
        should_stop: Asked between letters.
        sleep: Waits between letters.
        report: Counted on while it goes on; a new one unless given.

    Returns:
        What was done. Nothing is raised for a letter that is in doubt: the report names it.

    Raises:
        ConfigurationError: Nobody says where a letter comes from, or the queue is of the other kind.
    """
    return _resend(
        queue,
        selection,
        to,
        lambda letter, fifo: _begun_anew(letter, fifo=fifo),
        messages_per_second=messages_per_second,
        dry_run=dry_run,
        before=before,
        should_stop=should_stop,
        sleep=sleep,
        report=report,
    )


def move(
    queue: LetterQueue,
    selection: Selection | None = None,
    *,
    to: str | None = None,
    messages_per_second: float | None = None,
    dry_run: bool = False,
    before: Before = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
    report: Report | None = None,
) -> Report:
    """Send letters elsewhere as they are, with what was said of their end; see :func:`retry` for the arguments.

    All letters of a queue are moved by SQS itself: :class:`~sqs_tasks.operations.move_task.MoveTask`.
    """
    return _resend(
        queue,
        selection,
        to,
        lambda letter, fifo: as_it_is(letter, fifo=fifo, why="move"),
        messages_per_second=messages_per_second,
        dry_run=dry_run,
        before=before,
        should_stop=should_stop,
        sleep=sleep,
        report=report,
    )


def _resend(
    queue: LetterQueue,
    selection: Selection | None,
    to: str | None,
    copy: Callable[[Letter, bool], OutgoingMessage],
    *,
    messages_per_second: float | None,
    dry_run: bool,
    before: Before,
    should_stop: Callable[[], bool],
    sleep: Callable[[float], None],
    report: Report | None,
) -> Report:
    if to is not None:
        _check_kind(queue, to)
        if to == queue.url:
            raise ConfigurationError(f"{queue.name} is where the letters are; name another queue")
    selection = selection or Selection()
    report = Report() if report is None else report
    # As many as were there at the start: jobs that die again meanwhile must not go round for ever.
    most = queue.counts().total
    at_once = limits.MAX_BATCH_ENTRIES
    if messages_per_second is not None:
        limits.check_number(messages_per_second, "messages_per_second", 0, whole=False, above=True)
        at_once = min(max(int(messages_per_second), 1), at_once)
    with look(queue, selection, should_stop=should_stop, at_once=at_once) as letters:
        for letter in letters:
            report.matched += 1
            if not dry_run:
                target = to or _source_of(queue, letter)
                message = copy(letter, target.endswith(".fifo"))
                if not resend_one(letters, letter, target, message, report, before=before):
                    break
                if messages_per_second is not None and not should_stop():
                    sleep(1 / messages_per_second)
            if report.matched >= most:
                break
        report.seen, report.hidden, report.behind = letters.seen, letters.hidden, letters.behind
    report.stopped = should_stop() and not report.problem
    return report


def resend_one(
    letters: Look, letter: Letter, target: str, message: OutgoingMessage, report: Report, *, before: Before
) -> bool:
    """Send one message in place of a letter, delete the letter, and say whether all is well with it.

    Args:
        letters: The look that holds the letter.
        letter: The letter.
        target: The URL of the queue.
        message: What is sent.
        report: Gets the letter, or the doubt about it.
        before: Called before it is sent.
    """
    if letters.seconds_left(letter) < _ENOUGH_SECONDS:
        letters.keep(letter)
    before(letter)
    report.doubtful = letter
    try:
        send_once(letters.queue.env, target, message)
    except NoAnswerError as error:
        report.problem = f"{error}; its job may be sent, and the letter is still here"
        return False
    except Exception as error:
        report.doubtful = None
        report.problem = f"{type(error).__name__}: {error}"
        raise
    # What follows may fail or be interrupted; the letter is in doubt until it is gone.
    if letters.settlement.delete([letter.message]):
        report.problem = "it was sent, and could not be deleted here: drop it, or its job runs twice"
        return False
    letters.forget(letter)
    report.doubtful = None
    report.done += 1
    report.ids.append(letter.id)
    return True


def _begun_anew(letter: Letter, *, fifo: bool) -> OutgoingMessage:
    """The job of a letter as a job that begins anew, with its id, its group and its trace."""
    message = letter.message
    return OutgoingMessage(
        body=message.body,
        attributes=without_failure(kept_attributes(message)),
        group_id=message.group_id or ("default" if fifo else None),
        # Each death has its own: the one of the first send may still be known to SQS, which would drop the job.
        deduplication_id=f"retry-{letter.id}" if fifo else None,
        trace_header=message.trace_header,
        job_name=letter.task,
    )


def as_it_is(letter: Letter, *, fifo: bool, why: str) -> OutgoingMessage:
    """A letter unchanged.

    Args:
        letter: The letter.
        fifo: Whether it goes to a FIFO queue.
        why: What begins its deduplication id there.
    """
    message = letter.message
    return OutgoingMessage(
        body=message.body,
        attributes=dict(message.message_attributes),
        group_id=message.group_id or ("default" if fifo else None),
        deduplication_id=f"{why}-{letter.id}" if fifo else None,
        trace_header=message.trace_header,
        job_name=letter.task,
    )


def _source_of(queue: LetterQueue, letter: Letter) -> str:
    url = queue.source_of(letter)
    if url is None:
        held = ", ".join(source.name for source in queue.sources) or "no registered queue"
        raise ConfigurationError(
            f"letter {letter.id} does not say which queue it comes from, and {queue.name} holds the letters of {held}; "
            "say where it goes with --to QUEUE"
        )
    return url


def _check_kind(queue: LetterQueue, to: str) -> None:
    if to.endswith(".fifo") is not queue.fifo:
        kind = "FIFO" if queue.fifo else "standard"
        raise ConfigurationError(f"{queue.name} is {kind}, so {to!r} must be {kind} too; name another queue")
