"""Messages that a database has kept until now: sent without the hooks before a send, which were called long ago."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import MessageId, Receipt
from sqs_tasks.sending.sender import Sender
from sqs_tasks.transport.batch_call import Failure

#: What became of each message: its receipt, or why it was not accepted.
Results: TypeAlias = list[MessageId | Failure]


def send_written(
    sender: Sender, deliver: Callable[[OutgoingMessage], Receipt] | None, messages: Sequence[OutgoingMessage]
) -> Results:
    """Send the messages of one request; nothing is raised for what SQS does.

    Args:
        sender: Sends the queue's messages.
        deliver: Takes them in the place of SQS, or None.
        messages: The messages.
    """
    results: Results = []
    if deliver is None:
        ids, failed = sender.send_entries(messages)
        results.extend(ids[index] or failed.get(index) or {"Code": "no answer"} for index in range(len(messages)))
    else:
        for message in messages:
            try:
                results.append(deliver(message))
            except Exception as error:  # noqa: BLE001 - one of several, each with its own answer
                results.append(error)
    for message, result in zip(messages, results, strict=True):
        if isinstance(result, MessageId):
            sender.on_sent(message, result)
    return results
