"""The options of a registered queue and of a registered task, checked where they are written.

These are the one truth that the container worker, the Lambda handler, the dev runner and the CDK stack all read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from sqs_tasks import limits
from sqs_tasks.backoff_policies import BackoffPolicy, first_delay_seconds
from sqs_tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from sqs_tasks.offload.s3_offload import S3Offload
    from sqs_tasks.scheduling.expressions import Expression
    from sqs_tasks.scheduling.schedule import Schedule
    from sqs_tasks.store.coalescing import Debounce, Unique
    from sqs_tasks.store.limits import Limit, SharedLimit

RunsOn = Literal["lambda", "fargate", "external"]
LogRetries = Literal["message", "traceback"]

#: The stage that a process belongs to, which is part of the names of its queues; and a prefix in place of the code's.
STAGE_VARIABLE, PREFIX_VARIABLE = "SQS_TASKS_STAGE", "SQS_TASKS_QUEUE_PREFIX"

#: Bodies above this travel as json+zlib: one billing unit of SQS is 64 KiB (S38).
COMPRESS_ABOVE_BYTES = 65_536

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]+(\.fifo)?")
_STAGE = re.compile(r"[A-Za-z0-9_-]+")
_TASK_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]{1,256}")


class QueueOptions(TypedDict, total=False):
    """The keywords of ``env.queue``; each is documented on :class:`QueueSettings`."""

    queue_url: str | None
    max_receive_count: int | None
    dead_letter_queue: str | None
    visibility_timeout_seconds: int | None
    message_retention_seconds: int
    delay_seconds: int
    content_based_deduplication: bool | None
    default_group_id: str
    codec: str | None
    accept: Sequence[str] | None
    readers: Sequence[Callable[..., Any]]
    compress_above_bytes: int | None
    max_message_bytes: int
    runs_on: RunsOn
    task_defaults: TaskDefaults | None
    weight: float
    priority_group: str | None
    offload: S3Offload | None


@dataclass(frozen=True, kw_only=True)
class QueueSettings:
    """A queue as the registry knows it.

    Attributes:
        name: The name in code; the environment's prefix is added for SQS. It ends in ``.fifo`` for a FIFO queue.
        queue_url: Its URL, so that SQS is not asked for it, which saves a permission.
        max_receive_count: Deliveries before SQS moves a message to the dead-letter queue, 1 to 1,000. None computes
            ``max(5, max_attempts + 3)`` from the tasks (R3).
        dead_letter_queue: The name (or URL) of the queue for messages that cannot be done; ``<name>_dead`` by default.
            None: no such queue; then a message that cannot be done stays until it expires.
        visibility_timeout_seconds: How long a received message stays hidden, 0 to 43,200. None lets each runtime
            compute it: the container worker extends it while a task runs, the Lambda stack derives it (R2).
        message_retention_seconds: How long SQS keeps a message, 60 to 1,209,600.
        delay_seconds: How long SQS delays every new message, 0 to 900.
        content_based_deduplication: FIFO only: SQS derives the deduplication id from the body; None asks once.
        default_group_id: FIFO only: the message group of jobs sent without one. One group is one serial queue.
        codec: The content type written by producers; None takes the environment's.
        accept: The content types a consumer decodes; None takes the environment's.
        readers: Foreign message formats to understand, from :mod:`sqs_tasks.readers`.
        compress_above_bytes: JSON bodies above this are sent as ``json+zlib``; None never does.
        max_message_bytes: The size limit for one message, attributes counted; 1,048,576 unless the queue has less.
        runs_on: Which worker the CDK stack gives the queue; none for ``"external"``, whose workers run elsewhere.
        task_defaults: Options of its tasks unless they say otherwise, over those of the environment.
        weight: How much of a worker's concurrency it gets while other queues want it too; ``--weight`` says otherwise.
        priority_group: What ``env.priority_queues`` calls the queues that one service should work together.
        offload: Where its large bodies go, as ``S3Offload(prefix="reports/")``; None takes the environment's.
    """

    name: str
    queue_url: str | None = None
    max_receive_count: int | None = None
    dead_letter_queue: str | None = None
    visibility_timeout_seconds: int | None = None
    message_retention_seconds: int = limits.DEFAULT_RETENTION_SECONDS
    delay_seconds: int = 0
    content_based_deduplication: bool | None = None
    default_group_id: str = "default"
    codec: str | None = None
    accept: Sequence[str] | None = None
    readers: Sequence[Callable[..., Any]] = ()
    compress_above_bytes: int | None = COMPRESS_ABOVE_BYTES
    max_message_bytes: int = limits.MAX_MESSAGE_BYTES
    runs_on: RunsOn = "lambda"
    task_defaults: TaskDefaults | None = None
    weight: float = 1
    priority_group: str | None = None
    offload: S3Offload | None = None

    def __post_init__(self) -> None:
        check_queue_name(self.name)
        _check_range(self, "max_receive_count", 1, limits.MAX_RECEIVE_COUNT, optional=True)
        _check_range(self, "visibility_timeout_seconds", 0, limits.MAX_VISIBILITY_SECONDS, optional=True)
        _check_range(self, "message_retention_seconds", limits.MIN_RETENTION_SECONDS, limits.MAX_RETENTION_SECONDS)
        _check_range(self, "delay_seconds", 0, limits.MAX_DELAY_SECONDS)
        _check_range(self, "max_message_bytes", 1024, limits.MAX_MESSAGE_BYTES)
        limits.check_number(self.weight, f"queue {self.name!r}: weight", 0, whole=False, above=True)
        if self.runs_on not in get_args(RunsOn):
            raise ConfigurationError(
                f"queue {self.name!r}: runs_on={self.runs_on!r} must be 'lambda', 'fargate' or 'external'"
            )
        if self.content_based_deduplication and not self.fifo:
            raise ConfigurationError(
                f"queue {self.name!r}: content_based_deduplication needs a FIFO queue; try the name '{self.name}.fifo'"
            )
        if self.default_group_id != "default":
            from sqs_tasks.registration.group_ids import check_group_id  # few queues have another

            check_group_id(self.default_group_id, f"queue {self.name!r}: default_group_id")
        if isinstance(self.accept, str):
            raise ConfigurationError(
                f"queue {self.name!r}: accept={self.accept!r} must be a list of content types; "
                f"try accept=[{self.accept!r}]"
            )
        check_task_defaults(self.task_defaults, f"queue {self.name!r}")
        for reader in self.readers:
            if not callable(reader):
                raise ConfigurationError(
                    f"queue {self.name!r}: {reader!r} in readers= is no reader, which is a function; "
                    "try readers=[readers.celery], from sqs_tasks import readers"
                )
        dead = self.dead_letter_queue
        if dead is not None and "://" not in dead:
            check_queue_name(dead)
            if dead == self.name:
                raise ConfigurationError(f"queue {self.name!r} cannot be its own dead-letter queue")
            if dead.endswith(".fifo") is not self.fifo:
                kind = "FIFO" if self.fifo else "standard"
                raise ConfigurationError(
                    f"queue {self.name!r}: its dead-letter queue {dead!r} must be {kind} too; "
                    f"try {default_dead_letter_queue(self.name)!r}"
                )

    @property
    def fifo(self) -> bool:
        """Whether SQS keeps the order of each message group."""
        return self.name.endswith(".fifo")


class TaskDefaults(TypedDict, total=False):
    """The options that tasks may have by default; each is documented on :class:`TaskSettings`."""

    max_attempts: int | None
    timeout: float | None
    memory_mib: int | None
    backoff_policy: BackoffPolicy | None
    no_retry_on: tuple[type[BaseException], ...]
    max_age: float | None
    expired: Literal["drop", "dead_letter"]
    log_retries: LogRetries | None
    postpones: bool
    isolate_failures: bool
    pass_context: bool
    context_var: str
    fair_by: str | None
    group_by: str | None
    ignore_unknown_arguments: bool
    delay_seconds: int | None
    enqueues: Sequence[str] | None
    redact: Sequence[str] | Callable[[dict[str, Any]], Any]
    record: bool
    record_seconds: float | None
    idempotent: bool
    once_seconds: float | None
    interrupt_on_cancel: bool
    limits: Sequence[Limit | SharedLimit]
    unique: Unique | None
    debounce: Debounce | None


class TaskOptions(TaskDefaults, total=False):
    """The keywords of ``queue.processor``; each is documented on :class:`TaskSettings`."""

    aliases: Sequence[str]
    schedule: Schedule | Expression | None


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """A task as the registry knows it.

    Attributes:
        name: The task's name on the wire; unique in its queue.
        max_attempts: Attempts after which a failing job goes to the dead-letter queue. A delivery in which nothing ran
            (a throttle, a crash, a stop) counts too, since SQS counts deliveries and not runs; one that raised
            ``Postpone`` or came before its time does not on standard queues. None leaves it to ``max_receive_count``.
        timeout: Seconds one run may take. ``async def`` tasks are cancelled then; plain ones are interrupted where
            the runtime can (Lambda's main thread); the stack computes function timeouts from it everywhere.
        backoff_policy: How long a failed job waits; None takes the queue's.
        memory_mib: MiB that the process of one job may hold, application included, with ``sqs-tasks worker --isolate
            process``; above it the process is killed and the job has failed. Elsewhere it limits nothing.
        no_retry_on: Exceptions after which no further attempt can help: the job goes to the dead-letter queue.
        max_age: Seconds after which a job that has not run goes to the dead-letter queue instead. They count from the
            first send of the job.
        expired: What becomes of a job that is older: ``"dead_letter"``, or ``"drop"`` to delete it and count it as
            skipped.
        log_retries: How a failed attempt is logged that is not the last; None takes the environment's way.
        postpones: Whether the task raises ``Postpone`` often, one job more than a few times. In Lambda such a function
            sends to its own queue, and the stack lets it.
        isolate_failures: Batch processors: run a batch that raised again one by one; what it did before is done twice.
        aliases: Older names under which queued jobs may still arrive.
        pass_context: Whether the function takes the job's context.
        context_var: The parameter that takes it.
        fair_by: Standard queues: the argument whose value becomes the message group, so that SQS serves tenants
            fairly (S39).
        group_by: FIFO queues: the argument whose value becomes the message group, so that groups run in parallel.
        ignore_unknown_arguments: Drop arguments the function does not take instead of rejecting the job.
        delay_seconds: How long SQS delays each job, 0 to 900; standard queues only.
        enqueues: Queues this task adds jobs to, for least privilege and recursion checks at synth; None for any.
        record: Whether the state, progress and result of each job are kept in the store; see ``docs/store.md``.
        record_seconds: How long after the last change; None for 14 days.
        idempotent: Whether a job that was done does not run again when SQS delivers it again.
        once_seconds: How long a job that was done is remembered; None for 14 days.
        interrupt_on_cancel: ``async def`` tasks with records: end them at once when their job is cancelled.
        limits: How many of its jobs may begin in a time, and run at once: ``[RateLimit(10), ConcurrencyLimit(3)]``.
            A job above a limit is put off, which is no attempt; ``postpones`` is true then.
        unique: Whether jobs of one value are the same work, done once for those sent before: ``Unique(by="id")``.
        debounce: Whether of jobs sent shortly after each other the last runs: ``Debounce(by="id")``. They are delayed.
        schedule: When EventBridge Scheduler adds a job: ``Cron(...)``, ``Every(...)``, or a ``Schedule`` of one of
            them with arguments and options. Several are added by ``task.schedule(...)``.
        redact: What of the arguments is hidden where dead letters are shown: names of arguments, or a function that
            gets the arguments as plain data of JSON and returns what may be seen.
    """

    name: str
    max_attempts: int | None = None
    timeout: float | None = None
    memory_mib: int | None = None
    backoff_policy: BackoffPolicy | None = None
    no_retry_on: tuple[type[BaseException], ...] = ()
    max_age: float | None = None
    expired: Literal["drop", "dead_letter"] = "dead_letter"
    log_retries: LogRetries | None = None
    postpones: bool = False
    isolate_failures: bool = False
    aliases: Sequence[str] = ()
    pass_context: bool = False
    context_var: str = "context"
    fair_by: str | None = None
    group_by: str | None = None
    ignore_unknown_arguments: bool = False
    delay_seconds: int | None = None
    enqueues: Sequence[str] | None = field(default=None)
    record: bool = False
    record_seconds: float | None = None
    idempotent: bool = False
    once_seconds: float | None = None
    interrupt_on_cancel: bool = False
    limits: Sequence[Limit | SharedLimit] = ()
    unique: Unique | None = None
    debounce: Debounce | None = None
    schedule: Schedule | Expression | None = None
    redact: Sequence[str] | Callable[[dict[str, Any]], Any] = ()

    def __post_init__(self) -> None:
        if isinstance(self.aliases, str):
            raise ConfigurationError(f"task {self.name!r}: aliases={self.aliases!r} must be a list of names")
        for name in (self.name, *self.aliases):
            if not isinstance(name, str) or not _TASK_NAME.fullmatch(name):
                raise ConfigurationError(
                    f"task name {name!r} must be 1 to 256 characters without control characters; try 'send_email'"
                )
        if isinstance(self.redact, str):
            raise ConfigurationError(
                f"task {self.name!r}: redact={self.redact!r} must be a list of names of arguments, or a function; "
                f"try redact=[{self.redact!r}]"
            )
        _check_range(self, "max_attempts", 1, limits.MAX_RECEIVE_COUNT, optional=True)
        _check_range(self, "delay_seconds", 0, limits.MAX_DELAY_SECONDS, optional=True)
        _check_range(self, "memory_mib", 16, 2**24, optional=True)
        _check_positive(self, "timeout", limits.MAX_VISIBILITY_SECONDS)
        _check_positive(self, "max_age", limits.MAX_RETENTION_SECONDS)
        if self.debounce and self.delay_seconds is None:
            object.__setattr__(self, "delay_seconds", getattr(self.debounce, "quiet_seconds", None))
        if self.limits or self.unique:
            object.__setattr__(self, "postpones", True)
        for seconds in ("record_seconds", "once_seconds"):
            _check_positive(self, seconds, limits.MAX_REMEMBERED_SECONDS)
        if self.expired not in {"drop", "dead_letter"}:
            raise ConfigurationError(
                f'task {self.name!r}: expired={self.expired!r} must be "dead_letter" or "drop"; leave it out for '
                '"dead_letter"'
            )
        limits.check_choice(self.log_retries, f"task {self.name!r}: log_retries", (None, *get_args(LogRetries)))
        targets: Any = self.enqueues
        if targets is not None and (isinstance(targets, str) or not all(isinstance(one, str) for one in targets)):
            from sqs_tasks.registration.task_checks import no_queue_names

            raise no_queue_names(self.name, targets)
        if self.backoff_policy is not None and not hasattr(self.backoff_policy, "get_visibility_timeout"):
            raise ConfigurationError(
                f"task {self.name!r}: backoff_policy={self.backoff_policy!r} is not a backoff policy; "
                "try ExponentialBackoff(...) or ConstantBackoff(seconds)"
            )
        exceptions = self.no_retry_on
        if not isinstance(exceptions, tuple) or not all(
            isinstance(one, type) and issubclass(one, BaseException) for one in exceptions
        ):
            raise ConfigurationError(
                f"task {self.name!r}: no_retry_on={exceptions!r} must be a tuple of exception classes; "
                "try no_retry_on=(ValueError,)"
            )


def check_task_defaults(defaults: TaskDefaults | None, label: str) -> None:
    """Refuse defaults that no task could have.

    Raises:
        ConfigurationError: One is unknown, belongs to one task, or has a value that cannot work.
    """
    if defaults:
        from sqs_tasks.registration.task_defaults import check_defaults  # most tasks say all themselves

        check_defaults(defaults, label, known=TaskSettings.__dataclass_fields__, check=TaskSettings)


def check_task(task: TaskSettings, queue: QueueSettings, backoff_policy: BackoffPolicy) -> None:
    """Refuse what a task says if its queue makes it impossible.

    Args:
        task: The task.
        queue: Its queue.
        backoff_policy: The queue's policy, for tasks without their own.

    Raises:
        ConfigurationError: Attempts that SQS does not grant, an option for the other kind of queue, or an age that
            every job, or every retry by the task's own policy, has passed before it runs. Where the policy is that of
            the queue or the environment, it is logged: the task may be one whose retries nobody needs.
    """
    label = f"task {task.name!r} on queue {queue.name!r}"
    most = queue.max_receive_count
    if most is not None and task.max_attempts is not None and task.max_attempts > most:
        raise ConfigurationError(
            f"{label}: max_attempts={task.max_attempts} cannot be reached, SQS moves the message to the dead-letter "
            f"queue after max_receive_count={most} deliveries; raise that to "
            f"{task.max_attempts + limits.RECEIVE_HEADROOM}"
        )
    if queue.fifo and (task.delay_seconds or task.fair_by):
        option = "fair_by" if task.fair_by else "delay_seconds"
        raise ConfigurationError(
            f"{label}: {option} is for standard queues; a FIFO queue has group_by, and delay_seconds on env.queue()"
        )
    if queue.fifo and task.postpones and queue.dead_letter_queue is not None:
        from sqs_tasks.registration.task_checks import check_fifo_receives  # few tasks postpone there

        check_fifo_receives(most, label, {"queue_name": queue.name, "job_name": task.name})
    if not queue.fifo and task.group_by:
        raise ConfigurationError(
            f"{label}: group_by is for FIFO queues, whose name ends in '.fifo'; standard queues have fair_by"
        )
    if task.max_age is None:
        return
    from sqs_tasks.registration.task_checks import check_age  # most tasks have no limit

    is_last = task.max_attempts == 1
    check_age(
        label,
        task.max_age,
        delay=queue.delay_seconds if task.delay_seconds is None else task.delay_seconds,
        first_backoff=None if is_last else first_delay_seconds(task.backoff_policy or backoff_policy),
        is_own_policy=task.backoff_policy is not None,
        fields={"queue_name": queue.name, "job_name": task.name},
    )


def check_queue_name(name: object) -> None:
    """Refuse a name that SQS would refuse.

    Raises:
        ConfigurationError: Not 1 to 80 letters, digits, hyphens and underscores, with ``.fifo`` as the only suffix.
    """
    if not isinstance(name, str) or not _QUEUE_NAME.fullmatch(name) or len(name) > limits.MAX_QUEUE_NAME_CHARS:
        raise ConfigurationError(
            f"queue name {name!r} must be 1 to {limits.MAX_QUEUE_NAME_CHARS} letters, digits, '-' and '_', "
            "ending in '.fifo' for a FIFO queue"
        )


def queue_name_in(queue_url: str) -> str:
    """The name in SQS of the queue at a URL: the last part of its path."""
    return queue_url.rstrip("/").rpartition("/")[2]


def staged_prefix(queue_prefix: str, variables: Mapping[str, str]) -> str:
    """What queue names begin with in this process: ``shop-`` is ``shop-dev-`` in the stage ``dev``.

    Args:
        queue_prefix: The prefix in code; SQS_TASKS_QUEUE_PREFIX takes its place.
        variables: The process's environment. The stage is SQS_TASKS_STAGE.

    Raises:
        ConfigurationError: The stage cannot be part of a queue's name.
    """
    prefix, stage = variables.get(PREFIX_VARIABLE) or queue_prefix, variables.get(STAGE_VARIABLE)
    if not stage:
        return prefix
    if _STAGE.fullmatch(stage) is None:
        raise ConfigurationError(
            f"{STAGE_VARIABLE}={stage!r} cannot be part of a queue's name; use letters, digits, '-' and '_': 'dev'"
        )
    return f"{prefix}{stage}-"


def default_dead_letter_queue(name: str) -> str | None:
    """``emails`` → ``emails_dead``, ``emails.fifo`` → ``emails_dead.fifo``; None for what is a dead-letter queue."""
    stem, dot, suffix = name.partition(".")
    return None if stem.endswith("_dead") else f"{stem}_dead{dot}{suffix}"


def _label(settings: QueueSettings | TaskSettings) -> str:
    return f"{'queue' if isinstance(settings, QueueSettings) else 'task'} {settings.name!r}"


def _check_range(
    settings: QueueSettings | TaskSettings, name: str, least: int, most: int, *, optional: bool = False
) -> None:
    value = getattr(settings, name)
    if value is not None or not optional:
        unit = "seconds" if name.endswith("_seconds") else ""
        limits.check_number(value, f"{_label(settings)}: {name}", least, most, unit=unit)


def _check_positive(settings: TaskSettings, name: str, most: float) -> None:
    value = getattr(settings, name)
    if value is not None:
        label = f"{_label(settings)}: {name}"
        limits.check_number(value, label, 0, most, unit="seconds", whole=False, above=True)
