"""What a function's environment lives through: snapshots, several processes, and a mapping that heeds no answers."""

from __future__ import annotations

import json
import logging
import os
import random
import time

import boto3
import pytest

from sqs_tasks import ConstantBackoff, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.backoff_policies import LEAVE_TO_QUEUE
from sqs_tasks.client import ClientProvider
from sqs_tasks.lambda_runtime.response_check import ResponseCheck
from sqs_tasks.lambda_runtime.snapshots import SnapshotHooks
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.message import ReceivedMessage
from tests.support.lambda_app import LambdaApp
from tests.support.lambda_events import FakeContext, event, failures, record
from tests.support.scripted_client import failing

# SnapStart (P7)


class Session:
    """Makes clients and counts them."""

    def __init__(self, *, fails=False):
        self.made = []
        self.fails = fails

    def client(self, service, **_):
        if self.fails:
            raise ValueError("You must specify a region.")
        self.made.append(service)
        return object()


@pytest.fixture
def registry(monkeypatch):
    """The runtime's registry of hooks, empty, and its own functions that run them."""
    hooks = pytest.importorskip("snapshot_restore_py")
    runner = pytest.importorskip("awslambdaric.lambda_runtime_hooks_runner")
    monkeypatch.setattr(hooks, "_before_snapshot_registry", [])
    monkeypatch.setattr(hooks, "_after_restore_registry", [])
    return runner


def test_function_with_snap_start_registers_its_hooks(monkeypatch, registry):
    """The client of before the snapshot is replaced after the restore."""
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    session = Session()
    env = SQSEnv(session=session)
    SQSEventHandler(env)

    registry.run_before_snapshot()
    first = env.client()
    registry.run_after_restore()

    assert env.client() is not first, "connections of before the snapshot are stale"


def test_client_is_imported_before_the_snapshot_and_made_after_it(registry):
    """boto3 is in the snapshot; the client is made at its first use after the restore."""
    session = Session()
    provider = ClientProvider(session=session)
    hooks = SnapshotHooks(provider)
    hooks.register()

    registry.run_before_snapshot()
    assert session.made == ["sqs"]
    registry.run_after_restore()
    assert session.made == ["sqs"], "and only when it is needed"
    provider()
    assert session.made == ["sqs", "sqs"]


def test_environments_of_one_snapshot_do_not_draw_the_same_numbers():
    """All would back off alike, and come back together."""
    hooks = SnapshotHooks(ClientProvider(session=Session()))
    state = random.getstate()
    drawn = set()
    for _ in range(5):
        random.setstate(state)
        hooks.after_restore()
        drawn.add(random.random())

    assert len(drawn) == 5


def test_snapshot_without_a_region_is_made_all_the_same():
    """A client that cannot be made yet does not fail the snapshot."""
    SnapshotHooks(ClientProvider(session=Session(fails=True))).before_snapshot()


def test_event_loop_is_not_in_the_snapshot(registry):
    """A loop is closed before the snapshot and made anew afterwards."""
    from sqs_tasks.execution import event_loop

    async def work():
        return 7

    event_loop.run_coroutine(work(), timeout_seconds=5)
    SnapshotHooks(ClientProvider(session=Session())).before_snapshot()

    assert event_loop._shared is None
    assert event_loop.run_coroutine(work(), timeout_seconds=5) == 7
    event_loop.close_loop()


def test_missing_module_of_the_runtime_is_told(monkeypatch, caplog):
    """Without the runtime's module the log warns of stale connections."""
    monkeypatch.setitem(__import__("sys").modules, "snapshot_restore_py", None)

    assert SnapshotHooks(ClientProvider(session=Session())).register() is False
    assert "connections may be stale" in caplog.text


def test_other_functions_register_nothing(registry, monkeypatch):
    """Functions without SnapStart register no hooks."""
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    SQSEventHandler(SQSEnv(session=Session()))

    hooks = __import__("snapshot_restore_py")
    assert not hooks.get_before_snapshot()
    assert not hooks.get_after_restore()


# Lambda Managed Instances (S40)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_processes_of_one_environment_do_not_share_connections(monkeypatch):
    """Each has its own client, loop and threads, though all were forked from one that had them already."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with LocalSQSServer() as server:
        env = SQSEnv(endpoint_url=server.endpoint_url, backoff_policy=ConstantBackoff(0))
        queue = env.queue("work", max_receive_count=1000)

        @queue.processor("plain")
        def plain(fail):
            if fail:
                raise ValueError("no")

        @queue.processor("async")
        async def concurrent(fail):
            if fail:
                raise ValueError("no")

        env.create_queues()
        handler = SQSEventHandler(env, concurrency=2)
        client = boto3.client("sqs", endpoint_url=server.endpoint_url)
        url = env.get_queue_url("work")

        def work():
            """Twenty events with a call to SQS each; how many came out right."""
            good = 0
            for n in range(20):
                env.queue("work").add_job(["plain", "async"][n % 2], fail=n % 4 < 2)
                records = [
                    {**record("x"), **as_record(message)}
                    for message in client_of()
                    .receive_message(
                        QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"], MaxNumberOfMessages=1
                    )
                    .get("Messages", ())
                ]
                answer = handler(event(*records), FakeContext())
                good += set(failures(answer)) <= {one["messageId"] for one in records}
            return good

        def client_of():
            return env.client()

        assert work() == 20
        children = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    code = 0 if work() == 20 else 2
                finally:
                    os._exit(code)
            children.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        client.close()

    assert codes == [0, 0, 0]


def as_record(message):
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {
            name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
            for name, value in message["MessageAttributes"].items()
        },
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:work",
    }


# ReportBatchItemFailures (S9)


def failing_app(policy, **source):
    app = LambdaApp(backoff_policy=policy, visibility_timeout_seconds=180)
    app.ignored = []

    @app.queue.processor("work")
    def work(fail=True):
        if fail:
            raise ValueError("no")

    app.deploy(**source)
    app.handler.on_responses_ignored(app.ignored.append)
    return app


def checks(app):
    return app.client.counts["change_message_visibility_batch"]


def test_answers_that_are_ignored_are_told_once(caplog):
    """Without ReportBatchItemFailures Lambda deletes the failed message too: it is asked for, and gone."""
    app = failing_app(ConstantBackoff(40), report_batch_item_failures=False)
    for _ in range(3):
        app.queue.add_job("work")
        app.drain()

    assert app.ignored == ["work"]
    told = [one for one in caplog.records if getattr(one, "action", "") == "responses_ignored"]
    assert len(told) == 1
    assert "ReportBatchItemFailures" in told[0].getMessage()
    assert checks(app) == 3 + 1, "the backoffs, and one question"


def test_answers_that_are_heeded_are_asked_about_once():
    """Once a message has come back as it should, no further request is spent on the question."""
    app = failing_app(ConstantBackoff(40))
    for _ in range(4):
        app.queue.add_job("work")
        app.drain()

    assert app.ignored == []
    assert checks(app) == 4 + 1


def test_question_changes_nothing():
    """It hides the message for exactly as long as it was."""
    app = failing_app(ConstantBackoff(40))
    app.queue.add_job("work")
    app.drain()
    app.queue.add_job("work", fail=False)
    app.drain()

    assert app.visibilities() == [40, 40]
    app.advance(40)
    assert app.drain() == ["Retried"]


def test_message_that_comes_back_answers_the_question():
    """A message without backoff that is delivered again proves that answers are heeded."""
    app = failing_app(ConstantBackoff(0))
    app.queue.add_job("work")
    for _ in range(3):
        app.source.poll_once()

    assert app.ignored == []
    assert not any(request["Entries"][0]["VisibilityTimeout"] for request in requests(app)), "no question was asked"


def requests(app):
    return app.client.requests("change_message_visibility_batch")


@pytest.mark.parametrize("policy", [ConstantBackoff(3), LEAVE_TO_QUEUE], ids=["soon", "left to the queue"])
def test_message_that_may_be_back_already_proves_nothing(policy):
    """A message that is visible again by now is no witness."""
    app = failing_app(policy, report_batch_item_failures=False)
    for _ in range(3):
        app.queue.add_job("work")
        app.drain()

    assert app.ignored == []


def test_failing_question_is_asked_again_with_the_next_failure():
    """A request that failed is repeated with the next failed job, and the answer is found."""
    app = failing_app(ConstantBackoff(40), report_batch_item_failures=False)
    app.queue.add_job("work")
    app.drain()
    app.queue.add_job("work", fail=False)
    app.client.script("change_message_visibility_batch", failing("ServiceUnavailable", 503))
    app.drain()
    assert app.ignored == []
    for _ in range(2):
        app.queue.add_job("work")
        app.drain()

    assert app.ignored == ["work"]


def test_message_whose_backoff_failed_is_no_witness():
    """It may be back at any moment."""
    app = failing_app(ConstantBackoff(40), report_batch_item_failures=False)
    app.client.script("change_message_visibility_batch", *[failing("ReceiptHandleIsInvalid")] * 3)
    for _ in range(3):
        app.queue.add_job("work")
        app.drain()

    assert app.ignored == []


def test_witness_is_the_message_that_is_hidden_for_longest():
    """The message with the longest backoff is asked about."""
    check = ResponseCheck("work", lambda _: None)
    now = time.monotonic()
    check.failed([("a", now + 10), ("b", now + 90), ("c", now + 20)])

    assert check._witness.message == "b"


def test_message_that_is_back_early_proves_that_answers_are_heeded():
    """The witness in a later event settles the question."""
    check = ResponseCheck("work", lambda _: None)
    message = ReceivedMessage(message_id="m-1", receipt_handle="h", body="")
    check.failed([(message, time.monotonic() + 90)])

    check.arrived([{"messageId": "m-2"}])
    assert not check.is_settled
    check.arrived([{"messageId": "m-1"}])
    assert check.is_settled


def test_message_that_is_delivered_twice_saves_the_question():
    """A second delivery of the witness makes the request unnecessary."""
    app = failing_app(ConstantBackoff(40))
    app.client.script("change_message_visibility_batch", *[lambda _: {"Successful": []}] * 10)
    for _ in range(3):
        app.handler(event(record("a", "work", arn="arn:aws:sqs:us-east-1:123456789012:shop-work")), FakeContext())

    assert app.visibilities() == [40, 40, 40], "the backoffs, and no question"


def test_ignored_answers_are_a_metric(capsys, monkeypatch):
    """``ResponsesIgnored`` counts the queues whose mapping deletes failed messages."""
    telemetry = pytest.importorskip("sqs_tasks.integrations.powertools")
    monkeypatch.setattr(logging.getLogger("sqs_tasks"), "propagate", True)
    app = failing_app(ConstantBackoff(40), report_batch_item_failures=False)
    telemetry.instrument(app.handler, service="orders", logs=False, traces=False)
    for _ in range(2):
        app.queue.add_job("work")
        app.drain()

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    (line,) = [line for line in lines if "ResponsesIgnored" in line]
    assert (line["queue"], line["ResponsesIgnored"]) == ("work", [1.0])


# Traces (S36)


def test_dead_letter_stays_in_the_trace_of_its_original():
    """The X-Ray header goes with the copy."""
    app = LambdaApp()
    app.queue.processor("work", max_attempts=1)(lambda: 1 / 0)
    app.deploy()
    trace = "Root=1-67759b80-3c1d5e7f9a0b2c4d6e8f0a1b;Parent=53995c3f42cd8ad8;Sampled=1"
    app.client.send_message(
        QueueUrl=app.queue.queue_url,
        MessageBody="{}",
        MessageAttributes={"JobName": {"DataType": "String", "StringValue": "work"}},
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": trace}},
    )
    app.drain()

    (letter,) = app.dead_letters()
    assert letter["Attributes"]["AWSTraceHeader"] == trace
