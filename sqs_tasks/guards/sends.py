"""Records that begin with the send of a job, whichever way it is sent."""

from __future__ import annotations

from sqs_tasks.guards.guard import RememberingEnvironment
from sqs_tasks.guards.records import Records
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import Receipt


class RecordedSends(dict[tuple[str, str], Records]):
    """The records of an environment's tasks by the names of queue and task; a callback of its ``post_send``."""

    def __init__(self, env: RememberingEnvironment) -> None:
        super().__init__()
        self._env = env

    def __call__(self, message: OutgoingMessage, receipt: Receipt) -> None:
        """Write that a job is queued: after SQS has accepted it, so that none is recorded that does not exist."""
        records = self.get((message.queue_name, message.job_name))
        job_id = receipt.job_id or message.job_id
        if records is not None and job_id is not None:
            receipt.seen_by(self._env.job)
            records.sent(job_id)


def recorded_sends(env: RememberingEnvironment) -> RecordedSends:
    """Those of an environment, which hears of its sends from now on."""
    for callback in env.post_send.callbacks:
        if isinstance(callback, RecordedSends):
            return callback
    return env.post_send(RecordedSends(env))
