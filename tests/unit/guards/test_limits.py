"""Limits: how many jobs begin in a time and run at once, over all workers, and when those above come again."""

from __future__ import annotations

import asyncio
import heapq
import math

import pytest

from sqs_tasks import ConcurrencyLimit, RateLimit, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.guards import concurrency, rate
from sqs_tasks.guards.guard import LEASE_SECONDS
from sqs_tasks.guards.leases import LEASES
from sqs_tasks.outcome import Postponed
from sqs_tasks.store import SQLiteStore
from sqs_tasks.testing import drain, lambda_context, lambda_event

# --- the rate itself, by a moved clock -------------------------------------------------------------------------------


def begin_all(limit, arrivals, *, until):
    """When each job begins: those above the rate come again as SQS brings them, by whole seconds and a little late."""
    store, now, begun = SQLiteStore(":memory:", now=lambda: 1_000_000 + now), 0.0, []
    coming = [(at, number, False) for number, at in enumerate(arrivals)]
    heapq.heapify(coming)
    while coming and coming[0][0] <= until:
        now, number, has_waited = heapq.heappop(coming)
        seconds = rate.take(store, "limit/crm/", limit, 1_000_000 + now, has_waited=has_waited)
        if seconds is None:
            begun.append((now, number))
        else:
            late = 0.05 + number % 7 / 100
            heapq.heappush(coming, (now + max(math.ceil(seconds), 1) + late, number, True))
    store.close()
    return begun


@pytest.mark.parametrize(
    "limit", [RateLimit(100), RateLimit(5), RateLimit(100, per_seconds=60), RateLimit(1, per_seconds=10)]
)
def test_rate_is_used_and_never_exceeded(limit):
    """At least 95 % of the rate while jobs wait, and in no stretch of time more than the rate and its burst."""
    seconds = 20 if limit.interval < 0.1 else 60 * max(limit.interval, 1)
    due = int(seconds / limit.interval)

    begun = begin_all(limit, [0.0] * (due + 50), until=seconds)

    times = [at for at, _ in begun]
    burst = limit.tolerance / limit.interval
    assert len(times) >= 0.95 * due
    for number, at in enumerate(times):
        window = times[number : number + 4 * math.ceil(burst) + 1]
        for many, end in enumerate(window, 1):
            assert many <= burst + (end - at) / limit.interval + 1e-6


def test_jobs_begin_about_in_the_order_of_their_arrival():
    """Those that come later wait behind those that wait already."""
    limit = RateLimit(10)
    arrivals = [number / 20 for number in range(400)]  # twice the rate

    begun = [number for _, number in begin_all(limit, arrivals, until=60)]

    assert len(begun) == 400
    displaced = [abs(place - number) for place, number in enumerate(begun)]
    assert max(displaced) <= 4 * 10, "some seconds' jobs"


def test_idle_limit_lets_a_burst_pass_and_no_more():
    """After a pause as many as the burst begin at once."""
    store = SQLiteStore(":memory:", now=lambda: 1_000.0)
    limit = RateLimit(60, per_seconds=60, burst=5)

    def begun(now):
        return sum(rate.take(store, "limit/crm/", limit, now, has_waited=True) is None for _ in range(10))

    assert begun(1_000.0) == 5
    assert begun(1_000.5) == 0
    assert begun(1_001.0) == 1
    assert begun(5_000.0) == 5
    store.close()


def test_waiting_jobs_get_moments_one_interval_apart():
    """So they do not come back together."""
    store = SQLiteStore(":memory:", now=lambda: 1_000.0)
    limit = RateLimit(1, per_seconds=10, burst=1)

    waits = [rate.take(store, "limit/crm/", limit, 1_000.0, has_waited=False) for _ in range(5)]

    assert waits == [None, 10.0, 20.0, 30.0, 40.0]
    store.close()


# --- limits of tasks -------------------------------------------------------------------------------------------------


def test_jobs_above_the_rate_are_put_off_without_an_attempt(world):
    """Each tenant has its own rate; the job goes on by a copy, and runs in time."""
    ran = []

    @world.queue.processor("call", limits=[RateLimit(1, per_seconds=60, by="tenant", burst=1)], max_attempts=1)
    def call(tenant, number):
        ran.append((tenant, number))

    call.map([{"tenant": tenant, "number": number} for tenant in "ab" for number in range(3)])
    result = drain(world.queue)

    assert sorted(tenant for tenant, _ in ran) == ["a", "b"]
    put_off = [outcome for _, outcome in result.runs if isinstance(outcome, Postponed)]
    assert sorted(outcome.delay_seconds for outcome in put_off) == [60, 60, 120, 120]
    assert {outcome.attempts for outcome in put_off} == {0}

    before = world.session.clock.now()
    assert drain(world.queue, wait=True).failed == 0
    assert len(ran) == 6
    assert world.session.clock.now() - before >= 120


def test_price_of_a_rate_is_one_write(world):
    """docs/store.md: one while jobs follow each other, two after a pause; three for one that is put off."""

    @world.queue.processor("call", limits=[RateLimit(2, per_seconds=60, burst=2)])
    def call():
        pass

    prices = []
    for _ in range(3):
        call.delay()
        drain(world.queue)
        prices.append(world.store.taken())

    assert prices == [{"update": 2}, {"update": 1}, {"update": 3}]


def test_price_of_a_slot_is_two_writes(world):
    """One to take it, one to give it back."""

    @world.queue.processor("call", limits=[ConcurrencyLimit(2)])
    def call():
        pass

    call.delay()
    drain(world.queue)

    assert world.store.taken() == {"update": 2}


def test_so_many_run_at_once(world):
    """The third finds no slot, until one of the others has ended: however it ended."""

    @world.queue.processor("call", limits=[ConcurrencyLimit(2, by="customer")])
    def call(customer):
        raise ValueError("the slot is free nevertheless")

    call.delay(customer=7)
    call.delay(customer=8)
    messages = world.queue.get_raw_messages()
    by_customer = {world.queue.job(one).kwargs["customer"]: one for one in messages}
    key = "limit/jobs.call.0/7"
    now = world.session.clock.now()
    assert concurrency.take(world.env.store, key, ConcurrencyLimit(2), now, "another") is None
    assert concurrency.take(world.env.store, key, ConcurrencyLimit(2), now, "one more") is None
    execute = world.queue.executor(now=world.session.clock.now).execute

    refused = execute(by_customer[7])
    assert isinstance(refused, Postponed)
    assert refused.reason == "the limit 'jobs.call.0' is reached"
    assert not isinstance(execute(by_customer[8]), Postponed)

    concurrency.give_back(world.env.store, key, "another", 1.0)
    assert not isinstance(execute(by_customer[7]), Postponed)
    assert not isinstance(execute(by_customer[7]), Postponed), "what raised gave its slot back"


def test_slots_of_dead_workers_are_free_after_their_lease(world):
    """A worker that was killed gives nothing back."""
    store, limit, now = world.env.store, ConcurrencyLimit(3), world.session.clock.now()
    for number in range(3):
        assert concurrency.take(store, "limit/crm/", limit, now, f"dead-{number}") is None
    assert concurrency.prolong(store, "limit/crm/", now + 30, "dead-2")

    assert concurrency.take(store, "limit/crm/", limit, now + LEASE_SECONDS - 1, "new") is not None
    later = now + LEASE_SECONDS + 1
    taken = [concurrency.take(store, "limit/crm/", limit, later, f"new-{number}") is None for number in range(3)]

    assert taken == [True, True, False], "the third is prolonged, and held"
    assert not concurrency.prolong(store, "limit/crm/", later, "dead-0")


def test_slot_is_not_given_back_twice(world):
    """A give-back that is repeated, or comes after the slot was taken back, frees nobody else's."""
    store, limit, now = world.env.store, ConcurrencyLimit(1), world.session.clock.now()
    assert concurrency.take(store, "limit/crm/", limit, now, "first") is None
    concurrency.give_back(store, "limit/crm/", "first", 1.0)
    concurrency.give_back(store, "limit/crm/", "first", 1.0)

    assert concurrency.take(store, "limit/crm/", limit, now, "second") is None
    assert concurrency.take(store, "limit/crm/", limit, now, "second") is None, "an answer was lost: it has its slot"
    assert concurrency.take(store, "limit/crm/", limit, now, "third") is not None


def test_those_without_a_slot_are_spread(world):
    """By how long runs last: they do not ask all at once."""
    store, limit, now = world.env.store, ConcurrencyLimit(2), world.session.clock.now()
    for name in ("a", "b"):
        concurrency.take(store, "limit/crm/", limit, now, name)
    concurrency.give_back(store, "limit/crm/", "a", 20.0)
    concurrency.take(store, "limit/crm/", limit, now, "c")

    waits = [concurrency.take(store, "limit/crm/", limit, now, f"w{number}") for number in range(4)]

    assert waits == [10.0, 20.0, 30.0, 40.0]


def test_rate_is_not_spent_on_a_job_without_a_slot(world):
    """Of several limits slots come first, since a part of a rate cannot be given back."""

    @world.queue.processor("call", limits=[RateLimit(1, per_seconds=600, burst=1), ConcurrencyLimit(1)])
    def call():
        ran.append(1)

    ran = []
    now = world.session.clock.now()
    concurrency.take(world.env.store, "limit/jobs.call.1/", ConcurrencyLimit(1), now, "another")
    call.delay()
    assert drain(world.queue).postponed == 1
    assert world.env.store.get("limit/jobs.call.0/") is None

    concurrency.give_back(world.env.store, "limit/jobs.call.1/", "another", 1.0)
    world.session.advance(10)
    assert drain(world.queue).succeeded == 1

    call.delay()
    assert drain(world.queue).postponed == 1
    assert world.env.store.get("limit/jobs.call.1/")["n"] == 0, "it gave back its slot when the rate refused it"


def test_store_that_is_down_puts_jobs_off(world):
    """No limit is exceeded while nobody can tell."""

    @world.queue.processor("call", limits=[RateLimit(1)])
    def call():
        pass

    call.delay()
    world.store.is_down = True
    assert drain(world.queue).postponed == 1

    world.store.is_down = False
    world.session.advance(31)
    assert drain(world.queue).succeeded == 1


def test_limits_in_lambda_and_with_async_tasks(world):
    """The same in a function: what is put off is not a failure."""

    @world.queue.processor("call", limits=[RateLimit(1, per_seconds=60, burst=1)])
    async def call():
        pass

    handler = SQSEventHandler(world.env)
    call.delay()
    call.delay()

    assert handler(lambda_event(world.queue), lambda_context()) == {"batchItemFailures": []}
    assert world.queue.statistics().delayed == 1


# --- shared limits ---------------------------------------------------------------------------------------------------


def test_tasks_share_a_limit_by_its_name(world):
    """One rate for all that call the same service."""
    crm = world.env.limit("crm", RateLimit(1, per_seconds=60, burst=1))

    @world.queue.processor("read", limits=[crm])
    def read():
        pass

    @world.queue.processor("write", limits=[crm, ConcurrencyLimit(5)])
    def write():
        pass

    read.delay()
    assert drain(world.queue).succeeded == 1
    write.delay()
    assert drain(world.queue).postponed == 1


def test_part_of_a_task_under_a_limit(world):
    """Where it is reached the job is put off; a slot is held for the block, and given back."""
    crm = world.env.limit("crm", ConcurrencyLimit(1))
    held = []

    @world.queue.processor("call")
    def call():
        with crm("a"):
            LEASES.beat()
            held.append(world.env.store.get("limit/crm/a")["n"])
            with crm("a"):
                raise AssertionError

    call.delay()
    assert drain(world.queue).postponed == 1
    assert held == [1]
    assert world.env.store.get("limit/crm/a")["n"] == 0


def test_part_of_an_async_task_under_a_limit(world):
    """The event loop goes on meanwhile."""
    crm = world.env.limit("crm", ConcurrencyLimit(1))
    held = []

    @world.queue.processor("call")
    async def call():
        async with crm():
            await asyncio.sleep(0)
            held.append(world.env.store.get("limit/crm/")["n"])

    call.delay()
    assert drain(world.queue).succeeded == 1
    assert held == [1]
    assert world.env.store.get("limit/crm/")["n"] == 0


def test_part_of_a_task_is_put_off_while_the_store_is_down(world):
    """It does not run above the limit."""
    crm = world.env.limit("crm", RateLimit(1))

    @world.queue.processor("call")
    def call():
        with crm():
            raise AssertionError

    call.delay()
    world.store.is_down = True
    assert drain(world.queue).postponed == 1


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ([RateLimit(1, by="customer")], "limits='customer' is none of its parameters"),
        ([5], "5 is no limit; try RateLimit"),
        (RateLimit(1), "must be a list; try limits="),
    ],
)
def test_limit_that_cannot_work_is_refused(world, limits, text):
    """At the registration."""
    with pytest.raises(ConfigurationError, match=text):
        world.queue.processor("call", limits=limits)(lambda tenant: None)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RateLimit(0),
        lambda: RateLimit(1, per_seconds=0),
        lambda: ConcurrencyLimit(0),
        lambda: RateLimit(1, by=3),
    ],
)
def test_numbers_that_cannot_be_are_refused(make):
    """Where they are written."""
    with pytest.raises(ConfigurationError):
        make()


def test_limit_needs_a_store():
    """The text says which to give."""
    env = SQSEnv()
    with pytest.raises(ConfigurationError, match="limits needs a store"):
        env.queue("jobs").processor("call", limits=[RateLimit(1)])(lambda: None)
    with pytest.raises(ConfigurationError, match="limit 'crm' needs a store"):
        env.limit("crm", RateLimit(1))


def test_tasks_with_limits_put_off_often(world):
    """So the stack lets their function send to its own queue."""

    @world.queue.processor("call", limits=[RateLimit(1)])
    def call():
        pass

    assert call.settings.postpones
