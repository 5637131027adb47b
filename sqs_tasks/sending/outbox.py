"""What a queue sends: the options of a message checked, hooks called, and the message handed to SQS."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, cast

from sqs_tasks import limits
from sqs_tasks.client import ClientProvider, making, size_limit_in
from sqs_tasks.errors import BatchSendError, ConfigurationError, MessageTooLargeError
from sqs_tasks.hooks import AroundRequest, Hook
from sqs_tasks.message import MessageAttribute, OutgoingMessage
from sqs_tasks.receipts import PendingMessage, Receipt
from sqs_tasks.registration.group_ids import check_group_id, group_id_of
from sqs_tasks.sending.sender import Sender, chunks, unsent_error
from sqs_tasks.settings import QueueSettings

if TYPE_CHECKING:
    from sqs_tasks.scheduling.eventbridge import Scheduler
    from sqs_tasks.sending.async_sender import AsyncSender
    from sqs_tasks.sending.held_messages import Hold
    from sqs_tasks.sending.one_shots import OneShots
    from sqs_tasks.sending.written_messages import Results

logger = logging.getLogger(__name__)


class Deliver(Protocol):
    """Takes a message in the place of SQS: to run its job at once, for example."""

    def __call__(self, queue: Any, message: OutgoingMessage, /) -> Receipt:
        """The receipt of the message."""


class SendingEnvironment(Protocol):
    """What sending asks of an environment."""

    client: ClientProvider
    scheduler: Scheduler | None
    pre_send: Hook[[OutgoingMessage]]
    post_send: Hook[[OutgoingMessage, Receipt]]
    around_request: AroundRequest | None
    hold: Hold | None


class Outbox:
    """The messages that leave for one queue. It knows the queue by its settings and its URL alone.

    Args:
        env: The environment, for its client and its hooks.
        settings: The queue's registration.
        queue_url: Gives the queue's URL; whoever gives it remembers it.
        deliver: Gives what takes messages in the place of SQS, or None.
        offloaded: Gives a message a pointer for a body where that is large.
    """

    def __init__(
        self,
        env: SendingEnvironment,
        settings: QueueSettings,
        *,
        queue_url: Callable[[], str],
        deliver: Callable[[], Callable[[OutgoingMessage], Receipt] | None],
        offloaded: Callable[[OutgoingMessage], OutgoingMessage],
    ) -> None:
        self._env = env
        self._name = settings.name
        self._fifo = settings.fifo
        self._default_group_id = settings.default_group_id
        self._is_content_based = settings.content_based_deduplication
        self._max_bytes, self._has_less = settings.max_message_bytes, False
        self._queue_url = queue_url
        self._deliver = deliver
        self._offloaded = offloaded
        self._one_shots: OneShots | None = None
        self._async_sender: AsyncSender | None = None
        self.sender = Sender(
            queue_name=settings.name,
            client=env.client,
            queue_url=queue_url,
            on_sent=env.post_send.emit,
            around=lambda: env.around_request,
        )

    def send(self, message: OutgoingMessage) -> Receipt:
        """Send a message, or add it to the batch that is open here; the hooks are called."""
        added = self.call_hooks(message) if self._env.pre_send.callbacks else ()
        if self._env.hold is not None:
            held = self._env.hold(self, message)
            if held is not None:
                return held
        deliver = self._deliver()
        return self._request(message, added) if deliver is None else self._deliver_to(deliver, message)

    def send_async(self, message: OutgoingMessage) -> Coroutine[Any, Any, Receipt]:
        """As :meth:`send`, for coroutines: the event loop goes on. Hooks are called, and the job is held, at once."""
        added = self.call_hooks(message) if self._env.pre_send.callbacks else ()
        held = None if self._env.hold is None else self._env.hold(self, message)
        if held is not None:
            return _given(held)
        deliver = self._deliver()
        if deliver is not None:
            from sqs_tasks.sending.caller_loop import beside_loop

            return beside_loop(self._deliver_to, deliver, message)
        if self.sender.is_collecting:
            return _given(self._request(message, added))
        with making:
            if self._async_sender is None:
                from sqs_tasks.sending.async_sender import AsyncSender  # most producers are no coroutines

                self._async_sender = AsyncSender(
                    self._name,
                    fifo=self._fifo,
                    send_one=self._request,
                    send_chunk=self.sender.send_chunk,
                    on_sent=self._env.post_send.emit,
                )
        return self._async_sender.send(message, added)

    def _request(self, message: OutgoingMessage, added: Sequence[str]) -> Receipt:
        """Make the request for one message, or add it to the batch that is open here.

        Args:
            message: The message.
            added: The attributes that hooks added, which may be left out.
        """
        if message.run_at is not None and not self.sender.takes_scheduled:
            one_shots = self.one_shots
            return one_shots.collect(message) if self.sender.is_collecting else one_shots.send(message)
        try:
            return self.sender.send(message)
        except Exception as error:
            limit = size_limit_in(error)
            if limit is None:
                raise
            # The queue takes less than its registration says; what hooks added may be left out.
            self._max_bytes, self._has_less = limit, True
            self._fit(message, added, refused=error)
            return self.sender.send(message)

    def _deliver_to(self, deliver: Callable[[OutgoingMessage], Receipt], message: OutgoingMessage) -> Receipt:
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
        from sqs_tasks.sending.many_messages import send_many  # most producers send one by one

        return send_many(self, messages, max_in_flight)

    async def send_all_async(self, messages: AsyncIterator[OutgoingMessage], *, max_in_flight: int) -> int:
        """As :meth:`send_all`, for coroutines."""
        if self._deliver() is not None:
            return len([await self.send_async(message) async for message in messages])
        from sqs_tasks.sending.many_messages import send_many_async

        return await send_many_async(self, self._name, messages, max_in_flight)

    @property
    def one_shots(self) -> OneShots:
        """What holds messages that are due later than SQS can hold them back."""
        return self._one_shots or self._make_one_shots()

    def is_free(self, message: OutgoingMessage) -> bool:
        """Call the hooks, and say whether a message leaves now: no block and no transaction holds it back."""
        self.call_hooks(message)
        return self._env.hold is None or self._env.hold(self, message) is None

    def send_held(
        self, held: Sequence[tuple[OutgoingMessage, PendingMessage]]
    ) -> tuple[list[OutgoingMessage], list[Any]]:
        """Send messages that were held back, and resolve their receipts.

        Returns:
            Those that were not accepted after retries, and why; nothing is raised for what SQS does.
        """
        unsent: list[OutgoingMessage] = []
        failures: list[Any] = []
        receipts = {id(message): pending for message, pending in held}
        for_sqs: list[OutgoingMessage] = []
        deliver = self._deliver()
        for message, pending in held:
            if deliver is None and message.run_at is None:
                for_sqs.append(message)
                continue
            try:
                receipt = deliver(message) if deliver else self.one_shots.send(message)
            except Exception as error:  # noqa: BLE001 - one of several; the caller gets all that failed together
                unsent.append(message)
                failures.append(error)
            else:
                pending.resolve(receipt)
                if deliver:
                    self._env.post_send.emit(message, receipt)
        for chunk in chunks(for_sqs):
            ids, errors = self.sender.send_chunk(chunk)
            failures.extend(errors)
            for message, message_id in zip(chunk, ids, strict=True):
                if message_id is None:
                    unsent.append(message)
                else:
                    receipts[id(message)].resolve(message_id)
                    self._env.post_send.emit(message, receipts[id(message)])
        return unsent, failures

    def send_written(self, messages: Sequence[OutgoingMessage]) -> Results:
        """Send messages of one request that a database has kept; for each its receipt, or why it was not accepted."""
        from sqs_tasks.sending.written_messages import send_written  # a relay's

        return send_written(self.sender, self._deliver(), [self._offloaded(message) for message in messages])

    def now(self) -> float:
        """The time in seconds: that of the queues in memory, whose clock can be moved, or the present."""
        return self._env.client.now()

    def call_hooks(self, message: OutgoingMessage) -> Sequence[str]:
        """Call the pre_send hooks, and see that the message can be sent with what they added to its attributes."""
        hook = self._env.pre_send
        if not hook.callbacks:
            return ()
        before = set(message.attributes)
        hook.emit(message)
        added = [name for name in message.attributes if name not in before]
        if added or message.size_bytes > self._max_bytes:
            self._fit(message, added)
        return [name for name in added if name in message.attributes]

    def _fit(self, message: OutgoingMessage, added: Sequence[str], *, refused: Exception | None = None) -> None:
        """Leave out what hooks added, the last first, until the message is one that SQS takes.

        Raises:
            MessageTooLargeError: It is too large without that, too.
        """
        attributes = cast("dict[str, MessageAttribute]", message.attributes)
        left_out: list[str] = []
        for name in reversed(added):
            if len(attributes) <= limits.MAX_MESSAGE_ATTRIBUTES and message.size_bytes <= self._max_bytes:
                break
            del attributes[name]
            left_out.append(name)
        if left_out:
            logger.warning(
                "job %s goes to queue %s without what pre_send hooks added (%s): with it, it is above %d bytes or %d "
                "attributes",
                message.job_name,
                self._name,
                ", ".join(left_out),
                self._max_bytes,
                limits.MAX_MESSAGE_ATTRIBUTES,
                extra={"action": "attributes_left_out", "queue_name": self._name, "job_name": message.job_name},
            )
        if message.size_bytes > self._max_bytes or (refused is not None and not left_out):
            what = f"job {message.job_name!r}" if message.job_name else "the message"
            hint = f", or raise the queue's MaximumMessageSize from {self._max_bytes}" if self._has_less else ""
            raise MessageTooLargeError(
                f"queue {self._name!r}: {what} is {message.size_bytes} bytes with its attributes, at most "
                f"{self._max_bytes} are allowed; store large data elsewhere and send its address{hint}"
            ) from refused

    def forward(self, messages: Sequence[OutgoingMessage]) -> list[BaseException | None]:
        """Send messages that are made already, in tens, without hooks; for each None, or why SQS did not accept it."""
        results: list[BaseException | None] = []
        for chunk in chunks(messages):
            ids, errors = self.sender.send_chunk(chunk)
            results.extend(
                None if message_id is not None else unsent_error(self._name, [message], errors)
                for message, message_id in zip(chunk, ids, strict=True)
            )
        return results

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Collect what this thread (or asyncio task) sends in the block, and send it in tens.

        Raises:
            BatchSendError: At the end of the block: some messages were not accepted after retries; it carries them.
        """
        unsent: list[OutgoingMessage] = []
        errors: list[Any] = []
        is_over = False
        try:
            with self.sender.batch():
                try:
                    yield
                    is_over = True
                finally:
                    if self._one_shots is not None:
                        unsent, errors = self._one_shots.finish()
        except BaseException as error:
            if unsent and is_over and isinstance(error, BatchSendError):
                raise unsent_error(self._name, [*unsent, *error.unsent], [*errors, *error.errors]) from error
            if unsent:
                error.add_note(str(unsent_error(self._name, unsent, errors)))
            raise
        if unsent:
            raise unsent_error(self._name, unsent, errors)

    def batch_async(self) -> AbstractAsyncContextManager[None]:
        """As :meth:`batch`, for the asyncio task that opens it: threads send, and the event loop goes on."""
        from sqs_tasks.sending.async_batch import async_batch

        return async_batch(self, fifo=self._fifo)

    def _make_one_shots(self) -> OneShots:
        from sqs_tasks.sending.one_shots import OneShots, ScheduledJobs  # most producers send for now

        with making:
            if self._one_shots is None:
                self._one_shots = OneShots(
                    self._name,
                    jobs=ScheduledJobs(self._env),
                    queue_url=self._queue_url,
                    on_sent=self._env.post_send.emit,
                )
            return self._one_shots

    # --- the options of a message -----------------------------------------------------------------------------------

    def group_of(self, value: object) -> str:
        """The message group of an argument's value."""
        return group_id_of(value)

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
        self.learn_deduplication()
        return None if self._is_content_based else unique()

    @property
    def must_ask(self) -> bool:
        """Whether a request to SQS precedes the next message, because nobody says how the queue deduplicates."""
        return self._fifo and self._is_content_based is None

    def learn_deduplication(self) -> None:
        """Ask SQS how the queue deduplicates, unless that is known."""
        if self._is_content_based is None:
            self._is_content_based = self._ask_content_based()

    def when(
        self, delay_seconds: float | None, run_at: datetime | None, *, is_kept: bool = False
    ) -> tuple[float | None, datetime | None]:
        """How a job waits: the seconds for which SQS holds it back, or when EventBridge Scheduler sends it.

        Args:
            delay_seconds: What the sender asked for, or None.
            run_at: The same as a moment.
            is_kept: Whether the job is kept by a database until it is due, and needs no Scheduler.

        Raises:
            ConfigurationError: Both are given, or Scheduler is needed and nobody says where schedules are made.
        """
        if run_at is None and not self._fifo and not _is_above(delay_seconds, limits.MAX_DELAY_SECONDS):
            return delay_seconds, None
        from sqs_tasks.sending.one_shots import ScheduledJobs, later  # most delays are SQS's

        now = self._env.client.now()
        seconds, due = later(delay_seconds, run_at, fifo=self._fifo, label=f"queue {self._name!r}", now=now)
        is_kept = is_kept or getattr(self._env.hold, "keeps_until_due", False)
        if due is not None and not is_kept and self._deliver() is None:
            ScheduledJobs(self._env).place(
                f"queue {self._name!r} is FIFO, where SQS delays only all messages alike (delay_seconds on env.queue())"
                if self._fifo
                else f"queue {self._name!r}: the job is due at {due.isoformat(timespec='seconds')}, and SQS holds jobs "
                f"back for {limits.MAX_DELAY_SECONDS} s at most"
            )
        return seconds, due

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
                "cannot ask queue %s whether it deduplicates by content (%s); each message gets its own id; "
                "set content_based_deduplication= on the registration to save this request",
                self._name,
                type(error).__name__,
                extra={"action": "queue_attributes_failed", "queue_name": self._name},
            )
            return False
        return str(answer.get("Attributes", {}).get("ContentBasedDeduplication", "")).lower() == "true"


async def _given(receipt: Receipt) -> Receipt:
    return receipt


def _is_above(value: object, limit: float) -> bool:
    return isinstance(value, (int, float)) and value > limit
