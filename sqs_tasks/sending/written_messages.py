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

    Those whose bodies go to S3 have requests of their own, so that the others do not wait for S3.

    Args:
        sender: Sends the queue's messages.
        deliver: Takes them in the place of SQS, or None.
        messages: The messages.
    """
    results: Results = []
    if deliver is None:
        found: dict[int, MessageId | Failure] = {}
        plain = [index for index, message in enumerate(messages) if message.payload is None]
        for indexes in (plain, *([index] for index, message in enumerate(messages) if message.payload is not None)):
            if indexes:
                ids, failed = sender.send_entries([messages[index] for index in indexes])
                for place, index in enumerate(indexes):
                    found[index] = ids[place] or failed.get(place) or {"Code": "no answer"}
        results.extend(found[index] for index in range(len(messages)))
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
