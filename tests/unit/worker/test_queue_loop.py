"""process_queue: receives what can start, survives what SQS does, keeps order, and stops without losing anything."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from botocore.exceptions import EndpointConnectionError

from sqs_tasks import SQSEnv
from sqs_tasks.backoff_policies import ConstantBackoff
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.shutdown_policies import IdleShutdown, MaxTasksShutdown
from sqs_tasks.worker import consumer as consumer_module
from sqs_tasks.worker import queue_loop, receive_turn, settlement_buffer
from sqs_tasks.worker.consumer import Consumer
from sqs_tasks.worker.lease import current_lease
from tests.support.polling import until
from tests.support.scripted_client import failing, raising


@pytest.fixture
def consume():
    """Starts consumers in threads, and stops them after the test."""
    started = []

    def consume(*queues, policy=None, **options):
        consumer = Consumer(list(queues), **{"wait_seconds": 1, "grace_seconds": 10, **options})
        thread = threading.Thread(target=consumer.run, args=() if policy is None else (policy,))
        thread.start()
        started.append((consumer, thread))
        return consumer, thread

    yield consume
    for consumer, thread in started:
        consumer.stop()
        thread.join(30)
        assert not thread.is_alive()


class Gate:
    """A task's body that a test can hold: notes who entered, lets nobody out until it is opened."""

    def __init__(self):
        self.entered = []
        self._changed = threading.Condition()
        self._open = threading.Event()

    def __call__(self, value=None):
        with self._changed:
            self.entered.append(value)
            self._changed.notify_all()
        assert self._open.wait(30)

    def wait_for(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.entered) >= count, 10), self.entered

    def open(self):
        self._open.set()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


# --- how much is received -------------------------------------------------------------------------------------------


def test_no_more_is_received_than_can_start(env, sqs, counts, consume, gate):
    """min(10, free slots): what waits in a worker is hidden from those that are idle (fault Q8, PyQS#29)."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held(n: int) -> None:
        gate(n)

    env.create_queues()
    held.map([{"n": n} for n in range(8)])

    consume(queue, concurrency=3)
    gate.wait_for(3)

    assert counts("jobs") == (5, 3)
    assert sqs.requests("receive_message")[0]["MaxNumberOfMessages"] == 3


def test_a_prefetch_is_bounded(env, counts, consume, gate):
    """Asked for, so many more are received and wait here."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held(n: int) -> None:
        gate(n)

    env.create_queues()
    held.map([{"n": n} for n in range(20)])

    consume(queue, concurrency=2, prefetch=4)
    gate.wait_for(2)

    deadline = time.monotonic() + 5
    while counts("jobs") != (14, 6) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert counts("jobs") == (14, 6)


@pytest.mark.parametrize("options", [{"concurrency": 1, "prefetch": 9}, {"concurrency": 10, "prefetch": 10}])
def test_a_job_costs_a_fifth_of_a_request_at_saturation(env, sqs, counts, options, monkeypatch):
    """A receive of ten and a delete of ten; producing costs a tenth."""
    monkeypatch.setattr(settlement_buffer, "LINGER_SECONDS", 0.5)  # a busy machine must not part the tens
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick(n: int) -> None: ...

    env.create_queues()
    sqs.counts.clear()

    assert quick.map([{"n": n} for n in range(1000)]) == 1000

    assert sum(sqs.counts.values()) - sqs.counts["get_queue_url"] == 100
    sqs.counts.clear()

    Consumer([queue], wait_seconds=1, **options).run(MaxTasksShutdown(1000))

    assert counts("jobs") == (0, 0)
    # In a pool the last jobs may still run when the next poll begins, which brings nothing.
    assert 100 <= sqs.counts["receive_message"] <= 101
    assert sqs.counts["delete_message_batch"] == 100
    assert set(sqs.counts) == {"receive_message", "delete_message_batch"}


def test_a_retried_attempt_costs_a_fifth_of_a_request_more(env, sqs, monkeypatch):
    """Its visibility in tens, its next receive in tens."""
    monkeypatch.setattr(settlement_buffer, "LINGER_SECONDS", 0.5)  # a busy machine must not part the tens
    queue = env.queue("jobs", backoff_policy=ConstantBackoff(0))
    seen = set()

    @queue.processor("second_time")
    def second_time(n: int) -> None:
        if n not in seen:
            seen.add(n)
            raise ValueError(n)

    env.create_queues()
    second_time.map([{"n": n} for n in range(200)])
    sqs.counts.clear()

    Consumer([queue], wait_seconds=1, prefetch=9).run(MaxTasksShutdown(400))

    # At the end there are fewer than ten left of each, so the last tens are not full.
    assert sum(sqs.counts.values()) <= 200 * (0.2 + 0.2) + 6
    assert 20 <= sqs.counts["change_message_visibility_batch"] <= 22


# --- the errors of the world ----------------------------------------------------------------------------------------


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(queue_loop, "MIN_ERROR_PAUSE", 0.001)
    monkeypatch.setattr(queue_loop, "MAX_ERROR_PAUSE", 0.001)


@pytest.mark.parametrize(
    "step",
    [
        failing("ThrottlingException"),
        failing("RequestThrottled", 403),
        failing("AWS.SimpleQueueService.NonExistentQueue"),
        failing("ExpiredToken", 403),
        failing("OverLimit", 403),
        failing("InternalFailure", 500),
        raising(EndpointConnectionError(endpoint_url="http://sqs")),
        raising(ConnectionResetError("reset by peer")),
        raising(OSError("Temporary failure in name resolution")),
        raising(TimeoutError("timed out")),
        raising(ValueError("not JSON")),
    ],
    ids=lambda step: str(getattr(step, "__closure__", [None])[0].cell_contents)[:40],
)
@pytest.mark.parametrize("concurrency", [1, 2])
def test_the_loop_survives_any_error_of_a_receive(env, sqs, counts, no_pause, step, concurrency, caplog):
    """It backs off, says so and goes on (fault W6, celery/celery#8243)."""
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    quick.delay()
    sqs.script("receive_message", step, step, step)

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=concurrency)

    assert counts("jobs") == (0, 0)
    assert len([r for r in caplog.records if r.__dict__.get("action") == "receive_failed"]) == 3


def test_rotated_credentials_are_read_again(sqs, no_pause, caplog):
    """After a token has expired the client is made anew, and the receive does not even fail."""
    made = []

    class Session:
        def client(self, _service, **_options):
            made.append(sqs)
            return sqs

    env = SQSEnv(Session())
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    quick.delay()
    sqs.script("receive_message", failing("ExpiredToken", 403), failing("ThrottlingException"))

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0)

    assert len(made) == 2
    failed = [r.__dict__ for r in caplog.records if r.__dict__.get("action") == "receive_failed"]
    assert [record["error_code"] for record in failed] == ["ThrottlingException"]


def test_a_queue_that_is_made_after_the_start_is_worked(env, no_pause):
    """Queues deleted and made again, or late, are polled as soon as they are there (PyQS#68)."""
    queue = env.queue("late")
    done = threading.Event()

    @queue.processor("quick")
    def quick() -> None:
        done.set()

    consumer = Consumer([queue], wait_seconds=1)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        env.create_queues()
        quick.delay()
        assert done.wait(10)
    finally:
        consumer.stop()
        thread.join(10)


@pytest.mark.parametrize("error", [SystemExit(3), RecursionError("deep"), MemoryError(), AssertionError()])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_what_a_task_raises_never_ends_the_loop(env, counts, error, concurrency):
    """sys.exit() in a task is the task's failure; what came with it is run (faults Q3, Q4)."""
    queue = env.queue("jobs", backoff_policy=ConstantBackoff(100))

    @queue.processor("raises")
    def raises() -> None:
        raise error

    @queue.processor("good")
    def good() -> None: ...

    env.create_queues()
    raises.delay()
    good.delay()

    queue.process_queue(MaxTasksShutdown(2), wait_seconds=0, concurrency=concurrency)

    assert counts("jobs") == (0, 1)


def test_a_policy_that_fails_ends_the_worker_where_it_was_started(env):
    """Not in a thread that nobody looks at."""
    queue = env.queue("jobs")

    class Broken:
        def update_state(self, result):
            raise LookupError("broken policy")

        def need_shutdown(self):
            return False

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()

    with pytest.raises(LookupError, match="broken policy"):
        queue.process_queue(Broken(), wait_seconds=0, concurrency=2)


def test_a_message_that_comes_twice_in_one_answer_runs_once(env, sqs, counts):
    """At-least-once begins inside a single receive (S6)."""
    queue = env.queue("jobs")
    ran = []

    @queue.processor("quick")
    def quick() -> None:
        ran.append(1)

    env.create_queues()
    quick.delay()
    real = sqs._client.receive_message

    def twice(request):
        answer = real(**request)
        return {**answer, "Messages": [*answer["Messages"], *answer["Messages"]]}

    sqs.script("receive_message", twice)

    queue.process_batch()

    assert ran == [1]
    assert counts("jobs") == (0, 0)


# --- settling and leases --------------------------------------------------------------------------------------------


def test_a_finished_job_is_settled_while_its_neighbour_still_runs(env, counts, consume, gate):
    """Not after the whole receive (fault W3)."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held() -> None:
        gate()

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    held.delay()
    for _ in range(5):
        quick.delay()

    consume(queue, concurrency=6)
    gate.wait_for(1)

    deadline = time.monotonic() + 5
    while counts("jobs") != (0, 1) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert counts("jobs") == (0, 1)


@pytest.mark.parametrize("options", [{"prefetch": 9}, {"concurrency": 4}])
def test_no_more_is_received_while_much_is_done_and_not_settled(env, sqs, consume, options, monkeypatch):
    """When SQS takes no deletes, what a process has done would be done again if it died: it must not grow."""
    queue = env.queue("jobs")
    ran = []

    @queue.processor("quick")
    def quick(n: int) -> None:
        ran.append(n)

    env.create_queues()
    quick.map([{"n": n} for n in range(300)])
    monkeypatch.setattr(consumer_module, "CLOSE_SECONDS", 0.1)
    sqs.script("delete_message_batch", *[failing("InternalError", 500)] * 1000)

    consume(queue, grace_seconds=0.1, **options)
    deadline = time.monotonic() + 10
    while len(ran) < settlement_buffer.MAX_UNSETTLED and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    threading.Event().wait(0.3)  # time enough to run all 300
    count = len(ran)
    sqs.forget("delete_message_batch")  # so that the worker has an end

    assert settlement_buffer.MAX_UNSETTLED <= count <= settlement_buffer.MAX_UNSETTLED + 20


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_task_longer_than_its_visibility_runs_once(env, counts, concurrency):
    """The heartbeat keeps it; nobody else gets it, and its receive count stays 1 (dramatiq_sqs#53)."""
    queue = env.queue("slow", visibility_timeout_seconds=2)
    attempts = []

    @queue.processor("slow", pass_context=False)
    def slow() -> None:
        attempts.append(current_lease().message.receive_count)
        threading.Event().wait(5)

    env.create_queues()
    slow.delay()

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=concurrency)

    assert attempts == [1]
    assert counts("slow") == (0, 0)


def test_a_task_learns_that_its_lease_is_lost(env, sqs, counts):
    """Another door has deleted the message: the next beat is refused, the task can stop."""
    queue = env.queue("slow", visibility_timeout_seconds=2)
    lost = []

    @queue.processor("slow")
    def slow() -> None:
        lease = current_lease()
        sqs.delete_message(QueueUrl=queue.queue_url, ReceiptHandle=lease.message.receipt_handle)
        lost.append(lease.wait_lost(10))

    env.create_queues()
    slow.delay()

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0)

    assert lost == [True]
    assert current_lease() is None


def test_an_async_task_has_its_own_lease(env):
    """The context of its asyncio task, not of the loop."""
    queue = env.queue("jobs")
    seen = []

    @queue.processor("coroutine")
    async def coroutine(n: int) -> None:
        await asyncio.sleep(0)
        seen.append(current_lease().message.message_id)

    env.create_queues()
    ids = {str(coroutine.delay(n=n)) for n in range(4)}

    queue.process_queue(MaxTasksShutdown(4), wait_seconds=0, concurrency=4)

    assert set(seen) == ids


# --- concurrency ----------------------------------------------------------------------------------------------------


def test_plain_tasks_run_side_by_side(env, consume, gate):
    """As many as the concurrency says."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held() -> None:
        gate()

    env.create_queues()
    for _ in range(5):
        held.delay()

    consume(queue, concurrency=5)

    gate.wait_for(5)


def test_async_tasks_run_side_by_side_on_one_loop(env):
    """Fifty wait for each other, with two threads in the pool."""
    queue = env.queue("jobs")
    loops, waiting = set(), []
    all_here = None

    @queue.processor("meet")
    async def meet() -> None:
        nonlocal all_here
        if all_here is None:
            all_here = asyncio.Event()
        loops.add(id(asyncio.get_running_loop()))
        waiting.append(1)
        if len(waiting) == 50:
            all_here.set()
        await asyncio.wait_for(all_here.wait(), 20)

    @queue.processor("plain")
    def plain() -> None: ...

    env.create_queues()
    meet.map([{} for _ in range(50)])
    plain.delay()

    Consumer([queue], concurrency=60, async_concurrency=50, wait_seconds=0).run(MaxTasksShutdown(51))

    assert len(waiting) == 50
    assert len(loops) == 1


def test_async_tasks_are_no_more_than_their_limit(env, counts):
    """Two at a time, however many threads there are."""
    queue = env.queue("jobs")
    running, most = 0, 0

    @queue.processor("meet")
    async def meet() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    env.create_queues()
    meet.map([{} for _ in range(12)])

    Consumer([queue], concurrency=10, async_concurrency=2, wait_seconds=0).run(MaxTasksShutdown(12))

    assert most == 2
    assert counts("jobs") == (0, 0)


def test_async_timeout_cancels_the_task_and_retries_it(env, counts):
    """On the shared loop too."""
    queue = env.queue("jobs", backoff_policy=ConstantBackoff(50))
    cancelled = []

    @queue.processor("endless", timeout=0.05)
    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    env.create_queues()
    endless.delay()

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=2)

    assert cancelled == [1]
    assert counts("jobs") == (0, 1)


@pytest.mark.parametrize("how", ["exit", "cancel"])
def test_an_async_task_cannot_take_the_loop_with_it(env, counts, how):
    """SystemExit and a task that cancels itself are failures of that task."""
    queue = env.queue("jobs", backoff_policy=ConstantBackoff(50))

    @queue.processor("breaks")
    async def breaks() -> None:
        if how == "exit":
            raise SystemExit(3)
        raise asyncio.CancelledError

    @queue.processor("good")
    async def good() -> None:
        await asyncio.sleep(0.01)

    env.create_queues()
    breaks.delay()
    good.delay()

    queue.process_queue(MaxTasksShutdown(2), wait_seconds=0, concurrency=2)

    assert counts("jobs") == (0, 1)


# --- several queues -------------------------------------------------------------------------------------------------


def test_a_queue_whose_tasks_hang_does_not_stop_the_others(env, consume, gate):
    """Ten messages that never end in one, and the other is served (fault S5)."""
    stuck, lively = env.queue("stuck"), env.queue("lively")
    served = threading.Semaphore(0)

    @stuck.processor("held")
    def held() -> None:
        gate()

    @lively.processor("quick")
    def quick() -> None:
        served.release()

    env.create_queues()
    held.map([{} for _ in range(10)])

    consume(stuck, lively, concurrency=4)
    gate.wait_for(3)
    quick.map([{} for _ in range(10)])

    for _ in range(10):
        assert served.acquire(timeout=10)


def test_strict_priority_serves_the_first_queue_first(env):
    """While it has messages, the second waits."""
    first, second = env.queue("first"), env.queue("second")
    order = []

    @first.processor("a")
    def a() -> None:
        order.append("a")

    @second.processor("b")
    def b() -> None:
        order.append("b")

    env.create_queues()
    a.map([{} for _ in range(60)])
    b.map([{} for _ in range(60)])

    consumer = Consumer([first, second], concurrency=2, wait_seconds=1, strict_priority=True)
    consumer.run(lambda: IdleShutdown(1))

    assert len(order) == 120
    # The last of the first queue may still run while the second begins.
    assert order[:60].count("a") >= 58


def test_weights_name_queues_that_are_worked(env):
    """A typing error is told at the start."""
    queue = env.queue("jobs")

    with pytest.raises(ConfigurationError, match="jbos"):
        Consumer([queue], weights={"jbos": 2})


def hot_queues(env, count, jobs):
    """Queues with a backlog, and what tells that all of it is done."""
    queues, done = [], threading.Semaphore(0)
    for number in range(count):
        queue = env.queue(f"hot{number}")

        @queue.processor("work")
        def work() -> None:
            done.release()

        queues.append(queue)
    env.create_queues()
    for queue in queues:
        queue.task("work").map([{} for _ in range(jobs)])

    def wait():
        for _ in range(count * jobs):
            assert done.acquire(timeout=20)

    return queues, wait


def test_queues_with_a_backlog_are_received_from_one_after_the_other(env, sqs, consume, monkeypatch):
    """Threads that are in boto3 together make it slower; those of idle queues only wait there."""
    monkeypatch.setattr(receive_turn, "PATIENCE_SECONDS", 10)
    queues, wait = hot_queues(env, 3, 60)
    changed, inside, met, polled = threading.Condition(), 0, [], set()

    def receive(request):
        nonlocal inside
        with changed:
            is_first, _ = request["QueueUrl"] not in polled, polled.add(request["QueueUrl"])
            if is_first or request["WaitTimeSeconds"]:
                return  # it does not know yet that there is a backlog
        with changed:
            inside += 1
            changed.notify_all()
            # Time for another to come; none does.
            if changed.wait_for(lambda: inside > 1, 0.02):
                met.append(request["QueueUrl"])
            inside -= 1

    sqs.script("receive_message", *[receive] * 500)

    consume(*queues, concurrency=6, prefetch=24)
    wait()

    short = [request["QueueUrl"] for request in sqs.requests("receive_message") if not request["WaitTimeSeconds"]]
    assert len(set(short)) == 3
    assert not met


def test_a_receive_that_hangs_does_not_hold_up_other_queues(env, sqs, consume):
    """Its turn is over in a moment, whether it has been answered or not."""
    queues, wait = hot_queues(env, 2, 60)
    hung = env.get_queue_url("hot0")
    hanging, answer = threading.Event(), threading.Event()

    def receive(request):
        if request["QueueUrl"] == hung and not request["WaitTimeSeconds"]:
            hanging.set()
            answer.wait(30)

    sqs.script("receive_message", *[receive] * 500)

    consume(*queues, concurrency=4)
    assert hanging.wait(10)
    until(lambda: queues[1].statistics().available == 0, what="the other queue is empty", seconds=15)

    answer.set()
    wait()


# --- FIFO -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def fifo(env):
    return env.queue("orders.fifo", max_receive_count=20, backoff_policy=ConstantBackoff(0))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_fifo_groups_keep_their_order_through_failures(env, fifo, counts, concurrency):
    """A failed message is tried again before the next of its group runs (fault W5: 0,1,2,3,1)."""
    order = {"a": [], "b": [], "c": []}
    failed = set()

    @fifo.processor("step", group_by="group")
    def step(group: str, n: int) -> None:
        if n % 3 == 1 and (group, n) not in failed:
            failed.add((group, n))
            raise ValueError(n)
        order[group].append(n)

    env.create_queues()
    with fifo.add_batch():
        for n in range(6):
            for group in order:
                step.delay(group=group, n=n)

    fifo.process_queue(MaxTasksShutdown(18 + 6), wait_seconds=0, concurrency=concurrency)

    assert order == {group: [0, 1, 2, 3, 4, 5] for group in order}
    assert counts("orders.fifo") == (0, 0)


def test_fifo_order_holds_for_async_tasks(env, fifo, counts):
    """On the loop, groups side by side, each in order through a failure."""
    order = {"a": [], "b": [], "c": []}
    failed = set()

    @fifo.processor("step", group_by="group")
    async def step(group: str, n: int) -> None:
        await asyncio.sleep(0.001)
        if n == 1 and group not in failed:
            failed.add(group)
            raise ValueError(n)
        order[group].append(n)

    env.create_queues()
    with fifo.add_batch():
        for n in range(4):
            for group in order:
                step.delay(group=group, n=n)

    fifo.process_queue(MaxTasksShutdown(12 + 3), wait_seconds=0, concurrency=4)

    assert order == {group: [0, 1, 2, 3] for group in order}
    assert counts("orders.fifo") == (0, 0)


def test_plain_and_async_tasks_share_a_queue_with_a_prefetch(env, counts):
    """Each kind has its own slots; none is lost between them."""
    queue = env.queue("mixed")
    done = []

    @queue.processor("plain")
    def plain(n: int) -> None:
        done.append(n)

    @queue.processor("coroutine")
    async def coroutine(n: int) -> None:
        await asyncio.sleep(0)
        done.append(n)

    env.create_queues()
    with queue.add_batch():
        for n in range(0, 200, 2):
            plain.delay(n=n)
            coroutine.delay(n=n + 1)
        queue.add_job("unknown")

    Consumer([queue], concurrency=3, async_concurrency=2, prefetch=5, wait_seconds=0).run(MaxTasksShutdown(201))

    assert sorted(done) == list(range(200))
    assert counts("mixed") == (0, 1)


def test_fifo_process_batch_keeps_order_and_stops_a_group_at_its_failure(env, fifo, counts):
    """What follows the failed message stays in the queue, uncounted."""
    fifo = env.queue("kept.fifo", backoff_policy=ConstantBackoff(30))
    ran = []

    @fifo.processor("step", group_by="group")
    def step(group: str, n: int) -> None:
        ran.append((group, n))
        if (group, n) == ("a", 1):
            raise ValueError(n)

    env.create_queues()
    for n in range(3):
        step.delay(group="a", n=n)
    step.delay(group="b", n=0)

    result = fifo.process_batch()

    assert ("a", 2) not in ran
    assert ("b", 0) in ran
    assert result.failed_count() == 1
    assert counts("kept.fifo") == (1, 1)


def test_innocent_followers_of_a_failing_message_keep_their_receive_count(env, session):
    """A message that always fails reaches the dead-letter queue alone (S23)."""
    fifo = env.queue("trap.fifo", max_receive_count=3, backoff_policy=ConstantBackoff(0))
    received = []

    @fifo.processor("step")
    def step(n: int) -> None:
        received.append((n, current_lease().message.receive_count))
        if n == 0:
            raise ValueError("always")

    env.create_queues()
    with fifo.add_batch():
        for n in range(10):
            step.delay(n=n)

    fifo.process_queue(MaxTasksShutdown(3 + 9), wait_seconds=0)

    assert received == [(0, 1), (0, 2), (0, 3), *[(n, 1) for n in range(1, 10)]]


def test_fifo_groups_run_side_by_side(env, fifo, consume, gate):
    """Four groups, four threads."""

    @fifo.processor("step", group_by="group")
    def step(group: str) -> None:
        gate(group)

    env.create_queues()
    for group in "abcd":
        step.delay(group=group)
        step.delay(group=group)

    consume(fifo, concurrency=6)
    gate.wait_for(4)

    assert sorted(gate.entered) == ["a", "b", "c", "d"]


# --- the stop -------------------------------------------------------------------------------------------------------


def test_a_stop_waits_for_running_jobs_and_gives_back_what_has_not_started(env, counts, consume, gate):
    """Design §4, step by step."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held(n: int) -> None:
        gate(n)

    env.create_queues()
    held.map([{"n": n} for n in range(8)])
    consumer, thread = consume(queue, concurrency=2, prefetch=4)
    gate.wait_for(2)
    deadline = time.monotonic() + 5
    while counts("jobs") != (2, 6) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert counts("jobs") == (2, 6)

    consumer.stop()

    # At once, while the two still run: others can have the four that never started.
    deadline = time.monotonic() + 5
    while counts("jobs") != (6, 2) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert counts("jobs") == (6, 2)
    gate.open()
    thread.join(10)
    assert counts("jobs") == (6, 0)
    assert len(gate.entered) == 2


def test_a_prefetch_in_the_polling_thread_is_given_back_too(env, counts, consume, gate):
    """One job at a time, nine waiting: the stop does not wait for the running one to give them back."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held(n: int) -> None:
        gate(n)

    env.create_queues()
    held.map([{"n": n} for n in range(10)])
    consumer, thread = consume(queue, concurrency=1, prefetch=9)
    gate.wait_for(1)
    assert counts("jobs") == (0, 10)

    consumer.stop()

    deadline = time.monotonic() + 5
    while counts("jobs") != (9, 1) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert counts("jobs") == (9, 1)
    gate.open()
    thread.join(10)
    assert counts("jobs") == (9, 0)


def test_what_a_poll_in_flight_brings_is_given_back(env, sqs, counts, consume, no_pause):
    """Awaited, not abandoned: its messages would be hidden from all for a lease (kombu#1835)."""
    queue = env.queue("jobs")
    ran = []

    @queue.processor("quick")
    def quick() -> None:
        ran.append(1)

    env.create_queues()
    polling, answer = threading.Event(), threading.Event()

    def slowly(request):
        polling.set()
        assert answer.wait(10)

    sqs.script("receive_message", slowly)
    consumer, thread = consume(queue, concurrency=2)
    assert polling.wait(10)

    consumer.stop()
    consumer.stopping.wait(10)
    quick.delay()
    answer.set()
    thread.join(10)

    assert ran == []
    assert counts("jobs") == (1, 0)


def test_it_is_given_back_at_once_even_when_all_threads_are_busy(env, sqs, counts, consume, gate):
    """What a poll in flight brings does not wait for a thread to say that it has not started."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held() -> None:
        gate()

    env.create_queues()
    held.delay()
    held.delay()
    polling, answer = threading.Event(), threading.Event()

    def slowly(request):
        polling.set()
        assert answer.wait(10)

    sqs.script("receive_message", lambda _: None, slowly)
    consumer, _ = consume(queue, concurrency=2, prefetch=2)
    gate.wait_for(2)
    assert polling.wait(10)

    consumer.stop()
    consumer.stopping.wait(10)
    held.delay()
    answer.set()

    deadline = time.monotonic() + 5
    while sqs.counts["change_message_visibility_batch"] == 0 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert counts("jobs") == (1, 2)


def test_a_job_that_outlives_the_grace_period_does_not_hold_up_the_end(env, counts, consume, gate, caplog):
    """It comes back when its lease ends; the worker says so and goes."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held() -> None:
        gate()

    env.create_queues()
    held.delay()
    consumer, thread = consume(queue, concurrency=2, grace_seconds=0.2)
    gate.wait_for(1)

    started = time.monotonic()
    consumer.stop()
    thread.join(10)

    assert not thread.is_alive()
    assert time.monotonic() - started < 5
    (said,) = [r.getMessage() for r in caplog.records if r.__dict__.get("action") == "grace_over"]
    assert said.startswith("1 job still runs at the end of the grace period; what is not done comes back")
    assert counts("jobs") == (0, 1)


def test_a_poll_that_nobody_answers_does_not_hold_up_the_end(env, sqs, consume):
    """A black hole between here and SQS: the grace period is the limit."""
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    polling, answer = threading.Event(), threading.Event()

    def never(request):
        polling.set()
        answer.wait(30)

    sqs.script("receive_message", never)
    consumer, thread = consume(queue, concurrency=2, grace_seconds=0.2)
    assert polling.wait(10)

    consumer.stop()
    thread.join(10)

    assert not thread.is_alive()
    answer.set()


def test_a_settlement_that_nobody_answers_does_not_hold_up_the_end(env, sqs, counts, consume, monkeypatch, caplog):
    """The stop in the middle of settling: two seconds, then the message is left to come back."""
    monkeypatch.setattr(consumer_module, "CLOSE_SECONDS", 0.2)
    queue = env.queue("jobs")
    ran, deleting, answer = [], threading.Event(), threading.Event()

    @queue.processor("quick")
    def quick() -> None:
        ran.append(1)

    env.create_queues()

    def never(request):
        deleting.set()
        answer.wait(30)
        raise ConnectionResetError("too late")

    sqs.script("delete_message_batch", never)
    quick.delay()
    consumer, thread = consume(queue, concurrency=2, wait_seconds=0)
    assert deleting.wait(10)

    consumer.stop()
    thread.join(10)

    assert not thread.is_alive()
    assert any(r.__dict__.get("action") == "settle_unfinished" for r in caplog.records)
    assert counts("jobs") == (0, 1)
    answer.set()


def test_a_long_poll_does_not_outlast_the_grace_period(env, sqs, consume):
    """It is awaited at the stop; and what a last act gives back, the worker's own poll would take again."""
    queue = env.queue("jobs")
    queue.processor("quick")(lambda: None)
    env.create_queues()

    consume(queue, wait_seconds=20, grace_seconds=2)
    until(lambda: len(sqs.requests("receive_message")) > 1, what="a long poll", every=0.01)

    assert sqs.requests("receive_message")[1]["WaitTimeSeconds"] == 2


def test_jobs_are_given_back_only_while_no_receive_could_take_them_again(env, sqs, counts, consume, gate):
    """For a process that ends: they are visible at once, to others."""
    queue = env.queue("jobs")

    @queue.processor("held")
    def held() -> None:
        gate()

    env.create_queues()
    held.delay()
    consumer, thread = consume(queue, concurrency=2, wait_seconds=1, grace_seconds=0.1)
    gate.wait_for(1)
    answer = threading.Event()
    receiving = threading.Event()

    def unanswered(request):
        receiving.set()
        answer.wait(20)

    sqs.script("receive_message", unanswered)
    assert receiving.wait(10)
    consumer.stop()
    thread.join(10)

    consumer.give_back_unfinished()
    assert counts("jobs") == (0, 1)
    answer.set()
    until(lambda: not consumer.states[0].is_receiving, what="the receive is answered", every=0.01)
    consumer.give_back_unfinished()
    assert counts("jobs") == (1, 0)
    gate.open()


def test_an_async_task_that_outlives_the_grace_period_is_cancelled(env, counts, consume):
    """A coroutine can be told, unlike a thread; and when it has ended, others may have the job at once."""
    queue = env.queue("jobs")
    running, cancelled = threading.Event(), threading.Event()

    @queue.processor("endless")
    async def endless() -> None:
        running.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    env.create_queues()
    endless.delay()
    consumer, thread = consume(queue, concurrency=2, grace_seconds=0.2)
    assert running.wait(10)

    consumer.stop()
    thread.join(10)

    assert cancelled.is_set()
    assert counts("jobs") == (1, 0)


def test_a_stop_before_the_start_is_not_forgotten(env):
    """A signal may come while the application is still loading."""
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    consumer = Consumer([queue], wait_seconds=1)
    consumer.stop()

    consumer.run()


def test_no_thread_is_left_behind(env):
    """Heartbeat, settling, pool, polls and signals end with the run."""
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    quick.delay()
    before = set(threading.enumerate())

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=3)
    quick.delay()
    queue.process_batch()

    assert [t for t in threading.enumerate() if t not in before and t.name != "sqs-tasks-loop"] == []


def test_an_environment_of_another_clock_jump(env, monkeypatch):
    """Leases and polls go by the monotonic clock: a wall clock set back an hour changes nothing."""
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    env.create_queues()
    quick.delay()
    monkeypatch.setattr(time, "time", lambda: 0.0)

    queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=2)


def test_options_that_cannot_work_are_refused():
    """Told where their author is."""
    queue = SQSEnv().queue("jobs")
    for options in ({"concurrency": 0}, {"prefetch": -1}, {"wait_seconds": 21}, {"concurrency": True}):
        with pytest.raises(ConfigurationError):
            Consumer([queue], **options)
