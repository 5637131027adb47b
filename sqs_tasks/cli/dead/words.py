"""Letters in words, for a terminal of 80 columns."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime

from sqs_tasks.operations.groups import LetterGroup
from sqs_tasks.operations.letter import Letter
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.look import Look
from sqs_tasks.queue_statistics import QueueStatistics

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def width() -> int:
    """The columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size().columns


def cut(text: str, most: int) -> str:
    """A text of at most so many characters, in one line."""
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= most else f"{text[: max(most - 1, 0)]}…"


def age(moment: datetime | None, now: float) -> str:
    """How long ago, roughly: ``3 h ago``."""
    if moment is None:
        return "unknown"
    seconds = max(now - moment.timestamp(), 0)
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def moment(at: datetime | None, now: float) -> str:
    """A moment with its age."""
    return "unknown" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {age(at, now)}"


def letters(count: int) -> str:
    """``1 letter``, ``2 letters``."""
    return f"{count:,} letter{'' if count == 1 else 's'}"


def heading(queue: LetterQueue, counts: QueueStatistics) -> str:
    """The queue with its counts: all letters, and those that nobody can receive at present."""
    hidden = [f"{counts.in_flight:,} in flight"] * bool(counts.in_flight)
    hidden += [f"{counts.delayed:,} delayed"] * bool(counts.delayed)
    return f"{queue.name}: {letters(counts.total)}" + (f", {' and '.join(hidden)}" if hidden else "")


def group_lines(groups: Sequence[LetterGroup], now: float) -> list[str]:
    """Two lines for each group: how many of what since when, and why."""
    columns, lines = width(), []
    for group in groups:
        when = " … ".join(dict.fromkeys((age(group.first, now), age(group.last, now))))
        what = group.task or f"({group.content})"
        if group.failure_type:
            what += f" · {group.failure_type}"
        what = cut(what, columns - len(when) - 10)
        lines.append(f"{group.count:>6}  {what:<{columns - len(when) - 10}}  {when}")
        lines.append(f"        {cut(group.reason, columns - 8)}")
    return lines


def letter_line(letter: Letter, now: float) -> str:
    """One line for one letter: the end of its id, its age, its task, why."""
    head = f"{letter.id[-12:]:<12}  {age(letter.at, now):>10}  {cut(letter.task or f'({letter.content})', 18):<18}  "
    return head + cut(letter.why, width() - len(head))


def forced(found: Look) -> list[str]:
    """What SQS forces upon a look, as far as it matters."""
    lines = []
    if found.hidden:
        lines.append(
            f"{letters(found.hidden)} cannot be received at present (in flight or delayed) and {_is(found.hidden)} not "
            "shown"
        )
    if found.behind:
        lines.append(f"{letters(found.behind)} stand behind others of their message group, and SQS shows the first ten")
    return lines


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
