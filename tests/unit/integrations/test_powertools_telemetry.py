"""Logs, metrics and traces of a function's jobs by Powertools, and that none of them can cost a batch."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
from functools import cached_property

import pytest

pytest.importorskip("aws_lambda_powertools", reason="an optional integration")

from aws_lambda_powertools import Logger

from sqs_tasks import ConstantBackoff, Reject, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.execution.running_job import JobFields
from sqs_tasks.integrations.powertools import instrument
from tests.support.accepting_client import AcceptingClient
from tests.support.lambda_events import FakeContext, event, failures, record

SECRET = "s3cret-of-a-customer"


class Function:
    """An instrumented handler, and what it wrote."""

    def __init__(self, capsys, **options):
        self.env = SQSEnv(sqs_client=AcceptingClient(), backoff_policy=ConstantBackoff(5))
        self.queue = self.env.queue("work")
        self.capsys = capsys
        self.options = options

    @cached_property
    def handler(self):
        """Made in the test and not in a fixture: loggers keep the standard output of the moment."""
        options = dict(self.options)
        return instrument(SQSEventHandler(self.env, **options.pop("handler", {})), **options)

    def __call__(self, *records, request_id="request-1"):
        return failures(self.handler(event(*records), FakeContext(request_id=request_id)))

    @property
    def lines(self):
        out = self.capsys.readouterr().out
        assert SECRET not in out
        return [json.loads(line) for line in out.splitlines()]


def logs_of(lines):
    return [line for line in lines if "_aws" not in line]


def metrics_of(lines):
    return [line for line in lines if "_aws" in line]


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """A function owns its process and configures its loggers; a test gives them back."""
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")
    known = [logging.getLogger("sqs_tasks"), logging.getLogger("orders"), logging.getLogger()]
    before = [(one, one.handlers[:], one.propagate, one.level) for one in known]
    yield
    for one, handlers, propagate, level in before:
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)
    logging.getLogger("orders").__dict__.pop("init", None)
    logging.getLogger("orders").__dict__.pop("powertools_handler", None)


@pytest.fixture
def function(capsys):
    return Function(capsys, service="orders")


def test_every_line_of_a_job_says_which_job_it_is(function):
    """The task's own lines, those of its Powertools logger, and the library's."""
    own, powertools = logging.getLogger("orders.tasks"), Logger(service="orders")
    assert function.handler

    @function.queue.processor("work")
    def work(customer):
        own.info("standard")
        powertools.info("powertools")

    function(record("m-1", arguments={"customer": SECRET}, count=3))

    lines = logs_of(function.lines)
    assert [line["message"] for line in lines][:2] == ["standard", "powertools"]
    assert lines[2]["message"].startswith("job work succeeded in")
    for line in lines:
        assert line["job_name"] == "work"
        assert line["job_id"] == "job-of-m-1"
        assert line["message_id"] == "m-1"
        assert line["attempt"] == 3
        assert line["queue_name"] == "work"
        assert line["service"] == "orders"
        assert line["function_request_id"] == "request-1"


def test_lines_of_async_jobs_and_of_threads_keep_apart(capsys):
    """With four jobs at a time each line has the fields of its own job."""
    function = Function(capsys, service="orders", handler={"concurrency": 4})
    own = logging.getLogger("orders.tasks")

    @function.queue.processor("plain")
    def plain(x):
        own.info("of %s", x)

    @function.queue.processor("async")
    async def concurrent(x):
        await asyncio.sleep(0)
        own.info("of %s", x)

    function(*(record(f"m-{i}", ["plain", "async"][i % 2], {"x": f"m-{i}"}) for i in range(12)))

    lines = [line for line in logs_of(function.lines) if line["message"].startswith("of ")]
    assert len(lines) == 12
    assert all(line["message"] == f"of {line['message_id']}" for line in lines)


def test_no_job_is_on_a_line_after_the_jobs(function):
    """Lines after the jobs carry no job's fields."""
    function.queue.processor("work")(lambda: None)
    function.handler.handler.on_finished(lambda: logging.getLogger("orders").info("done"))
    function(record("m-1"))
    logging.getLogger("orders").info("between two invocations")

    done, between = logs_of(function.lines)[-2:]
    assert done["message"] == "done"
    assert between["message"] == "between two invocations"
    for line in (done, between):
        assert not {"job_name", "job_id", "message_id", "attempt", "queue_name"} & set(line)


def test_s57_failure_is_one_line_with_its_traceback_and_no_argument(function):
    """The last attempt is one ERROR line, with its backoff and without its arguments; others are warnings."""

    @function.queue.processor("work")
    def work(customer):
        raise ValueError("no")

    @function.queue.processor("once", max_attempts=1)
    def once(customer):
        raise ValueError("no")

    function(record("m-1", arguments={"customer": SECRET}), record("m-2", "once", arguments={"customer": SECRET}))

    retried, rejected = (line for line in logs_of(function.lines) if line["action"] in ("job_retried", "job_rejected"))
    assert (retried["level"], retried["job_name"], retried["delay_seconds"]) == ("WARNING", "work", 5)
    assert "exception_name" not in retried
    assert (rejected["level"], rejected["job_name"], rejected["exception_name"]) == ("ERROR", "once", "ValueError")


def test_dead_letter_is_told_with_its_job(function):
    """The line about the dead letter names its job and queue."""

    @function.queue.processor("work")
    def work():
        raise Reject("never")

    function(record("m-1"))

    moved = logs_of(function.lines)[-1]
    assert moved["action"] == "dead_lettered"
    assert (moved["job_name"], moved["job_id"], moved["queue_name"]) == ("work", "job-of-m-1", "work")


def test_message_that_cannot_be_read_is_told_with_its_job(function):
    """What its attributes say of it, which is all there is."""
    function.queue.processor("work")(lambda: None)

    function(record("m-1", "work", body="{", count=2))

    refused = logs_of(function.lines)[0]
    assert refused["action"] == "job_rejected"
    assert [refused[key] for key in ("job_name", "job_id", "message_id", "attempt", "queue_name")] == [
        "work", "job-of-m-1", "m-1", 2, "work",
    ]  # fmt: skip


def test_batch_processor_has_its_task_on_its_lines(function):
    """Lines of a batch processor carry its task, queue and size."""
    own = logging.getLogger("orders.tasks")
    function.queue.batch_processor("index")(lambda jobs: own.info("indexing"))
    function(record("a", "index"), record("b", "index"))

    line = logs_of(function.lines)[0]
    assert (line["message"], line["job_name"], line["queue_name"], line["batch_size"]) == (
        "indexing",
        "index",
        "work",
        2,
    )


@pytest.mark.parametrize("service", ["tasks", "orders"])
def test_service_may_be_called_as_it_likes(capsys, service, monkeypatch):
    """Powertools' filter against double lines drops all loggers that have the service's name in theirs.

    With the service "tasks", which an application in tasks.py has, all of sqs_tasks would be silent.
    """
    written = io.StringIO()
    root = logging.StreamHandler(written)
    logging.getLogger().addHandler(root)
    logger = Logger(service=service)
    function = Function(capsys, logger=logger, service=service)
    function.queue.processor("work")(lambda: None)
    try:
        function(record("m-1"))
        (line,) = logs_of(function.lines)
    finally:
        logging.getLogger(service).__dict__.pop("init", None)
        logging.getLogger(service).handlers.clear()
        logging.getLogger(service).propagate = True

    assert line["action"] == "job_succeeded"
    assert all(isinstance(one, JobFields) for one in root.filters)
    assert written.getvalue() == "", "a line is written once"


def test_lines_of_lambdas_own_handler_get_the_format(capsys):
    """What logs to the root, as most libraries do, goes through the runtime client's handler."""
    bootstrap = pytest.importorskip("awslambdaric.bootstrap")
    written = []
    sink = type("Sink", (), {"log": staticmethod(lambda text, *_: written.append(text))})()
    logging.getLogger().addHandler(bootstrap.LambdaLoggerHandler(sink))
    logging.getLogger().setLevel(logging.INFO)
    function = Function(capsys, service="orders")
    function.queue.processor("work")(lambda: logging.getLogger("requests").info("from elsewhere"))
    function(record("m-1"))

    line = json.loads(written[0])
    assert (line["message"], line["job_name"], line["function_request_id"]) == ("from elsewhere", "work", "request-1")


# Metrics


def test_metrics_count_what_became_of_jobs_by_task_and_queue(function):
    """Each outcome has its metric, with the dimensions service, queue and task."""

    def does(name, error=None):
        def task():
            if error is not None:
                raise error

        function.queue.processor(name)(task)

    does("good")
    does("retried", ValueError("no"))
    does("rejected", Reject("no"))
    function(
        *(record(f"g{i}", "good") for i in range(3)),
        record("r", "retried"),
        record("d", "rejected"),
        record("u", "unheard-of"),
        record("o", "good", arn="arn:aws:sqs:us-east-1:1:others"),
    )

    found = {}
    for line in metrics_of(function.lines):
        (told,) = line["_aws"]["CloudWatchMetrics"]
        assert told["Namespace"] == "SqsTasks"
        assert sorted(told["Dimensions"][0]) == ["queue", "service", "task"]
        units = {metric["Name"]: metric["Unit"] for metric in told["Metrics"]}
        assert {units.get("Duration"), units.get("QueueDelay")} <= {"Milliseconds", None}
        found[line["queue"], line["task"]] = {name: line[name] for name in units}
    assert found["work", "good"]["JobsSucceeded"] == [3.0]
    assert len(found["work", "good"]["Duration"]) == 3
    assert len(found["work", "good"]["QueueDelay"]) == 3
    assert found["work", "retried"]["JobsRetried"] == [1.0]
    assert found["work", "rejected"]["JobsDeadLettered"] == [1.0]
    assert found["work", "(unknown)"]["JobsUnknown"] == [1.0]
    assert found["others", "(unknown)"]["JobsNotStarted"] == [1.0]


def test_metrics_may_be_counted_by_queue(function, monkeypatch):
    """Jobs of all tasks, known or not, are counted together where ``SQS_TASKS_METRICS`` says so."""
    monkeypatch.setenv("SQS_TASKS_METRICS", "queue")
    for name in ("bill", "ship"):
        function.queue.processor(name)(lambda: None)
    function(record("a", "bill"), record("b", "ship"), record("c", "unheard-of"))

    (line,) = metrics_of(function.lines)
    assert sorted(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]) == ["queue", "service"]
    assert (line["queue"], line["JobsSucceeded"], line["JobsUnknown"]) == ("work", [2.0], [1.0])


def test_job_that_no_dead_letter_queue_took_counts_as_retried(function):
    """A copy that was not accepted is no dead letter."""
    function.env.client().send_message = lambda **_: 1 / 0
    function.queue.processor("work")(lambda: (_ for _ in ()).throw(Reject("no")))
    function(record("m-1"))

    (line,) = metrics_of(function.lines)
    assert "JobsRetried" in line


def test_metrics_of_an_invocation_are_written_in_it_and_not_counted_again_s55(function):
    """Nothing waits for a SIGTERM that may never come."""
    function.queue.processor("work")(lambda: None)
    function(record("a"))
    function(record("b"))

    assert [line["JobsSucceeded"] for line in metrics_of(function.lines)] == [[1.0], [1.0]]


def test_metrics_of_a_large_batch_are_all_there(function):
    """A line holds at most a hundred values of a metric."""
    function.queue.processor("work")(lambda: None)
    function(*(record(f"m-{i}") for i in range(450)))

    lines = metrics_of(function.lines)
    assert sum(sum(line.get("JobsSucceeded", [])) for line in lines) == 450
    assert sum(len(line["Duration"]) for line in lines) == 450
    assert max(len(line["Duration"]) for line in lines) <= 100


def test_namespace_and_service_come_from_the_environment(capsys, monkeypatch):
    """Powertools' own environment variables are honoured."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Shop")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "orders")
    function = Function(capsys)
    function.queue.processor("work")(lambda: None)
    function(record("m-1"))

    (line,) = metrics_of(function.lines)
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Shop"
    assert line["service"] == "orders"


def test_metrics_can_be_switched_off(capsys, monkeypatch):
    """``POWERTOOLS_METRICS_DISABLED`` is honoured."""
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    function = Function(capsys, service="orders")
    function.queue.processor("work")(lambda: None)
    function(record("m-1"))

    assert metrics_of(function.lines) == []


def test_no_job_no_metrics(function):
    """An event without records writes no line."""
    function()

    assert function.lines == []


# Traces


@pytest.fixture
def daemon(monkeypatch):
    """Where the X-Ray SDK sends its segments: one datagram each."""
    sdk = pytest.importorskip("aws_xray_sdk.core")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(5)
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("LAMBDA_TASK_ROOT", "/var/task")
        monkeypatch.setenv(
            "_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
        )
        before = sdk.xray_recorder.emitter, sdk.xray_recorder.context
        sdk.xray_recorder.configure(daemon_address=address)
        from aws_xray_sdk.core.lambda_launcher import LambdaContext

        sdk.xray_recorder.context = LambdaContext()

        def segment():
            header, _, body = listening.recv(65_536).partition(b"\n")
            assert json.loads(header)["format"] == "json"
            return json.loads(body)

        yield segment
        sdk.xray_recorder.emitter, sdk.xray_recorder.context = before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_job_of_a_recorded_trace_has_a_subsegment(capsys, daemon):
    """A sampled trace gets a subsegment with the job's ids, its outcome and no argument."""
    function = Function(capsys, service="orders")

    @function.queue.processor("work")
    def work(customer):
        raise ValueError("no")

    function(record("m-1", arguments={"customer": SECRET}, count=2))

    segment = daemon()
    assert segment["name"] == "## work"
    assert segment["parent_id"] == "53995c3f42cd8ad8"
    assert segment["annotations"] == {"queue": "work", "attempt": 2, "job_id": "job-of-m-1", "outcome": "Retried"}
    assert segment["cause"]["exceptions"][0]["type"] == "ValueError"
    assert segment["fault"] is True
    assert SECRET not in json.dumps(segment)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_job_has_its_own_subsegment_in_threads_too(capsys, daemon):
    """Jobs that run in parallel each have a subsegment under the function's segment."""
    function = Function(capsys, service="orders", handler={"concurrency": 3})
    function.queue.processor("plain")(lambda: None)

    @function.queue.processor("async")
    async def concurrent():
        await asyncio.sleep(0)

    function(*(record(f"m-{i}", ["plain", "async"][i % 2]) for i in range(6)))

    segments = [daemon() for _ in range(6)]
    assert sorted(one["annotations"]["job_id"] for one in segments) == [f"job-of-m-{i}" for i in range(6)]
    assert {one["parent_id"] for one in segments} == {"53995c3f42cd8ad8"}


@pytest.mark.parametrize("trace", [None, "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0"])
def test_trace_that_is_not_recorded_costs_nothing(capsys, monkeypatch, trace):
    """The SDK is not even imported: that would take longer than the rest of a cold start."""
    if trace is not None:
        monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    function = Function(capsys, service="orders")
    function.queue.processor("work")(lambda: None)
    function(record("m-1"))

    assert function.handler.traces._tracer is None


def test_missing_sdk_is_told_once(capsys, monkeypatch):
    """Tracing without the X-Ray SDK is one warning, not one a job."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-2;Parent=3;Sampled=1")
    monkeypatch.setitem(__import__("sys").modules, "aws_lambda_powertools.tracing", None)
    function = Function(capsys, service="orders")
    function.queue.processor("work")(lambda: None)
    function(record("a"), record("b"))

    assert [line["action"] for line in logs_of(function.lines)].count("tracer_missing") == 1


# Whatever fails


@pytest.mark.parametrize(
    "broken",
    [
        ("logs", "begin"),
        ("logs", "start"),
        ("logs", "end"),
        ("metrics", "add"),
        ("metrics", "flush"),
        ("traces", "start"),
        ("traces", "end"),
    ],
    ids=".".join,
)
@pytest.mark.parametrize("error", [RuntimeError("x"), SystemExit(1)])
def test_failing_telemetry_never_fails_a_batch(capsys, monkeypatch, broken, error):
    """Whichever part of the telemetry raises, SystemExit included, outcomes stay what they are."""

    def fail(*_):
        raise error

    from sqs_tasks.integrations.powertools import telemetry

    part, method = broken
    classes = {"logs": telemetry.JobLogs, "metrics": telemetry.JobMetrics, "traces": telemetry.JobTraces}
    monkeypatch.setattr(classes[part], method, fail)
    function = Function(capsys, service="orders")

    @function.queue.processor("work")
    def work(fail=False):
        if fail:
            raise ValueError("no")

    assert function(record("a"), record("b", arguments={"fail": True}), record("c")) == ["b"]


def test_standard_output_that_is_closed_never_fails_a_batch(function, monkeypatch):
    """Metrics that cannot be written fail no job."""

    class Closed:
        def write(self, text):
            raise OSError("broken pipe")

        flush = write

    function.queue.processor("work")(lambda: None)
    monkeypatch.setattr("sys.stdout", Closed())

    assert function(record("a")) == []


def test_each_part_can_be_left_out(capsys):
    """Logs, metrics and traces can each be switched off."""
    function = Function(capsys, logs=False, metrics=False, traces=False)
    function.queue.processor("work")(lambda: None)

    assert function(record("m-1")) == []
    assert function.handler.logs is function.handler.metrics is function.handler.traces is None
