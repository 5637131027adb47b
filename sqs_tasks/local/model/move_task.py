"""A message move task: dead letters on their way back, at a rate, with progress, until done or cancelled (S44).

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from sqs_tasks.local.clock.agenda import Agenda, Alarm
from sqs_tasks.local.model import faults
from sqs_tasks.local.model.message import Message
from sqs_tasks.local.model.queue import Queue

#: Messages moved in one go when no rate was asked for, and seconds until the next go: a big dead-letter queue must not
#: hold up everybody else.
CHUNK, PAUSE_SECONDS = 500, 0.01

#: Move tasks of one source that are remembered, and that a list can return.
MAX_REMEMBERED = 10

#: The highest rate that can be asked for.
MAX_RATE = 500


class Status(StrEnum):
    """The states of a move task."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


class MoveTask:
    """Moves what was in a dead-letter queue when it started.

    Args:
        source: The dead-letter queue.
        destination_arn: Where everything goes; None for each message's own source queue.
        rate: Messages a second; None for as fast as possible.
        find: The queue of an ARN, or None.
        readmit: Stores a message in a queue, as a new one.
    """

    def __init__(
        self,
        *,
        source: Queue,
        destination_arn: str | None,
        rate: int | None,
        now: float,
        agenda: Agenda,
        find: Callable[[str], Queue | None],
        readmit: Callable[[Queue, Message, float], None],
        time: Callable[[], float],
    ) -> None:
        self.task_id = str(uuid.uuid4())
        self.source = source
        self.destination_arn = destination_arn
        self.rate = rate
        self.status = Status.RUNNING
        self.moved = 0
        self.to_move = source.visible
        self.started_at = now
        self.failure: str | None = None
        self._agenda = agenda
        self._find = find
        self._readmit = readmit
        self._time = time
        self._alarm: Alarm | None = agenda.at(now + (1 / rate if rate else 0), self._step, None)

    @property
    def handle(self) -> str:
        """What CancelMessageMoveTask wants: the task's id and its source."""
        document = {"taskId": self.task_id, "sourceArn": self.source.arn}
        return base64.b64encode(json.dumps(document, separators=(",", ":")).encode()).decode()

    def cancel(self) -> None:
        """Stop; what was moved stays moved."""
        self._stop(Status.CANCELLED)

    def describe(self) -> dict[str, Any]:
        """The task as ListMessageMoveTasks shows it; the handle only while it can be used."""
        shown: dict[str, Any] = {
            "Status": str(self.status),
            "SourceArn": self.source.arn,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "StartedTimestamp": int(self.started_at * 1000),
        }
        if self.status is Status.RUNNING:
            shown["TaskHandle"] = self.handle
        if self.destination_arn is not None:
            shown["DestinationArn"] = self.destination_arn
        if self.rate is not None:
            shown["MaxNumberOfMessagesPerSecond"] = self.rate
        if self.failure is not None:
            shown["FailureReason"] = self.failure
        return shown

    def _step(self, _: None) -> None:
        self._alarm = None
        now = self._time()
        for _turn in range(1 if self.rate else CHUNK):
            if self.moved >= self.to_move or not self._move_one(now):
                break
        if self.status is not Status.RUNNING:
            return
        if self.moved >= self.to_move:
            self._stop(Status.COMPLETED)
            return
        # With a rate, the moments are counted from the start, so that a late step does not slow the task down.
        moment = self.started_at + (self.moved + 1) / self.rate if self.rate else now + PAUSE_SECONDS
        self._alarm = self._agenda.at(moment, self._step, None)

    def _move_one(self, now: float) -> bool:
        if self.source.deleted:
            self._fail("AWS.SimpleQueueService.NonExistentQueue")
            return False
        fixed = self._find(self.destination_arn) if self.destination_arn else None
        if self.destination_arn and fixed is None:
            self._fail("AWS.SimpleQueueService.NonExistentQueue")
            return False
        message = self.source.take_out(now)
        if message is None:
            self._stop(Status.COMPLETED)
            return False
        destination = fixed
        if destination is None:
            home = message.dead_letter_source_arn
            destination = self._find(home) if home else None
            if destination is None:
                self._readmit(self.source, message, now)
                self._fail(
                    "CouldNotDetermineMessageSource" if home is None else "AWS.SimpleQueueService.NonExistentQueue"
                )
                return False
        message.message_id = str(uuid.uuid4())
        message.receive_count = 0
        message.first_received_at = None
        message.dead_letter_source_arn = None
        message.sent_at = now
        self._readmit(destination, message, now)
        self.moved += 1
        return True

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self._stop(Status.FAILED)

    def _stop(self, status: Status) -> None:
        self.status = status
        if self._alarm is not None:
            self._agenda.cancel(self._alarm)
            self._alarm = None


def parse_handle(handle: str) -> tuple[str, str]:
    """The task's id and its source's ARN.

    Raises:
        SQSFault: It is not a task handle.
    """
    try:
        document = json.loads(base64.b64decode(handle, validate=True))
        return str(document["taskId"]), str(document["sourceArn"])
    except (ValueError, KeyError, TypeError):
        raise faults.invalid_parameter("Value for parameter TaskHandle is invalid.") from None
