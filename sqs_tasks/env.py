"""The environment: where SQS is, what queues are called there, and the registry of queues and tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, get_args, overload

from sqs_tasks.backoff_policies import DEFAULT_BACKOFF, BackoffPolicy
from sqs_tasks.client import ANY_QUEUE, ClientProvider, QueueUrls, neighbour_of, urls_from_environment, with_retries
from sqs_tasks.codecs import DEFAULT_CONTENT_TYPE, SAFE_CONTENT_TYPES, Codec, CodecRegistry
from sqs_tasks.context import SQSContext
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.hooks import AroundRequest, Hook, NewLoopHook
from sqs_tasks.limits import check_choice
from sqs_tasks.message import Job, OutgoingMessage
from sqs_tasks.processors import Processor
from sqs_tasks.protocols import SQSClient, SQSSession
from sqs_tasks.queue import JobQueue
from sqs_tasks.queues_by_name import QueuesByName
from sqs_tasks.receipts import Receipt
from sqs_tasks.settings import (
    LogRetries,
    QueueOptions,
    QueueSettings,
    TaskDefaults,
    check_task_defaults,
    default_dead_letter_queue,
    queue_name_in,
    staged_prefix,
)

if TYPE_CHECKING:
    from sqs_tasks.batching import BatchingPolicy
    from sqs_tasks.guards.handle import JobHandle
    from sqs_tasks.guards.named_limit import NamedLimit
    from sqs_tasks.middleware import Middleware
    from sqs_tasks.offload.s3_offload import S3Offload
    from sqs_tasks.outcome import Outcome
    from sqs_tasks.queue_environment import ProcessorMaker
    from sqs_tasks.queue_statistics import QueueStatistics
    from sqs_tasks.scheduling.eventbridge import Scheduler
    from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule
    from sqs_tasks.sending.deferral import Deferral
    from sqs_tasks.sending.held_messages import Hold
    from sqs_tasks.sending.outbox import Deliver
    from sqs_tasks.shutdown_policies import ShutdownPolicy
    from sqs_tasks.store.limits import Limit
    from sqs_tasks.store.protocol import Store
    from sqs_tasks.transport.choice import ClientKind
    from sqs_tasks.worker.options import WorkerOptions

Q = TypeVar("Q", bound=GenericQueue)


class SQSEnv(QueuesByName):
    """Where SQS is, and what runs on it. Creating it makes no request and does not import boto3.

    Args:
        session: The ``boto3`` module, a ``boto3.Session`` or a ``MemorySession``; None for boto3's own.
        queue_prefix: Put before every queue name in SQS, so that applications can share an account. The stage follows
            it if SQS_TASKS_STAGE says one: ``shop-`` becomes ``shop-dev-``. SQS_TASKS_QUEUE_PREFIX takes its place.
        codec: The content type that producers write; a queue or a send can choose another.
        retry_max_attempts: How often boto3 tries a request; ``retry_mode`` is boto3's way to wait in between.
        retry_mode: ``"standard"``, ``"adaptive"`` or ``"legacy"``.
        accept: The content types that consumers decode. Pickle runs code, so it is off unless it is named here.
        backoff_policy: How long failed jobs wait, unless a queue or task has its own policy.
        processor_maker: A :class:`~sqs_tasks.processors.Processor` subclass that runs every task.
        context_maker: Makes the context: :class:`~sqs_tasks.context.SQSContext`, or a subclass of it.
        middleware: Wraps the run of every job, the first outermost.
        sqs_client: A ready SQS client instead of a session.
        endpoint_url: Where SQS is; boto3 also reads AWS_ENDPOINT_URL_SQS and AWS_ENDPOINT_URL.
        region_name: The region; None leaves it to boto3.
        client_config: Keyword arguments of ``botocore.config.Config`` over the library's own.
        client: What makes the requests: ``"lean"``, ``"boto3"``, or ``"auto"`` for the lean client where it can serve;
            None leaves it to SQS_TASKS_CLIENT, and is ``"auto"`` without that.
        codecs: Your own codecs; each must be named in ``codec`` or ``accept`` to be used.
        scheduler: Where jobs are held that are due later than SQS can hold them back; None takes what the stack says.
        store: Where is remembered what tasks ask for: ``DynamoDBStore("jobs")`` or ``SQLiteStore(path)``.
        direct_calls: A call of a task, ``send_email(...)``, runs its function; otherwise it is refused as a mistake.
        eager: Run each job where it is sent, in this process and without SQS: for tests and first steps.
        send: When jobs are sent: ``OnCommit()`` of :mod:`sqs_tasks.transactions`; None for at once.
        log_retries: How a failed attempt is logged that is not the last: ``"message"``, or with its ``"traceback"``.
        include: The modules that register tasks, as ``["shop.tasks", "billing.*"]``; see :meth:`load_tasks`.
        task_defaults: Options of all tasks unless their queue or they themselves say otherwise.
        offload: Where bodies go that are too large for messages, as ``S3Offload()``; None keeps them there.

    Attributes:
        context: Values that travel with every job added here; see :class:`~sqs_tasks.context.SQSContext`.
        pre_send: Hook, called with each outgoing message before it is sent.
        post_send: Hook, called with each outgoing message and its receipt.
        pre_task: Hook, called with each job before it runs.
        post_task: Hook, called with each job and its outcome of any kind.
        on_start: Hook, called in each worker and function before its first job; what it raises ends the process.
        on_stop: Hook, called in each worker after its last job.
        on_new_loop: Hook, called on each event loop of async jobs before the first of them.
        report_queue_stats: Hook, called by workers with a queue's name and its
            :class:`~sqs_tasks.queue_statistics.QueueStatistics`.
        deliver: What takes messages in the place of SQS, or None.
        around_request: Makes the context for each request to SQS; see :mod:`sqs_tasks.hooks`.
    """

    def __init__(
        self,
        session: SQSSession | None = None,
        queue_prefix: str = "",
        *,
        codec: str = DEFAULT_CONTENT_TYPE,
        retry_max_attempts: int | None = None,
        retry_mode: Literal["standard", "adaptive", "legacy"] | None = None,
        accept: Iterable[str] = SAFE_CONTENT_TYPES,
        backoff_policy: BackoffPolicy = DEFAULT_BACKOFF,
        processor_maker: ProcessorMaker = Processor,
        context_maker: Callable[[], SQSContext] = SQSContext,
        middleware: Sequence[Middleware] = (),
        sqs_client: SQSClient | None = None,
        endpoint_url: str | None = None,
        region_name: str | None = None,
        client_config: Mapping[str, Any] | None = None,
        client: ClientKind | None = None,
        codecs: Sequence[Codec] = (),
        scheduler: Scheduler | None = None,
        store: Store | None = None,
        direct_calls: bool = False,
        eager: bool = False,
        send: Hold | None = None,
        log_retries: LogRetries = "message",
        include: Sequence[str] = (),
        task_defaults: TaskDefaults | None = None,
        offload: S3Offload | None = None,
    ) -> None:
        self.queue_prefix = staged_prefix(queue_prefix, os.environ)
        self.codecs = CodecRegistry()
        for one in codecs:
            self.codecs.register(one)
        self.codec = codec
        if isinstance(accept, str):
            raise ConfigurationError(f"accept={accept!r} must be a list of content types; try accept=[{accept!r}]")
        self.accept = frozenset(accept)
        for content_type in (codec, *self.accept):
            self.codecs.get(content_type)
        self.backoff_policy = backoff_policy
        self.processor_maker = processor_maker
        self.middleware = tuple(middleware)
        self.context = context_maker()
        self.direct_calls = direct_calls
        self.scheduler = scheduler
        self.hold, self.log_retries = send, log_retries
        self._to_import = include
        check_task_defaults(task_defaults, "SQSEnv")
        check_choice(log_retries, "SQSEnv: log_retries", get_args(LogRetries))
        self.task_defaults = task_defaults
        self.offload = offload
        self.deliver: Deliver | None = None
        if eager:
            from sqs_tasks.execution.eager import EagerDelivery

            self.deliver = EagerDelivery()
        self.client = ClientProvider(
            session=session,
            client=sqs_client,
            endpoint_url=endpoint_url,
            region_name=region_name,
            config=with_retries(client_config, retry_max_attempts, retry_mode),
            kind=client,
        )
        self.store = None if store is None else store.for_environment(self.client.of_service, self.client.now)
        self.urls = QueueUrls(self.client)
        self._given_urls: Mapping[str, str] | None = None
        self.pre_send: Hook[[OutgoingMessage]] = Hook("pre_send")
        self.post_send: Hook[[OutgoingMessage, Receipt]] = Hook("post_send")
        self.pre_task: Hook[[Job]] = Hook("pre_task")
        self.post_task: Hook[[Job, Outcome]] = Hook("post_task")
        self.on_start: Hook[[]] = Hook("on_start")
        self.on_stop: Hook[[]] = Hook("on_stop")
        self.on_new_loop = NewLoopHook("on_new_loop")
        self.report_queue_stats: Hook[[str, QueueStatistics]] = Hook("report_queue_stats")
        self.around_request: AroundRequest | None = None
        self._queues: dict[str, GenericQueue] = {}
        self._made_with: dict[str, dict[str, Any]] = {}

    # --- the registry -----------------------------------------------------------------------------------------------

    @overload
    def queue(
        self,
        queue_name: str,
        *,
        batching_policy: BatchingPolicy | None = None,
        backoff_policy: BackoffPolicy | None = None,
        **options: Unpack[QueueOptions],
    ) -> JobQueue: ...
    @overload
    def queue(
        self,
        queue_name: str,
        queue_maker: Callable[..., Q],
        batching_policy: BatchingPolicy | None = None,
        backoff_policy: BackoffPolicy | None = None,
        **options: Unpack[QueueOptions],
    ) -> Q: ...
    def queue(
        self,
        queue_name: str,
        queue_maker: Callable[..., Any] | None = None,
        batching_policy: BatchingPolicy | None = None,
        backoff_policy: BackoffPolicy | None = None,
        **options: Unpack[QueueOptions],
    ) -> Any:
        """The queue of that name, which the first call registers.

        A later call may leave out the options, or repeat the same ones.

        Args:
            queue_name: The name in code; ending in ``.fifo`` for a FIFO queue. A URL means the queue there, with the
                last part of its path as the name: nobody is asked for it, and the prefix is not added.
            queue_maker: ``JobQueue`` by default; ``RawQueue`` for messages that are not jobs, or a ``.maker(...)``.
            batching_policy: with ``BatchMessages(n)`` functions get lists of jobs.
            backoff_policy: How long failed jobs wait here.
            **options: See :class:`~sqs_tasks.settings.QueueSettings`.

        Raises:
            ConfigurationError: An option that cannot work, or one that differs from the queue's registration (W19).
        """
        if isinstance(queue_name, str) and "://" in queue_name:
            options.setdefault("queue_url", queue_name)
            queue_name = queue_name_in(queue_name)
        given = {"queue_maker": queue_maker, "batching_policy": batching_policy, "backoff_policy": backoff_policy}
        asked = {name: value for name, value in given.items() if value is not None} | options
        known = self._queues.get(queue_name)
        if known is not None:
            if not asked:
                return known
            from sqs_tasks.registration.same_registration import check_same_registration  # few say it twice

            check_same_registration(queue_name, {"queue_maker": JobQueue, **self._made_with[queue_name]}, asked)
            return known
        dead: dict[str, Any] = {}
        if "dead_letter_queue" not in options and isinstance(queue_name, str):
            dead["dead_letter_queue"] = default_dead_letter_queue(queue_name)
        settings = QueueSettings(name=queue_name, **dead, **options)
        if settings.queue_url is None:
            self._check_prefixed(settings)
        more: dict[str, Any] = {}
        if batching_policy is not None:
            more["batching_policy"] = batching_policy
        queue = (queue_maker or JobQueue)(self, settings, backoff_policy=backoff_policy, **more)
        self._queues[queue_name] = queue
        self._made_with[queue_name] = asked
        return queue

    def register_type(self, cls: type[Any], name: str | None = None) -> None:
        """Let an Enum or a dataclass travel that no task's annotations name; see :mod:`sqs_tasks.codecs`."""
        self.codecs.register_type(cls, name)

    @property
    def queues(self) -> Mapping[str, GenericQueue]:
        """The registered queues by name, in the order of registration."""
        return dict(self._queues)

    @property
    def schedules(self) -> Mapping[str, RegisteredSchedule]:
        """The registered schedules by their names in EventBridge Scheduler, in the order of registration."""
        from sqs_tasks.scheduling.registered_schedule import schedules_of  # for those who deploy and look

        return {one.name: one for one in schedules_of(self._queues.values())}

    def select_queues(self, *names: str) -> list[GenericQueue]:
        """As :func:`~sqs_tasks.registration.queue_selection.select_queues`, of the registered queues."""
        from sqs_tasks.registration.queue_selection import select_queues  # a Lambda function knows its queues by ARN

        self.load_tasks()
        return select_queues(self._queues, names)

    def load_tasks(self) -> None:
        """Import the modules of ``include``, once; workers, functions, manifests and tests in memory do it."""
        if self._to_import:
            from sqs_tasks.registration.included_modules import import_modules

            names, self._to_import = self._to_import, ()
            import_modules(names)

    def manifest(self, *, app: str | None = None, without_tasks: bool = False) -> dict[str, Any]:
        """The registry as plain JSON data, for the CDK stack and for other tools; see ``docs/manifest.md``.

        Args:
            app: Where this environment is found, as ``module:attribute``: what deployed workers load.
            without_tasks: Allow a registry in which nothing is registered to run, although workers load it.

        Raises:
            ConfigurationError: There is an ``app`` and no task; the modules with the tasks were not imported.
        """
        from sqs_tasks.manifest import manifest

        self.load_tasks()
        return manifest(self, self._queues.values(), prefix=self.queue_prefix, app=app, without_tasks=without_tasks)

    def cancel(self, job_id: str) -> bool:
        """Take back a job that EventBridge Scheduler holds until it is due, or ask for the end of a recorded one.

        Whether it did. SQS gives nothing back; but a job of a task with ``record=True`` ends as cancelled when it
        comes, and may look at ``current_job().cancelled`` while it runs. Without a store it raises ConfigurationError
        where nobody says where schedules are made.
        """
        from sqs_tasks.sending.cancelling import cancel  # few producers take jobs back

        return cancel(self, job_id)

    def job(self, job_id: str) -> JobHandle:
        """A job by its id, from any process: its state, progress and result, if its task has ``record=True``."""
        from sqs_tasks.guards.handle import JobHandle  # most processes look at no job

        return JobHandle(self, job_id)

    def limit(self, name: str, limit: Limit) -> NamedLimit:
        """What several tasks share in their ``limits=``; or, as ``with crm():``, what a part of a task is put under."""
        from sqs_tasks.guards.named_limit import NamedLimit  # few applications have limits

        return NamedLimit(self, name, limit)

    def deferred(self) -> Deferral:
        """``with env.deferred() as jobs:`` holds back what is sent in the block until it has ended, in tens then.

        Nothing is sent if the block raises. Receipts have their job ids at once, and message ids after the block. In
        async code ``async with env.deferred():`` sends without blocking the event loop.
        """
        from sqs_tasks.sending.deferral import Deferral  # most producers send at once

        return Deferral(self)

    def process_queues(
        self,
        queue_names: Iterable[str] | None = None,
        shutdown_policy_maker: Callable[[], ShutdownPolicy] | None = None,
        *,
        report_interval_seconds: float | None = None,
        **options: Unpack[WorkerOptions],
    ) -> None:
        """Work several queues in this process, each with its own long poll, so that none starves another.

        Args:
            queue_names: Names or globs of registered queues; None for all that have tasks.
            shutdown_policy_maker: Makes each queue's policy; None for queues that are worked until a signal.
            report_interval_seconds: Seconds between two calls of the ``report_queue_stats`` hook; None for 300.
            **options: See :class:`~sqs_tasks.worker.options.WorkerOptions`.
        """
        from sqs_tasks.worker.working import work

        queues = self.select_queues(*(queue_names or ()))
        if not queues:
            raise ConfigurationError("no queue to process: none has a task; are the modules with your tasks imported?")
        work(self, queues, shutdown_policy_maker, report_interval_seconds, **options)

    def create_queues(self) -> list[str]:
        """Create every registered queue with its dead-letter queue, or bring them up to date; return their names."""
        from sqs_tasks.provisioning import create_all

        return create_all(self, self._queues)

    def get_sqs_queue_name(self, queue_name: str) -> str:
        """The name in SQS: the prefix and the name in code."""
        return f"{self.queue_prefix}{queue_name}"

    def get_queue_url(self, queue_name: str, *, beside: str | None = None) -> str:
        """The URL of a queue by its name in code; a URL is its own.

        Args:
            queue_name: The name.
            beside: The URL of a queue in whose account and region it is; unless given, it is in the caller's own.

        Raises:
            QueueNotFoundError: The endpoint has no such queue.
        """
        if "://" in queue_name:
            return queue_name
        if self._given_urls is None:
            self._given_urls = urls_from_environment(os.environ)
        registered = self._queues.get(queue_name)
        known = self._given_urls.get(queue_name) or (registered and registered.settings.queue_url)
        if known:
            return known
        sqs_name = self.get_sqs_queue_name(queue_name)
        if beside is not None:
            return neighbour_of(beside, sqs_name)
        pattern = self._given_urls.get(ANY_QUEUE, "")
        # Another environment of the process may have another prefix: its queues are not meant.
        is_meant = pattern.endswith(f"/{self.queue_prefix}*")
        return f"{pattern[:-1]}{queue_name}" if is_meant else self.urls.get(sqs_name)

    @contextmanager
    def connected_to(self, client: SQSClient) -> Iterator[None]:
        """Talk to this client for the length of a block, with queue URLs of its own: what tests put in place of AWS."""
        urls, given = self.urls, self._given_urls
        self.urls, self._given_urls = QueueUrls(self.client), {}
        try:
            with self.client.replaced_by(client):
                yield
        finally:
            self.urls, self._given_urls = urls, given

    def _check_prefixed(self, settings: QueueSettings) -> None:
        dead = settings.dead_letter_queue
        for name in (settings.name, *([] if dead is None or "://" in dead else [dead])):
            try:
                QueueSettings(name=self.get_sqs_queue_name(name))
            except ConfigurationError as error:
                raise ConfigurationError(f"with queue_prefix={self.queue_prefix!r}: {error}") from None

    def __repr__(self) -> str:
        return f"<SQSEnv {self.queue_prefix!r} {', '.join(self._queues)}>"
