"""Sending many jobs: an error in the midst of them, and jobs of batch processors."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from sqs_tasks import BatchMessages, MemorySession, SQSEnv
from sqs_tasks.errors import ConfigurationError


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


def delays(env):
    """The delay of each job by its number, as it was sent."""
    sent = {}
    env.pre_send(lambda message: sent.__setitem__(json.loads(message.body)["number"], message.delay_seconds))
    return sent


@pytest.mark.parametrize("is_sized", [True, False])
def test_jobs_are_spread_over_a_time(env, numbers, is_sized):
    """Evenly, also where nobody knows how many there are; no job waits longer."""
    sent = delays(env)
    calls = [{"number": n} for n in range(100)]

    assert numbers.map(calls if is_sized else iter(calls), spread_seconds=300, delay_seconds=10) == 100

    assert all(10 <= delay < 310 for delay in sent.values())
    in_each_minute = [sum(10 + 60 * n <= delay < 70 + 60 * n for delay in sent.values()) for n in range(5)]
    assert all(18 <= count <= 22 for count in in_each_minute), in_each_minute
    if is_sized:
        assert list(sent.values()) == sorted(sent.values())


def test_each_call_may_have_its_own_delay(env, numbers):
    """By a function of its arguments; None leaves it to the task."""
    sent = delays(env)

    numbers.map([{"number": n} for n in range(3)], delay_seconds=lambda call: call["number"] * 60 or None)
    asyncio.run(numbers.amap([{"number": 7}], delay_seconds=lambda call: call["number"]))
    asyncio.run(numbers.amap(({"number": n} for n in (8, 9)), spread_seconds=100))

    assert sent == {0: None, 1: 60, 2: 120, 7: 7, 8: 0, 9: 61}


@pytest.mark.parametrize(
    ("queue", "options", "says"),
    [
        ("numbers", {"spread_seconds": 901}, "from 0 to 900"),
        ("numbers", {"spread_seconds": -1}, "spread_seconds"),
        ("numbers.fifo", {"spread_seconds": 10}, "on a FIFO queue"),
        ("numbers", {"spread_seconds": 10, "run_at": datetime(2030, 1, 1, tzinfo=UTC)}, "run_at"),
    ],
)
def test_spread_that_cannot_be_is_refused(env, queue, options, says):
    """Before anything is sent."""
    task = env.queue(queue).processor("take")(lambda number: None)

    with pytest.raises(ConfigurationError, match=says):
        task.map([{"number": 1}], **options)
