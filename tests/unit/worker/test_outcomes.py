"""Each row of the table of outcomes (docs/guarantees.md), as the container settles it."""

from __future__ import annotations

import pytest

from sqs_tasks import Reject, Retry
from sqs_tasks.backoff_policies import LEAVE_TO_QUEUE, ConstantBackoff
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from tests.support.scripted_client import failing


def visibilities(sqs):
    """The visibility each message was given, in order."""
    return [
        entry["VisibilityTimeout"]
        for request in sqs.requests("change_message_visibility_batch")
        for entry in request["Entries"]
    ]


@pytest.fixture
def queue(env):
    queue = env.queue("jobs", backoff_policy=ConstantBackoff(7))

    @queue.processor("good")
    def good() -> None: ...

    @queue.processor("bad")
    def bad() -> None:
        raise ValueError("bad")

    @queue.processor("later")
    def later(seconds: int) -> None:
        raise Retry(delay_seconds=seconds)

    @queue.processor("left", backoff_policy=LEAVE_TO_QUEUE)
    def left() -> None:
        raise ValueError("left to the queue")

    @queue.processor("hopeless")
    def hopeless() -> None:
        raise Reject("no use")

    @queue.processor("once", max_attempts=1)
    def once() -> None:
        raise ValueError("the only attempt")

    @queue.processor("fatal", no_retry_on=(KeyError,))
    def fatal() -> None:
        raise KeyError("fatal")

    env.create_queues()
    return queue


def test_succeeded_is_deleted(queue, counts):
    """A task that returned: the message goes."""
    queue.add_job("good")

    result = queue.process_batch()

    assert (result.succeeded_count(), result.failed_count()) == (1, 0)
    assert counts("jobs") == (0, 0)


def test_ten_successes_are_deleted_in_one_call(queue, sqs, counts):
    """Settling goes in tens."""
    with queue.add_batch():
        for _ in range(10):
            queue.add_job("good")

    queue.process_batch()

    assert sqs.counts["delete_message_batch"] == 1
    assert counts("jobs") == (0, 0)


def test_retried_is_hidden_for_the_seconds_of_its_policy(queue, sqs, counts):
    """A task that raised: its policy's seconds become the visibility."""
    queue.add_job("bad")

    result = queue.process_batch()

    assert (result.succeeded_count(), result.failed_count()) == (0, 1)
    assert visibilities(sqs) == [7]
    assert counts("jobs") == (0, 1)


def test_retry_is_hidden_for_the_seconds_it_says(queue, sqs, counts):
    """A task that asked for a retry in so many seconds gets them."""
    queue.add_job("later", seconds=120)

    queue.process_batch()

    assert visibilities(sqs) == [120]
    assert counts("jobs") == (0, 1)


def test_retried_without_seconds_is_left_to_the_queue(queue, sqs, counts):
    """A policy that leaves it to the queue costs no call at all."""
    queue.add_job("left")

    queue.process_batch()

    assert visibilities(sqs) == []
    assert sqs.counts["delete_message_batch"] == 0
    assert counts("jobs") == (0, 1)


@pytest.mark.parametrize("name", ["hopeless", "once", "fatal"])
def test_rejected_is_copied_to_the_dead_letter_queue_and_then_deleted(queue, sqs, counts, name):
    """Reject, attempts used up, an error that no retry mends: the copy is accepted first, the original goes then."""
    queue.add_job(name)

    queue.process_batch()

    assert counts("jobs") == (0, 0)
    assert counts("jobs_dead") == (1, 0)
    order = [method for method, _ in sqs.calls if method in ("send_message", "delete_message_batch")]
    assert order == ["send_message", "send_message", "delete_message_batch"]


@pytest.mark.parametrize("body", ["{", "[1, 2]", "\u00e4" * 10], ids=["cut", "list", "text"])
def test_undecodable_is_rejected_and_never_stops_the_loop(queue, sqs, counts, body):
    """Poison goes to the dead-letter queue, and what came with it is run (faults P4, S1, celery/kombu#2421)."""
    sqs.send_message(
        QueueUrl=queue.queue_url,
        MessageBody=body,
        MessageAttributes={
            "JobName": {"DataType": "String", "StringValue": "good"},
            "ContentType": {"DataType": "String", "StringValue": "json"},
        },
    )
    queue.add_job("good")

    result = queue.process_batch()

    assert (result.succeeded_count(), result.failed_count()) == (1, 1)
    assert counts("jobs") == (0, 0)
    assert counts("jobs_dead") == (1, 0)


def test_signature_mismatch_is_rejected(queue, sqs, counts):
    """Arguments that fit no signature never will."""
    sqs.send_message(
        QueueUrl=queue.queue_url,
        MessageBody='{"surprise": 1}',
        MessageAttributes={
            "JobName": {"DataType": "String", "StringValue": "good"},
            "ContentType": {"DataType": "String", "StringValue": "json"},
        },
    )

    queue.process_batch()

    assert counts("jobs") == (0, 0)
    assert counts("jobs_dead") == (1, 0)


def test_rejected_stays_when_the_dead_letter_queue_refuses(queue, sqs, counts):
    """Nothing is deleted that has no copy: it comes back after its backoff (T6)."""
    queue.add_job("hopeless")
    sqs.script("send_message", failing("AWS.SimpleQueueService.NonExistentQueue"))

    queue.process_batch()

    assert sqs.counts["delete_message_batch"] == 0
    assert visibilities(sqs) == [7]
    assert counts("jobs") == (0, 1)
    assert counts("jobs_dead") == (0, 0)


def test_rejected_without_a_dead_letter_queue_is_retried(env, sqs, counts):
    """Without a place to go it stays, with its backoff."""
    queue = env.queue("alone", dead_letter_queue=None, backoff_policy=ConstantBackoff(9))

    @queue.processor("hopeless")
    def hopeless() -> None:
        raise Reject("no use")

    env.create_queues()
    hopeless.delay()

    queue.process_batch()

    assert sqs.counts["delete_message_batch"] == 0
    assert visibilities(sqs) == [9]
    assert counts("alone") == (0, 1)


def test_unknown_task_comes_back_soon_and_is_never_deleted(queue, sqs, counts):
    """Maybe a deploy is in progress: a short backoff, and the redrive policy decides (celery/celery#8812)."""
    queue.add_job("not_deployed_yet")

    result = queue.process_batch()

    assert result.failed_count() == 1
    assert sqs.counts["delete_message_batch"] == 0
    assert len(visibilities(sqs)) == 1
    assert 1 <= visibilities(sqs)[0] <= 120
    assert counts("jobs") == (0, 1)
    assert counts("jobs_dead") == (0, 0)


def test_async_task_has_the_same_outcomes(env, sqs, counts):
    """An async task that succeeds, fails or is rejected is settled as a plain one, in a pool too."""
    queue = env.queue("coroutines", backoff_policy=ConstantBackoff(7))

    @queue.processor("some")
    async def some(how: str) -> None:
        if how == "fails":
            raise ValueError(how)
        if how == "rejects":
            raise Reject(how)

    env.create_queues()
    for how in ("succeeds", "fails", "rejects"):
        some.delay(how=how)

    from sqs_tasks.shutdown_policies import MaxTasksShutdown

    queue.process_queue(MaxTasksShutdown(3), wait_seconds=1, concurrency=3)

    assert counts("coroutines") == (0, 1)
    assert visibilities(sqs) == [7]
    assert counts("coroutines_dead") == (1, 0)


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit])
def test_what_a_task_raises_ends_no_worker(env, counts, error, concurrency):
    """Only its own job has failed: the worker handles Ctrl-C itself, so this one is no person's at the keyboard."""
    queue = env.queue("jobs", backoff_policy=ConstantBackoff(600))
    ran = []

    @queue.processor("raises")
    def raises() -> None:
        raise error

    @queue.processor("raises_async")
    async def raises_async() -> None:
        raise error

    @queue.processor("good")
    def good() -> None:
        ran.append(1)

    env.create_queues()
    for name in ("raises", "raises_async", "good"):
        queue.add_job(name)

    queue.process_queue(MaxTasksShutdown(3), 0, concurrency=concurrency)

    assert ran == [1]
    assert counts(queue.queue_url) == (0, 2)
