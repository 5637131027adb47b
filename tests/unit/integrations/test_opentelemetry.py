"""OpenTelemetry: one trace from the producer's span to the job's, and the metrics of the conventions."""

from __future__ import annotations

import pytest

pytest.importorskip("opentelemetry.sdk")

from botocore.exceptions import ClientError
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from sqs_tasks import ConstantBackoff, Retry, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.integrations.opentelemetry import instrument
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.message import Job, ReceivedMessage
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.testing import lambda_context, lambda_event
from sqs_tasks.worker.overrun_watch import OverrunWatch
from tests.support.scripted_client import ScriptedClient, failing


class Telemetry:
    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider(metric_readers=[self.reader])

    def spans(self, name):
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def points(self, name):
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def telemetry():
    telemetry = Telemetry()
    yield telemetry
    telemetry.tracer_provider.shutdown()
    telemetry.meter_provider.shutdown()


@pytest.fixture
def env(telemetry):
    env = SQSEnv(MemorySession(), backoff_policy=ConstantBackoff(60))
    instrument(env, tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
    return env


@pytest.fixture
def queue(env):
    queue = env.queue("jobs")

    @queue.processor("good")
    def good() -> None: ...

    @queue.processor("coroutine")
    async def coroutine() -> None: ...

    @queue.processor("bad")
    def bad() -> None:
        raise ValueError("bad")

    @queue.processor("later")
    def later() -> None:
        raise Retry(delay_seconds=5)

    env.create_queues()
    return queue


@pytest.mark.parametrize("name", ["good", "coroutine"])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_the_producers_trace_goes_on_in_the_job(queue, telemetry, name, concurrency):
    """Parent and link; kinds and names as the conventions say."""
    with telemetry.tracer_provider.get_tracer("shop").start_as_current_span("checkout") as checkout:
        message_id = queue.add_job(name)

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=concurrency)

    (create,) = telemetry.spans("create jobs")
    (process,) = telemetry.spans("process jobs")
    assert create.kind is SpanKind.PRODUCER
    assert process.kind is SpanKind.CONSUMER
    assert create.parent.span_id == checkout.get_span_context().span_id
    assert process.parent.span_id == create.context.span_id
    assert process.context.trace_id == checkout.get_span_context().trace_id
    assert [link.context.span_id for link in process.links] == [create.context.span_id]
    told = dict(process.attributes)
    assert told["messaging.system"] == "aws_sqs"
    assert told["messaging.destination.name"] == "jobs"
    assert told["messaging.operation.type"] == "process"
    assert told["messaging.message.id"] == message_id
    assert told["sqs_tasks.task"] == name
    assert told["sqs_tasks.attempt"] == 1


def test_a_failed_job_is_an_error_and_a_retry_is_none(queue, telemetry):
    """What a task raises to steer is not what went wrong."""
    queue.add_job("bad")
    queue.add_job("later")

    queue.process_batch()

    by_task = {span.attributes["sqs_tasks.task"]: span for span in telemetry.spans("process jobs")}
    assert by_task["bad"].status.status_code is StatusCode.ERROR
    assert by_task["bad"].attributes["error.type"] == "ValueError"
    assert [event.name for event in by_task["bad"].events] == ["exception"]
    assert by_task["later"].status.status_code is StatusCode.UNSET
    assert not by_task["later"].events


def test_jobs_that_a_job_adds_belong_to_its_trace(env, queue, telemetry):
    """The trace goes on through any number of queues."""

    @queue.processor("chain")
    def chain() -> None:
        queue.add_job("good")

    queue.add_job("chain")
    queue.process_batch()
    queue.process_batch()

    spans = [*telemetry.spans("create jobs"), *telemetry.spans("process jobs")]
    assert len(spans) == 4
    assert len({span.context.trace_id for span in spans}) == 1


def test_a_batch_is_linked_to_all_its_producers(env, telemetry):
    """It has many, and so no parent."""
    queue = env.queue("batches")

    @queue.batch_processor("together")
    def together(jobs) -> None: ...

    env.create_queues()
    for n in range(3):
        queue.add_job("together", n=n)

    queue.process_batch()

    (process,) = telemetry.spans("process batches")
    assert process.parent is None
    assert {link.context.span_id for link in process.links} == {
        span.context.span_id for span in telemetry.spans("create batches")
    }
    assert process.attributes["messaging.batch.message_count"] == 3


def test_requests_have_spans_linked_to_the_producers_traces(env, queue, telemetry):
    """Sent together, received together, and settled: a job that is done and one that comes back."""
    with queue.add_batch():
        queue.add_job("good")
        queue.add_job("bad")

    queue.process_batch()

    created = {span.attributes["sqs_tasks.task"]: span.context.span_id for span in telemetry.spans("create jobs")}
    told = {}
    for name in ("send", "receive", "delete", "change_visibility"):
        (span,) = telemetry.spans(f"{name} jobs")
        assert span.kind is SpanKind.CLIENT
        assert span.status.status_code is StatusCode.UNSET
        assert span.attributes["messaging.system"] == "aws_sqs"
        assert span.attributes["messaging.destination.name"] == "jobs"
        assert span.attributes["messaging.operation.name"] == name
        told[name] = (
            span.attributes["messaging.operation.type"],
            span.attributes["messaging.batch.message_count"],
            {link.context.span_id for link in span.links},
        )
    assert told == {
        "send": ("send", 2, set(created.values())),
        "receive": ("receive", 2, set(created.values())),
        "delete": ("settle", 1, {created["good"]}),
        "change_visibility": ("settle", 1, {created["bad"]}),
    }


def test_a_request_that_fails_is_an_error_and_an_empty_receive_is_nothing(telemetry):
    """A long poll that finds nothing is no event; its duration is measured all the same."""
    sqs = ScriptedClient(MemorySession().client("sqs"))
    env = SQSEnv(sqs_client=sqs)
    instrument(env, tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
    queue = env.queue("jobs")
    env.create_queues()

    queue.process_batch()
    assert not telemetry.spans("receive jobs")

    sqs.script("receive_message", failing("OverLimit"))
    with pytest.raises(ClientError):
        queue.process_batch()

    (receive,) = telemetry.spans("receive jobs")
    assert receive.status.status_code is StatusCode.ERROR
    assert receive.attributes["error.type"] == "OverLimit"
    durations = telemetry.points("messaging.client.operation.duration")
    assert sorted((p.attributes.get("error.type", ""), p.count) for p in durations) == [("", 1), ("OverLimit", 1)]


def test_a_heartbeat_is_measured_and_has_no_span(queue, telemetry):
    """It settles nothing."""
    queue.add_job("good")
    messages = queue.get_raw_messages()

    queue.settlement().change_visibility([(message, 30) for message in messages], action="extend")

    assert not telemetry.spans("extend jobs")
    operations = {
        p.attributes["messaging.operation.name"] for p in telemetry.points("messaging.client.operation.duration")
    }
    assert operations == {"send", "extend"}


def test_metrics_of_the_conventions(queue, telemetry):
    """Sent, consumed, how long requests and jobs took, and what became of the jobs."""
    queue.add_job("good")
    queue.add_job("bad")

    queue.process_batch()

    assert sum(point.value for point in telemetry.points("messaging.client.sent.messages")) == 2
    assert sum(point.value for point in telemetry.points("messaging.client.consumed.messages")) == 2
    requests = telemetry.points("messaging.client.operation.duration")
    assert {p.attributes["messaging.operation.name"]: p.count for p in requests} == {
        "send": 2,
        "receive": 1,
        "delete": 1,
        "change_visibility": 1,
    }
    outcomes = {p.attributes["sqs_tasks.outcome"]: p.value for p in telemetry.points("sqs_tasks.jobs")}
    assert outcomes == {"Succeeded": 1, "Retried": 1}
    durations = {p.attributes["sqs_tasks.task"]: p for p in telemetry.points("messaging.process.duration")}
    assert {task: point.count for task, point in durations.items()} == {"good": 1, "bad": 1}
    assert durations["bad"].attributes["error.type"] == "ValueError"


def test_jobs_beyond_their_timeout_are_a_gauge(env, queue, telemetry):
    """By queue, as long as they run."""
    queue.processor("slow", timeout=5)(lambda: None)
    task, now = queue.registry.get("slow"), [0.0]
    watch = OverrunWatch(clock=lambda: now[0])

    def over():
        points = telemetry.points("sqs_tasks.jobs_over_timeout")
        return {point.attributes["messaging.destination.name"]: point.value for point in points}

    with watch.watch(Job("slow", {}, {}, "jobs", ReceivedMessage("m", "r", "{}"), "j"), task):
        assert over()["jobs"] == 0
        now[0] = 60.0
        assert over()["jobs"] == 1
    assert over()["jobs"] == 0


def test_senders_cannot_make_new_metrics(queue, telemetry):
    """Names that nobody registered are one name."""
    for name in ("nobody", "nobody else"):
        queue.add_job(name)
    queue.process_batch()

    tasks = [(p.attributes["sqs_tasks.task"], p.value) for p in telemetry.points("sqs_tasks.jobs")]
    assert tasks == [("(unknown)", 2)]


def test_a_job_with_an_alias_counts_for_its_task(queue, telemetry):
    """A task that was renamed has one series, whatever the messages in the queue call it."""
    queue.processor("new", aliases=["old"])(lambda: None)
    for name in ("new", "old"):
        queue.add_job(name)

    queue.process_batch()

    tasks = [(p.attributes["sqs_tasks.task"], p.value) for p in telemetry.points("sqs_tasks.jobs")]
    assert tasks == [("new", 2)]
    assert [p.attributes["sqs_tasks.task"] for p in telemetry.points("messaging.process.duration")] == ["new"]


def test_in_a_function_messages_are_counted_where_jobs_end(env, queue, telemetry):
    """Lambda has received them."""
    SQSEventHandler(env)(lambda_event(queue.task("good").bake(), queue.task("good").bake()), lambda_context())

    assert sum(point.value for point in telemetry.points("messaging.client.consumed.messages")) == 2
    assert len(telemetry.spans("process jobs")) == 2


def test_a_message_without_a_trace_begins_one(queue, telemetry):
    """From a producer that is not instrumented."""
    client = queue.env.client()
    attributes = {
        name: {"DataType": "String", "StringValue": text}
        for name, text in {"JobName": "good", "ContentType": "json", "traceparent": "nonsense"}.items()
    }
    client.send_message(QueueUrl=queue.queue_url, MessageBody="{}", MessageAttributes=attributes)

    queue.process_batch()

    (process,) = telemetry.spans("process jobs")
    assert process.parent is None
    assert not process.links


def test_a_message_with_ten_attributes_is_sent_without_a_trace(queue, telemetry):
    """SQS takes ten; the job is worth more than its trace."""
    more = {f"extra{n}": "x" for n in range(6)}

    queue.task("good").options(message_attributes=more).delay()
    result = queue.process_batch()

    assert result.succeeded_count() == 1
    (process,) = telemetry.spans("process jobs")
    assert process.parent is None
