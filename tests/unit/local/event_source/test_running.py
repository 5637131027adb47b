"""The event source running: threads, concurrency, and how it stops."""

from __future__ import annotations

import logging
import threading

import pytest

from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.function.invocation import InvocationStatus
from sqs_tasks.local.memory import MemorySession

#: Seconds after which a test that hangs gives up.
PATIENCE = 10


@pytest.fixture(autouse=True)
def short_polls(monkeypatch):
    """A poll that finds nothing returns at once, so that stopping costs no second."""
    monkeypatch.setattr("sqs_tasks.local.event_source.mapping.POLL_WAIT_SECONDS", 0)
    monkeypatch.setattr("sqs_tasks.local.event_source.mapping.POLL_RETRY_SECONDS", 0.001)


@pytest.fixture
def client():
    return MemorySession().client("sqs")


def create_queue(client, name="q", **attributes):
    if name.endswith(".fifo"):
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes}
    return client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def send(client, url, *bodies, **extra):
    for body in bodies:
        client.send_message(QueueUrl=url, MessageBody=body, **extra)


def counts(client, url):
    attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"]), int(attributes["ApproximateNumberOfMessagesNotVisible"])


def bodies(event):
    return [record["body"] for record in event["Records"]]


def test_run_until_idle_works_off_the_queue(client):
    """All messages are handled when ``run`` returns."""
    url = create_queue(client)
    send(client, url, *map(str, range(25)))
    done = []
    source = EventSourceMapping(client, url, lambda event, context: done.extend(bodies(event)))

    source.run(until=lambda: source.idle)

    assert sorted(done, key=int) == [str(n) for n in range(25)]
    assert counts(client, url) == (0, 0)


def test_in_process_handler_runs_in_the_thread_that_runs_the_source(client):
    """So that handlers may use signals, as they may on Lambda."""
    url = create_queue(client)
    send(client, url, "a")
    threads = []
    source = EventSourceMapping(client, url, lambda event, context: threads.append(threading.current_thread()))

    source.run(until=lambda: source.idle)

    assert threads == [threading.current_thread()]


def test_message_that_arrives_while_running_is_delivered(client):
    """A running source needs no restart for new messages."""
    url = create_queue(client)
    arrived = threading.Event()

    with EventSourceMapping(client, url, lambda event, context: arrived.set()) as source:
        send(client, url, "a")
        assert arrived.wait(PATIENCE)

    assert source.statistics.deleted == 1
    assert counts(client, url) == (0, 0)


def test_maximum_concurrency_is_reached_and_not_passed_s34(client):
    """Three at a time: all three meet, and there is never a fourth."""
    url = create_queue(client)
    send(client, url, *map(str, range(9)))
    together = threading.Barrier(3)
    running, most, lock = 0, 0, threading.Lock()

    def handler(event, context):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(PATIENCE)
        with lock:
            running -= 1

    source = EventSourceMapping(client, url, handler, batch_size=1, maximum_concurrency=3)
    source.run(until=lambda: source.idle)

    assert most == 3
    assert source.statistics.deleted == 9


def test_reserved_concurrency_throttles_what_was_pulled_past_it_s34():
    """The mapping does not know of the limit: it receives, is refused, and the message has been received once more."""
    session = MemorySession(clock=ManualClock())
    client = session.client("sqs")
    url = create_queue(client)
    send(client, url, "a", "b")
    inner = []

    def handler(event, context):
        if not inner:
            inner.append(None)
            inner.append(source.poll_once())

    source = EventSourceMapping(client, url, handler, batch_size=1, reserved_concurrency=1, clock=session.clock)
    source.poll_once()

    assert inner[1].status is InvocationStatus.THROTTLED
    assert source.statistics.throttles == 1
    session.advance(1)
    assert source.poll_once().attempt == 2
    assert counts(client, url) == (0, 0)


def test_fifo_groups_run_at_the_same_time_s30(client):
    """Two groups are two invocations at a time."""
    url = create_queue(client, "q.fifo")
    send(client, url, "a1", MessageGroupId="a")
    send(client, url, "b1", MessageGroupId="b")
    together = threading.Barrier(2)

    def handler(event, context):
        together.wait(PATIENCE)

    source = EventSourceMapping(client, url, handler, batch_size=1, maximum_concurrency=2)
    source.run(until=lambda: source.idle)

    assert source.statistics.deleted == 2


def test_fifo_group_keeps_its_order_under_concurrency_s30(client):
    """However many invocations run, one group is one sequence."""
    url = create_queue(client, "q.fifo")
    done = {"a": [], "b": [], "c": []}
    for number in range(10):
        for group in done:
            send(client, url, f"{group}{number}", MessageGroupId=group)

    def handler(event, context):
        for body in bodies(event):
            done[body[0]].append(body)

    source = EventSourceMapping(client, url, handler, batch_size=2, maximum_concurrency=4)
    source.run(until=lambda: source.idle)

    assert done == {group: [f"{group}{number}" for number in range(10)] for group in done}


def test_fifo_group_waits_for_its_running_batch_even_when_sqs_hands_it_out_s30():
    """A handler that releases a message early does not get it concurrently: one batch for a group at a time."""
    session = MemorySession(clock=ManualClock())
    client = session.client("sqs")
    url = create_queue(client, "q.fifo")
    send(client, url, "a1", MessageGroupId="a")
    meanwhile = []

    def handler(event, context):
        (record,) = event["Records"]
        if record["body"] == "a1" and record["attributes"]["ApproximateReceiveCount"] == "1":
            client.change_message_visibility(QueueUrl=url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0)
            send(client, url, "b1", MessageGroupId="b")
            meanwhile.append(source.poll_once())
            meanwhile.append(source.poll_once())
            return {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
        return None

    source = EventSourceMapping(client, url, handler, batch_size=1, clock=session.clock)
    source.poll_once()

    delivered = [bodies({"Records": invocation.records}) for invocation in meanwhile if invocation]
    assert delivered == [["b1"]]
    assert source.statistics.received == 3
    assert bodies({"Records": source.poll_once().records}) == ["a1"]
    assert counts(client, url) == (0, 0)


@pytest.mark.parametrize(("report", "allowed"), [(True, 4), (False, 2)])
def test_function_errors_reduce_concurrency_only_without_partial_responses_s12(client, report, allowed):
    """With partial responses errors do not slow the source down."""
    url = create_queue(client)
    send(client, url, "a")

    def handler(event, context):
        raise ValueError

    source = EventSourceMapping(client, url, handler, maximum_concurrency=4, report_batch_item_failures=report)
    source.poll_once()

    assert source.allowed_concurrency == allowed


def test_stop_waits_for_the_running_invocation_and_settles_it(client):
    """What was done when stop came is deleted."""
    url = create_queue(client)
    send(client, url, "a")
    started, finish = threading.Event(), threading.Event()

    def handler(event, context):
        started.set()
        assert finish.wait(PATIENCE)

    source = EventSourceMapping(client, url, handler)
    source.start()
    assert started.wait(PATIENCE)
    source.stop(wait=False)
    finish.set()
    source.stop()

    assert source.statistics.deleted == 1
    assert counts(client, url) == (0, 0)


def test_stop_releases_what_was_gathered_and_never_delivered(client):
    """A window that was open at the end costs the messages no visibility timeout."""
    url = create_queue(client)
    send(client, url, "a", "b")
    source = EventSourceMapping(client, url, lambda event, context: None, batching_window_seconds=300)

    source.run(until=lambda: source.statistics.received == 2)

    assert counts(client, url) == (2, 0)


def test_source_can_be_started_again(client):
    """A stopped source starts anew."""
    url = create_queue(client)
    done = threading.Semaphore(0)
    source = EventSourceMapping(client, url, lambda event, context: done.release())

    for body in "ab":
        source.start()
        with pytest.raises(RuntimeError, match="running already"):
            source.start()
        send(client, url, body)
        assert done.acquire(timeout=PATIENCE)
        source.stop()

    assert source.statistics.deleted == 2


class Flaky:
    """A client whose named call fails the first time."""

    def __init__(self, client, method):
        self._client = client
        self._method = method

    def __getattr__(self, name):
        if name == self._method:
            self._method = None
            return self._fail
        return getattr(self._client, name)

    def _fail(self, **_):
        raise ConnectionError("endpoint is away")


def test_run_survives_an_endpoint_that_is_away(client, caplog):
    """An unreachable queue is tried again."""
    url = create_queue(client)
    send(client, url, "a")
    source = EventSourceMapping(Flaky(client, "receive_message"), url, lambda event, context: None)

    source.run(until=lambda: source.idle)

    assert source.statistics.deleted == 1
    assert "cannot receive from q" in caplog.text


def test_run_survives_a_delete_that_fails(client, caplog):
    """The message was done and comes back: at least once."""
    url = create_queue(client, VisibilityTimeout="30")
    send(client, url, "a")
    source = EventSourceMapping(Flaky(client, "delete_message_batch"), url, lambda event, context: None)

    source.run(until=lambda: source.idle)

    assert "could not settle a batch of q" in caplog.text
    assert counts(client, url) == (0, 1)


def test_refused_delete_is_told_and_the_message_comes_back(caplog):
    """On a FIFO queue a receipt dies with its visibility (the handler was slower than the queue allows)."""
    session = MemorySession(clock=ManualClock())
    client = session.client("sqs")
    url = create_queue(client, "q.fifo", VisibilityTimeout="10")
    send(client, url, "a", MessageGroupId="g")

    def handler(event, context):
        if event["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1":
            (record,) = event["Records"]
            client.change_message_visibility(QueueUrl=url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=1)
            session.advance(2)

    source = EventSourceMapping(client, url, handler, clock=session.clock, function_timeout_seconds=5)
    with caplog.at_level(logging.WARNING):
        first = source.poll_once()

    assert first.deleted == set()
    assert "could not delete message" in caplog.text
    assert len(source.poll_once().deleted) == 1


# Scaling


@pytest.mark.parametrize(
    ("settings", "first", "after_a_second", "most"),
    [
        ({"maximum_concurrency": 100}, 5, 10, 100),
        ({"maximum_concurrency": 3}, 3, 3, 3),
        ({"provisioned_pollers": (2, 50)}, 20, 36, 500),
        ({}, 1, 1, 1),
    ],
)
def test_concurrency_grows_while_there_are_messages_s33_s35(settings, first, after_a_second, most):
    """Few batches at a time when the queue wakes up, more with time, and few again once it was empty."""
    session = MemorySession(clock=ManualClock())
    client = session.client("sqs")
    url = create_queue(client)
    source = EventSourceMapping(client, url, lambda event, context: None, clock=session.clock, **settings)
    allowed = [source.allowed_concurrency]

    for seconds in (0, 1, 600):
        session.advance(seconds)
        send(client, url, "a")
        source.poll_once()
        allowed.append(source.allowed_concurrency)
    source.poll_once()

    assert allowed == [first, first, after_a_second, most]
    assert source.allowed_concurrency == first


def test_fifo_queue_has_no_curve_s30():
    """Its concurrency is its number of active groups."""
    session = MemorySession(clock=ManualClock())
    client = session.client("sqs")
    url = create_queue(client, "q.fifo")
    source = EventSourceMapping(client, url, lambda event, context: None, clock=session.clock, maximum_concurrency=100)

    assert source.allowed_concurrency == 100


def test_running_invocations_follow_the_curve_s33():
    """Five run at first, and a sixth only when time has passed."""
    session = MemorySession(clock=ManualClock())
    client = session.client("sqs")
    url = create_queue(client)
    send(client, url, *map(str, range(6)))
    five, six = threading.Event(), threading.Event()
    started = []

    def handler(event, context):
        started.append(None)
        if len(started) == 5:
            five.set()
        if len(started) == 6:
            six.set()
        six.wait(PATIENCE)

    source = EventSourceMapping(client, url, handler, batch_size=1, maximum_concurrency=10, clock=session.clock)
    with source:
        assert five.wait(PATIENCE)
        one_too_many = six.wait(0.05)
        session.advance(1)
        assert six.wait(PATIENCE)

    assert not one_too_many
    assert source.statistics.deleted == 6
