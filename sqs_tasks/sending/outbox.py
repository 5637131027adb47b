"""What a queue sends: the options of a message checked, hooks called, and the message handed to SQS."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqs_tasks import limits
from sqs_tasks.client import ClientProvider
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.hooks import AroundRequest, Hook
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import Receipt
from sqs_tasks.sending.sender import Sender, chunks, unsent_error
from sqs_tasks.sending.stream import stream
from sqs_tasks.settings import QueueSettings, check_group_id

logger = logging.getLogger(__name__)


class Deliver(Protocol):
    """Takes a message in the place of SQS: to run its job at once, for example."""

    def __call__(self, queue: Any, message: OutgoingMessage, /) -> Receipt:
        """The receipt of the message."""


class SendingEnvironment(Protocol):
    """What sending asks of an environment."""

    client: ClientProvider
    pre_send: Hook[[OutgoingMessage]]
    post_send: Hook[[OutgoingMessage, Receipt]]
    around_request: AroundRequest | None


class Outbox:
    """The messages that leave for one queue. It knows the queue by its settings and its URL alone.

    Args:
        env: The environment, for its client and its hooks.
        settings: The queue's registration.
        queue_url: Gives the queue's URL; whoever gives it remembers it.
        deliver: Gives what takes messages in the place of SQS, or None.
    """

    def __init__(
        self,
        env: SendingEnvironment,
        settings: QueueSettings,
        *,
        queue_url: Callable[[], str],
        deliver: Callable[[], Callable[[OutgoingMessage], Receipt] | None],
    ) -> None:
        self._env = env
        self._name = settings.name
        self._fifo = settings.fifo
        self._default_group_id = settings.default_group_id
        self._is_content_based = settings.content_based_deduplication
        self._queue_url = queue_url
        self._deliver = deliver
        self._sender = Sender(
            queue_name=settings.name,
            client=env.client,
            queue_url=queue_url,
            on_sent=env.post_send.emit,
            around=lambda: env.around_request,
        )

    def send(self, message: OutgoingMessage) -> Receipt:
        """Send a message, or add it to the batch that is open here; the hooks are called."""
        self._env.pre_send.emit(message)
        deliver = self._deliver()
        if deliver is None:
            return self._sender.send(message)
        receipt = deliver(message)
        self._env.post_send.emit(message, receipt)
        return receipt

    def send_all(self, messages: Iterable[OutgoingMessage], *, max_in_flight: int) -> int:
        """Send any number of messages, read as their requests leave, and return how many were sent.

        Raises:
            BatchSendError: Some messages of the requests under way were not accepted; it carries them.
        """
        if self._deliver() is not None:
            return sum(1 for message in messages if self.send(message) is not None)
        return stream(self._sender, messages, max_in_flight, before=self._env.pre_send.emit)

    def forward(self, messages: Sequence[OutgoingMessage]) -> list[BaseException | None]:
        """Send messages that are made already, in tens, without hooks; for each None, or why SQS did not accept it."""
        results: list[BaseException | None] = []
        for chunk in chunks(messages):
            ids, errors = self._sender.send_chunk(chunk)
            results.extend(
                None if message_id is not None else unsent_error(self._name, [message], errors)
                for message, message_id in zip(chunk, ids, strict=True)
            )
        return results

    def batch(self) -> AbstractContextManager[None]:
        """Collect what this thread (or asyncio task) sends in the block, and send it in tens."""
        return self._sender.batch()

    # --- the options of a message -----------------------------------------------------------------------------------

    def group_id(self, given: object) -> str | None:
        """The message group of a message; a FIFO queue has a default one."""
        if given is None:
            return self._default_group_id if self._fifo else None
        return check_group_id(given, f"queue {self._name!r}: group_id")

    def deduplication_id(self, given: object, unique: Callable[[], str]) -> str | None:
        """The deduplication id of a message; None where SQS takes none, and where its content is to decide."""
        if not self._fifo:
            if given is not None:
                raise ConfigurationError(
                    f"queue {self._name!r} is a standard queue and takes no deduplication_id={given!r}; "
                    f"use a FIFO queue, or make the task idempotent"
                )
            return None
        if given is not None:
            return check_group_id(given, f"queue {self._name!r}: deduplication_id")
        # Derived ids drop legitimate repeats without a word (S31), so each job is its own unless the queue says no.
        if self._is_content_based is None:
            self._is_content_based = self._ask_content_based()
        return None if self._is_content_based else unique()

    def delay_seconds(self, given: float | None) -> int | None:
        """How long SQS holds a message back; None leaves it to the queue."""
        if given is None:
            return None
        limits.check_number(
            given,
            f"queue {self._name!r}: delay_seconds",
            0,
            limits.MAX_DELAY_SECONDS,
            unit="seconds",
            whole=False,
            fix="for a later time use EventBridge Scheduler, or raise Retry(after=...) in the task for up to 12 hours",
        )
        if self._fifo:
            if given == 0:
                return None
            raise ConfigurationError(
                f"queue {self._name!r} is FIFO and SQS delays only all its messages alike; set delay_seconds on "
                "env.queue(), send to a standard queue, or raise Retry(delay_seconds=...) in the task"
            )
        return math.ceil(given) if given < 1 else round(given)  # a part of a second is a delay too

    def _ask_content_based(self) -> bool:
        try:
            answer = self._env.client().get_queue_attributes(
                QueueUrl=self._queue_url(), AttributeNames=["ContentBasedDeduplication"]
            )
        except Exception as error:  # noqa: BLE001 - a producer may have the right to send and no other
            logger.warning(
                "cannot ask queue %s whether it deduplicates by content (%s); each message gets an id of its own; "
                "content_based_deduplication= on the registration saves the question",
                self._name,
                type(error).__name__,
                extra={"action": "queue_attributes_failed", "queue_name": self._name},
            )
            return False
        return str(answer.get("Attributes", {}).get("ContentBasedDeduplication", "")).lower() == "true"
