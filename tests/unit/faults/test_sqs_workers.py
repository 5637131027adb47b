"""The faults of sqs-workers, W1 to W24: each is provoked here, and does not happen."""

from __future__ import annotations

import ast
import logging
import pickle
import re
import sys
import threading
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import sqs_tasks
from sqs_tasks import (
    BatchMessages,
    ConstantBackoff,
    ExponentialBackoff,
    MemorySession,
    RawQueue,
    Retry,
    RetryJob,
    SQSEnv,
)
from sqs_tasks.backoff_policies import visibility_seconds
from sqs_tasks.deadletter_queue import DeadLetterQueue
from sqs_tasks.errors import BatchSendError, ConfigurationError
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.shutdown_policies import ASAP_SHUTDOWN, MaxTasksShutdown
from sqs_tasks.testing import drain
from tests.support.queues import Desk, Terminated
from tests.support.scripted_client import failing, failing_entries, raising


@pytest.fixture
def desk() -> Desk:
    return Desk()


def received(count: int) -> ReceivedMessage:
    return ReceivedMessage(
        message_id="m", receipt_handle="r", body="{}", attributes={"ApproximateReceiveCount": str(count)}
    )


def test_w1_a_retry_in_a_batch_keeps_its_messages(desk: Desk) -> None:
    """RetryJob raised by a batch processor brings all its messages back."""
    queue = desk.env.queue("emails")

    @queue.batch_processor("send", backoff_policy=ConstantBackoff(30))
    def send(messages):
        raise RetryJob

    desk.create()
    for number in range(3):
        send.delay(number=number)

    result = queue.process_batch()

    assert result.failed_count() == 3
    assert desk.states("emails") == ["in_flight"] * 3
    desk.session.advance(30)
    assert desk.states("emails") == ["ready"] * 3


def test_w2_one_failing_group_of_a_poll_leaves_the_others_done(desk: Desk) -> None:
    """Jobs that succeeded beside failing ones of another task do not run again."""
    queue, ran = desk.env.queue("emails", batching_policy=BatchMessages(10)), Counter()

    @queue.processor("good")
    def good(messages):
        ran["good"] += len(messages)

    @queue.processor("bad", backoff_policy=ConstantBackoff(1))
    def bad(messages):
        ran["bad"] += len(messages)
        raise ValueError

    desk.create()
    for number in range(2):
        good.delay(n=number)
        bad.delay(n=number)

    queue.process_batch()
    desk.session.advance(1)
    queue.process_batch()

    assert ran == {"good": 2, "bad": 4}


def test_w3_a_job_is_acknowledged_while_later_ones_of_its_receive_run(desk: Desk) -> None:
    """The second job waits for the delete of the first; it would wait for ever if acks came after all had run."""
    queue, deleted = desk.env.queue("emails"), threading.Event()

    def delete(request):
        deleted.set()

    desk.sqs.script("delete_message_batch", delete)
    seen = []

    @queue.processor("send")
    def send(n):
        seen.append(n == 0 or deleted.wait(10))

    desk.create()
    send.delay(0)
    send.delay(1)
    queue.process_batch()

    assert seen == [True, True]


def test_w3_messages_of_a_long_job_are_kept_invisible(desk: Desk) -> None:
    """A job that outlives its visibility timeout has it extended while it runs."""
    queue, extended = desk.env.queue("emails", visibility_timeout_seconds=2), threading.Event()

    def extend(request):
        if any(entry["VisibilityTimeout"] > 0 for entry in request["Entries"]):
            extended.set()

    desk.sqs.script("change_message_visibility_batch", extend)
    waited = []

    @queue.processor("send")
    def send():
        waited.append(extended.wait(10))

    desk.create()
    send.delay()
    result = queue.process_batch()

    assert waited == [True]
    assert result.succeeded_count() == 1


class Bomb:
    went_off = False

    def __reduce__(self):
        return setattr, (Bomb, "went_off", True)


@pytest.mark.parametrize("content_type", ["pickle", "pickle_compat", "os.system", ""])
def test_w4_a_message_does_not_choose_its_codec(desk: Desk, content_type: str) -> None:
    """A pickle is not loaded because an attribute says that it is one; it goes to the dead-letter queue unread."""
    queue = desk.env.queue("emails")
    queue.processor("send")(lambda **kwargs: None)
    desk.create()
    codec = desk.env.codecs.get("pickle")
    body = codec.serialize({"bomb": Bomb()})
    desk.memory.send_message(
        QueueUrl=queue.queue_url,
        MessageBody=body,
        MessageAttributes={
            "JobName": {"DataType": "String", "StringValue": "send"},
            "ContentType": {"DataType": "String", "StringValue": content_type or "json"},
            "JobContext": {"DataType": "String", "StringValue": body},
        },
    )

    queue.process_batch()

    assert not Bomb.went_off
    assert desk.bodies("emails") == []
    assert desk.bodies("emails_dead") == [body]
    assert pickle.loads(pickle.dumps(1)) == 1  # pickle itself works: the bomb is no dud
    codec.deserialize(body)
    assert Bomb.went_off
    Bomb.went_off = False


def test_w5_fifo_messages_do_not_overtake_a_failed_one(desk: Desk) -> None:
    """After a failure the rest of the group waits for it; the order of successes is that of the sends."""
    queue, done, failures = desk.env.queue("emails.fifo"), [], Counter()

    @queue.processor("send", backoff_policy=ConstantBackoff(5))
    def send(n):
        failures[n] += 1
        if n == 0 and failures[n] < 3:
            raise ValueError
        done.append(n)

    desk.create()
    for n in range(4):
        send.delay(n)
    for _ in range(5):
        queue.process_batch()
        desk.session.advance(5)

    assert done == [0, 1, 2, 3]


def test_w6_an_error_of_the_api_does_not_end_the_loop(desk: Desk) -> None:
    """The worker goes on after SQS refused, could not be reached, or had lost the queue."""
    queue = desk.env.queue("emails")

    @queue.processor("send")
    def send():
        return None

    desk.create()
    send.delay()
    desk.sqs.script(
        "receive_message", failing("AWS.SimpleQueueService.NonExistentQueue"), raising(OSError("no network"))
    )

    queue.process_queue(MaxTasksShutdown(1))

    assert desk.bodies("emails") == []


def test_w6_sigterm_lets_the_running_task_finish(desk: Desk) -> None:
    """The task that gets the signal ends, is acknowledged, and the loop returns; what had not started is given back."""
    queue, ran = desk.env.queue("emails"), []

    @queue.processor("send")
    def send(n):
        worker.kill()
        ran.append(n)

    worker = Terminated(queue)
    desk.create()
    for n in range(3):
        send.delay(n)

    worker.run()

    assert ran == [0]
    assert desk.states("emails") == ["ready", "ready"]


@pytest.mark.parametrize("policy", [ExponentialBackoff(), ExponentialBackoff(base=10), ExponentialBackoff(base=1e300)])
@pytest.mark.parametrize("count", [1, 2, 310, 1026, 10**9])
def test_w7_backoff_survives_any_receive_count(policy: ExponentialBackoff, count: int) -> None:
    """No overflow: the number of receives has no bound, the delay has."""
    assert 0 <= policy.delay_seconds(count) <= 1800
    assert 0 <= visibility_seconds(policy, received(count)) <= 1800


def test_w8_a_broken_number_of_seconds_reaches_sqs_as_a_whole_one(desk: Desk) -> None:
    """ConstantBackoff(1.5) is rounded; what SQS would refuse is refused where it is written."""
    queue = desk.env.queue("emails", backoff_policy=ConstantBackoff(1.5))

    @queue.processor("send")
    def send():
        raise ValueError

    desk.create()
    send.delay()
    queue.process_batch()

    (entry,) = desk.sqs.requests("change_message_visibility_batch")[-1]["Entries"]
    assert entry["VisibilityTimeout"] == 2
    assert type(entry["VisibilityTimeout"]) is int
    with pytest.raises(ConfigurationError, match="0 to 43200"):
        ConstantBackoff(43_201)


def test_w9_all_kinds_of_parameters_arrive_as_written(desk: Desk) -> None:
    """Positional-only, *args, keyword-only and **kwargs, in a worker and in run()."""
    queue, calls = desk.env.queue("emails"), []

    @queue.processor("send")
    def send(a, /, b, *args, c, d=4, **kwargs):
        calls.append((a, b, args, c, d, kwargs))

    desk.create()
    send.delay(1, 2, 3, 3, c=3, x=5)
    send.run(1, 2, 3, 3, c=3, x=5)
    queue.process_batch()

    assert calls == [(1, 2, (3, 3), 3, 4, {"x": 5})] * 2


def test_w9_positional_only_arguments_of_a_foreign_sender_find_their_places(desk: Desk) -> None:
    """A message may name the second of two and leave the first to its default."""
    queue, calls = desk.env.queue("emails"), []

    @queue.processor("send")
    def send(a=1, b=2, /, c=3):
        calls.append((a, b, c))

    desk.create()
    sender = SQSEnv(sqs_client=desk.memory).queue("emails")
    for arguments in ({"b": 5}, {"c": 5}, {"a": 5}, {}):
        sender.add_job("send", **arguments)
    drain(queue)

    assert calls == [(1, 5, 3), (1, 2, 5), (5, 2, 3), (1, 2, 3)]


def test_w10_unknown_arguments_are_not_dropped_in_silence(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A job with arguments the task does not take is rejected with their names, unless the task asked otherwise."""
    queue, calls = desk.env.queue("emails"), []
    queue.processor("strict")(lambda to: calls.append(("strict", to)))
    queue.processor("lenient", ignore_unknown_arguments=True)(lambda to: calls.append(("lenient", to)))
    desk.create()
    sender = SQSEnv(sqs_client=desk.memory).queue("emails")
    for name in ("strict", "lenient"):
        sender.add_job(name, to="a", subject="b")

    queue.process_batch()

    assert calls == [("lenient", "a")]
    assert "unknown arguments subject" in caplog.text
    assert len(desk.bodies("emails_dead")) == 1


def test_w11_a_batch_does_not_hold_back_what_other_threads_send(desk: Desk) -> None:
    """A send in another thread leaves at once, while a batch is open here."""
    queue = desk.env.queue("emails")
    desk.create()
    ids = []
    with queue.add_batch():
        queue.add_job("mine")
        thread = threading.Thread(target=lambda: ids.append(queue.add_job("theirs")))
        thread.start()
        thread.join()
        names = [one.message.job_name for one in desk.stored("emails")]

    assert names == ["theirs"]
    assert isinstance(ids[0], str)
    assert len(desk.bodies("emails")) == 2


def test_w12_a_failing_batch_gives_back_every_unsent_job(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQS did not take is in the error, in order, and not in a later batch."""
    monkeypatch.setattr("sqs_tasks.sending.sender.RETRY_SECONDS", 0)
    queue = desk.env.queue("emails")
    desk.create()
    refused, away = desk.refusing("InternalError", "1", "2"), [failing("ServiceUnavailable")] * 4
    desk.sqs.script("send_message_batch", refused, *[desk.refusing("InternalError", "1", "2")] * 3, *away)

    def send_in_a_batch():
        with queue.add_batch():
            for n in range(13):
                queue.add_job("send", n=n)

    with pytest.raises(BatchSendError) as raised:
        send_in_a_batch()

    assert [message.body for message in raised.value.unsent] == [f'{{"n": {n}}}' for n in (1, 2, 10, 11, 12)]
    with queue.add_batch():
        queue.add_job("send", n=99)
    assert desk.bodies("emails") == [f'{{"n": {n}}}' for n in (0, 3, 4, 5, 6, 7, 8, 9, 99)]


def test_w12_sizes_are_counted_in_utf8_with_attributes() -> None:
    """A batch is split where SQS would refuse it, not where escaped JSON would be too long."""
    desk = Desk()
    queue = desk.env.queue("emails", RawQueue)
    desk.create()
    with queue.add_batch():
        for _ in range(3):
            queue.add_raw_job("é" * 174_000)  # 348 kB each: three are just under 1 MiB, but 3 MB when escaped

    assert desk.sqs.counts["send_message_batch"] == 1


def test_w13_a_batch_above_ten_gets_exactly_its_number(desk: Desk) -> None:
    """Fifteen asked for, fifteen handed over, although twenty wait; only the first receive may wait."""
    queue, sizes = desk.env.queue("emails"), []

    @queue.batch_processor("send", batch_size=15)
    def send(messages):
        sizes.append(len(messages))

    desk.create()
    for n in range(20):
        queue.add_job("send", n=n)

    queue.process_batch(wait_seconds=5)

    assert sizes == [15]
    assert [request["WaitTimeSeconds"] for request in desk.sqs.requests("receive_message")][1:] == [0]


def test_w13_a_message_that_comes_twice_is_run_and_settled_once(desk: Desk) -> None:
    """SQS may hand a message out twice in one answer."""
    queue, ran = desk.env.queue("emails"), []
    queue.processor("send")(lambda: ran.append(1))
    desk.create()
    queue.add_job("send")

    def twice(request):
        answer = desk.memory.receive_message(**request)
        return {**answer, "Messages": answer["Messages"] * 2}

    desk.sqs.script("receive_message", twice)
    queue.process_batch()

    assert ran == [1]
    assert [len(request["Entries"]) for request in desk.sqs.requests("delete_message_batch")] == [1]


def test_w14_a_raw_batch_is_never_empty_and_may_ask_for_a_retry(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """No call for an idle poll; Retry's own delay counts, and is no error in the log."""
    queue, calls = desk.env.queue("events", RawQueue, BatchMessages(10)), []

    @queue.raw_processor()
    def work(messages):
        calls.append(len(messages))
        raise Retry(delay_seconds=77)

    desk.create()
    queue.process_batch()
    queue.add_raw_job("x")
    queue.process_batch()

    assert calls == [1]
    (entry,) = desk.sqs.requests("change_message_visibility_batch")[-1]["Entries"]
    assert entry["VisibilityTimeout"] == 77
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_w15_a_raw_processor_keeps_its_name(desk: Desk) -> None:
    """The decorator returns the function."""
    queue = desk.env.queue("events", RawQueue)

    @queue.raw_processor()
    def work(message):
        return message

    assert work is queue.processor
    assert work(1) == 1


def test_w16_all_queues_means_the_registered_ones(desk: Desk) -> None:
    """Neither foreign queues nor dead letters are received from, and ListQueues is not called."""
    queue, ran = desk.env.queue("emails"), []
    queue.processor("send")(lambda: ran.append(1))
    desk.env.queue("emails_dead")
    desk.create()
    foreign = desk.memory.create_queue(QueueName="foreign")["QueueUrl"]
    desk.memory.send_message(QueueUrl=foreign, MessageBody="theirs")
    desk.env.queue("emails_dead").add_job("send")
    queue.add_job("send")

    desk.env.process_queues(shutdown_policy_maker=lambda: ASAP_SHUTDOWN)

    assert ran == [1]
    assert {request["QueueUrl"] for request in desk.sqs.requests("receive_message")} == {queue.queue_url}
    assert desk.sqs.counts["list_queues"] == 0
    assert desk.states("emails_dead") == ["ready"]


def test_w17_fifo_dead_letters_pushed_back_at_once_are_not_lost(desk: Desk) -> None:
    """Within five minutes of the first send SQS would drop the same deduplication id, so it gets a new one."""
    queue = desk.env.queue("emails.fifo")
    dead = desk.env.queue("emails_dead.fifo", DeadLetterQueue.maker(queue))
    queue.processor("send", max_attempts=1)(lambda n: 1 / 0)
    desk.create()
    for n in range(3):
        queue.add_job("send", n=n, _deduplication_id=f"once-{n}", _group_id="a b c"[2 * n])
        queue.process_batch()
    assert len(desk.bodies("emails_dead.fifo")) == 3

    drain(dead)

    assert desk.bodies("emails_dead.fifo") == []
    assert desk.bodies("emails.fifo") == ['{"n": 0}', '{"n": 1}', '{"n": 2}']
    assert [one.message.group_id for one in desk.stored("emails.fifo")] == ["a", "b", "c"]


def test_w17_a_letter_that_kept_its_first_deduplication_id_is_not_lost(desk: Desk) -> None:
    """Whoever put it there: SQS remembers the id upstream and would drop a second message with it."""
    queue = desk.env.queue("emails.fifo")
    dead = desk.env.queue("emails_dead.fifo", DeadLetterQueue.maker(queue))
    desk.create()
    queue.add_job("send", _deduplication_id="once")
    queue.drain_queue()
    dead.add_raw_job("letter", deduplication_id="once", group_id="g")

    drain(dead)

    assert (desk.bodies("emails.fifo"), desk.bodies("emails_dead.fifo")) == (["letter"], [])


def test_w17_dead_letters_are_pushed_back_in_tens_with_their_attributes(desk: Desk) -> None:
    """Attributes and X-Ray's header survive; a letter that is refused upstream stays where it is."""
    queue = desk.env.queue("emails")
    dead = desk.env.queue("emails_dead", DeadLetterQueue.maker(queue))
    desk.create()
    for n in range(10):
        desk.memory.send_message(
            QueueUrl=dead.queue_url,
            MessageBody=str(n),
            MessageAttributes={"Tenant": {"DataType": "String", "StringValue": "blue"}},
            MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2-3"}},
        )
    desk.sqs.script("send_message_batch", desk.refusing("InvalidMessageContents", "4", sender_fault=True))

    drain(dead, raise_errors=False)

    (request,) = desk.sqs.requests("send_message_batch")
    assert len(request["Entries"]) == 10
    assert {e["MessageAttributes"]["Tenant"]["StringValue"] for e in request["Entries"]} == {"blue"}
    assert {e["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"] for e in request["Entries"]} == {"Root=1-2-3"}
    assert desk.bodies("emails_dead") == ["4"]


def test_w18_a_failed_delete_is_tried_again(desk: Desk) -> None:
    """An entry that SQS failed to delete is deleted by the next try, and does not come back."""
    queue = desk.env.queue("emails")
    queue.processor("send")(lambda: None)
    desk.create()
    queue.add_job("send")
    desk.sqs.script("delete_message_batch", failing_entries("InternalError", "0"))

    queue.process_batch()

    assert desk.sqs.counts["delete_message_batch"] == 2
    assert desk.bodies("emails") == []


def test_w19_the_same_queue_with_other_options_is_refused(desk: Desk) -> None:
    """The second registration is not ignored: the error tells both."""
    desk.env.queue("emails", backoff_policy=ConstantBackoff(5))

    assert desk.env.queue("emails", backoff_policy=ConstantBackoff(5)) is desk.env.queue("emails")
    with pytest.raises(
        ConfigurationError, match=r"already registered with other options.*backoff_value=5.*backoff_value=6"
    ):
        desk.env.queue("emails", backoff_policy=ConstantBackoff(6))
    with pytest.raises(ConfigurationError, match="already registered"):
        desk.env.queue("emails", RawQueue)


def test_w20_the_memory_queue_behaves_like_sqs() -> None:
    """Receive counts grow, timeouts last as long as they say, delays hold, and a missing queue is an error."""
    session = MemorySession(ManualClock())
    sqs = session.client("sqs")
    url = sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=10)

    def receive():
        answer = sqs.receive_message(QueueUrl=url, AttributeNames=["All"])
        return [one["Attributes"]["ApproximateReceiveCount"] for one in answer.get("Messages", ())]

    counts = [receive()]
    for seconds in (9, 1, 29, 1):
        session.advance(seconds)
        counts.append(receive())

    assert counts == [[], [], ["1"], [], ["2"]]
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName="missing")


def test_w21_what_is_imported_is_declared() -> None:
    """Every third-party package that the library imports is a dependency, or belongs to a named extra."""
    root = Path(sqs_tasks.__file__).parent
    project = tomllib.loads((root.parent / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    declared = {re.split(r"[\[<>=~! ]", one)[0].replace("-", "_") for one in named}
    declared |= {"botocore"}  # comes with boto3, by its own declaration
    imported: dict[str, Path] = {}
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            imported.update({name.partition(".")[0]: path for name in names})
    provided = {
        "jmespath": "boto3",
        "aws_xray_sdk": "aws_lambda_powertools",
        "opentelemetry": "opentelemetry_api",
        "yaml": "pyyaml",
    }
    #: Where the user's own framework is there already, or it would make no sense.
    hosts = {
        "asgiref",
        "awslambdaric",
        "celery",
        "django",
        "flask",
        "kombu",
        "pytest",
        "snapshot_restore_py",
        "sqlalchemy",
    }

    third_party = imported.keys() - sys.stdlib_module_names - {"sqs_tasks", "sqs_tasks_cdk"} - hosts

    assert {name: str(imported[name]) for name in third_party if provided.get(name, name) not in declared} == {}


def test_w22_a_baked_task_returns_the_message_id(desk: Desk) -> None:
    """delay() and a plain call both send, and both say what."""
    queue = desk.env.queue("emails")
    send = queue.processor("send")(lambda to: None)
    desk.create()
    baked = send.bake(to="a")

    ids = [baked.delay(), baked()]

    assert [str(one) for one in ids] == [one.message.message_id for one in desk.stored("emails")]
    with pytest.raises(TypeError, match="missing a required argument: 'to'"):
        send.bake()


def test_w23_a_delay_on_a_fifo_queue_fails_where_it_is_written(desk: Desk) -> None:
    """The error comes before any call, and names the alternatives; groups are chosen by an argument."""
    queue = desk.env.queue("emails.fifo", content_based_deduplication=True)
    send = queue.processor("send", group_by="tenant")(lambda tenant: None)
    desk.create()

    without_scheduler = SQSEnv(region_name="us-east-1").queue("emails.fifo", content_based_deduplication=True)
    with pytest.raises(ConfigurationError, match=r"FIFO.*delay_seconds on env.queue"):
        without_scheduler.add_job("send", tenant="a", _delay_seconds=5)
    send.delay(tenant="a")
    send.delay(tenant=7)
    send.delay(tenant="Société Générale")

    groups = [one.message.group_id for one in desk.stored("emails.fifo")]
    assert groups[:2] == ["a", "7"]
    assert re.fullmatch("sha256-[0-9a-f]{64}", groups[2])


def test_w24_fifo_order_holds_across_task_names_and_nameless_messages(desk: Desk) -> None:
    """Jobs are not sorted by name, and a message without one disturbs nobody."""
    queue, order = desk.env.queue("emails.fifo"), []
    queue.processor("b")(lambda n: order.append(("b", n)))
    queue.processor("a")(lambda n: order.append(("a", n)))
    desk.create()
    for n, name in enumerate("babba"):
        queue.add_job(name, n=n)
        if n == 2:
            desk.memory.send_message(
                QueueUrl=queue.queue_url, MessageBody="?", MessageGroupId="default", MessageDeduplicationId="x"
            )

    drain(queue, raise_errors=False)

    assert order == [("b", 0), ("a", 1), ("b", 2), ("b", 3), ("a", 4)]
