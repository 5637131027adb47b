"""The same arguments give the same text and the same deduplication id, whatever their order and the way of sending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.queue import JobQueue
from sqs_tasks.task import AsyncTask

WAYS: dict[str, Callable[[AsyncTask[..., Any], JobQueue], Any]] = {
    "by name": lambda task, queue: task.delay(order=7, cents=500),
    "the other way round": lambda task, queue: task.delay(cents=500, order=7),
    "by position": lambda task, queue: task.delay(7, 500),
    "both": lambda task, queue: task.delay(7, cents=500),
    "baked": lambda task, queue: task.bake(cents=500, order=7).delay(),
    "with options": lambda task, queue: task.options(group_id="default").delay(cents=500, order=7),
    "mapped": lambda task, queue: task.map([{"cents": 500, "order": 7}]),
    "by the name of the task": lambda task, queue: queue.add_job("charge", cents=500, order=7),
    "many": lambda task, queue: queue.add_jobs([("charge", {"cents": 500, "order": 7})]),
}


@pytest.fixture
def env() -> SQSEnv:
    return SQSEnv(MemorySession())


def charge(order: int, cents: int) -> None:
    """Nothing."""


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_one_text_for_one_set_of_arguments(env: SQSEnv, way: Callable[..., Any]) -> None:
    """A reader of the console sees the same job, and so does whoever compares bodies."""
    queue = env.queue("payments.fifo")
    task = queue.processor("charge")(charge)
    env.create_queues()

    way(task, queue)

    [message] = queue.get_raw_messages()
    assert message.body == '{"order": 7, "cents": 500}'


def test_one_job_for_one_set_of_arguments(env: SQSEnv) -> None:
    """SQS drops the second and all that follow, also those of a sender that does not have the task (tasktiger#159)."""
    queue = env.queue("payments.fifo", content_based_deduplication=True)
    task = queue.processor("charge")(charge)
    env.create_queues()

    for way in WAYS.values():
        way(task, queue)
    without_task = SQSEnv(sqs_client=env.client()).queue("payments.fifo", content_based_deduplication=True)
    without_task.add_job("charge", cents=500, order=7)
    without_task.add_job("charge", order=7, cents=500)

    assert len(queue.get_raw_messages()) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}),
        ({"a": {1: "x", 2: "y"}}, {"a": {2: "y", 1: "x"}}),
        ({"a": {"b", "c"}}, {"a": {"c", "b"}}),
        ({"a": [{"x": {3, 1}, "y": None}]}, {"a": [{"y": None, "x": {1, 3}}]}),
    ],
)
def test_equal_values_are_one_job(env: SQSEnv, one: dict[str, Any], other: dict[str, Any]) -> None:
    """The order in a dictionary or a set is no part of its value."""
    queue = env.queue("payments.fifo", content_based_deduplication=True)
    task = queue.processor("note")(lambda **values: None)
    env.create_queues()

    task.delay(**one, b=1)
    task.delay(b=1, **other)

    assert len(queue.get_raw_messages()) == 1


@pytest.mark.parametrize(
    ("one", "other"), [({"a": [1, 2]}, {"a": [2, 1]}), ({"a": 1}, {"a": "1"}), ({"a": 1}, {"a": 1, "b": 2})]
)
def test_other_values_are_other_jobs(env: SQSEnv, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Nothing is lost for being alike."""
    queue = env.queue("payments.fifo", content_based_deduplication=True)
    task = queue.processor("note")(lambda **values: None)
    env.create_queues()

    task.delay(**one)
    task.delay(**other)

    assert len(queue.get_raw_messages()) == 2


def test_large_arguments_have_the_same_id_compressed_or_not(env: SQSEnv) -> None:
    """Two senders of one queue may be set up differently."""
    queue = env.queue("payments.fifo", content_based_deduplication=True)
    task = queue.processor("note")(lambda text: None)
    plain = SQSEnv(sqs_client=env.client()).queue(
        "payments.fifo", content_based_deduplication=True, compress_above_bytes=None
    )
    env.create_queues()

    task.delay(text="x" * 100_000)
    plain.add_job("note", text="x" * 100_000)

    assert len(queue.get_raw_messages()) == 1


def test_jobs_of_batch_processors_too(env: SQSEnv) -> None:
    """What one of their items holds is in no signature."""
    queue = env.queue("index")
    task = queue.batch_processor("index")(lambda jobs: None)
    env.create_queues()

    task.delay(b=1, a=2)
    queue.add_job("index", a=2, b=1)

    assert {message.body for message in queue.get_raw_messages()} == {'{"a": 2, "b": 1}'}
