"""The Lambda runtime: an SQS event in, exactly ``{"batchItemFailures": [...]}`` out.

Two lines turn a registry into a handler::

    from sqs_tasks.aws_lambda import SQSEventHandler
    handler = SQSEventHandler(env)

The event source mapping must report batch item failures (the CDK constructs always turn this on). Otherwise Lambda
ignores the answer and deletes the whole batch (S9).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from sqs_tasks.client import account_of, region_of, urls_from_environment
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.execution.running_job import add_job_fields
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.hooks import Hook
from sqs_tasks.lambda_runtime.deadline import ObservedDurations
from sqs_tasks.lambda_runtime.invocation import Invocation, InvocationOptions
from sqs_tasks.lambda_runtime.queue_run import AnswerCheck, run_queue
from sqs_tasks.lambda_runtime.records import read_records
from sqs_tasks.limits import MAX_BATCHING_WINDOW_SECONDS, check_number
from sqs_tasks.loggers import all_handlers, keep_loggers
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.settings import queue_name_in

if TYPE_CHECKING:
    from sqs_tasks.execution.settlement import Settlement
    from sqs_tasks.lambda_runtime.job_report import JobReport
    from sqs_tasks.middleware import Middleware

logger = logging.getLogger(__name__)

#: The mapping's batching window in seconds, which the stack tells the function.
BATCHING_WINDOW_VARIABLE = "SQS_TASKS_BATCHING_WINDOW_SECONDS"

#: How Lambda says that a function starts.
INITIALIZATION_VARIABLE = "AWS_LAMBDA_INITIALIZATION_TYPE"

#: Where the account stands in ``arn:aws:lambda:region:account:function:name``.
_ACCOUNT_PART = 4


class BatchItemFailure(TypedDict):
    """One message that stays in the queue."""

    itemIdentifier: str


class BatchResponse(TypedDict):
    """The partial batch response (S10, S11)."""

    batchItemFailures: list[BatchItemFailure]


class LambdaContext(Protocol):
    """What the handler uses of Lambda's context."""

    @property
    def aws_request_id(self) -> str:
        """The id of the invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""


class SQSEventHandler:
    """A Lambda handler for the queues of an environment.

    It raises only for events that are not from SQS, before anything has run. A task's failure of any kind is an entry
    of the answer. So the function's Errors metric means a fault in the function itself (S13).

    Args:
        env: The environment with its queues and tasks.
        margin_seconds: The time that is kept free at the end of an invocation, at most half of it. None takes 2
            seconds, or a tenth of the time where that is less.
        concurrency: Jobs at a time, in threads. Each FIFO group stays in order. With more than 1 a plain task cannot
            be stopped at its timeout; it is then reported as failed and runs on (S52).
        eager_acknowledgement: Delete each message as soon as its job has succeeded, with one request for each. Lambda
            deletes them all after the invocation, so without this finished jobs run again after a crash (S15).
        middleware: Wraps each job outside the environment's own, for what concerns this runtime only.

    Attributes:
        on_start: Hook, called with the messages that run next, several for a batch processor, and their queue's name,
            in the thread that runs them.
        on_settled: Hook, called with a :class:`JobReport` for each message, in the same thread.
        on_finished: Hook, called at the end of each invocation, whatever happened in it.
        on_responses_ignored: Hook, called with a queue's name when messages turn out to be deleted that the answer
            kept: its event source mapping does not report batch item failures (S9).
    """

    def __init__(
        self,
        env: SQSEnv,
        *,
        margin_seconds: float | None = None,
        concurrency: int = 1,
        eager_acknowledgement: bool = False,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        if margin_seconds is not None:
            check_number(margin_seconds, "margin_seconds", 0, unit="seconds", whole=False)
        check_number(concurrency, "concurrency", 1)
        env.load_tasks()
        keep_loggers()
        add_job_fields(all_handlers())
        if middleware:
            from sqs_tasks.middleware import check_kinds  # most functions have none of their own

            for queue in env.queues.values():
                for task in queue.tasks:
                    if not task.is_async:  # a plain one over an async task may pass on what it gets
                        check_kinds(middleware, job_name=task.name, is_async=False)
        self.env = env
        self.on_start: Hook[[Sequence[ReceivedMessage], str]] = Hook("on_start")
        self.on_settled: Hook[[JobReport]] = Hook("on_settled")
        self.on_finished: Hook[[]] = Hook("on_finished")
        self.on_responses_ignored: Hook[[str]] = Hook("on_responses_ignored")
        self._options = InvocationOptions(
            margin_seconds=margin_seconds,
            concurrency=concurrency,
            eager_acknowledgement=eager_acknowledgement,
            batching_window_seconds=_batching_window(os.environ),
            middleware=tuple(middleware),
            on_start=self.on_start,
            on_settled=self.on_settled,
            on_responses_ignored=self.on_responses_ignored,
            durations=ObservedDurations(),
        )
        self._given_urls = urls_from_environment(os.environ)
        self._by_arn: dict[str, GenericQueue] = {}
        #: What is known of each mapping, by ARN; made when a message has failed.
        self._checks: dict[str, AnswerCheck | None] = {}
        if os.environ.get(INITIALIZATION_VARIABLE) == "snap-start":
            from sqs_tasks.lambda_runtime.snapshots import SnapshotHooks  # one kind of function in many

            SnapshotHooks(env.client, start=self._start).register()
        else:
            self._start()

    def _start(self) -> None:
        if self.env.on_start.callbacks:
            from sqs_tasks.execution.life import start  # most functions open nothing of their own

            start(self.env)
            add_job_fields(all_handlers())  # it may have set up logging

    def __call__(self, event: Any, context: LambdaContext | None = None) -> BatchResponse:
        """Run the jobs of an event and name those that stay in the queue.

        Raises:
            ConfigurationError: The event is not from SQS; nothing has run, and Lambda keeps whatever it was.
        """
        records = read_records(event)
        # Read before any task runs: one may have the event in its hands, and change it.
        message_ids = [record["messageId"] for record in records]
        invocation = Invocation(self._options, context)
        try:
            try:
                with invocation.deadline.alarm:
                    self._run(records, invocation, context)
            except BaseException:  # ours or a collaborator's fault; what is not done is in the answer
                logger.exception("the batch was cut short", extra={"action": "batch_failed"})
            if self.on_finished.callbacks:
                self.on_finished.emit()
            if invocation.has_run_coroutines:
                self._recycle(records, invocation, context)
        except BaseException:  # noqa: BLE001, S110 - not even the log works; the answer is all that counts now
            pass
        done = invocation.done
        kept = dict.fromkeys([message_id for message_id in message_ids if message_id not in done])
        return {"batchItemFailures": [{"itemIdentifier": one} for one in kept]}

    def queue_for(self, arn: str) -> GenericQueue | None:
        """The registered queue an ARN means, or None.

        In every partition its last part is the name in SQS (S5). A name is one queue within one account and region
        alone: a queue that is known by its URL is that of the URL's account and region.
        """
        queue = self._by_arn.get(arn)
        if queue is None:  # the first time, or a queue that was registered meanwhile
            queue = self._find(arn)
            if queue is not None:
                self._by_arn[arn] = queue
        return queue

    def _find(self, arn: str) -> GenericQueue | None:
        name = arn.rpartition(":")[2]
        by_name: GenericQueue | None = None
        for queue in self.env.queues.values():
            url = queue.settings.queue_url or self._given_urls.get(queue.name)
            if url is None:
                if queue.get_sqs_queue_name() == name:
                    by_name = queue
            elif queue_name_in(url) == name and _may_mean(arn, url):
                return queue
        return by_name

    def _run(self, records: Sequence[Mapping[str, Any]], invocation: Invocation, context: LambdaContext | None) -> None:
        arns = dict.fromkeys([record["eventSourceARN"] for record in records])
        for arn in arns:
            batch = records if len(arns) == 1 else [one for one in records if one["eventSourceARN"] == arn]
            queue = self.queue_for(arn)
            if queue is None:
                logger.error(
                    "no queue is registered for %s (there are %s); its messages stay in it",
                    arn,
                    ", ".join(_place(one, self._given_urls) for one in self.env.queues.values()) or "none",
                    extra={"action": "unknown_queue", "queue_arn": arn},
                )
                invocation.leave(batch, arn.rpartition(":")[2], "its queue is not registered")
                continue
            # The ARN says what kind it is; standard queues have message groups too (S2).
            self._checks[arn] = run_queue(
                invocation,
                queue,
                batch,
                fifo=arn.endswith(".fifo"),
                queue_url=partial(self._url, queue, arn, context),
                max_receive_count=self._max_receive_count(queue),
                check=self._checks.get(arn),
            )

    def _recycle(self, records: Sequence[Mapping[str, Any]], invocation: Invocation, context: Any) -> None:
        from sqs_tasks.execution.event_loop import is_lost  # imported by its coroutines already

        if not is_lost():
            return
        from sqs_tasks.lambda_runtime.recycling import recycle  # few functions ever lose a loop

        batches: list[tuple[Settlement, Sequence[Mapping[str, Any]]]] = []
        for arn in dict.fromkeys([record["eventSourceARN"] for record in records]):
            queue = self.queue_for(arn)
            if queue is not None:
                settlement = queue.settlement(queue_url=partial(self._url, queue, arn, context))
                batches.append((settlement, [one for one in records if one["eventSourceARN"] == arn]))
        recycle(invocation, batches)

    def _max_receive_count(self, queue: GenericQueue) -> int | None:
        """As registered, or as the stack computed it, which has made the queues whose URLs it gives; else None."""
        settings = queue.settings
        is_of_stack = settings.queue_url is None and queue.name in self._given_urls
        if settings.dead_letter_queue is None or (settings.max_receive_count is None and not is_of_stack):
            return None
        return queue.max_receive_count

    def _url(self, queue: GenericQueue, text: str, context: LambdaContext | None) -> str:
        """The URL of the queue that an ARN means, which may be another account's (S5)."""
        from sqs_tasks.lambda_runtime.queue_arn import QueueArn  # asked for with the first call to SQS

        known = queue.settings.queue_url or self._given_urls.get(queue.name)
        if known is not None:
            return known
        arn = QueueArn.parse(text)
        own = str(getattr(context, "invoked_function_arn", "")).split(":")
        foreign = len(own) > _ACCOUNT_PART and own[_ACCOUNT_PART] != arn.account_id
        return self.env.urls.get(arn.queue_name, account_id=arn.account_id if foreign else None)


def _place(queue: GenericQueue, given_urls: Mapping[str, str]) -> str:
    """Where a queue is: its URL, which counts where the stack chose the name (C6), or its name in SQS."""
    return queue.settings.queue_url or given_urls.get(queue.name) or queue.get_sqs_queue_name()


def _may_mean(arn: str, url: str) -> bool:
    """Whether an ARN is of the account and region that a URL names; those of emulators name others, or none."""
    region = region_of(url)
    return region is None or not url.startswith("https:") or arn.split(":")[3:5] == [region, account_of(url)]


def _batching_window(variables: Mapping[str, str]) -> float:
    text = variables.get(BATCHING_WINDOW_VARIABLE) or "0"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_BATCHING_WINDOW_SECONDS:
        raise ConfigurationError(f"{BATCHING_WINDOW_VARIABLE}={text!r} must be seconds, 0 to 300")
    return seconds


def __getattr__(name: str) -> Any:
    if name != "JobReport":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sqs_tasks.lambda_runtime.job_report import JobReport  # a function that reports nothing needs none

    return JobReport


__all__ = ["BatchItemFailure", "BatchResponse", "JobReport", "LambdaContext", "SQSEventHandler"]
