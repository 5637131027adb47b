"""The sends of debounced jobs, each of which is noted once SQS has accepted it."""

from __future__ import annotations

from sqs_tasks.codecs import DEFAULT_CONTENT_TYPE
from sqs_tasks.guards.debouncing import Debouncing
from sqs_tasks.guards.guard import RememberingEnvironment
from sqs_tasks.message import CONTENT_TYPE, OutgoingMessage
from sqs_tasks.receipts import Receipt


class DebouncedSends(dict[tuple[str, str], Debouncing]):
    """The debounced tasks of an environment by the names of queue and task; a callback of its ``post_send``."""

    def __init__(self, env: RememberingEnvironment) -> None:
        super().__init__()
        self._env = env

    def __call__(self, message: OutgoingMessage, receipt: Receipt) -> None:
        """Note a send; the value that it is for is read from the body."""
        debouncing = self.get((message.queue_name, message.job_name))
        job_id = receipt.job_id or message.job_id
        if debouncing is None or job_id is None:
            return
        attribute = message.attributes.get(CONTENT_TYPE)
        content_type = DEFAULT_CONTENT_TYPE if attribute is None else attribute.get("StringValue", DEFAULT_CONTENT_TYPE)
        body = message.body if message.payload is None else message.payload.text
        debouncing.sent(job_id, self._env.codecs.get(content_type).deserialize(body))


def debounced_sends(env: RememberingEnvironment) -> DebouncedSends:
    """Those of an environment, which hears of its sends from now on."""
    for callback in env.post_send.callbacks:
        if isinstance(callback, DebouncedSends):
            return callback
    return env.post_send(DebouncedSends(env))
