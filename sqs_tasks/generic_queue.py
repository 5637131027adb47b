"""What all kinds of queue share: where they are, how they are sent to and how they are worked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqs_tasks import limits
from sqs_tasks.backoff_policies import BackoffPolicy
from sqs_tasks.client import making, receive_request
from sqs_tasks.context import SQSContext
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.message import OutgoingMessage, ReceivedMessage, from_sqs
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.settings import QueueSettings, TaskOptions, queue_name_in

if TYPE_CHECKING:
    from sqs_tasks.batching import BatchingPolicy
    from sqs_tasks.execution.executor import Executor
    from sqs_tasks.execution.intake import Decode, Intake, TaskLookup
    from sqs_tasks.execution.runtime import Admit, CoroutineRunner, Interrupter, Watch
    from sqs_tasks.execution.settlement import Settlement
    from sqs_tasks.follow_ups.attribute import Kind
    from sqs_tasks.middleware import Middleware
    from sqs_tasks.offload.payload_store import PayloadStore
    from sqs_tasks.outcome import BatchProcessingResult
    from sqs_tasks.queue_environment import Environment
    from sqs_tasks.queue_statistics import QueueStatistics
    from sqs_tasks.sending.outbox import Outbox
    from sqs_tasks.shutdown_policies import ShutdownPolicy

logger = logging.getLogger(__name__)

AnyQueue = TypeVar("AnyQueue", bound="GenericQueue")


class GenericQueue:
    """What all kinds of queue share: where they are, how they are sent to and how they are worked.

    Args:
        env: The environment.
        settings: What the registration says.
        backoff_policy: How long failed jobs wait; None takes the environment's.
        batching_policy: Whether functions get lists of jobs.

    Attributes:
        fifo: Whether SQS keeps the order of each message group.
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
        self.fifo = settings.fifo
        self.backoff_policy = backoff_policy or env.backoff_policy
        self._outbox: Outbox | None = None
        offload = settings.offload or env.offload
        if offload is not None:
            offload.check_queue(settings.name, settings.message_retention_seconds)
        self.batch_size = batching_policy.batch_size if batching_policy is not None else 0

    @property
    def outbox(self) -> Outbox:
        """What sends to this queue."""
        return self._outbox or self._make_outbox()

    def _make_outbox(self) -> Outbox:
        env = self.env
        with making:  # one for all threads: it knows which batches are open
            if self._outbox is None:
                from sqs_tasks.sending.outbox import Outbox  # a consumer that enqueues nothing needs none

                self._outbox = Outbox(
                    env,
                    self.settings,
                    queue_url=lambda: self.queue_url,
                    deliver=lambda: None if env.deliver is None else partial(env.deliver, self),
                    offloaded=self.offloaded,
                )
            return self._outbox

    @cached_property
    def payloads(self) -> PayloadStore | None:
        """The large bodies of this queue in S3; None where bodies stay in their messages."""
        settings = self.settings.offload or self.env.offload
        if settings is None:
            return None
        from sqs_tasks.offload.payload_store import PayloadStore

        return PayloadStore(settings, self.env.client, queue_name=self.name)

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

    def dead_letter_queue_url(self, *, beside: str | None = None) -> str:
        """The URL of the dead-letter queue, which is in the account and region of its queue.

        Args:
            beside: The URL of the queue where a runtime knows a better one than the registration, from an ARN.

        Raises:
            ConfigurationError: The queue has none.
            QueueNotFoundError: The endpoint has no such queue.
        """
        dead = self.settings.dead_letter_queue
        if dead is None:
            raise ConfigurationError(
                f"queue {self.name!r} has no dead-letter queue; register it with dead_letter_queue='{self.name}_dead'"
            )
        return self.env.get_queue_url(dead, beside=self.settings.queue_url or beside)

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
        return max([limits.MIN_LAMBDA_RECEIVE_COUNT, *(count + limits.RECEIVE_HEADROOM for count in attempts)])

    def get_sqs_queue_name(self) -> str:
        """The name in SQS: what its URL ends with, or the prefix and the name in code."""
        url = self.settings.queue_url
        return self.env.get_sqs_queue_name(self.name) if url is None else queue_name_in(url)

    # --- sending ----------------------------------------------------------------------------------------------------

    def add_batch(self) -> AbstractContextManager[None]:
        """Collect what this thread (or asyncio task) sends to the queue in the block, and send it in tens.

        Full requests are sent at once, the rest when the block ends. When the block ends with an exception, the jobs
        that were added before it are sent nevertheless, because ``delay()`` had returned.

        Raises:
            BatchSendError: At the end of the block: some messages were not accepted after retries; it carries them.
        """
        return self.outbox.batch()

    def add_batch_async(self) -> AbstractAsyncContextManager[None]:
        """As :meth:`add_batch`, for the asyncio task that opens it: ``async with queue.add_batch_async():``."""
        return self.outbox.batch_async()

    def offloaded(self, message: OutgoingMessage) -> OutgoingMessage:
        """The message, with a pointer for a body where that is large."""
        if self.payloads is None:
            return message
        return self.payloads.offloaded(message, fifo=self.fifo, max_message_bytes=self.settings.max_message_bytes)

    # --- working ----------------------------------------------------------------------------------------------------

    def task_options(self, options: TaskOptions) -> TaskOptions:
        """The options of a task over the defaults of its queue, and those over the environment's."""
        defaults = (self.env.task_defaults, self.settings.task_defaults)
        return TaskOptions(**{**(defaults[0] or {}), **(defaults[1] or {}), **options}) if any(defaults) else options

    def executor(
        self,
        *,
        run_coroutine: CoroutineRunner | None = None,
        interrupter: Interrupter | None = None,
        admit: Admit | None = None,
        watch: Watch | None = None,
        seconds_left: Callable[[], float] | None = None,
        last_receive: int | None = None,
        failures: tuple[type[BaseException], ...] | None = None,
        middleware: Sequence[Middleware] = (),
        now: Callable[[], float] | None = None,
    ) -> Executor:
        """What runs this queue's messages, with what the runtime brings along; its middleware goes outside all."""
        from sqs_tasks.execution.executor import Executor  # nobody who only sends needs what runs jobs
        from sqs_tasks.execution.runtime import TASK_FAILURES

        return Executor(
            intake=self._intake if last_receive is None and now is None else self._make_intake(last_receive, now),
            context=self.env.context,
            middleware=(*middleware, *self.env.middleware),
            pre_task=self.env.pre_task,
            post_task=self.env.post_task,
            run_coroutine=run_coroutine,
            interrupter=interrupter,
            admit=admit,
            watch=watch,
            seconds_left=seconds_left,
            failures=failures or TASK_FAILURES,
        )

    @cached_property
    def _intake(self) -> Intake:
        return self._make_intake(None, None)

    def _make_intake(self, last_receive: int | None, now: Callable[[], float] | None) -> Intake:
        from sqs_tasks.execution.intake import Intake

        payloads = self.payloads
        return Intake(
            queue_name=self.name,
            tasks=self._lookup(),
            decode=self._decode,
            blocks=None if payloads is None else payloads.has_payload,
            backoff_policy=self.backoff_policy,
            post_task=self.env.post_task,
            last_receive=last_receive,
            max_receive_count=self._registered_max_receive_count,
            copies_at=self._copies_at,
            fifo=self.fifo,
            now=now or time.time,
            log_retries=self.env.log_retries,
        )

    @property
    def _registered_max_receive_count(self) -> int | None:
        return None if self.settings.dead_letter_queue is None else self.settings.max_receive_count

    @property
    def _copies_at(self) -> int | None:
        """The receive after which SQS moves a message, by all that is known here; None where nothing is moved."""
        return None if self.fifo or self.settings.dead_letter_queue is None else self.max_receive_count

    def settlement(
        self, *, queue_url: Callable[[], str] | None = None, max_receive_count: int | None = None
    ) -> Settlement:
        """What settles this queue's messages.

        Args:
            queue_url: Gives the URL when a runtime knows a better one than the environment, from the message's ARN.
            max_receive_count: The receive after which SQS moves a message, where a runtime knows it unregistered.
        """
        from sqs_tasks.execution.settlement_of_queue import (
            settlement_of,
        )  # a function whose jobs all succeed needs none

        return settlement_of(
            self,
            queue_url=queue_url,
            max_receive_count=max_receive_count or self._registered_max_receive_count,
            copies_at=self._copies_at,
        )

    def follow_up(self, message: ReceivedMessage, kind: Kind) -> bool:
        """Whether what follows a job that is over, if anything does, was accepted by SQS; never raises."""
        from sqs_tasks.execution.follow_up import send_follow_up  # few jobs have one

        return send_follow_up(message, kind, queue_name=self.name, queue_of=self.env.queues.get)

    def process_queue(
        self,
        shutdown_policy: ShutdownPolicy | None = None,
        wait_seconds: int = limits.MAX_WAIT_SECONDS,
        *,
        concurrency: int = 1,
        async_concurrency: int | None = None,
        prefetch: int = 0,
        grace_seconds: float = 25,
        report_interval_seconds: float | None = None,
    ) -> None:
        """Work the queue until the policy, SIGTERM or SIGINT stops it; then let running jobs finish and return.

        Args:
            shutdown_policy: When to stop by itself; None for never.
            wait_seconds: How long one long poll waits, 0 to 20.
            concurrency: Jobs at a time. With 1 they run in this thread, otherwise in a pool of threads.
            async_concurrency: ``async def`` jobs at once, on an event loop; None takes ``concurrency``.
            prefetch: Messages to receive before they can start, so that short jobs come in tens.
            grace_seconds: How long running jobs may take to finish after a signal; the default fits ECS's 30 s.
            report_interval_seconds: Seconds between two calls of the ``report_queue_stats`` hook, if it has callbacks;
                None for 300.
        """
        from sqs_tasks.worker.working import work

        work(
            self.env,
            [self],
            shutdown_policy,
            report_interval_seconds,
            concurrency=concurrency,
            async_concurrency=async_concurrency,
            prefetch=prefetch,
            wait_seconds=wait_seconds,
            grace_seconds=grace_seconds,
        )

    def process_batch(self, wait_seconds: int = 0) -> BatchProcessingResult:
        """Receive once (ten messages at most, or the batching policy's number), run the jobs here, settle them.

        Args:
            wait_seconds: How long to wait for a first message, 0 to 20.
        """
        from sqs_tasks.worker.consumer import Consumer

        return Consumer([self], wait_seconds=wait_seconds).run_once()

    def get_raw_messages(self, wait_seconds: int = 0, max_messages: int = 10) -> list[ReceivedMessage]:
        """Receive messages without running them; they come back when their visibility timeout ends."""
        count = min(max_messages, limits.MAX_BATCH_ENTRIES)
        answer = self.env.client().receive_message(**receive_request(self.queue_url, count, wait_seconds=wait_seconds))
        return [from_sqs(raw) for raw in answer.get("Messages", ())]

    def statistics(self) -> QueueStatistics:
        """How full the queue is, and its dead-letter queue."""
        from sqs_tasks.queue_statistics import count_messages  # for those who look, not for those who send

        client = self.env.client()
        letters = None
        if self.settings.dead_letter_queue is not None:
            try:
                letters = count_messages(client, self.dead_letter_queue_url()).total
            except Exception as error:  # noqa: BLE001 - it may be missing, or not ours to look into
                logger.debug("cannot count the dead letters of queue %s: %s", self.name, error)
        return replace(count_messages(client, self.queue_url), dead_letters=letters)

    def drain_queue(self, wait_seconds: int = 0) -> int:
        """Receive and delete all messages without running them, and return how many there were."""
        settlement, count = self.settlement(), 0
        while messages := self.get_raw_messages(wait_seconds):
            count += len(messages) - len(settlement.delete(messages))
        return count

    def purge(self) -> None:
        """Have SQS delete all messages; at most once a minute, and it may take that long."""
        self.env.client().purge_queue(QueueUrl=self.queue_url)

    def _check_middleware(self, job_name: str, *, is_async: bool) -> None:
        """Refuse a task that the environment's middleware cannot wrap."""
        if self.env.middleware:
            from sqs_tasks.middleware import check_kinds  # most environments have none

            check_kinds(self.env.middleware, job_name=job_name, is_async=is_async)

    def _lookup(self) -> TaskLookup:
        raise NotImplementedError

    @property
    def _decode(self) -> Decode:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
