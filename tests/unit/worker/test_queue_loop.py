"""What is received, and what SQS or the network may do meanwhile: the loop goes on."""

from __future__ import annotations

import threading

import pytest
from botocore.exceptions import EndpointConnectionError

from sqs_tasks import SQSEnv
from sqs_tasks.backoff_policies import ConstantBackoff
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.worker import settlement_buffer
from sqs_tasks.worker.consumer import Consumer
from tests.support.polling import until
from tests.support.scripted_client import failing, raising

# --- how much is received ---------------------------------------------------------------------------------------------


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

    until(lambda: counts("jobs") == (14, 6), what="14, 6 messages visible and in flight", every=0.01)
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


# --- the errors of the world ------------------------------------------------------------------------------------------


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
