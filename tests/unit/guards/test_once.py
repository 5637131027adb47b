"""Once: a job that was done does not run again when SQS delivers it again."""

from __future__ import annotations

import threading

import pytest

from sqs_tasks import Postpone
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.guards.guard import LEASE_SECONDS
from sqs_tasks.guards.leases import LEASES
from sqs_tasks.outcome import SUCCEEDED, Postponed, Skipped
from sqs_tasks.testing import drain, lambda_context, lambda_event


def deliver_again(world, message):
    """What SQS may do with a message that was deleted a moment ago."""
    return world.queue.executor(now=world.session.clock.now).execute(message)


def test_second_delivery_of_a_finished_job_is_acknowledged(world):
    """Two writes a job; the second delivery costs one more, and the task does not run."""
    ran = []

    @world.queue.processor("charge", idempotent=True)
    def charge(amount):
        ran.append(amount)

    charge.delay(5)
    ((message, outcome),) = drain(world.queue).runs
    assert outcome is SUCCEEDED
    assert world.store.taken() == {"put_if_absent": 1, "update": 1}

    assert deliver_again(world, message) == Skipped(reason="it was done before")
    assert world.store.taken() == {"put_if_absent": 1}
    assert ran == [5]


def test_other_jobs_with_the_same_arguments_run(world):
    """The key is the job's id: two sends are two jobs."""
    ran = []

    @world.queue.processor("charge", idempotent=True)
    def charge(amount):
        ran.append(amount)

    charge.delay(5)
    charge.delay(5)
    drain(world.queue)

    assert ran == [5, 5]


def test_delivery_of_a_running_job_is_put_off_until_its_lease_ends(world):
    """It is no attempt, and what the first run does meanwhile is done once."""
    outcomes = []

    @world.queue.processor("charge", idempotent=True)
    def charge():
        if not outcomes:
            outcomes.append(deliver_again(world, world.message))

    world.env.pre_task(lambda job: setattr(world, "message", job.message))
    charge.delay()
    drain(world.queue)

    (outcome,) = outcomes
    assert isinstance(outcome, Postponed)
    assert (outcome.delay_seconds, outcome.attempts) == (LEASE_SECONDS, 0)
    assert outcome.reason.startswith("it is running elsewhere")


def test_job_of_a_worker_that_died_runs_after_its_lease(world):
    """Nobody says that it ended: the lease does."""
    ran = []

    @world.queue.processor("charge", idempotent=True)
    def charge():
        ran.append(1)

    receipt = charge.delay()
    now = world.session.clock.now()
    world.env.store.put_if_absent(
        f"once/{receipt.job_id}", {"state": "running", "run": "dead", "until": now + 60}, expires_at=now + 60
    )
    assert drain(world.queue).postponed == 1
    assert ran == []

    world.session.advance(61)
    assert drain(world.queue).succeeded == 1
    assert ran == [1]


def test_beat_keeps_the_lease_of_a_long_job(world):
    """It is not taken by another while its worker lives, however long it runs."""

    @world.queue.processor("long", idempotent=True)
    def long():
        for _ in range(8):
            world.session.advance(15)
            LEASES.beat()
        seen.append(deliver_again(world, world.message))

    seen = []
    world.env.pre_task(lambda job: setattr(world, "message", job.message))
    long.delay()
    drain(world.queue)

    assert isinstance(seen[0], Postponed)


def test_lost_lease_is_not_taken_back(world, caplog):
    """A run that was cut off for longer than its lease neither frees nor finishes what another has."""

    @world.queue.processor("slow", idempotent=True)
    def slow():
        world.session.advance(LEASE_SECONDS + 1)
        key = f"once/{world.message.job_id}"
        assert world.env.store.put_if_absent(key, {"state": "running", "run": "another"}).done

    world.env.pre_task(lambda job: setattr(world, "message", job.message))
    receipt = slow.delay()
    drain(world.queue)

    assert world.env.store.get(f"once/{receipt.job_id}")["run"] == "another"
    assert [record.action for record in caplog.records if hasattr(record, "action")][-1] == "job_not_remembered"


@pytest.mark.parametrize("error", [ValueError("no"), Postpone(60)])
def test_failed_job_may_be_tried_again_at_once(world, error):
    """Its next attempt does not wait for a lease."""
    ran = []

    @world.queue.processor("charge", idempotent=True)
    def charge():
        ran.append(1)
        if len(ran) == 1:
            raise error

    charge.delay()
    drain(world.queue, raise_errors=False, wait=True)

    assert len(ran) == 2


def test_finished_jobs_are_forgotten_in_time(world):
    """once_seconds is how long."""
    ran = []

    @world.queue.processor("charge", idempotent=True, once_seconds=600)
    def charge():
        ran.append(1)

    charge.delay()
    ((message, _),) = drain(world.queue).runs
    world.session.advance(590)
    assert isinstance(deliver_again(world, message), Skipped)

    world.session.advance(20)
    assert deliver_again(world, message) is SUCCEEDED


def test_store_that_is_down_puts_jobs_off(world):
    """They do not run unprotected, and use up no attempt."""

    @world.queue.processor("charge", idempotent=True)
    def charge():
        pass

    charge.delay()
    world.store.is_down = True
    ((_, outcome),) = drain(world.queue).runs
    assert isinstance(outcome, Postponed)
    assert outcome.attempts == 0

    world.store.is_down = False
    world.session.advance(31)
    assert drain(world.queue).succeeded == 1


def test_lost_answer_of_its_own_request_is_no_obstacle(world):
    """A write that was made although nobody heard of it, and is made again by boto3, finds its own run."""
    put = world.env.store.put_if_absent

    def twice(*args, **kwargs):
        put(*args, **kwargs)
        return put(*args, **kwargs)

    world.env.store.put_if_absent = twice
    ran = []

    @world.queue.processor("charge", idempotent=True)
    def charge():
        ran.append(1)

    charge.delay()
    assert drain(world.queue).succeeded == 1
    assert ran == [1]


def test_two_workers_with_one_message(world):
    """Of two runs at the same moment one does the job."""
    ran, results = [], []
    inside, go_on = threading.Event(), threading.Event()

    @world.queue.processor("charge", idempotent=True)
    def charge():
        ran.append(1)
        inside.set()
        go_on.wait(10)

    charge.delay()
    message = world.queue.get_raw_messages()[0]
    first = threading.Thread(target=lambda: results.append(deliver_again(world, message)))
    first.start()
    assert inside.wait(10)
    assert isinstance(deliver_again(world, message), Postponed)
    go_on.set()
    first.join()

    assert (ran, results) == ([1], [SUCCEEDED])


def test_in_lambda(world):
    """The same in a function: done, and acknowledged the second time; the record with it."""
    ran = []

    @world.queue.processor("charge", idempotent=True, record=True)
    def charge(amount):
        ran.append(amount)
        return amount

    @world.queue.processor("acharge", idempotent=True, record=True)
    async def acharge(amount):
        ran.append(amount)
        return amount

    handler = SQSEventHandler(world.env)
    for task in (charge, acharge):
        job = task.delay(5)
        event = lambda_event(world.queue)
        assert handler(event, lambda_context()) == {"batchItemFailures": []}
        assert handler(event, lambda_context()) == {"batchItemFailures": []}
        assert job.result(timeout=0) == 5
    assert ran == [5, 5]


def test_given_up_run_frees_its_job(world):
    """Ctrl-C in the main thread ends a run: what it held is free, and the error goes on."""

    @world.queue.processor("charge", idempotent=True)
    def charge():
        raise KeyboardInterrupt

    receipt = charge.delay()
    with pytest.raises(KeyboardInterrupt):
        drain(world.queue)

    assert world.env.store.get(f"once/{receipt.job_id}") is None


def test_batch_processor_is_refused(world):
    """A batch has no single id."""
    with pytest.raises(ConfigurationError, match="idempotent=True is for tasks that run one job at a time"):
        world.queue.batch_processor("add", idempotent=True)(lambda jobs: None)
