"""Sending many jobs: an error in the midst of them, and jobs of batch processors."""

from __future__ import annotations

import json

import pytest

from sqs_tasks import BatchMessages, MemorySession, SQSEnv


@pytest.fixture
def env():
    return SQSEnv(MemorySession())


@pytest.fixture
def numbers(env):
    """A task that takes a number."""

    @env.queue("numbers").processor("take")
    def take(number: int) -> None:
        """Nothing."""

    env.create_queues()
    return take


def received(env, name):
    queue, bodies = env.queue(name), []
    while messages := queue.get_raw_messages():
        bodies += [json.loads(message.body) for message in messages]
    return bodies


@pytest.mark.parametrize("max_in_flight", [1, 3])
@pytest.mark.parametrize("good", [0, 3, 10, 25])
def test_what_was_read_before_an_error_is_sent(env, numbers, good, max_in_flight):
    """Jobs before a wrong one are sent, each once, and the error is raised afterwards."""
    sent = []
    env.post_send(lambda _message, receipt: sent.append(receipt.message_id))

    with pytest.raises(TypeError, match="missing a required argument: 'number'"):
        numbers.map([*({"number": n} for n in range(good)), {"colour": "blue"}], max_in_flight=max_in_flight)

    assert sorted(one["number"] for one in received(env, "numbers")) == list(range(good))
    assert len(sent) == good


def test_error_of_the_iterable_is_raised_as_it_is(env, numbers):
    """An exception of the iterable reaches the caller; what it gave before is sent."""

    def calls():
        yield {"number": 1}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        numbers.map(calls())

    assert received(env, "numbers") == [{"number": 1}]


@pytest.mark.parametrize("make", ["batch_processor", "batching_policy"])
def test_job_of_a_batch_processor_takes_any_arguments(env, make):
    """The function's own signature is about the list of jobs."""
    queue = env.queue("letters", batching_policy=BatchMessages(3) if make == "batching_policy" else None)
    taken = []

    def take(jobs):
        taken.extend(jobs)

    task = queue.batch_processor("take")(take) if make == "batch_processor" else queue.processor("take")(take)
    env.create_queues()

    task.delay(name="a")
    task.bake(name="b")()
    task.map([{"name": "c"}])
    queue.process_batch()

    assert sorted(job["name"] for job in taken) == ["a", "b", "c"]


def test_job_of_a_batch_processor_has_no_places(env):
    """A batch processor's jobs have no signature, so positional arguments are refused."""

    @env.queue("letters").batch_processor("take")
    def take(jobs):
        """Nothing."""

    with pytest.raises(TypeError, match="by keyword"):
        take.delay("a")
