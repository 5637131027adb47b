"""What the event source takes from a queue, delivers, deletes and leaves, step by step."""

from __future__ import annotations

import base64
import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.function.function import FunctionConfiguration, InvokeResult
from sqs_tasks.local.function.in_process import InProcessFunction
from sqs_tasks.local.function.invocation import InvocationStatus
from sqs_tasks.local.memory import MemorySession


class Aws:
    """One queue in memory, a clock, and an event source on it."""

    def __init__(self, name="q", **attributes):
        self.session = MemorySession(clock=ManualClock())
        self.clock = self.session.clock
        self.client = self.session.client("sqs")
        self.fifo = name.endswith(".fifo")
        if self.fifo:
            attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes}
        self.url = self.client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def send(self, *bodies, **extra):
        return [self.client.send_message(QueueUrl=self.url, MessageBody=body, **extra)["MessageId"] for body in bodies]

    def source(self, handler, **settings):
        return EventSourceMapping(self.client, self.url, handler, clock=self.clock, seed=1, **settings)

    def left(self):
        """Messages in the queue, visible or not."""
        attributes = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesNotVisible"])

    def visible(self):
        attributes = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])


class Recorder:
    """A handler that keeps its events and does what it was told for a body."""

    def __init__(self, fail=()):
        self.events = []
        self.contexts = []
        self.fail = set(fail)

    def __call__(self, event, context):
        self.events.append(event)
        self.contexts.append(context)
        return {
            "batchItemFailures": [
                {"itemIdentifier": record["messageId"]} for record in event["Records"] if record["body"] in self.fail
            ]
        }

    @property
    def bodies(self):
        return [[record["body"] for record in event["Records"]] for event in self.events]


@pytest.fixture
def aws():
    return Aws()


# The event


def test_record_of_a_standard_queue_s1_s2(aws):
    """Key by key what Lambda sends; attributes are strings, times milliseconds."""
    handler = Recorder()
    (message_id,) = aws.send("hello")

    aws.source(handler).poll_once()

    (record,) = handler.events[0]["Records"]
    assert set(record) == {
        "messageId", "receiptHandle", "body", "attributes", "messageAttributes",
        "md5OfBody", "eventSource", "eventSourceARN", "awsRegion",
    }  # fmt: skip
    assert record["messageId"] == message_id
    assert record["body"] == "hello"
    assert record["md5OfBody"] == "5d41402abc4b2a76b9719d911017c592"
    assert record["messageAttributes"] == {}
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"] == "arn:aws:sqs:us-east-1:000000000000:q"
    assert record["awsRegion"] == "us-east-1"
    now = str(int(aws.clock.now() * 1000))
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["attributes"]["SentTimestamp"] == now
    assert record["attributes"]["ApproximateFirstReceiveTimestamp"] == now
    assert all(isinstance(value, str) for value in record["attributes"].values())


def test_fifo_record_carries_group_sequence_and_deduplication_id_s2():
    """A FIFO record has the three attributes that only FIFO queues have."""
    aws = Aws("q.fifo")
    handler = Recorder()
    aws.send("a", MessageGroupId="g1", MessageDeduplicationId="d1")

    aws.source(handler).poll_once()

    (record,) = handler.events[0]["Records"]
    assert record["attributes"]["MessageGroupId"] == "g1"
    assert record["attributes"]["MessageDeduplicationId"] == "d1"
    assert record["attributes"]["SequenceNumber"].isdigit()
    assert record["eventSourceARN"].endswith(":q.fifo")


def test_group_id_of_a_standard_queue_is_passed_on_and_is_no_fifo_s2(aws):
    """Fair queues: the attribute is there, and nothing waits for a group."""
    handler = Recorder()
    aws.send("a", "b", MessageGroupId="tenant")
    source = aws.source(handler, batch_size=1)

    source.drain()

    assert handler.bodies == [["a"], ["b"]]
    assert handler.events[0]["Records"][0]["attributes"]["MessageGroupId"] == "tenant"


def test_function_can_be_fed_by_several_queues_s4(aws):
    """Each invocation has the records of one mapping, and each record says of which queue it is."""
    arns = []
    function = InProcessFunction(lambda event, context: arns.extend(one["eventSourceARN"] for one in event["Records"]))
    other = aws.client.create_queue(QueueName="other")["QueueUrl"]
    aws.send("a")
    aws.client.send_message(QueueUrl=other, MessageBody="b")

    aws.source(function).poll_once()
    EventSourceMapping(aws.client, other, function, clock=aws.clock).poll_once()

    assert [arn.rpartition(":")[2] for arn in arns] == ["q", "other"]
    assert aws.left() == 0


def test_message_attributes_are_lower_camel_with_binary_in_base64_s3(aws):
    """Attributes are spelled as Lambda spells them, not as boto3 does."""
    handler = Recorder()
    aws.send(
        "a",
        MessageAttributes={
            "JobName": {"DataType": "String", "StringValue": "send"},
            "Raw": {"DataType": "Binary.png", "BinaryValue": b"\x00\xff"},
        },
    )

    aws.source(handler).poll_once()

    (record,) = handler.events[0]["Records"]
    assert record["messageAttributes"] == {
        "JobName": {"stringValue": "send", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
        "Raw": {
            "binaryValue": base64.b64encode(b"\x00\xff").decode(),
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": "Binary.png",
        },
    }
    assert len(record["md5OfMessageAttributes"]) == 32


def test_context_tells_what_lambda_tells(aws):
    """Name, memory, ARN, request id and remaining time are on the context."""
    handler = Recorder()
    aws.send("a")

    invocation = aws.source(handler, function_timeout_seconds=5, function_name="mailer", memory_mb=256).poll_once()

    (context,) = handler.contexts
    assert context.aws_request_id == invocation.request_id
    assert context.function_name == "mailer"
    assert context.function_version == "$LATEST"
    assert context.invoked_function_arn == "arn:aws:lambda:us-east-1:000000000000:function:mailer"
    assert context.memory_limit_in_mb == "256"
    assert context.log_group_name == "/aws/lambda/mailer"
    assert context.get_remaining_time_in_millis() == 5000
    aws.clock.advance(4.999)
    assert context.get_remaining_time_in_millis() == 1
    aws.clock.advance(60)
    assert context.get_remaining_time_in_millis() == 0


def test_handler_gets_its_own_copy_of_the_event(aws):
    """What a handler does to its event does not reach the settlement."""
    aws.send("a")

    def handler(event, context):
        event["Records"][0]["receiptHandle"] = "spoiled"
        event["Records"].clear()

    assert len(aws.source(handler).poll_once().deleted) == 1
    assert aws.left() == 0


# Settlement


def test_records_are_deleted_only_after_the_invocation_returned_s15(aws):
    """While the handler runs, its messages are in flight."""
    seen = []
    aws.send("a", "b")

    invocation = aws.source(lambda event, context: seen.append(aws.left())).poll_once()

    assert seen == [2]
    assert aws.left() == 0
    assert invocation.deleted == set(invocation.message_ids)


def test_failed_item_is_untouched_until_its_visibility_ends_s16():
    """Nothing is done to it: it comes back after the timeout of its receive, with a higher count."""
    aws = Aws(VisibilityTimeout="60")
    handler = Recorder(fail=["bad"])
    _, bad = aws.send("good", "bad")
    source = aws.source(handler)

    invocation = source.poll_once()

    assert invocation.failed == {bad}
    assert source.poll_once() is None
    aws.session.advance(59.9)
    assert source.poll_once() is None
    aws.session.advance(0.1)
    assert source.poll_once().message_ids == (bad,)
    assert handler.events[1]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "2"


def test_visibility_set_by_the_handler_stands_s16(aws):
    """A handler's own backoff decides when its failed message comes back."""

    def handler(event, context):
        (record,) = event["Records"]
        aws.client.change_message_visibility(
            QueueUrl=aws.url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=5
        )
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}

    aws.send("a")
    source = aws.source(handler)
    source.poll_once()

    aws.session.advance(5)

    assert source.poll_once() is not None


def test_complete_failure_keeps_the_batch_and_says_why_s11(aws, caplog):
    """A response that names no record of the batch fails all of it."""
    aws.send("a", "b")

    with caplog.at_level(logging.WARNING):
        invocation = aws.source(
            lambda event, context: {"batchItemFailures": [{"itemIdentifier": "unknown"}]}
        ).poll_once()

    assert invocation.failed == set(invocation.message_ids)
    assert invocation.status is InvocationStatus.SUCCEEDED
    assert '"unknown" is not in the batch' in invocation.complete_failure
    assert "the whole batch failed" in caplog.text
    assert aws.left() == 2


@pytest.mark.parametrize("report", [True, False])
def test_exception_fails_the_batch_with_and_without_partial_responses_s9_s11(aws, report):
    """Whatever the settings, an exception deletes nothing."""
    aws.send("a", "b")

    def handler(event, context):
        raise ValueError("no good")

    invocation = aws.source(handler, report_batch_item_failures=report).poll_once()

    assert invocation.status is InvocationStatus.ERROR
    assert (invocation.error.type, invocation.error.message) == ("ValueError", "no good")
    assert 'raise ValueError("no good")' in invocation.error.stack_trace[0]
    assert aws.left() == 2


def test_reported_failures_are_deleted_without_partial_responses_s9(aws):
    """Without ReportBatchItemFailures the response is not looked at."""
    handler = Recorder(fail=["a"])
    aws.send("a")

    aws.source(handler, report_batch_item_failures=False).poll_once()

    assert aws.left() == 0


@pytest.mark.parametrize(
    ("response", "error_type"),
    [
        pytest.param({1, 2}, "Runtime.MarshalError", id="not JSON"),
        pytest.param("x" * 7_000_000, "Function.ResponseSizeTooLarge", id="over 6 MB"),
    ],
)
def test_response_that_lambda_cannot_take_is_an_error_s11(aws, response, error_type):
    """A response that is no JSON is a function error."""
    aws.send("a")

    invocation = aws.source(lambda event, context: response).poll_once()

    assert invocation.error.type == error_type
    assert aws.left() == 1


def test_timeout_fails_the_batch_even_if_the_handler_answered_late_s11(aws):
    """Found by the clock after the fact: the answer is dropped and the whole timeout billed."""
    aws.send("a")

    def handler(event, context):
        aws.clock.advance(11)

    invocation = aws.source(handler, function_timeout_seconds=10).poll_once()

    assert invocation.status is InvocationStatus.TIMED_OUT
    assert invocation.error.message == "Task timed out after 10.00 seconds"
    assert invocation.report.billed_duration_ms == 10_000
    assert aws.left() == 1


def test_exit_in_the_handler_is_a_crash_s11(aws):
    """``sys.exit`` ends the environment."""
    aws.send("a")

    def handler(event, context):
        raise SystemExit(3)

    invocation = aws.source(handler).poll_once()

    assert invocation.status is InvocationStatus.CRASHED
    assert invocation.error.message == "Runtime exited with error: exit status 3"
    assert aws.left() == 1


def test_interrupt_goes_through_to_the_developer(aws):
    """Ctrl-C is no failure of the handler."""
    aws.send("a")

    def handler(event, context):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        aws.source(handler).poll_once()


def test_message_reaches_the_dead_letter_queue_after_max_receive_count_s42():
    """A message that always fails is moved by the redrive policy."""
    aws = Aws("dead")
    dead_url = aws.url
    policy = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 2}
    aws.url = aws.client.create_queue(QueueName="q", Attributes={"RedrivePolicy": json.dumps(policy)})["QueueUrl"]
    handler = Recorder(fail=["bad"])
    aws.send("bad")
    source = aws.source(handler)

    for _ in range(3):
        source.drain()
        aws.session.advance(30)

    assert handler.bodies == [["bad"], ["bad"]]
    assert aws.client.receive_message(QueueUrl=dead_url)["Messages"][0]["Body"] == "bad"


def test_duration_is_reported_by_the_clock(aws, caplog):
    """A manual clock that the handler moves gives the duration."""
    aws.send("a")

    with caplog.at_level(logging.INFO, logger="sqs_tasks.local"):
        invocation = aws.source(lambda event, context: aws.clock.advance(1.5)).poll_once()

    assert invocation.report.duration_ms == pytest.approx(1500)
    assert f"REPORT RequestId: {invocation.request_id}\tDuration: 1500.00 ms" in caplog.text


# Batches


def test_batch_size_bounds_the_records_s32(aws):
    """No invocation has more records than the batch size."""
    handler = Recorder()
    aws.send(*"abcde")

    aws.source(handler, batch_size=2).drain()

    assert [len(bodies) for bodies in handler.bodies] == [2, 2, 1]


def test_batch_above_ten_is_gathered_over_several_receives_s32(aws):
    """A batch of more than ten takes several receives."""
    handler = Recorder()
    aws.send(*map(str, range(25)))
    source = aws.source(handler, batch_size=25, batching_window_seconds=1)

    source.poll_once()

    assert [len(bodies) for bodies in handler.bodies] == [25]


def test_window_gathers_until_it_has_passed_s32(aws):
    """Opened by the first message, not prolonged by later ones."""
    handler = Recorder()
    source = aws.source(handler, batching_window_seconds=5)
    aws.send("a")
    assert source.poll_once() is None
    aws.session.advance(4)
    aws.send("b")
    assert source.poll_once() is None

    aws.session.advance(1)
    source.poll_once()

    assert handler.bodies == [["a", "b"]]


@pytest.mark.parametrize(("window", "open_for"), [(5, 20), (30, 30)])
def test_window_takes_longer_on_a_quiet_queue_by_a_fault_s32(aws, window, open_for):
    """Up to twenty seconds, says AWS; a longer window stays what it is."""
    source = aws.source(Recorder(), batching_window_seconds=window, faults="slow_window=1")
    aws.send("a")
    at_once = source.poll_once()
    aws.session.advance(open_for - 1)
    early = source.poll_once()
    aws.session.advance(1)

    assert (at_once, early) == (None, None)
    assert source.poll_once().deleted


def test_without_a_window_nothing_waits_s32(aws):
    """What was received is delivered at once."""
    source = aws.source(Recorder(), faults="slow_window=1")
    aws.send("a")

    assert source.poll_once().deleted


def test_full_batch_does_not_wait_for_its_window_s32(aws):
    """A full batch is due before its window ends."""
    handler = Recorder()
    aws.send(*"abc")

    aws.source(handler, batch_size=2, batching_window_seconds=60).poll_once()

    assert [len(bodies) for bodies in handler.bodies] == [2]


def test_event_stays_under_six_megabytes_s7(aws):
    """Ten messages of 1 MiB do not fit: about five arrive, and the rest with the next invocation."""
    handler = Recorder()
    aws.send(*("x" * 1_048_576 for _ in range(10)))

    aws.source(handler).drain()

    assert [len(bodies) for bodies in handler.bodies] == [5, 5]
    assert all(len(json.dumps(event)) < 6 * 1024 * 1024 for event in handler.events)
    assert aws.left() == 0


def test_message_that_became_visible_while_it_was_gathered_is_forgotten():
    """Its receipt is void; SQS delivers it anew."""
    aws = Aws(VisibilityTimeout="30")
    handler = Recorder()
    aws.send("a")
    source = aws.source(handler, batching_window_seconds=20, function_timeout_seconds=10)
    source.poll_once()

    aws.session.advance(30)
    assert source.poll_once() is None
    assert source.statistics.expired == 1
    aws.session.advance(20)
    source.poll_once()

    assert handler.events[0]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "2"
    assert aws.left() == 0


# Visibility


@pytest.mark.parametrize(
    ("queue", "window", "timeout", "effective"),
    [
        pytest.param(60, 0, 60, 60, id="no window: the queue's own"),
        pytest.param(60, 10, 50, 60, id="window and timeout fit: the queue's own"),
        pytest.param(60, 11, 50, 91, id="they do not fit: both and thirty seconds"),
        pytest.param(30, 300, 30, 360, id="longest window"),
    ],
)
def test_effective_visibility_s17(queue, window, timeout, effective):
    """With a window Lambda may set a longer visibility than the queue's."""
    aws = Aws(VisibilityTimeout=str(queue))
    source = aws.source(Recorder(fail=["a"]), batching_window_seconds=window, function_timeout_seconds=timeout)
    aws.send("a")

    source.poll_once()

    assert source.visibility_timeout_seconds == effective
    aws.session.advance(effective - 1)
    assert aws.visible() == 0
    aws.session.advance(1)
    assert aws.visible() == 1


def test_function_timeout_above_the_queues_visibility_is_refused_s18(aws):
    """Such a mapping cannot be created on AWS."""
    with pytest.raises(
        ConfigurationError, match="Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"
    ):
        aws.source(Recorder(), function_timeout_seconds=60)


def test_advice_on_visibility_and_receive_count_is_logged_s19_s42(caplog):
    """What AWS advises against is allowed, and logged."""
    aws = Aws("dead")
    policy = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 3}
    aws.url = aws.client.create_queue(QueueName="q", Attributes={"RedrivePolicy": json.dumps(policy)})["QueueUrl"]

    with caplog.at_level(logging.INFO, logger="sqs_tasks.local"):
        aws.source(Recorder(), function_timeout_seconds=10, batching_window_seconds=5)

    assert "recommends 65" in caplog.text
    assert "maxReceiveCount of q is 3" in caplog.text


# Settings


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 10_001, "batching_window_seconds": 1}, "1 to 10000"),
        ({"batch_size": 11}, "needs a window"),
        ({"batch_size": 11, "batching_window_seconds": 0.5}, "needs a window"),
        ({"batching_window_seconds": 301}, "0 to 300"),
        ({"batching_window_seconds": -1}, "0 to 300"),
        ({"maximum_concurrency": 1}, "2 to 1000"),
        ({"maximum_concurrency": 1001}, "2 to 1000"),
        ({"provisioned_pollers": (1, 5)}, "provisioned_pollers=1, 5"),
        ({"provisioned_pollers": (201, 300)}, "2 to 200"),
        ({"provisioned_pollers": (5, 4)}, "provisioned_pollers=5, 4"),
        ({"provisioned_pollers": (2, 10_001)}, "to 10000"),
        ({"provisioned_pollers": (2, 3), "maximum_concurrency": 2}, "exclude each other"),
        ({"reserved_concurrency": 0}, "1 or more"),
        ({"function_timeout_seconds": 5_401}, "at most 5400"),
        ({"function_timeout_seconds": 0}, "more than 0"),
        ({"filters": [{"attributes": {}}]}, "'body'"),
        ({"faults": "lightning=1"}, "unknown fault"),
    ],
)
def test_settings_that_aws_refuses_are_refused_s30_s32_s34_s35(aws, settings, problem):
    """Settings out of range are errors that say the range."""
    with pytest.raises(ConfigurationError, match=problem):
        aws.source(Recorder(), **settings)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"batching_window_seconds": 1}, "no batching window"), ({"batch_size": 11}, "1 to 10")],
)
def test_fifo_has_no_window_and_ten_records_at_most_s30(settings, problem):
    """A FIFO queue is refused a window and larger batches."""
    with pytest.raises(ConfigurationError, match=problem):
        Aws("q.fifo").source(Recorder(), **settings)


def test_configuration_is_the_functions_own_or_the_mappings_not_both(aws):
    """Settings for a callable do not fit a function that has its own."""
    with pytest.raises(ConfigurationError, match="timeout_seconds, name"):
        aws.source(InProcessFunction(Recorder()), function_timeout_seconds=3, function_name="x")


# Filters


def test_message_that_no_filter_matches_is_deleted_without_an_invocation_s41(aws):
    """A filtered message is gone, and counted."""
    handler = Recorder()
    aws.send('{"kind": "order"}', '{"kind": "refund"}', "plain")
    source = aws.source(handler, filters=[{"body": {"kind": ["order"]}}])

    source.drain()

    assert handler.bodies == [['{"kind": "order"}']]
    assert aws.left() == 0
    assert source.statistics.filtered == 2


def test_filters_are_alternatives_s41(aws):
    """One matching filter lets a message through."""
    handler = Recorder()
    aws.send('{"kind": "order"}', "ping")

    aws.source(handler, filters=[{"body": {"kind": ["order"]}}, {"body": ["ping"]}], batch_size=1).drain()

    assert sorted(handler.bodies) == [["ping"], ['{"kind": "order"}']]


# FIFO


def test_batch_may_hold_several_groups_in_order_s27():
    """Groups come together, each in its order."""
    aws = Aws("q.fifo")
    handler = Recorder()
    for body, group in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")]:
        aws.send(body, MessageGroupId=group)

    aws.source(handler).drain()

    bodies = [body for batch in handler.bodies for body in batch]
    assert sorted(bodies) == ["a1", "a2", "b1", "b2"]
    assert bodies.index("a1") < bodies.index("a2")
    assert bodies.index("b1") < bodies.index("b2")


def test_failed_message_holds_its_group_back_and_no_other_s30():
    """Other groups go on while one waits for its failed message."""
    aws = Aws("q.fifo")
    handler = Recorder(fail=["a1"])
    for body, group in [("a1", "a"), ("a2", "a"), ("b1", "b")]:
        aws.send(body, MessageGroupId=group)
    source = aws.source(handler, batch_size=1)

    source.drain()

    assert handler.bodies == [["a1"], ["b1"]]
    handler.fail.clear()
    aws.session.advance(30)
    source.drain()
    assert handler.bodies[2:] == [["a1"], ["a2"]]


# Faults


def test_throttled_batch_is_retried_inside_its_receive_s19(aws):
    """The receive count stays at one: the same receive is delivered later."""
    handler = Recorder()
    aws.send("a")
    source = aws.source(handler, faults={"throttle": 1.0})

    first = source.poll_once()
    source._delivery._dice.faults = source._delivery._dice.faults.of(None)
    assert source.poll_once() is None
    aws.session.advance(1)
    second = source.poll_once()

    assert (first.status, first.attempt) == (InvocationStatus.THROTTLED, 1)
    assert (second.status, second.attempt) == (InvocationStatus.SUCCEEDED, 2)
    assert handler.events[0]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1"
    assert aws.left() == 0
    assert source.statistics.throttles == 1


def test_batch_throttled_past_its_visibility_is_dropped_s19(aws):
    """SQS delivers it again, one receive later; nothing was deleted."""
    handler = Recorder()
    aws.send("a")
    source = aws.source(handler, faults={"throttle": 1.0})
    source.poll_once()

    aws.session.advance(30)
    source.poll_once()

    assert source.statistics.expired == 1
    assert source.statistics.received == 2
    assert handler.events == []
    assert aws.left() == 1


@pytest.mark.parametrize(
    ("fault", "status", "error_type"),
    [
        ("timeout", InvocationStatus.TIMED_OUT, "Sandbox.Timedout"),
        ("crash", InvocationStatus.CRASHED, "Runtime.ExitError"),
        ("oom", InvocationStatus.OUT_OF_MEMORY, "Runtime.OutOfMemory"),
    ],
)
def test_lost_invocation_fails_the_batch_s11(aws, fault, status, error_type):
    """A crash, a timeout and too much memory delete nothing."""
    aws.send("a", "b")

    invocation = aws.source(Recorder(), faults={fault: 1.0}).poll_once()

    assert invocation.status is status
    assert invocation.report.error_type == error_type
    assert invocation.failed == set(invocation.message_ids)
    assert aws.left() == 2


def test_crash_can_come_after_the_work_was_done_s15():
    """Sometimes the handler runs and only its answer is lost: finished work is delivered again."""
    aws = Aws(VisibilityTimeout="1")
    handler = Recorder()
    aws.send("a")
    source = aws.source(handler, faults={"crash": 1.0}, function_timeout_seconds=1)

    for _ in range(20):
        source.poll_once()
        aws.session.advance(1)

    assert 0 < len(handler.events) < 20
    assert aws.left() == 1


def test_duplicates_are_delivered_in_the_same_batch_or_later_s6(aws):
    """The same message id twice in one batch, or once more in another; the end is an empty queue."""
    handler = Recorder()
    ids = aws.send(*"abcde")
    source = aws.source(handler, faults={"duplicate": 1.0})

    invocations = source.drain()

    delivered = [message_id for invocation in invocations for message_id in invocation.message_ids]
    assert sorted(delivered) == sorted([*ids, *ids])
    assert any(len(set(invocation.message_ids)) < len(invocation.records) for invocation in invocations)
    assert len(invocations) == 2
    assert source.statistics.duplicates == 5
    assert aws.left() == 0


def test_fifo_batch_is_repeated_whole_so_that_order_holds_s6():
    """A duplicate of a FIFO batch has all its records."""
    aws = Aws("q.fifo")
    handler = Recorder()
    for body in ("a1", "a2", "a3", "a4"):
        aws.send(body, MessageGroupId="a")

    aws.source(handler, batch_size=2, faults={"duplicate": 1.0}).drain()

    assert handler.bodies == [["a1", "a2"], ["a1", "a2"], ["a3", "a4"], ["a3", "a4"]]


def test_cold_start_makes_the_handler_anew(aws):
    """A cold start that is ordered calls the factory again."""
    made = []

    def maker():
        made.append(None)
        return Recorder()

    aws.send("a", "b")
    source = aws.source(InProcessFunction(handler_maker=maker, clock=aws.clock), batch_size=1)
    first, second = source.drain()
    assert first.report.init_duration_ms is not None
    assert second.report.init_duration_ms is None

    aws.send("c", "d")
    source = aws.source(source.function, batch_size=1, faults={"cold_start": 1.0})
    source.drain()

    assert len(made) == 3
    assert source.statistics.cold_starts == 2


def test_same_seed_tells_the_same_story():
    """Statuses, request ids and settled messages repeat."""

    def story():
        aws = Aws(VisibilityTimeout="30")
        aws.send(*map(str, range(30)))
        source = aws.source(
            Recorder(), batch_size=1, faults="throttle=0.3,crash=0.2,oom=0.1,timeout=0.1,duplicate=0.2,cold_start=0.2"
        )
        told = []
        for _ in range(20):
            told += [(i.request_id, i.status, [r["body"] for r in i.records]) for i in source.drain()]
            aws.session.advance(10)
        return told

    assert story() == story()


def test_every_message_is_done_in_the_end_whatever_goes_wrong():
    """Faults delay work and repeat it; they never lose it."""
    aws = Aws(VisibilityTimeout="30")
    done = set()
    ids = set(aws.send(*map(str, range(100))))
    source = aws.source(
        lambda event, context: done.update(record["messageId"] for record in event["Records"]),
        faults="throttle=0.3,crash=0.2,oom=0.1,timeout=0.1,duplicate=0.2,cold_start=0.2",
    )

    for _ in range(1_000):
        source.drain()
        aws.session.advance(1)
        if not aws.left():
            break

    assert aws.left() == 0
    assert done == ids


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.sampled_from("abc"), min_size=1, max_size=15),
    failures=st.lists(st.booleans(), max_size=30),
    batch_size=st.integers(1, 10),
    faults=st.fixed_dictionaries(
        {name: st.sampled_from([0.0, 0.3]) for name in ("throttle", "crash", "duplicate", "timeout")}
    ),
)
def test_fifo_groups_are_never_out_of_order_s27_s30(groups, failures, batch_size, faults):
    """Whatever fails: in each group work is first done in the order in which it was sent, and all of it."""
    aws = Aws("q.fifo")
    outcomes = iter(failures)
    done: dict[str, list[str]] = {}
    for number, group in enumerate(groups):
        aws.send(f"{group}{number}", MessageGroupId=group)

    def handler(event, context):
        failed: dict[str, bool] = {}
        answer = []
        for record in event["Records"]:
            body = record["body"]
            if failed.get(body[0]) or next(outcomes, False):
                failed[body[0]] = True
                answer.append({"itemIdentifier": record["messageId"]})
            elif body not in done.setdefault(body[0], []):
                done[body[0]].append(body)
        return {"batchItemFailures": answer}

    source = aws.source(handler, batch_size=batch_size, faults=faults)
    for _ in range(500):
        source.drain()
        if not aws.left():
            break
        aws.session.advance(7)

    assert aws.left() == 0
    for group in set(groups):
        assert done[group] == [f"{group}{number}" for number, of in enumerate(groups) if of == group]


# Recursion


def send_with_header(aws, header):
    aws.send(
        "again",
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": header}},
    )


def test_chain_is_stopped_after_sixteen_invocations_s36(aws, caplog):
    """A function that feeds itself with its trace header passed on; the last message stays in the queue."""
    headers = []

    class SelfFeeding:
        configuration = FunctionConfiguration()
        environments = 1

        def invoke(self, request):
            headers.append(request.trace_header)
            send_with_header(aws, request.trace_header)
            return InvokeResult(status=InvocationStatus.SUCCEEDED, duration_ms=1.0, payload=b"null")

        def close(self):
            pass

    aws.send("start")
    source = aws.source(SelfFeeding())

    with caplog.at_level(logging.ERROR):
        source.drain(max_invocations=100)

    assert source.statistics.invocations == 16
    assert source.statistics.recursive == 1
    assert "recursion: message " in caplog.text
    assert aws.left() == 1
    assert len({header.split(";")[0] for header in headers}) == 1


def test_endless_handler_is_told_by_drain(aws):
    """A handler that feeds its own queue ends with an error, not a hang."""
    aws.send("start")
    source = aws.source(lambda event, context: aws.send("again") and None)

    with pytest.raises(RuntimeError, match="was not drained by 50 invocations"):
        source.drain(max_invocations=50)


def test_observer_that_fails_hurts_nobody(aws, caplog):
    """An exception in on_invocation is logged and nothing else."""
    aws.send("a")

    def observer(invocation):
        raise ValueError("observer")

    invocation = aws.source(Recorder(), on_invocation=observer).poll_once()

    assert len(invocation.deleted) == 1
    assert "on_invocation failed" in caplog.text
