"""Dead letters of tasks that nobody registers: somebody sends what no worker knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sqs_tasks.env import SQSEnv
from sqs_tasks.operations.doctor.finding import Finding
from sqs_tasks.operations.letter_queue import letter_queues
from sqs_tasks.operations.look import look
from sqs_tasks.operations.selection import Selection

#: Letters of each queue that are looked at.
MOST_LETTERS = 50


def letter_findings(env: SQSEnv) -> Iterator[Finding]:
    """Tasks that are named in dead letters, and registered on none of the queues that they come from."""
    for queue in letter_queues(env):
        known = {
            name for source in queue.sources for task in source.tasks for name in (task.name, *task.settings.aliases)
        }
        unknown: Counter[str] = Counter()
        with look(queue, Selection(limit=MOST_LETTERS)) as letters:
            unknown.update(one.task for one in letters if one.task and one.task not in known)
        for task, count in sorted(unknown.items()):
            yield Finding(
                kind="task-not-registered",
                severity="error",
                subject=f"queue {queue.name}",
                what=f"{count} of its letters name task {task[:100]!r}, which is not registered",
                why="somebody sends jobs that no worker of this application knows",
                fix=f"register the task, or its new name with aliases=[{task[:100]!r}]; then sqs-tasks dead retry",
            )
