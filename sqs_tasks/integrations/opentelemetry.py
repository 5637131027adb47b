"""OpenTelemetry: a span for each job sent and each job run, in one trace, and the metrics of the messaging conventions.

::

    from sqs_tasks.integrations.opentelemetry import instrument

    env = SQSEnv()
    instrument(env)

The producer's trace travels in the message attribute ``traceparent`` (and ``tracestate``), by whatever propagator is
configured. A job's span is the child of the producer's and linked to it; a batch processor's span is linked to all.
Needs ``opentelemetry-api``; without an SDK every call is a no-op.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.propagators.textmap import Getter, Setter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TracerProvider

from sqs_tasks import limits
from sqs_tasks.__version__ import __version__
from sqs_tasks.hooks import Hook
from sqs_tasks.message import Job, JobBatch, MessageAttribute, OutgoingMessage, ReceivedMessage, string_attribute
from sqs_tasks.middleware import Middleware, context_middleware
from sqs_tasks.outcome import Outcome, Retry
from sqs_tasks.receipts import Receipt

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
    post_send: Hook[[OutgoingMessage, Receipt]]
    post_task: Hook[[Job, Outcome]]


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
    )
    env.pre_send(telemetry.creating)
    env.post_send(telemetry.sent)
    env.post_task(telemetry.ended)
    # Outermost: what the application's own middleware does is part of the job's span.
    env.middleware = (context_middleware(telemetry.processing), *env.middleware)


class _Telemetry:
    """The instruments; they are thread-safe, and nothing else is kept."""

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self._tracer = tracer
        self._sent = meter.create_counter(
            "messaging.client.sent.messages", unit="{message}", description="Messages accepted by SQS."
        )
        self._consumed = meter.create_counter(
            "messaging.client.consumed.messages", unit="{message}", description="Messages whose jobs have ended."
        )
        self._duration = meter.create_histogram(
            "messaging.process.duration",
            unit="s",
            description="How long jobs ran.",
            explicit_bucket_boundaries_advisory=BOUNDARIES,
        )

    def creating(self, message: OutgoingMessage) -> None:
        """A span for the message, whose context travels with it."""
        attributes = {SYSTEM: "aws_sqs", OPERATION_NAME: "create", OPERATION_TYPE: "create", TASK: message.job_name}
        with self._tracer.start_as_current_span(
            f"create {message.job_name}".rstrip(), kind=SpanKind.PRODUCER, attributes=attributes
        ):
            propagate.inject(message, setter=_SETTER)

    def sent(self, message: OutgoingMessage, receipt: Receipt) -> None:  # noqa: ARG002 - counted, not told apart
        """Count it."""
        self._sent.add(1, {SYSTEM: "aws_sqs", OPERATION_NAME: "send", TASK: message.job_name})

    @contextmanager
    def processing(self, job: Job | JobBatch) -> Iterator[None]:
        """The span of a run."""
        jobs = job.jobs if isinstance(job, JobBatch) else (job,)
        contexts = [propagate.extract(one.message, context=Context(), getter=_GETTER) for one in jobs]
        producers = [trace.get_current_span(context).get_span_context() for context in contexts]
        common = {SYSTEM: "aws_sqs", DESTINATION: job.queue_name, OPERATION_NAME: "process", TASK: job.job_name}
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
            links=[Link(producer) for producer in producers if producer.is_valid],
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
        self._consumed.add(
            1,
            {
                SYSTEM: "aws_sqs",
                DESTINATION: job.queue_name,
                OPERATION_NAME: "process",
                TASK: job.job_name,
                OUTCOME: type(outcome).__name__,
            },
        )


class _MessageSetter(Setter[OutgoingMessage]):
    """Writes a propagator's fields as message attributes, as far as SQS's ten allow."""

    def set(self, carrier: OutgoingMessage, key: str, value: str) -> None:
        """Add an attribute; one more than SQS takes is left out: a trace is worth less than its job."""
        attributes: Mapping[str, MessageAttribute] = carrier.attributes
        if value and isinstance(attributes, dict) and len(attributes) < limits.MAX_MESSAGE_ATTRIBUTES:
            attributes[key] = string_attribute(value)


class _MessageGetter(Getter[ReceivedMessage]):
    """Reads them again."""

    def get(self, carrier: ReceivedMessage, key: str) -> list[str] | None:
        """The value of an attribute."""
        value = carrier.attribute(key)
        return None if value is None else [value]

    def keys(self, carrier: ReceivedMessage) -> list[str]:
        """The names of all."""
        return list(carrier.message_attributes)


_SETTER, _GETTER = _MessageSetter(), _MessageGetter()
