"""What of a letter's arguments may be seen: a task says which are nobody's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqs_tasks.operations.letter import Letter
from sqs_tasks.operations.letter_queue import LetterQueue

#: What stands in place of a value.
HIDDEN = "(hidden)"


def redacted(queue: LetterQueue, letter: Letter) -> Any:
    """The arguments of a letter without what its task hides; all of them hidden where its redaction fails.

    Args:
        queue: The dead-letter queue.
        letter: The letter.

    Returns:
        Plain data of JSON; a text saying why where the arguments cannot be shown.
    """
    arguments = letter.arguments
    if arguments is None:
        return letter.problem
    home = queue.task_queue(letter)
    task = next((one for one in home.tasks if letter.task in (one.name, *one.settings.aliases)), None) if home else None
    rule: Callable[[dict[str, Any]], Any] | Sequence[str] = () if task is None else task.settings.redact
    if not isinstance(arguments, Mapping):
        return arguments
    if callable(rule):
        try:
            return rule(dict(arguments))
        except Exception as error:  # noqa: BLE001 - it is the application's; what it did not hide must not be seen
            return f"{HIDDEN}: the task's redact raised {type(error).__name__}"
    return {name: HIDDEN if name in rule else value for name, value in arguments.items()}
