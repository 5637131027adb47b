"""Each row of the table of outcomes, in the Lambda runtime: what is deleted, what comes back, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sqs_tasks import IMMEDIATE_RETURN, ConstantBackoff, RawQueue, Reject, Retry
from sqs_tasks.backoff_policies import LEAVE_TO_QUEUE
from sqs_tasks.batching import BatchMessages
from sqs_tasks.execution.intake import UNKNOWN_TASK_BACKOFF
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from tests.support.lambda_app import LambdaApp
from tests.support.scripted_client import failing


@pytest.fixture
def app():
    return LambdaApp(backoff_policy=ConstantBackoff(40), visibility_timeout_seconds=180)


def test_succeeded_job_is_not_listed_and_lambda_deletes_it(app):
    """Succeeded: nothing is listed, and the queue is empty afterwards."""
    ran = []

    @app.queue.processor("work")
    def work(x):
        ran.append(x)

    app.deploy()
    for x in range(3):
        work.delay(x=x)

    assert app.drain() == ["Succeeded"] * 3
    assert ran == [0, 1, 2]
    assert app.left() == 0
    assert app.client.counts["change_message_visibility_batch"] == 0


def test_failed_job_returns_after_its_backoff_and_not_before(app):
    """Retried: the message is hidden for exactly its backoff."""

    @app.queue.processor("work")
    def work():
        raise ValueError("no")

    app.deploy()
    work.delay()

    assert app.drain() == ["Retried"]
    assert app.left() == 1
    app.advance(39)
    assert app.drain() == []
    app.advance(1)
    assert app.drain() == ["Retried"]
    assert [report.message.receive_count for report in app.reports] == [2]


def test_s24_job_that_comes_back_is_the_message_that_was_sent(app):
    """No other is sent in its place: it would be young again, its receives uncounted, and lost if the send failed."""

    @app.queue.processor("work")
    def work():
        raise ValueError("no")

    app.deploy()
    work.delay()
    seen = []
    for _ in range(3):
        app.drain()
        seen += [(one.message.message_id, one.message.sent_at, one.message.receive_count) for one in app.reports]
        app.advance(40)

    assert len({(message_id, sent_at) for message_id, sent_at, _ in seen}) == 1
    assert [count for _, _, count in seen] == [1, 2, 3]
    assert app.client.counts["send_message"] == 1


def test_retry_says_its_own_delay(app):
    """``Retry(delay_seconds=7)`` goes before the policy."""

    @app.queue.processor("work")
    def work():
        raise Retry(delay_seconds=7)

    app.deploy()
    work.delay()
    app.drain()

    assert app.visibilities() == [7]


def test_retry_after_a_moment_is_as_many_seconds_from_now(app):
    """``Retry(after=…)`` becomes the seconds until then."""

    @app.queue.processor("work")
    def work():
        raise Retry(after=datetime.now(UTC) + timedelta(seconds=90))

    app.deploy()
    work.delay()
    app.drain()

    assert app.visibilities()[0] in (90, 91)


def test_failed_job_whose_policy_leaves_it_to_the_queue_is_listed_and_left_alone():
    """Retried(None): no visibility call; it returns when that of its receive ends (S16)."""
    app = LambdaApp(backoff_policy=LEAVE_TO_QUEUE, visibility_timeout_seconds=180)

    @app.queue.processor("work")
    def work():
        raise ValueError("no")

    app.deploy()
    work.delay()

    assert app.drain() == ["Retried"]
    assert app.client.counts["change_message_visibility_batch"] == 0
    app.advance(179)
    assert app.drain() == []
    app.advance(1)
    assert app.drain() == ["Retried"]


def rejecting(app):
    """A task for each way to be rejected, and the messages for them."""

    @app.queue.processor("rejects")
    def rejects():
        raise Reject("never")

    @app.queue.processor("not_retryable", no_retry_on=(LookupError,))
    def not_retryable():
        raise KeyError("x")

    @app.queue.processor("exhausted", max_attempts=1)
    def exhausted():
        raise ValueError("no")

    @app.queue.processor("expired", max_age=5)
    def expired():
        raise AssertionError("must not run")

    @app.queue.processor("strict")
    def strict(x):
        raise AssertionError("must not run")

    app.deploy()
    attributes = {"JobName": {"DataType": "String", "StringValue": "strict"}}

    def send(body, **names):
        message_attributes = {k: {"DataType": "String", "StringValue": v} for k, v in names.items()}
        app.client.send_message(QueueUrl=app.queue.queue_url, MessageBody=body, MessageAttributes=message_attributes)

    return {
        "rejects": rejects.delay,
        "not_retryable": not_retryable.delay,
        "exhausted": exhausted.delay,
        "undecodable": lambda: send("{no json", JobName="strict"),
        "unreadable pickle": lambda: send("gASVAAAA", JobName="strict", ContentType="pickle"),
        "no job": lambda: send("hello"),
        "signature": lambda: send('{"y": 1}', JobName="strict"),
        "not arguments": lambda: send("[1]", JobName="strict"),
        "attributes": lambda: app.client.send_message(
            QueueUrl=app.queue.queue_url, MessageBody="\x20", MessageAttributes=attributes
        ),
        "expired": expired.delay,
    }


WAYS = [
    "rejects",
    "not_retryable",
    "exhausted",
    "undecodable",
    "unreadable pickle",
    "no job",
    "signature",
    "not arguments",
    "attributes",
]


@pytest.mark.parametrize("way", WAYS)
def test_rejected_message_goes_to_the_dead_letter_queue_by_copy(app, way):
    """Copy first, acknowledged when accepted; the copy says why, and which invocation said so (S43)."""
    rejecting(app)[way]()

    assert app.drain() == ["Rejected"]
    assert app.left() == 0
    (letter,) = app.dead_letters()
    told = {name: attribute["StringValue"] for name, attribute in letter["MessageAttributes"].items()}
    assert told["FailureReason"]
    assert told["FailureType"]
    assert told["FailureAttempts"] == "1"
    assert len(told["FailureRequestId"]) == 36


def test_expired_job_goes_to_the_dead_letter_queue():
    """A job beyond ``max_age`` is a dead letter and never runs."""
    app = LambdaApp(behind_seconds=6)
    rejecting(app)["expired"]()

    assert app.drain() == ["Rejected"]
    assert "JobExpiredError" in app.reports[0].outcome.reason
    assert len(app.dead_letters()) == 1


@pytest.mark.parametrize("way", ["rejects", "undecodable", "signature"])
def test_t6_rejected_message_stays_when_the_dead_letter_queue_refuses_it(app, way):
    """Never acknowledged before the copy is accepted; it is listed, and comes back by the backoff policy."""
    sends = rejecting(app)
    sends[way]()
    app.client.script("send_message", failing("KMS.AccessDeniedException"))

    assert app.drain() == ["Rejected"]
    assert app.dead_letters() == []
    assert app.left() == 1
    assert app.visibilities() == [40]
    app.advance(40)
    app.drain()
    assert len(app.dead_letters()) == 1
    assert app.left() == 0


def test_rejected_message_without_a_dead_letter_queue_comes_back():
    """Without a dead-letter queue nothing is deleted; the backoff holds."""
    app = LambdaApp(dead_letter_queue=None, backoff_policy=ConstantBackoff(40))

    @app.queue.processor("work")
    def work():
        raise Reject("never")

    app.deploy()
    work.delay()

    assert app.drain() == ["Rejected"]
    assert app.left() == 1
    assert app.visibilities() == [40]


def test_dead_letter_is_deleted_at_once(app):
    """Should the invocation be lost afterwards, its copy is not made a second time."""
    rejecting(app)["rejects"]()

    def lost(event, context):
        app.handler(event, context)
        raise RuntimeError("the environment is gone")

    EventSourceMapping(app.client, app.queue.queue_url, lost, clock=app.session.clock).drain()

    assert app.left() == 0
    assert len(app.dead_letters()) == 1


def test_unknown_task_comes_back_soon_and_the_redrive_policy_decides(app):
    """Maybe a deploy is in progress: a short backoff, capped, and no attempt of ours to reject it (S48)."""
    app.queue.processor("known")(lambda: None)
    app.deploy()
    app.queue.add_job("later")
    delays = []

    for _ in range(5):
        assert app.drain() == ["UnknownTask"]
        delays.append(app.visibilities()[-1])
        app.advance(delays[-1])
    app.drain()

    assert max(delays) <= UNKNOWN_TASK_BACKOFF.max_visibility_timeout
    assert app.left() == 0
    (letter,) = app.dead_letters()
    assert "FailureReason" not in letter.get("MessageAttributes", {}), "moved by SQS itself"


def test_job_of_a_task_that_was_deployed_meanwhile_runs(app):
    """An unknown task's message waits for the deploy that brings the task."""
    app.queue.processor("known")(lambda: None)
    app.deploy()
    app.queue.add_job("later")
    app.drain()

    app.queue.processor("later")(lambda: None)
    app.advance(app.visibilities()[-1])

    assert app.drain() == ["Succeeded"]


def test_t7_first_delivery_is_the_first_attempt(app):
    """Attempts are counted from 1, and the last allowed one is the last."""
    attempts = []

    @app.queue.processor("work", max_attempts=3, backoff_policy=IMMEDIATE_RETURN)
    def work():
        raise ValueError("no")

    app.deploy()
    app.env.pre_task(lambda job: attempts.append(job.attempt))
    work.delay()

    assert app.drain() == ["Retried", "Retried", "Rejected"]
    assert attempts == [1, 2, 3]


def test_t7_throttled_deliveries_are_no_dead_letters(app):
    """Receives that never ran count towards max_receive_count, which has headroom for them (R3)."""

    @app.queue.processor("work", max_attempts=5)
    def work():
        raise ValueError("no")

    app.deploy()
    work.delay()
    for _ in range(6):  # received and never delivered
        app.session.client("sqs").receive_message(QueueUrl=app.queue.queue_url, VisibilityTimeout=0)

    app.drain()

    assert app.reports[0].message.receive_count == 7
    assert app.outcomes == ["Rejected"], "it did run, once"


def test_raw_queue_takes_any_body():
    """A message of another sender, without an envelope of ours (S8)."""
    app = LambdaApp("uploads", queue_maker=RawQueue)
    bodies = []
    app.queue.raw_processor()(lambda message: bodies.append(message.body))
    app.deploy()
    app.client.send_message(QueueUrl=app.queue.queue_url, MessageBody='{"Records": [{"s3": {}}]}')
    app.client.send_message(QueueUrl=app.queue.queue_url, MessageBody="not even JSON")

    assert app.drain() == ["Succeeded", "Succeeded"]
    assert bodies == ['{"Records": [{"s3": {}}]}', "not even JSON"]


def test_batch_processor_gets_the_jobs_of_an_event_together(app):
    """A batch processor gets up to its batch size, and each job has an outcome of its own."""
    calls = []

    @app.queue.batch_processor("index", batch_size=4)
    def index(jobs):
        calls.append([job["x"] for job in jobs])
        return [ValueError("no") if job["x"] == 1 else None for job in jobs]

    app.deploy()
    for x in range(6):
        app.queue.add_job("index", x=x)
    app.drain()

    assert calls == [[0, 1, 2, 3], [4, 5]]
    assert sorted(app.outcomes) == ["Retried"] + ["Succeeded"] * 5
    assert app.left() == 1
    assert app.visibilities() == [40]


def test_batching_policy_of_a_queue_holds_in_lambda_too():
    """``BatchMessages(3)`` cuts an event's jobs into threes."""
    app = LambdaApp(batching_policy=BatchMessages(3))
    calls = []
    app.queue.processor("index")(lambda jobs: calls.append(len(jobs)))
    app.deploy()
    for _ in range(4):
        app.queue.add_job("index")

    app.drain()

    assert calls == [3, 1]
    assert app.left() == 0


def test_reports_tell_duration_and_delay_and_nothing_of_the_arguments(app):
    """A report has names and times; it holds no argument."""

    @app.queue.processor("work")
    def work(secret):
        pass

    app.deploy()
    work.delay(secret="s3cret")
    app.drain()

    (report,) = app.reports
    assert (report.queue_name, report.task_name, report.is_done) == ("work", "work", True)
    assert 0 <= report.duration_seconds < 5
    assert 0 <= report.queue_delay_seconds < 5


def test_report_of_a_name_that_is_not_registered_holds_no_name_of_the_message(app):
    """Names become dimensions of metrics, which cost: whoever can send must not be able to make them."""
    app.queue.processor("known")(lambda: None)
    app.deploy()
    app.queue.add_job("x" * 200)
    app.drain()

    assert app.reports[0].task_name == "(unknown)"
