"""Operations on what is deployed, for people and programs: dead letters first. The command line is one face of them.

::

    from sqs_tasks.operations import Selection, drop, letter_queues, look, retry

    for queue in letter_queues(env):
        with look(queue, Selection(tasks=("send_email",))) as letters:
            for letter in letters:
                print(letter.task, letter.reason)
        retry(queue, Selection(errors=("SMTPException",)))
"""

from __future__ import annotations

from sqs_tasks.operations.archive import export_letters, import_letters
from sqs_tasks.operations.dropping import drop
from sqs_tasks.operations.editing import EditedJob, edit
from sqs_tasks.operations.groups import LetterGroup, grouped
from sqs_tasks.operations.letter import Letter
from sqs_tasks.operations.letter_queue import LetterQueue, letter_queues
from sqs_tasks.operations.look import Look, look
from sqs_tasks.operations.move_task import MoveProgress, MoveTask
from sqs_tasks.operations.report import Report
from sqs_tasks.operations.retrying import move, retry
from sqs_tasks.operations.selection import Selection

__all__ = [
    "EditedJob",
    "Letter",
    "LetterGroup",
    "LetterQueue",
    "Look",
    "MoveProgress",
    "MoveTask",
    "Report",
    "Selection",
    "drop",
    "edit",
    "export_letters",
    "grouped",
    "import_letters",
    "letter_queues",
    "look",
    "move",
    "retry",
]
