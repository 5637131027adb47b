"""Records: what state a job is in, its result and its progress, as whoever sent it sees them."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from sqs_tasks import Postpone, Reject, Retry, SQSEnv, Unique, current_job
from sqs_tasks.errors import ConfigurationError, JobNotSucceededError
from sqs_tasks.guards import guard, records
from sqs_tasks.guards.job_record import record_key
from sqs_tasks.guards.leases import LEASES
from sqs_tasks.outcome import SUCCEEDED, Skipped
from sqs_tasks.testing import adrain, drain, in_memory
from tests.support.counting_store import CountingStore


def states(handle):
    """The states that a job went through."""
    return [one.state for one in handle.job.record().history]


def test_job_from_its_send_to_its_result(world):
    """The receipt knows the job: queued, running, succeeded, and what the task returned, in the codec's types."""
    seen = []

    @world.queue.processor("add", record=True)
    def add(a, b):
        seen.append(world.env.job(current_job().job_id).status())
        return {"sum": a + b, "parts": (a, b)}

    job = add.delay(1, b=2)

    assert job.status() == "queued"
    assert drain(world.queue).succeeded == 1
    assert seen == ["running"]
    assert job.status() == "succeeded"
    assert job.result() == {"sum": 3, "parts": (1, 2)}
    assert states(job) == ["queued", "running", "succeeded"]
    record = world.env.job(job.job_id).record()
    assert (record.task, record.queue_name, record.attempt, record.reason) == ("add", "jobs", 1, "")
    assert record.sent_at <= record.started_at <= record.ended_at
    assert ":" in record.worker


def test_price_of_a_record_is_three_writes(world):
    """docs/store.md: one at the send, one at the begin, one at the end; other tasks cost nothing."""

    @world.queue.processor("recorded", record=True)
    def recorded():
        return 1

    @world.queue.processor("plain")
    def plain():
        return 1

    plain.delay()
    drain(world.queue)
    assert world.store.taken() == {}

    recorded.delay()
    assert world.store.taken() == {"put_if_absent": 1}
    drain(world.queue)
    assert world.store.taken() == {"update": 2}


@pytest.mark.parametrize("way", ["batch", "map", "adelay", "name"])
def test_every_way_to_send_begins_a_record(world, way):
    """Whoever sends in tens, from coroutines or by name has a record from the send on."""

    @world.queue.processor("add", record=True)
    def add(a):
        return a

    ids = []
    world.env.post_send(lambda message, receipt: ids.append(receipt.job_id))
    if way == "batch":
        with add.batch():
            receipt = add.delay(1)
        assert receipt.status() == "queued"
    elif way == "map":
        add.map([{"a": 1}])
    elif way == "adelay":
        receipt = asyncio.run(add.adelay(1))
        assert receipt.status() == "queued"
        assert asyncio.run(receipt.astatus()) == "queued"
    else:
        world.env.add_job("jobs", "add", a=1)

    assert world.env.job(ids[0]).status() == "queued"


def test_failures_and_dead_letters(world):
    """A retry says when it failed and why; the end in the dead-letter queue is an end."""

    @world.queue.processor("fails", record=True, max_attempts=2)
    def fails():
        raise ValueError("no such order")

    job = fails.delay()
    drain(world.queue, raise_errors=False)
    assert job.status() == "retrying"
    assert "no such order" in job.job.record().reason

    drain(world.queue, raise_errors=False, wait=True)

    assert states(job) == ["queued", "running", "retrying", "running", "dead"]
    assert job.wait(timeout=0).state == "dead"
    with pytest.raises(JobNotSucceededError, match=r"it is dead \(.*no such order") as caught:
        job.result(timeout=0)
    assert caught.value.state == "dead"


def test_failed_without_a_dead_letter_queue(world):
    """Where nothing keeps the message, the record does not say that something does."""
    queue = world.env.queue("loose", dead_letter_queue=None)
    world.env.create_queues()

    @queue.processor("fails", record=True)
    def fails():
        raise Reject("never")

    job = fails.delay()
    drain(queue, raise_errors=False)

    assert job.status() == "failed"


def test_postponed_job_is_queued_again(world):
    """It was no attempt, and the record says so."""

    @world.queue.processor("waits", record=True)
    def waits():
        if len(states(job)) < 4:
            raise Postpone(60, "closed")

    job = waits.delay()
    drain(world.queue)

    assert job.status() == "queued"
    assert (job.job.record().attempt, job.job.record().reason) == (0, "closed")
    drain(world.queue, wait=True)
    assert job.status() == "succeeded"
    assert job.job.record().attempt == 1


def test_job_that_is_too_old_is_skipped_or_dead(world):
    """What ends before any run ends in the record too."""

    @world.queue.processor("old", record=True, max_age=60, expired="drop")
    def old():
        raise AssertionError

    @world.queue.processor("older", record=True, max_age=60)
    def older():
        raise AssertionError

    dropped, dead = old.delay(), older.delay()
    world.session.advance(120)
    drain(world.queue, raise_errors=False)

    assert dropped.status() == "skipped"
    assert "max_age" in dropped.job.record().reason
    assert dead.status() == "dead"


def test_job_that_another_guard_skips_is_skipped_in_its_record(world):
    """No record says queued for ever; one of a job that succeeded stays as it is when the job comes again."""

    @world.queue.processor("reindex", record=True, unique=Unique())
    def reindex():
        return 1

    first, second = reindex.delay(), reindex.delay()
    world.session.advance(10)
    runs = drain(world.queue).runs

    assert sorted([first.status(), second.status()]) == ["skipped", "succeeded"]
    (message,) = (message for message, outcome in runs if outcome is SUCCEEDED)
    assert isinstance(world.queue.executor(now=world.session.clock.now).execute(message), Skipped)
    assert sorted([first.status(), second.status()]) == ["skipped", "succeeded"]


def test_guard_that_fails_puts_the_job_off(world, monkeypatch, caplog):
    """A store that is set up wrongly, say: the job does not run unguarded, and the worker lives."""

    @world.queue.processor("add", record=True)
    def add():
        raise AssertionError

    def fail(self, run):
        raise ConfigurationError("no name of a table")

    monkeypatch.setattr(records.Records, "enter", fail)
    add.delay()

    assert drain(world.queue).postponed == 1
    assert "no name of a table" in caplog.text


def test_worker_that_dies_leaves_a_lost_job(world):
    """Nobody writes that: it says running, and its lease is over. The next run goes on from there."""

    @world.queue.processor("crashes", record=True)
    def crashes():
        if job.job.record().attempt == 1:
            raise KeyboardInterrupt

    job = crashes.delay()
    key = record_key(job.job_id)
    world.env.store.update(key, {"state": "running", "until": world.env.client.now() + 60, "run": "dead"})
    assert job.status() == "running"

    world.session.advance(61)
    assert job.status() == "lost"


def test_late_write_of_an_old_run_changes_nothing(world):
    """A worker that was cut off for minutes reports its end after another has done the job."""
    release, began = threading.Event(), threading.Event()

    @world.queue.processor("slow", record=True)
    def slow():
        if not began.is_set():
            began.set()
            release.wait(10)
            raise Retry(delay_seconds=900)
        return "the second"

    job = slow.delay()
    first = threading.Thread(target=lambda: drain(world.queue, raise_errors=False))
    first.start()
    assert began.wait(10)
    world.session.advance(60)  # SQS gives the message to another
    drain(world.queue)
    assert job.result() == "the second"

    release.set()
    first.join()

    assert job.status() == "succeeded"
    assert states(job) == ["queued", "running", "running", "succeeded"]


def test_store_that_is_down_is_passed_over_and_logged_once(world, caplog):
    """The jobs run; what was missed at the begin is written with the end."""
    ran = []

    @world.queue.processor("add", record=True)
    def add(a):
        ran.append(a)
        world.store.is_down = a < 2

    world.store.is_down = True
    jobs = [add.delay(one) for one in range(3)]
    with caplog.at_level(logging.INFO, logger="sqs_tasks.guards.guard"):
        drain(world.queue)

    assert ran == [0, 1, 2]
    assert [record.action for record in caplog.records] == ["store_unavailable", "store_back"]
    world.store.is_down = False
    assert [job.status() for job in jobs] == ["unknown", "unknown", "succeeded"]


def test_records_are_kept_as_long_as_said(world):
    """They leave the store by themselves."""

    @world.queue.processor("add", record=True, record_seconds=600)
    def add():
        pass

    job = add.delay()
    drain(world.queue)
    world.session.advance(590)
    assert job.status() == "succeeded"

    world.session.advance(20)
    assert job.status() == "unknown"
    assert job.job.record() is None


def test_progress_is_written_once_a_second_and_at_the_end(world):
    """A task may call it for each row."""

    @world.queue.processor("rows", record=True)
    def rows():
        for row in range(1, 101):
            current_job().progress(row, 100, f"row {row}")
            world.session.advance(0.05)
            if row == 50:
                seen.append(job.job.record().progress)

    seen = []
    job = rows.delay()
    world.store.taken()
    drain(world.queue)

    assert world.store.taken()["update"] == 2 + 5
    done, total, note = seen[0]
    assert 30 < done <= 50
    assert (total, note) == (100, f"row {done}")
    assert job.job.record().progress == (100, 100, "row 100")


def test_progress_outside_of_records_is_nothing(world):
    """A function that reports can be used by any task."""

    @world.queue.processor("plain")
    def plain():
        current_job().progress(1, 2)
        assert not current_job().cancelled

    plain.delay()
    assert drain(world.queue).succeeded == 1


def test_result_that_cannot_be_kept_fails_no_job(world, caplog):
    """The job is done; who asks for the result is told why there is none."""

    @world.queue.processor("large", record=True)
    def large(size):
        return "x" * size if size else object()

    jobs = [large.delay(records.MAX_RESULT_BYTES), large.delay(0)]
    assert drain(world.queue).succeeded == 2

    assert [job.status() for job in jobs] == ["succeeded"] * 2
    with pytest.raises(JobNotSucceededError, match="a record takes 200000; return an address"):
        jobs[0].result()
    with pytest.raises(JobNotSucceededError, match="object"):
        jobs[1].result()


def test_waiting_ends_with_the_time(world):
    """The text says how the job stands."""

    @world.queue.processor("add", record=True)
    def add():
        return 5

    job = add.delay()
    with pytest.raises(TimeoutError, match=r"has not ended after 0 s; it is queued"):
        job.wait(timeout=0)
    with pytest.raises(TimeoutError):
        job.result(timeout=0.01)

    timer = threading.Timer(0.05, lambda: drain(world.queue))
    timer.start()
    assert job.result(timeout=10) == 5
    timer.join()


async def _wait_async(world, task):
    job = await task.adelay()
    waiting = asyncio.ensure_future(job.aresult(timeout=10))
    await asyncio.sleep(0)
    await adrain(world.queue)
    return await waiting, await job.astatus(), (await job.await_()).state


def test_async_task_and_async_wait(world):
    """Nothing blocks the event loop."""

    @world.queue.processor("add", record=True)
    async def add():
        await asyncio.sleep(0)
        return 7

    assert asyncio.run(_wait_async(world, add)) == (7, "succeeded", "succeeded")


# --- cancel -------------------------------------------------------------------------------------------------------------


def test_cancelled_before_it_began(world):
    """It ends when it comes: skipped, deleted, and no dead letter."""
    ran, outcomes = [], []
    world.env.post_task(lambda job, outcome: outcomes.append(outcome))

    @world.queue.processor("add", record=True)
    def add():
        ran.append(1)

    job = add.delay()
    assert world.env.cancel(job.job_id)
    assert job.job.record().is_cancel_requested
    result = drain(world.queue)

    assert (ran, result.skipped) == ([], 1)
    assert isinstance(outcomes[0], Skipped)
    assert job.status() == "cancelled"
    assert states(job) == ["queued", "cancel-requested", "cancelled"]
    assert not job.cancel(), "it has ended"
    assert not world.env.cancel("unknown-id")


def test_cancelled_while_it_runs(world):
    """The task sees it with its next beat, and decides itself; what it raises deletes the message."""

    @world.queue.processor("long", record=True)
    def long():
        assert not current_job().cancelled
        assert world.env.cancel(current_job().job_id)
        LEASES.beat()
        assert current_job().cancelled
        current_job().raise_if_cancelled()
        raise AssertionError

    job = long.delay()
    assert drain(world.queue).skipped == 1

    assert job.status() == "cancelled"
    assert world.queue.statistics().total == 0


def test_progress_shows_the_cancellation_too(world):
    """A loop that reports needs no beat."""

    @world.queue.processor("long", record=True)
    def long():
        job.cancel()
        for row in range(100):
            if current_job().cancelled:
                return row
            current_job().progress(row)
            world.session.advance(0.6)
        return None

    job = long.delay()
    drain(world.queue)

    assert job.result() == 1, "a task that returns has succeeded"


@pytest.mark.parametrize("on_loop", [False, True])
def test_async_task_is_interrupted_where_it_asks_for_it(world, on_loop):
    """interrupt_on_cancel=True: the await ends at once, its finally blocks run."""
    cleaned = []

    @world.queue.processor("long", record=True, interrupt_on_cancel=True)
    async def long():
        try:
            job.cancel()
            await asyncio.get_running_loop().run_in_executor(None, LEASES.beat)
            await asyncio.sleep(60)
        finally:
            cleaned.append(1)

    job = long.delay()
    result = asyncio.run(adrain(world.queue)) if on_loop else drain(world.queue)

    assert (result.skipped, cleaned) == (1, [1])
    assert job.status() == "cancelled"


def test_cancel_of_a_job_that_waits_for_its_retry(world):
    """It is not tried again."""

    @world.queue.processor("fails", record=True)
    def fails():
        raise Retry(delay_seconds=60)

    job = fails.delay()
    drain(world.queue)
    assert job.cancel()
    drain(world.queue, wait=True)

    assert states(job) == ["queued", "running", "retrying", "cancel-requested", "cancelled"]


# --- settings -----------------------------------------------------------------------------------------------------------


def test_task_without_a_store_is_refused():
    """At the registration, with what to do."""
    with pytest.raises(ConfigurationError, match=r"record=True needs a store.*SQSEnv\(store=SQLiteStore"):
        SQSEnv().queue("jobs").processor("add", record=True)(lambda: None)
    with pytest.raises(ConfigurationError, match="has no store"):
        SQSEnv().job("id")


def test_batch_processor_is_refused(world):
    """A batch has no single id."""
    with pytest.raises(ConfigurationError, match="this is a batch processor of 10"):
        world.queue.batch_processor("add", record=True)(lambda jobs: None)


def test_receipt_of_a_task_without_records(world):
    """It says what is missing."""

    @world.queue.processor("add")
    def add():
        pass

    with pytest.raises(ConfigurationError, match="register its task with "):
        add.delay().status()


def test_defaults_of_queue_and_environment():
    """All tasks of a queue keep records, but for those that do not want to."""
    env = SQSEnv(store=CountingStore(), task_defaults={"record": True})
    queue = env.queue("jobs")

    @queue.processor("one")
    def one():
        return 1

    @queue.processor("two", record=False)
    def two():
        return 2

    with in_memory(env):
        first, _ = one.delay(), two.delay()
        drain(queue)
        assert first.status() == "succeeded"


def test_beats_prolong_the_lease(world):
    """A job of hours is running, and not lost."""

    @world.queue.processor("long", record=True)
    def long():
        for _ in range(10):
            world.session.advance(guard.BEAT_SECONDS)
            LEASES.beat()
        assert job.status() == "running"

    job = long.delay()
    drain(world.queue)

    assert job.status() == "succeeded"
