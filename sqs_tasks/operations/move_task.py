"""All letters of a queue moved by SQS itself: no message passes through this process.

SQS moves them as they are: a job that had gone on by copies (``Attempt``) keeps the attempts that it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqs_tasks.errors import SQSTasksError
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.provisioning import queue_arn

#: The states in which a task still does something.
_GOING_ON = ("RUNNING", "CANCELLING")


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveProgress:
    """How far a move is.

    Attributes:
        status: SQS's word: RUNNING, COMPLETED, CANCELLING, CANCELLED or FAILED.
        moved: Letters that were moved so far.
        to_move: Letters that there were at the start; None where SQS does not say.
        failure: Why it failed; empty otherwise.
    """

    status: str
    moved: int
    to_move: int | None
    failure: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is moved."""
        return self.status not in _GOING_ON


@dataclass(frozen=True, kw_only=True)
class MoveTask:
    """A move that SQS makes; there is at most one for a queue at a time.

    Attributes:
        queue: The dead-letter queue.
        handle: SQS's handle of the task, for its cancellation.
    """

    queue: LetterQueue
    handle: str

    @classmethod
    def start(cls, queue: LetterQueue, *, to: str | None = None, messages_per_second: int | None = None) -> MoveTask:
        """Have SQS begin to move all letters.

        Args:
            queue: The dead-letter queue.
            to: The URL of the queue that they go to. None sends each letter where it comes from, as SQS knows it; what
                a worker rejected comes from nowhere for SQS (S43), so the queue's one source is named then.
            messages_per_second: 1 to 500; None lets SQS choose.

        Raises:
            Exception: SQS refuses: a move goes on already, or the queue is nobody's dead-letter queue.
        """
        client = queue.env.client()
        request: dict[str, Any] = {"SourceArn": queue_arn(client, queue.url)}
        target = to or (queue.sources[0].queue_url if len(queue.sources) == 1 else None)
        if target is not None:
            request["DestinationArn"] = queue_arn(client, target)
        if messages_per_second is not None:
            request["MaxNumberOfMessagesPerSecond"] = messages_per_second
        return cls(queue=queue, handle=str(client.start_message_move_task(**request)["TaskHandle"]))

    @classmethod
    def running(cls, queue: LetterQueue) -> MoveTask | None:
        """The move that goes on at present, whoever started it; None where there is none."""
        latest = _latest(queue)
        handle = latest.get("TaskHandle")
        return None if handle is None or latest.get("Status") not in _GOING_ON else cls(queue=queue, handle=str(handle))

    def progress(self) -> MoveProgress:
        """How far it is, by one request.

        Raises:
            SQSTasksError: SQS knows no move of this queue.
        """
        latest = _latest(self.queue)
        if not latest:
            raise SQSTasksError(f"SQS knows no move of {self.queue.name}; it may have forgotten it, look at the counts")
        to_move = latest.get("ApproximateNumberOfMessagesToMove")
        return MoveProgress(
            status=str(latest.get("Status", "")),
            moved=int(latest.get("ApproximateNumberOfMessagesMoved", 0)),
            to_move=None if to_move is None else int(to_move),
            failure=str(latest.get("FailureReason", "")),
        )

    def cancel(self) -> int:
        """Stop it; what was moved stays moved. Returns how many were.

        Raises:
            Exception: It is over already.
        """
        answer = self.queue.env.client().cancel_message_move_task(TaskHandle=self.handle)
        return int(answer.get("ApproximateNumberOfMessagesMoved", 0))


def _latest(queue: LetterQueue) -> Mapping[str, Any]:
    client = queue.env.client()
    results = client.list_message_move_tasks(SourceArn=queue_arn(client, queue.url), MaxResults=1).get("Results", [])
    return results[0] if results else {}
