"""A dead-letter queue whose messages are moved back to the queue that they came from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqs_tasks import limits
from sqs_tasks.batching import BatchMessages
from sqs_tasks.execution.dead_letter_copier import without_failure
from sqs_tasks.execution.message_copy import kept_attributes
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.message import OutgoingMessage, ReceivedMessage, new_job_id
from sqs_tasks.provisioning import queue_arn
from sqs_tasks.raw_queue import RawQueue
from sqs_tasks.settings import QueueSettings
from sqs_tasks.shutdown_policies import SHORTEST_LONG_POLL_SECONDS

if TYPE_CHECKING:
    from sqs_tasks.queue_environment import Environment

#: Seconds SQS holds a message back that goes upstream again, as sqs-workers has it.
PUSH_BACK_DELAY_SECONDS = 1


class DeadLetterQueue(RawQueue):
    """Pushes each of its messages back to its upstream queue when it is processed.

    ::

        foo_dead = env.queue("foo_dead", DeadLetterQueue.maker(foo))
        foo_dead.process_queue(shutdown_policy=IdleShutdown(10))

    Body, attributes, message group and X-Ray header are kept, and the attributes about the failure are removed. On a
    FIFO queue a message gets a new deduplication id, or SQS would drop it within five minutes of its first send (fault
    W17). A message leaves the dead-letter queue once SQS has accepted it upstream. Standard queues are sent to
    in tens; FIFO queues one message after the other, since one that is refused must not be overtaken. A body in S3
    stays there, and the message points to it.
    """

    payloads = None

    def __init__(
        self, env: Environment, settings: QueueSettings, *, upstream_queue: GenericQueue, **options: Any
    ) -> None:
        in_tens = not upstream_queue.fifo
        if in_tens:
            options["batching_policy"] = BatchMessages(limits.MAX_BATCH_ENTRIES)
        super().__init__(env, settings, **options)
        self.upstream_queue = upstream_queue
        self.connect_raw_processor(self._push_back_all if in_tens else self._push_back)

    @property
    def queue_url(self) -> str:
        """The URL: in the account and region of the upstream queue, unless the registration says.

        Raises:
            QueueNotFoundError: The endpoint has no such queue.
        """
        return self.settings.queue_url or self.env.get_queue_url(
            self.name, beside=self.upstream_queue.settings.queue_url
        )

    @classmethod
    def maker(cls, upstream_queue: GenericQueue, **kwargs: Any) -> Any:  # type: ignore[override]
        """A ``queue_maker`` for the dead-letter queue of this queue."""
        return super().maker(upstream_queue=upstream_queue, **kwargs)

    def move_all(self, *, max_messages_per_second: int | None = None) -> str:
        """Have SQS itself move all messages back, and return the handle of its task.

        SQS's own move resets the receive count and does not pass through this process. Messages that the library
        copied here are moved too, because the destination is named (S43).

        Args:
            max_messages_per_second: 1 to 500; None lets SQS choose.
        """
        client = self.env.client()
        request: dict[str, Any] = {
            "SourceArn": queue_arn(client, self.queue_url),
            "DestinationArn": queue_arn(client, self.upstream_queue.queue_url),
        }
        if max_messages_per_second is not None:
            request["MaxNumberOfMessagesPerSecond"] = max_messages_per_second
        return str(client.start_message_move_task(**request)["TaskHandle"])

    def push_back(
        self,
        *,
        limit: int | None = None,
        messages_per_second: float | None = None,
        dry_run: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> int:
        """Push messages back at once, without a worker, and return how many.

        Args:
            limit: Stop after so many; None takes as many as there are at the start, so that jobs that die again
                meanwhile do not go round forever.
            messages_per_second: No faster than this, so that the upstream queue's workers keep up.
            dry_run: Move nothing, and return how many would be.
            sleep: Waits between requests.

        Raises:
            BatchSendError: The upstream queue did not accept a message; it and those received with it that were not
                accepted either are visible here again.
        """
        if dry_run or limit is None:
            counted = self.statistics()
            if dry_run:
                return counted.available if limit is None else min(counted.available, limit)
            limit = counted.total
        at_once = 1 if self.upstream_queue.fifo else limits.MAX_BATCH_ENTRIES
        settlement, pushed = self.settlement(), 0
        while pushed < limit:
            messages = self.get_raw_messages(round(SHORTEST_LONG_POLL_SECONDS), min(at_once, limit - pushed))
            errors = self._push_back_all(messages)
            refused = [(message, 0) for message, error in zip(messages, errors, strict=True) if error is not None]
            accepted = [message for message, error in zip(messages, errors, strict=True) if error is None]
            settlement.delete(accepted)
            settlement.change_visibility(refused)
            for error in errors:
                if error is not None:
                    raise error
            pushed += len(accepted)
            if not messages:
                break
            if messages_per_second is not None:
                sleep(len(accepted) / messages_per_second)
        return pushed

    def _push_back(self, message: ReceivedMessage) -> None:
        for error in self.upstream_queue.outbox.forward([self._letter(message)]):
            if error is not None:
                raise error

    def _push_back_all(self, messages: Sequence[ReceivedMessage]) -> list[BaseException | None]:
        return self.upstream_queue.outbox.forward([self._letter(message) for message in messages])

    def _letter(self, message: ReceivedMessage) -> OutgoingMessage:
        fifo = self.upstream_queue.fifo
        return OutgoingMessage(
            body=message.body,
            attributes=without_failure(kept_attributes(message)),
            delay_seconds=None if fifo else PUSH_BACK_DELAY_SECONDS,
            group_id=message.group_id or ("default" if fifo else None),
            deduplication_id=new_job_id() if fifo else None,
            trace_header=message.trace_header,
            queue_name=self.upstream_queue.name,
            job_name=message.job_name,
        )
