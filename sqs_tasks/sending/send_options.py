"""How one job is sent: its options, and what a task asks of the queue that sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from sqs_tasks.message import MessageAttribute, OutgoingMessage
from sqs_tasks.receipts import Receipt

if TYPE_CHECKING:
    from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule
    from sqs_tasks.scheduling.schedule import Schedule
    from sqs_tasks.settings import TaskSettings


@dataclass(frozen=True, kw_only=True)
class SendOptions:
    """How one job is sent, beside its arguments.

    Attributes:
        delay_seconds: How long it is held back: up to 900 seconds by SQS, on standard queues; longer, and on FIFO
            queues, by EventBridge Scheduler, which is precise to the minute.
        run_at: When it is due, instead of a delay; timezone-aware. A moment that has passed is now.
        group_id: The message group: the order on FIFO queues, the tenant on standard ones (S39).
        deduplication_id: FIFO only: a second message with this id within five minutes is not delivered.
        content_type: The codec to write it with.
        message_attributes: Further SQS message attributes; a string is enough for each.
        queue: The queue to send to instead of the task's own.
        priority: The class of the job, where its task is on ``env.priority_queues(...)``; None for the default one.
        outbox: Writes the job as a row into the transaction of a Session, an AsyncSession or a Connection of
            SQLAlchemy, or of a database of Django by its alias; ``sqs-tasks outbox relay`` sends it after the commit.
        then: A job that is sent when this one has succeeded: ``notify.bake(order)``. Its id ends with ``/then``.
        on_failure: A job that is sent when a worker moves this one to the dead-letter queue; its id ends with
            ``/on_failure``.
    """

    delay_seconds: float | None = None
    run_at: datetime | None = None
    group_id: str | None = None
    deduplication_id: str | None = None
    content_type: str | None = None
    message_attributes: Mapping[str, str | MessageAttribute] = field(default_factory=dict)
    queue: Enqueuer | None = None
    priority: str | None = None
    outbox: object = None
    then: Follower | None = None
    on_failure: Follower | None = None


class SendOptionsDict(TypedDict, total=False):
    """The keywords of :meth:`AsyncTask.options`; each is documented on :class:`SendOptions`."""

    delay_seconds: float | None
    run_at: datetime | None
    group_id: str | None
    deduplication_id: str | None
    content_type: str | None
    message_attributes: Mapping[str, str | MessageAttribute]
    queue: Enqueuer | None
    priority: str | None
    outbox: object
    then: Follower | None
    on_failure: Follower | None


class Follower(Protocol):
    """A task with its arguments that follows a job: what ``bake()`` of a task returns."""

    @property
    def queue(self) -> Enqueuer:
        """The queue it goes to."""

    @property
    def options(self) -> SendOptions:
        """How it is sent."""

    def message(self) -> OutgoingMessage:
        """The message that would be sent now."""


class OptionsOfCall(Protocol):
    """Gives the options of each job by its arguments; asked once for each, in their order."""

    @property
    def outbox(self) -> object:
        """What all of them have in common; see :class:`SendOptions`."""

    def __call__(self, call: Mapping[str, Any], /) -> SendOptions:
        """The options of a job with these arguments."""


class Enqueuer(Protocol):
    """What a task uses of a queue."""

    @property
    def name(self) -> str:
        """The queue's name in code."""

    def enqueue(
        self, job_name: str, job_kwargs: Mapping[str, Any], options: SendOptions, settings: TaskSettings | None
    ) -> Receipt:
        """Send a job whose arguments are bound already."""

    def message(
        self, job_name: str, job_kwargs: Mapping[str, Any], options: SendOptions, settings: TaskSettings | None
    ) -> OutgoingMessage:
        """The message that would carry a job; nothing is sent."""

    def enqueue_many(
        self,
        jobs: Iterable[tuple[str, Mapping[str, Any]]],
        options: SendOptions | OptionsOfCall,
        settings: TaskSettings | None,
        *,
        max_in_flight: int,
    ) -> int:
        """Send any number of jobs whose arguments are bound already."""

    def enqueue_async(
        self, job_name: str, job_kwargs: Mapping[str, Any], options: SendOptions, settings: TaskSettings | None
    ) -> Coroutine[Any, Any, Receipt]:
        """Send a job while the event loop goes on."""

    async def enqueue_many_async(
        self,
        jobs: AsyncIterator[tuple[str, Mapping[str, Any]]],
        options: SendOptions | OptionsOfCall,
        settings: TaskSettings | None,
        *,
        max_in_flight: int,
    ) -> int:
        """Send any number of jobs while the event loop goes on."""

    def add_batch(self) -> AbstractContextManager[None]:
        """Collect what is sent in a block."""

    def add_batch_async(self) -> AbstractAsyncContextManager[None]:
        """Collect what a coroutine sends in a block."""

    def add_schedule(self, task: Any, label: str, schedule: Schedule) -> RegisteredSchedule:
        """Register a schedule of a task."""
