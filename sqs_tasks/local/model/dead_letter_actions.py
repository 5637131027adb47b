# ruff: noqa: ARG002  every action is called with its parameters, its caller and the time, and few need all three
"""The actions on dead letters: whose they are, and their way back."""

from __future__ import annotations

import itertools
from collections import deque

from sqs_tasks.local.model import faults, move_task, pages, validation
from sqs_tasks.local.model.account import Account, Answer, Caller, Params
from sqs_tasks.local.model.faults import SQSFault
from sqs_tasks.local.model.message import Message
from sqs_tasks.local.model.move_task import MoveTask, Status
from sqs_tasks.local.model.queue import Queue


class DeadLetterActions:
    """Actions on dead letters, each as boto3 has it."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._moves: dict[str, deque[MoveTask]] = {}

    def list_dead_letter_source_queues(self, params: Params, caller: Caller, now: float) -> Answer:
        """The URLs of queues whose dead letters come here, in pages."""
        queue = self._account.queue(params)
        return pages.of_queues(
            "queueUrls", [source.name for source in self._account.sources(queue.arn)], params, caller
        )

    def start_message_move_task(self, params: Params, caller: Caller, now: float) -> Answer:
        """Start to move dead letters."""
        source = self._account.find(params["SourceArn"])
        if source is None:
            raise _no_resource("SourceArn")
        destination_arn = params.get("DestinationArn")
        rate = params.get("MaxNumberOfMessagesPerSecond")
        if rate is not None and not 1 <= rate <= move_task.MAX_RATE:
            reason = f"Must be between 1 and {move_task.MAX_RATE}, if provided."
            raise faults.invalid_value("MaxNumberOfMessagesPerSecond", rate, reason)
        if not self._account.sources(source.arn):
            raise faults.invalid_parameter("Source queue must be configured as a Dead Letter Queue.")
        if destination_arn is not None:
            destination = self._account.find(destination_arn)
            if destination is None:
                raise _no_resource("DestinationArn")
            if destination is source:
                raise faults.invalid_parameter("Source queue arn and destination queue arn cannot be the same.")
            if destination.fifo is not source.fifo:
                raise faults.invalid_parameter("Source and destination queues must be of the same type.")
        tasks = self._moves.setdefault(source.arn, deque(maxlen=move_task.MAX_REMEMBERED))
        if any(task.status is Status.RUNNING for task in tasks):
            text = "Only one active task is allowed for a source queue arn at a given time."
            raise faults.invalid_parameter(f"There is already a task running. {text}")
        source.expire(now)
        task = MoveTask(
            source=source,
            destination_arn=destination_arn,
            rate=rate,
            now=now,
            agenda=self._account.agenda,
            find=self._account.find,
            readmit=_readmit,
            time=self._account.clock.now,
        )
        tasks.appendleft(task)
        return {"TaskHandle": task.handle}

    def list_message_move_tasks(self, params: Params, caller: Caller, now: float) -> Answer:
        """The latest move tasks of a dead-letter queue, the latest first."""
        source = self._account.find(params["SourceArn"])
        if source is None:
            raise _no_resource("SourceArn")
        most = params.get("MaxResults", 1)
        validation.number_between("MaxResults", most, 1, move_task.MAX_REMEMBERED)
        tasks = self._moves.get(source.arn, ())
        return {"Results": [task.describe() for task in itertools.islice(tasks, most)]}

    def cancel_message_move_task(self, params: Params, caller: Caller, now: float) -> Answer:
        """Stop a move task that runs."""
        task_id, source_arn = move_task.parse_handle(params["TaskHandle"])
        if self._account.find(source_arn) is None:
            raise _no_resource("SourceArn")
        for task in self._moves.get(source_arn, ()):
            if task.task_id == task_id:
                if task.status is not Status.RUNNING:
                    raise faults.unsupported_operation("Only active tasks can be cancelled.")
                task.cancel()
                return {"ApproximateNumberOfMessagesMoved": task.moved}
        raise faults.resource_not_found("Task does not exist.")


def _readmit(queue: Queue, message: Message, now: float) -> None:
    queue.admit(message, 0, now)


def _no_resource(parameter: str) -> SQSFault:
    text = f"The resource that you specified for the {parameter} parameter doesn't exist."
    return faults.resource_not_found(text)
