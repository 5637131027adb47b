"""What a queue asks of the environment it belongs to; for type checkers alone, so nothing imports it at run time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from sqs_tasks.backoff_policies import BackoffPolicy
from sqs_tasks.client import ClientProvider
from sqs_tasks.codecs import CodecRegistry
from sqs_tasks.context import SQSContext
from sqs_tasks.guards.handle import JobHandle
from sqs_tasks.hooks import AroundRequest, Hook
from sqs_tasks.message import Job, OutgoingMessage
from sqs_tasks.middleware import Middleware
from sqs_tasks.offload.s3_offload import S3Offload
from sqs_tasks.outcome import Outcome
from sqs_tasks.processors import Processor
from sqs_tasks.queue_statistics import QueueStatistics
from sqs_tasks.receipts import Receipt
from sqs_tasks.scheduling.eventbridge import Scheduler
from sqs_tasks.sending.held_messages import Hold
from sqs_tasks.sending.outbox import Deliver
from sqs_tasks.settings import TaskDefaults
from sqs_tasks.store.protocol import Store


class ProcessorMaker(Protocol):
    """Makes the processor of a task; ``Processor`` itself is one."""

    def __call__(
        self, queue: Any, fn: Callable[..., Any], job_name: str = "", pass_context: bool = False, context_var: str = ""
    ) -> Processor:
        """The processor."""


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
    scheduler: Scheduler | None
    direct_calls: bool
    task_defaults: TaskDefaults | None
    store: Store | None
    offload: S3Offload | None
    deliver: Deliver | None
    pre_send: Hook[[OutgoingMessage]]
    post_send: Hook[[OutgoingMessage, Receipt]]
    pre_task: Hook[[Job]]
    post_task: Hook[[Job, Outcome]]
    report_queue_stats: Hook[[str, QueueStatistics]]
    on_start: Hook[[]]
    on_stop: Hook[[]]
    around_request: AroundRequest | None
    hold: Hold | None
    log_retries: Literal["message", "traceback"]

    def job(self, job_id: str) -> JobHandle:
        """A job by its id."""

    @property
    def queues(self) -> Mapping[str, Any]:
        """The registered queues by name."""

    def load_tasks(self) -> None:
        """Import the modules that register tasks."""

    def get_sqs_queue_name(self, queue_name: str) -> str:
        """The name in SQS: the prefix and the name in code."""

    def get_queue_url(self, queue_name: str, *, beside: str | None = None) -> str:
        """The URL of a queue by its name in code, or the URL that was given as its name."""
