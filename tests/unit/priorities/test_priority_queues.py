"""Classes of jobs: a queue for each, tasks on all of them, and the weights by which workers serve them."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from sqs_tasks import Every, MemorySession, Schedule, SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.testing import assert_enqueued, drain, refute_enqueued
from sqs_tasks.worker.consumer import Consumer
from sqs_tasks.worker.slots import Slots


@pytest.fixture
def env():
    return SQSEnv(MemorySession(), queue_prefix="shop-")


@pytest.fixture
def jobs(env):
    return env.priority_queues("jobs", low=1, high=8, medium=3)


def waiting(env):
    """How many messages each queue has."""
    return {name.removeprefix("jobs_"): queue.statistics().available for name, queue in env.queues.items()}


def test_each_class_has_a_queue_of_its_own_by_weight(env, jobs):
    """In the order of the weights, which a strict priority goes by; the middle class is that of jobs without one."""
    assert list(env.queues) == ["jobs_high", "jobs_medium", "jobs_low"]
    assert [queue.settings.weight for queue in env.queues.values()] == [8, 3, 1]
    assert (list(jobs), jobs.default, jobs["low"].name) == (["high", "medium", "low"], "medium", "jobs_low")
    assert env.priority_queues("two", urgent=2, later=1).default == "later"
    assert env.priority_queues("own", urgent=2, later=1, default="urgent").default == "urgent"


def test_task_is_on_all_of_them_and_a_job_goes_to_its_class(env, jobs):
    """By every way of sending; what names no class goes to the default one."""
    ran = []

    @jobs.processor("go", schedule=Schedule(Every(hours=1), arguments={"n": 0}))
    def go(n: int) -> None:
        ran.append(n)

    env.create_queues()
    go.delay(1)
    go.options(priority="high").delay(2)
    go.options(priority="low").bake(3).delay()
    go.map([{"n": n} for n in (4, 5)], priority="high")
    asyncio.run(go.amap([{"n": 6}], priority="low"))
    asyncio.run(go.options(priority="high").adelay(7))
    jobs["low"].add_job("go", n=8)

    assert waiting(env) == {"high": 4, "medium": 1, "low": 3}
    drain(env)
    assert sorted(ran) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(env.schedules) == 1, "one schedule, of the default class"
    assert jobs["medium"].task("go") is go


def test_batch_takes_the_jobs_of_all_classes(env, jobs):
    """In requests of ten for each; the assertions of tests find a job in whichever queue it is."""
    client = env.client()
    go = jobs.processor("go")(lambda n: None)
    env.create_queues()
    requests = []
    env.around_request = lambda request: requests.append(request) or contextlib.nullcontext()

    with go.batch():
        for n in range(4):
            go.options(priority="high" if n % 2 else "low").delay(n)
    asyncio.run(added_async(go))

    assert [(one.operation, one.queue_name) for one in requests] == [
        ("send", "jobs_low"),
        ("send", "jobs_high"),
        ("send", "jobs_low"),
    ]
    assert client is env.client()
    assert [job.queue_name for job in assert_enqueued(go, n=3)] == ["jobs_high"]
    with pytest.raises(AssertionError, match="queue 'jobs_low'"):
        refute_enqueued(go, n=2)
    with pytest.raises(
        AssertionError,
        match=r"in queue 'jobs_high'; it has 2: .*, nor in queue 'jobs_medium'; it is empty, nor in queue 'jobs_low'",
    ):
        assert_enqueued(go, n=77)
    refute_enqueued(go, n=77)


async def added_async(go):
    """Two jobs from a coroutine."""
    async with go.abatch():
        go.options(priority="low").delay(8)
        go.options(priority="low").delay(9)


def test_batch_processor_is_on_all_of_them(env, jobs):
    """The jobs of one call are of one class."""
    ran = []

    @jobs.batch_processor("index", batch_size=5)
    def index(items: list[dict[str, int]]) -> None:
        ran.append(sorted(item["n"] for item in items))

    env.create_queues()
    index.map([{"n": 1}, {"n": 2}], priority="high")
    index.delay(n=3)
    drain(env)

    assert sorted(ran) == [[1, 2], [3]]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda env: env.priority_queues("jobs.fifo", high=2, low=1), "no order connects those"),
        (lambda env: env.priority_queues("jobs", high=2), "must be two or more"),
        (lambda env: env.priority_queues("jobs", high=2, low=0), "low"),
        (lambda env: env.priority_queues("jobs", high=2, low=1, default="middle"), "none of the classes"),
        (lambda env: env.priority_queues("jobs", high=2, low=1, options={"weight": 3}), "says 'weight'"),
        (lambda env: env.queue("plain", weight=-1), "weight"),
        (lambda env: env.priority_queues("jobs", high=2, low=1)["urgent"], "none of the classes of 'jobs'"),
        (
            lambda env: (
                env.priority_queues("jobs", high=2, low=1).processor("go")(lambda: None).options(priority="urgent")
            ),
            "'high', 'low'; leave it out for 'low'",
        ),
        (
            lambda env: env.queue("plain").processor("go")(lambda: None).options(priority="high"),
            "its queue has no classes",
        ),
        (
            lambda env: (
                env.priority_queues("jobs", high=2, low=1)
                .processor("go")(lambda: None)
                .options(priority="high", queue=env.queue("plain"))
            ),
            "give one of the two",
        ),
    ],
)
def test_what_cannot_be_is_refused(env, call, says):
    """Where it is written."""
    with pytest.raises(ConfigurationError, match=says):
        call(env)


def test_worker_takes_the_registered_weights_unless_it_is_given_others(env, jobs, monkeypatch):
    """Nobody has to say them again."""
    given = []
    monkeypatch.setattr(
        "sqs_tasks.worker.consumer.Slots",
        lambda total, weights, **options: given.append(list(weights)) or Slots(total, weights, **options),
    )
    jobs.processor("go")(lambda: None)

    Consumer(list(env.queues.values()), concurrency=12)
    Consumer(list(env.queues.values()), concurrency=12, weights={"jobs_low": 5})

    assert given == [[8, 3, 1], [8, 3, 5]]


def test_manifest_carries_weight_and_group(env, jobs):
    """So that a stack has one service for them; a queue without has neither field."""
    env.queue("plain")
    by_name = {one["name"]: one for one in env.manifest()["queues"]}

    assert (by_name["jobs_high"]["weight"], by_name["jobs_high"]["priority_group"]) == (8, "jobs")
    assert "weight" not in by_name["jobs_low"]
    assert not {"weight", "priority_group"} & by_name["plain"].keys()
