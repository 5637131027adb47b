"""An SQS client that records the rights which its calls need, queue by queue."""

from __future__ import annotations

from typing import Any

#: The action that AWS checks for a call; a batch needs that of its single calls.
ACTIONS = {
    "cancel_message_move_task": "sqs:CancelMessageMoveTask",
    "change_message_visibility": "sqs:ChangeMessageVisibility",
    "change_message_visibility_batch": "sqs:ChangeMessageVisibility",
    "delete_message": "sqs:DeleteMessage",
    "delete_message_batch": "sqs:DeleteMessage",
    "get_queue_attributes": "sqs:GetQueueAttributes",
    "get_queue_url": "sqs:GetQueueUrl",
    "list_message_move_tasks": "sqs:ListMessageMoveTasks",
    "receive_message": "sqs:ReceiveMessage",
    "send_message": "sqs:SendMessage",
    "send_message_batch": "sqs:SendMessage",
    "start_message_move_task": "sqs:StartMessageMoveTask",
}

#: What AWS checks besides when it moves messages, on the queue that they leave and on the one that they go to.
MOVE_ACTIONS = {
    "SourceArn": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
    "DestinationArn": {"sqs:SendMessage"},
}


class RightsRecorder:
    """Passes calls on to a client.

    Attributes:
        needed: The actions by the name of their queue in SQS.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.needed: dict[str, set[str]] = {}

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._client, method)
        if method not in ACTIONS:  # none of an SQS client's
            return call

        def recorded(**request: Any) -> Any:
            if method == "start_message_move_task":
                for argument, actions in MOVE_ACTIONS.items():
                    self._note(request[argument].rpartition(":")[2], *actions)
            queue = request.get("QueueUrl") or request.get("QueueName") or request["SourceArn"].replace(":", "/")
            self._note(queue.rpartition("/")[2], ACTIONS[method])
            return call(**request)

        return recorded

    def _note(self, queue: str, *actions: str) -> None:
        self.needed.setdefault(queue, set()).update(actions)
