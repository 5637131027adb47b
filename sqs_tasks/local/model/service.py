"""The SQS API over the model: actions by name, dictionaries in and out as boto3 has them."""

from __future__ import annotations

from collections.abc import Callable

from sqs_tasks.local.clock import Clock
from sqs_tasks.local.clock.agenda import Agenda
from sqs_tasks.local.model import faults
from sqs_tasks.local.model.account import Account, Answer, Caller, Params
from sqs_tasks.local.model.dead_letter_actions import DeadLetterActions
from sqs_tasks.local.model.message_actions import MessageActions
from sqs_tasks.local.model.poll import Poll
from sqs_tasks.local.model.queue import MAX_IN_FLIGHT
from sqs_tasks.local.model.queue_actions import QueueActions


class Service:
    """An SQS of one account. One call at a time; see the package's docstring.

    Args:
        clock: The time.
        enforce_waits: Refuse what AWS refuses for 60 seconds: a second purge, and a queue named like one just deleted.
            Off by default, because tests and developers do both all the time.
        max_in_flight: The quota of messages in flight per queue, and how far a FIFO queue looks for groups (S37).
    """

    def __init__(
        self, clock: Clock | None = None, *, enforce_waits: bool = False, max_in_flight: int = MAX_IN_FLIGHT
    ) -> None:
        self._account = Account(clock, enforce_waits=enforce_waits, max_in_flight=max_in_flight)
        self.clock = self._account.clock
        self._agenda = self._account.agenda
        self._woken = self._account.woken
        self._messages = MessageActions(self._account)
        actors = (QueueActions(self._account), self._messages, DeadLetterActions(self._account))
        self._actions: dict[str, Callable[[Params, Caller, float], Answer | Poll]] = {
            action: getattr(actor, method)
            for action, method in ACTIONS.items()
            for actor in actors
            if hasattr(actor, method)
        }

    def call(self, action: str, params: Params, caller: Caller) -> Answer | Poll:
        """Perform an action; a ReceiveMessage that has to wait gives a Poll instead of an answer.

        The parameters must have passed :mod:`~sqs_tasks.local.model.shapes`, and belong to the model from here on; what
        an answer holds may be shared with it.

        Raises:
            SQSFault: What SQS answers in place of a result.
        """
        method = self._actions.get(action)
        if method is None:
            raise faults.invalid_action(action)
        now = self.run_due()
        try:
            return method(params, caller, now)
        finally:
            if self._woken:
                self._serve(now)

    @property
    def agenda(self) -> Agenda:
        """What has to happen later; whoever adds to it has it happen in one order with all the rest."""
        return self._agenda

    def queue_url(self, arn: str) -> str | None:
        """The URL of the queue with that ARN, for :meth:`send_at`; None when there is none."""
        queue = self._account.find(arn)
        return None if queue is None else f"/{queue.name}"

    def send_at(self, params: Params, now: float) -> Answer:
        """SendMessage for a caller on the agenda, at the moment of its alarm; the parameters as for :meth:`call`.

        Raises:
            SQSFault: What SQS answers in place of a result.
        """
        return self._messages.send_message(params, _NOBODY, now)

    def run_due(self) -> float:
        """Let everything happen whose time has come, and return the time."""
        now = self.clock.now()
        self._agenda.run_due(now)
        if self._woken:
            self._serve(now)
        return now

    def next_moment(self) -> float | None:
        """When :meth:`run_due` next has something to do."""
        return self._agenda.next_moment()

    def _serve(self, now: float) -> None:
        """Answer long polls, now that the call which woke them is over and they can get all it brought."""
        while self._woken:
            queue, _ = self._woken.popitem()
            queue.serve_polls(now)


#: Who sends what the agenda sends: URLs and regions play no part in it.
_NOBODY = Caller("")

#: The method of each action.
ACTIONS = {
    "AddPermission": "add_permission",
    "CancelMessageMoveTask": "cancel_message_move_task",
    "ChangeMessageVisibility": "change_message_visibility",
    "ChangeMessageVisibilityBatch": "change_message_visibility_batch",
    "CreateQueue": "create_queue",
    "DeleteMessage": "delete_message",
    "DeleteMessageBatch": "delete_message_batch",
    "DeleteQueue": "delete_queue",
    "GetQueueAttributes": "get_queue_attributes",
    "GetQueueUrl": "get_queue_url",
    "ListDeadLetterSourceQueues": "list_dead_letter_source_queues",
    "ListMessageMoveTasks": "list_message_move_tasks",
    "ListQueueTags": "list_queue_tags",
    "ListQueues": "list_queues",
    "PurgeQueue": "purge_queue",
    "ReceiveMessage": "receive_message",
    "RemovePermission": "remove_permission",
    "SendMessage": "send_message",
    "SendMessageBatch": "send_message_batch",
    "SetQueueAttributes": "set_queue_attributes",
    "StartMessageMoveTask": "start_message_move_task",
    "TagQueue": "tag_queue",
    "UntagQueue": "untag_queue",
}
