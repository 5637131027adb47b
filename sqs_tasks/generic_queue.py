"""What all kinds of queue share: where they are, how they are sent to and how they are worked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from sqs_tasks import limits
from sqs_tasks.backoff_policies import BackoffPolicy
from sqs_tasks.batching import BatchingPolicy
from sqs_tasks.client import ClientProvider
from sqs_tasks.codecs import CodecRegistry
from sqs_tasks.context import SQSContext
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.execution.executor import TASK_FAILURES, Admit, CoroutineRunner, Executor, Interrupter, TaskLookup
from sqs_tasks.execution.settlement import Settlement
from sqs_tasks.hooks import AroundRequest, Hook
from sqs_tasks.message import Job, OutgoingMessage, ReceivedMessage, from_sqs, receive_request
from sqs_tasks.middleware import Middleware
from sqs_tasks.outcome import BatchProcessingResult, Outcome
from sqs_tasks.processors import Processor
from sqs_tasks.queue_statistics import REPORT_INTERVAL_SECONDS, QueueStatistics, count_messages, reporting
from sqs_tasks.receipts import Receipt
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.settings import MIN_MAX_RECEIVE_COUNT, RECEIVE_HEADROOM, QueueSettings, check_group_id, queue_name_in
from sqs_tasks.shutdown_policies import NEVER_SHUTDOWN, ShutdownPolicy

if TYPE_CHECKING:
    from sqs_tasks.sending.sender import Sender

logger = logging.getLogger(__name__)

AnyQueue = TypeVar("AnyQueue", bound="GenericQueue")


class ProcessorMaker(Protocol):
    """Makes the processor of a task; ``Processor`` itself is one."""

    def __call__(
        self,
        queue: Any,
        fn: Callable[..., Any],
        job_name: str = "",
        pass_context: bool = False,
        context_var: str = "context",
    ) -> Processor:
        """The processor."""


class Deliver(Protocol):
    """Takes a message in the place of SQS: to run its job at once, for example."""

    def __call__(self, queue: Any, message: OutgoingMessage, /) -> Receipt:
        """The receipt of the message."""


class Environment(Protocol):
    """What a queue asks of the environment it belongs to."""

    client: ClientProvider
    codecs: CodecRegistry
    context: SQSContext
    codec: str
    accept: frozenset[str]
    backoff_policy: BackoffPolicy
    middleware: tuple[Middleware, ...]
    processor_maker: ProcessorMaker
    direct_calls: bool
    deliver: Deliver | None
    pre_send: Hook[[OutgoingMessage]]
    post_send: Hook[[OutgoingMessage, Receipt]]
    pre_task: Hook[[Job]]
    post_task: Hook[[Job, Outcome]]
    report_queue_stats: Hook[[str, QueueStatistics]]
    around_request: AroundRequest | None

    def get_sqs_queue_name(self, queue_name: str) -> str:
        """The name in SQS: the prefix and the name in code."""

    def get_queue_url(self, queue_name: str) -> str:
        """The URL of a queue by its name in code, or the URL that was given as its name."""


class GenericQueue:
    """What all kinds of queue share: where they are, how they are sent to and how they are worked.

    Args:
        env: The environment.
        settings: What the registration says.
        backoff_policy: How long failed jobs wait; None takes the environment's.
        batching_policy: Whether functions get lists of jobs.
    """

    def __init__(
        self,
        env: Environment,
        settings: QueueSettings,
        *,
        backoff_policy: BackoffPolicy | None = None,
        batching_policy: BatchingPolicy | None = None,
    ) -> None:
        self.env = env
        self.settings = settings
        self.backoff_policy = backoff_policy or env.backoff_policy
        self.batch_size = batching_policy.batch_size if batching_policy is not None else 0

    @cached_property
    def _sender(self) -> Sender:
        from sqs_tasks.sending.sender import Sender  # a consumer that enqueues nothing needs none

        return Sender(
            queue_name=self.settings.name,
            client=self.env.client,
            queue_url=lambda: self.queue_url,
            on_sent=self.env.post_send.emit,
            around=lambda: self.env.around_request,
        )

    @classmethod
    def maker(cls, **kwargs: Any) -> Callable[..., Self]:
        """A ``queue_maker`` with some arguments of the constructor given."""
        return partial(cls, **kwargs)

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name in code, without the environment's prefix."""
        return self.settings.name

    @property
    def context(self) -> SQSContext:
        """The environment's context."""
        return self.env.context

    @property
    def queue_url(self) -> str:
        """The URL, asked for once.

        Raises:
            QueueNotFoundError: The endpoint has no such queue.
        """
        return self.settings.queue_url or self.env.get_queue_url(self.name)

    @property
    def tasks(self) -> Sequence[RegisteredTask]:
        """What is registered here."""
        return ()

    @property
    def max_receive_count(self) -> int:
        """Deliveries before SQS itself moves a message to the dead-letter queue (R3)."""
        if self.settings.max_receive_count is not None:
            return self.settings.max_receive_count
        attempts = [task.settings.max_attempts for task in self.tasks if task.settings.max_attempts is not None]
        return max([MIN_MAX_RECEIVE_COUNT, *(count + RECEIVE_HEADROOM for count in attempts)])

    def get_sqs_queue_name(self) -> str:
        """The name in SQS: what its URL ends with, or the prefix and the name in code."""
        url = self.settings.queue_url
        return self.env.get_sqs_queue_name(self.name) if url is None else queue_name_in(url)

    # --- sending ----------------------------------------------------------------------------------------------------

    @contextmanager
    def add_batch(self) -> Iterator[None]:
        """Collect what this thread (or asyncio task) sends to the queue in the block, and send it in tens.

        Full requests leave at once, the rest when the block ends. When the block ends with an exception, what was
        added before it is sent all the same: ``delay()`` had returned.

        Raises:
            BatchSendError: At the end of the block: some messages were not accepted after retries; it carries them.
        """
        with self._sender.batch():
            yield

    def _dispatch(self, message: OutgoingMessage) -> Receipt:
        self.env.pre_send.emit(message)
        if self.env.deliver is None:
            return self._sender.send(message)
        receipt = self.env.deliver(self, message)
        self.env.post_send.emit(message, receipt)
        return receipt

    def forward(self, messages: Sequence[OutgoingMessage]) -> list[BaseException | None]:
        """Send messages that are made already, in tens, without hooks; for each None, or why SQS did not accept it."""
        from sqs_tasks.sending.sender import chunks, unsent_error

        results: list[BaseException | None] = []
        for chunk in chunks(messages):
            ids, errors = self._sender.send_chunk(chunk)
            results.extend(
                None if message_id is not None else unsent_error(self.name, [message], errors)
                for message, message_id in zip(chunk, ids, strict=True)
            )
        return results

    def _group_id(self, given: object) -> str | None:
        if given is None:
            return self.settings.default_group_id if self.settings.fifo else None
        return check_group_id(given, f"queue {self.name!r}: group_id")

    def _deduplication_id(self, given: object, unique: Callable[[], str]) -> str | None:
        if not self.settings.fifo:
            if given is not None:
                raise ConfigurationError(
                    f"queue {self.name!r} is a standard queue and takes no deduplication_id={given!r}; "
                    f"use a FIFO queue, or make the task idempotent"
                )
            return None
        if given is not None:
            return check_group_id(given, f"queue {self.name!r}: deduplication_id")
        # Derived ids drop legitimate repeats without a word (S31), so each job is its own unless the queue says no.
        return None if self._content_based_deduplication() else unique()

    def _content_based_deduplication(self) -> bool:
        known = self.settings.content_based_deduplication
        if known is not None:
            return known
        cached: bool | None = self.__dict__.get("_asked_content_based")
        if cached is None:
            cached = self._ask_content_based()
            self.__dict__["_asked_content_based"] = cached
        return cached

    def _ask_content_based(self) -> bool:
        try:
            answer = self.env.client().get_queue_attributes(
                QueueUrl=self.queue_url, AttributeNames=["ContentBasedDeduplication"]
            )
        except Exception as error:  # noqa: BLE001 - a producer may have the right to send and no other
            logger.warning(
                "cannot ask queue %s whether it deduplicates by content (%s); each message gets an id of its own; "
                "content_based_deduplication= on the registration saves the question",
                self.name,
                type(error).__name__,
                extra={"action": "queue_attributes_failed", "queue_name": self.name},
            )
            return False
        return str(answer.get("Attributes", {}).get("ContentBasedDeduplication", "")).lower() == "true"

    def _delay_seconds(self, given: float | None) -> int | None:
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= limits.MAX_DELAY_SECONDS:
            raise ConfigurationError(
                f"queue {self.name!r}: delay_seconds={given!r} must be 0 to {limits.MAX_DELAY_SECONDS}; for a later "
                "time use EventBridge Scheduler, or raise Retry(after=...) in the task for up to 12 hours"
            )
        if self.settings.fifo:
            if given == 0:
                return None
            raise ConfigurationError(
                f"queue {self.name!r} is FIFO and SQS delays only all its messages alike; set delay_seconds on "
                "env.queue(), send to a standard queue, or raise Retry(delay_seconds=...) in the task"
            )
        return round(given)

    # --- working ----------------------------------------------------------------------------------------------------

    def executor(
        self,
        *,
        run_coroutine: CoroutineRunner | None = None,
        interrupter: Interrupter | None = None,
        admit: Admit | None = None,
        last_receive: int | None = None,
        failures: tuple[type[BaseException], ...] | None = None,
        middleware: Sequence[Middleware] = (),
        now: Callable[[], float] | None = None,
    ) -> Executor:
        """What runs this queue's messages, with what the runtime brings along; its middleware goes outside all."""
        return Executor(
            queue_name=self.name,
            tasks=self._lookup(),
            decode=self._decode,
            backoff_policy=self.backoff_policy,
            context=self.env.context,
            middleware=(*middleware, *self.env.middleware),
            pre_task=self.env.pre_task,
            post_task=self.env.post_task,
            run_coroutine=run_coroutine,
            interrupter=interrupter,
            admit=admit,
            last_receive=last_receive,
            max_receive_count=None if self.settings.dead_letter_queue is None else self.settings.max_receive_count,
            failures=failures or TASK_FAILURES,
            now=now or time.time,
        )

    def settlement(self, *, queue_url: Callable[[], str] | None = None) -> Settlement:
        """What settles this queue's messages.

        Args:
            queue_url: Gives the URL when a runtime knows a better one than the environment, from the message's ARN.
        """
        dead = self.settings.dead_letter_queue
        letters = None
        if dead is not None:
            from sqs_tasks.execution.dead_letter_copier import DeadLetters  # only what fails needs it

            letters = DeadLetters(
                client=self.env.client, queue_url=lambda: self.env.get_queue_url(dead), fifo=self.settings.fifo
            )
        return Settlement(
            queue_name=self.name,
            client=self.env.client,
            queue_url=queue_url or (lambda: self.queue_url),
            dead_letters=letters,
            around=lambda: self.env.around_request,
        )

    def process_queue(
        self,
        shutdown_policy: ShutdownPolicy = NEVER_SHUTDOWN,
        wait_seconds: int = limits.MAX_WAIT_SECONDS,
        *,
        concurrency: int = 1,
        async_concurrency: int | None = None,
        prefetch: int = 0,
        grace_seconds: float = 25,
        report_interval_seconds: float = REPORT_INTERVAL_SECONDS,
    ) -> None:
        """Work the queue until the policy, SIGTERM or SIGINT says stop; then finish what runs and return.

        Args:
            shutdown_policy: When to stop by itself.
            wait_seconds: How long one long poll waits, 0 to 20.
            concurrency: Jobs at once. 1 runs them in this thread; more run in a pool of threads.
            async_concurrency: ``async def`` jobs at once, on an event loop; None takes ``concurrency``.
            prefetch: Messages received beyond what can start, so that jobs of milliseconds come in tens.
            grace_seconds: How long running jobs may take to finish after a signal; the default fits ECS's 30 s.
            report_interval_seconds: Seconds between two calls of the ``report_queue_stats`` hook, if it has callbacks.
        """
        from sqs_tasks.worker.consumer import Consumer

        consumer = Consumer(
            [self],
            concurrency=concurrency,
            async_concurrency=async_concurrency,
            prefetch=prefetch,
            wait_seconds=wait_seconds,
            grace_seconds=grace_seconds,
        )
        with reporting(
            [self], self.env.report_queue_stats, report_interval_seconds, oldest_age=consumer.oldest_age_seconds
        ):
            consumer.run(shutdown_policy)

    def process_batch(self, wait_seconds: int = 0) -> BatchProcessingResult:
        """Receive once (ten messages at most, or the batching policy's number), run the jobs here, settle them.

        Args:
            wait_seconds: How long to wait for a first message, 0 to 20.
        """
        from sqs_tasks.worker.consumer import Consumer

        return Consumer([self], wait_seconds=wait_seconds).run_once()

    def get_raw_messages(self, wait_seconds: int = 0, max_messages: int = 10) -> list[ReceivedMessage]:
        """Receive messages without running them; they come back when their visibility ends."""
        count = min(max_messages, limits.MAX_BATCH_ENTRIES)
        answer = self.env.client().receive_message(**receive_request(self.queue_url, count, wait_seconds=wait_seconds))
        return [from_sqs(raw) for raw in answer.get("Messages", ())]

    def statistics(self) -> QueueStatistics:
        """How full the queue is, and its dead-letter queue."""
        client = self.env.client()
        dead, letters = self.settings.dead_letter_queue, None
        if dead is not None:
            try:
                letters = count_messages(client, self.env.get_queue_url(dead)).available
            except Exception as error:  # noqa: BLE001 - it may be missing, or not ours to look into
                logger.debug("cannot count the dead letters of queue %s: %s", self.name, error)
        return replace(count_messages(client, self.queue_url), dead_letters=letters)

    def drain_queue(self, wait_seconds: int = 0) -> int:
        """Receive and delete all messages, unrun, and return how many there were."""
        settlement, count = self.settlement(), 0
        while messages := self.get_raw_messages(wait_seconds):
            count += len(messages) - len(settlement.delete(messages))
        return count

    def purge(self) -> None:
        """Have SQS delete all messages; at most once a minute, and it may take that long."""
        self.env.client().purge_queue(QueueUrl=self.queue_url)

    def _lookup(self) -> TaskLookup:
        raise NotImplementedError

    def _decode(self, message: ReceivedMessage) -> Job:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
