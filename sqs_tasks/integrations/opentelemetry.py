"""OpenTelemetry by the messaging conventions: spans from the producer to the end of the job, and metrics.

::

    from sqs_tasks.integrations.opentelemetry import instrument

    env = SQSEnv()
    instrument(env)

Spans, each named for its operation and the queue:

- ``create``, of each message. Its context travels in the message attribute ``traceparent`` (and ``tracestate``), by
  whatever propagator is configured.
- ``send``, ``receive``, ``delete`` and ``change_visibility``, of each request, linked to the ``create`` spans of its
  messages. A receive that brings nothing has none, nor has a heartbeat.
- ``process``, of each job: the child of its ``create`` span and linked to it; that of a call of a batch processor is
  linked to all.

Metrics: ``messaging.client.operation.duration``, ``messaging.client.sent.messages``,
``messaging.client.consumed.messages``, ``messaging.process.duration``, ``sqs_tasks.jobs`` by what became of them, and
in a container worker ``sqs_tasks.jobs_over_timeout``, the jobs that run beyond their timeout at this moment.
Needs ``opentelemetry-api``; without an SDK every call is a no-op.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, TypeAlias

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.propagators.textmap import Getter, Setter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TracerProvider

from sqs_tasks import limits
from sqs_tasks.__version__ import __version__
from sqs_tasks.client import error_code
from sqs_tasks.errors import UnknownTaskError
from sqs_tasks.hooks import AroundRequest, Hook, Request
from sqs_tasks.message import Job, JobBatch, MessageAttribute, OutgoingMessage, ReceivedMessage, string_attribute
from sqs_tasks.middleware import Middleware, context_middleware
from sqs_tasks.outcome import UNKNOWN_TASK_NAME, Outcome, Retry, UnknownTask

#: Names of https://opentelemetry.io/docs/specs/semconv/messaging/ and its page for Amazon SQS, as strings: the package
#: that has them as constants is another dependency, and calls these experimental.
SYSTEM = "messaging.system"
DESTINATION = "messaging.destination.name"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
MESSAGE_ID = "messaging.message.id"
BATCH_COUNT = "messaging.batch.message_count"
GROUP_ID = "messaging.message.conversation_id"
ERROR_TYPE = "error.type"

#: Ours: the task, the attempt, and what became of the job.
TASK, ATTEMPT, OUTCOME = "sqs_tasks.task", "sqs_tasks.attempt", "sqs_tasks.outcome"

#: Seconds; the boundaries that the conventions advise for ``messaging.process.duration``.
BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class InstrumentedEnvironment(Protocol):
    """What is asked of an environment."""

    middleware: tuple[Middleware, ...]
    pre_send: Hook[[OutgoingMessage]]
    post_task: Hook[[Job, Outcome]]
    around_request: AroundRequest | None

    @property
    def queues(self) -> Mapping[str, Any]:
        """The queues by their names in code."""


def instrument(
    env: InstrumentedEnvironment,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Trace and measure what an environment sends and runs, in every runtime.

    Call it once, before workers or handlers are made from the environment.

    Args:
        env: The environment.
        tracer_provider: Where spans go; the global one unless given.
        meter_provider: Where metrics go; the global one unless given.
    """
    telemetry = _Telemetry(
        trace.get_tracer(__name__, __version__, tracer_provider),
        metrics.get_meter(__name__, __version__, meter_provider),
        env,
    )
    env.pre_send(telemetry.creating)
    env.post_task(telemetry.ended)
    env.around_request = telemetry.requesting
    # Outermost: what the application's own middleware does is part of the job's span.
    env.middleware = (context_middleware(telemetry.processing), *env.middleware)


class _Telemetry:
    """The instruments; they are thread-safe, and nothing else is kept."""

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter, env: InstrumentedEnvironment) -> None:
        self._tracer = tracer
        self._env = env
        self._sent = meter.create_counter(
            "messaging.client.sent.messages", unit="{message}", description="Messages sent, or tried to."
        )
        self._consumed = meter.create_counter(
            "messaging.client.consumed.messages", unit="{message}", description="Messages received."
        )
        self._jobs = meter.create_counter("sqs_tasks.jobs", unit="{job}", description="Jobs by what became of them.")
        self._request_duration = meter.create_histogram(
            "messaging.client.operation.duration",
            unit="s",
            description="How long requests to SQS took; those of a receive wait for messages.",
            explicit_bucket_boundaries_advisory=BOUNDARIES,
        )
        self._duration = meter.create_histogram(
            "messaging.process.duration",
            unit="s",
            description="How long jobs ran.",
            explicit_bucket_boundaries_advisory=BOUNDARIES,
        )

        meter.create_observable_gauge(
            "sqs_tasks.jobs_over_timeout",
            callbacks=[self._over_timeout],
            unit="{job}",
            description="Jobs that still run after the timeout of their task.",
        )

    def _over_timeout(self, _: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
        """How many there are in each queue; nothing where no worker watches, in a function for example."""
        module = sys.modules.get("sqs_tasks.worker.overrun_watch")
        watches = [] if module is None else list(module.WATCHES)
        for name in self._env.queues if watches else ():
            yield metrics.Observation(sum(one.over(name) for one in watches), {SYSTEM: "aws_sqs", DESTINATION: name})

    def creating(self, message: OutgoingMessage) -> None:
        """A span for the message, whose context travels with it."""
        attributes = {
            SYSTEM: "aws_sqs",
            DESTINATION: message.queue_name,
            OPERATION_NAME: "create",
            OPERATION_TYPE: "create",
            TASK: message.job_name,
        }
        with self._tracer.start_as_current_span(
            f"create {message.queue_name}", kind=SpanKind.PRODUCER, attributes=attributes
        ):
            propagate.inject(message, setter=_SETTER)

    @contextmanager
    def requesting(self, request: Request) -> Iterator[None]:
        """The span of a request, and how long it took."""
        operation = request.operation
        common: dict[str, Any] = {SYSTEM: "aws_sqs", DESTINATION: request.queue_name, OPERATION_NAME: operation}
        started_at, started, error_type = time.time_ns(), time.perf_counter(), ""
        # What a receive brings is known when it is over, and its links must be there from the beginning.
        live = operation in ("send", "delete", "change_visibility")
        with self._request_span(request, common) if live else nullcontext():
            try:
                yield
            except Exception as error:
                error_type = common[ERROR_TYPE] = error_code(error) or type(error).__name__
                raise
            finally:
                self._request_duration.record(time.perf_counter() - started, common)
                if operation == "send":
                    self._sent.add(len(request.messages), common)
                if operation == "receive":
                    self._received(request, common, started_at, error_type)

    def _received(self, request: Request, common: Mapping[str, Any], started_at: int, error_type: str) -> None:
        if request.messages:
            self._consumed.add(len(request.messages), common)
        if not request.messages and not error_type:
            return  # a long poll that found nothing, thousands a day
        span = self._tracer.start_span(
            f"receive {request.queue_name}",
            kind=SpanKind.CLIENT,
            attributes=_request_attributes(request, common),
            links=_links(request.messages),
            start_time=started_at,
        )
        if error_type:
            span.set_status(Status(StatusCode.ERROR, error_type))
        span.end()

    def _request_span(self, request: Request, common: Mapping[str, Any]) -> AbstractContextManager[trace.Span]:
        return self._tracer.start_as_current_span(
            f"{request.operation} {request.queue_name}",
            kind=SpanKind.CLIENT,
            attributes=_request_attributes(request, common),
            links=_links(request.messages),
        )

    @contextmanager
    def processing(self, job: Job | JobBatch) -> Iterator[None]:
        """The span of a run."""
        jobs = job.jobs if isinstance(job, JobBatch) else (job,)
        contexts = [_producer(one.message) for one in jobs]
        common = {SYSTEM: "aws_sqs", DESTINATION: job.queue_name, OPERATION_NAME: "process", TASK: self._task_name(job)}
        attributes: dict[str, Any] = {**common, OPERATION_TYPE: "process"}
        if isinstance(job, JobBatch):
            attributes[BATCH_COUNT] = len(jobs)
        else:
            attributes |= {MESSAGE_ID: job.message.message_id, ATTEMPT: job.attempt}
            if job.message.group_id is not None:
                attributes[GROUP_ID] = job.message.group_id
        started = time.perf_counter()
        measured: dict[str, Any] = dict(common)
        with self._tracer.start_as_current_span(
            f"process {job.queue_name}",
            # A batch has many producers and so no parent.
            context=contexts[0] if len(jobs) == 1 else None,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=_links([one.message for one in jobs]),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Retry:
                raise  # the task steers; nothing went wrong
            except BaseException as error:
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, str(error)))
                span.set_attribute(ERROR_TYPE, type(error).__name__)
                measured[ERROR_TYPE] = type(error).__name__
                raise
            finally:
                self._duration.record(time.perf_counter() - started, measured)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Count it, with what became of it."""
        common = {SYSTEM: "aws_sqs", DESTINATION: job.queue_name}
        error = getattr(outcome, "error", None)
        is_unknown = isinstance(outcome, UnknownTask) or isinstance(error, UnknownTaskError)
        task = UNKNOWN_TASK_NAME if is_unknown else self._task_name(job)
        self._jobs.add(1, {**common, TASK: task, OUTCOME: type(outcome).__name__})
        if job.message.queue_arn is not None:
            # Lambda received it; elsewhere it is counted at the receive.
            self._consumed.add(1, {**common, OPERATION_NAME: "process"})

    def _task_name(self, job: Job | JobBatch) -> str:
        """The name of a job's task, also where the message has one of its aliases."""
        registry = getattr(self._env.queues.get(job.queue_name), "registry", None)
        task = None if registry is None else registry.get(job.job_name)
        return job.job_name if task is None else str(task.name)


def _producer(message: _Carrier) -> Context:
    """The context that a message carries."""
    return propagate.extract(message, context=Context(), getter=_GETTER)


def _links(messages: Sequence[_Carrier]) -> list[Link]:
    """Links to the spans that messages were made in."""
    spans = [trace.get_current_span(_producer(message)).get_span_context() for message in messages]
    return [Link(span) for span in spans if span.is_valid]


def _request_attributes(request: Request, common: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {**common, OPERATION_TYPE: _TYPES[request.operation], BATCH_COUNT: len(request.messages)}
    if len(request.messages) == 1 and isinstance(request.messages[0], ReceivedMessage):
        attributes[MESSAGE_ID] = request.messages[0].message_id
    return attributes


#: The conventions' types of the requests that have spans.
_TYPES = {"send": "send", "receive": "receive", "delete": "settle", "change_visibility": "settle"}

_Carrier: TypeAlias = OutgoingMessage | ReceivedMessage


class _MessageSetter(Setter[OutgoingMessage]):
    """Writes a propagator's fields as message attributes, as far as SQS's ten allow."""

    def set(self, carrier: OutgoingMessage, key: str, value: str) -> None:
        """Add an attribute; one more than SQS takes is left out: a trace is worth less than its job."""
        attributes: Mapping[str, MessageAttribute] = carrier.attributes
        if value and isinstance(attributes, dict) and len(attributes) < limits.MAX_MESSAGE_ATTRIBUTES:
            attributes[key] = string_attribute(value)


class _MessageGetter(Getter[_Carrier]):
    """Reads them again."""

    def get(self, carrier: _Carrier, key: str) -> list[str] | None:
        """The value of an attribute."""
        value = _attributes(carrier).get(key, {}).get("StringValue")
        return None if value is None else [str(value)]

    def keys(self, carrier: _Carrier) -> list[str]:
        """The names of all."""
        return list(_attributes(carrier))


def _attributes(carrier: _Carrier) -> Mapping[str, Any]:
    return carrier.attributes if isinstance(carrier, OutgoingMessage) else carrier.message_attributes


_SETTER, _GETTER = _MessageSetter(), _MessageGetter()
