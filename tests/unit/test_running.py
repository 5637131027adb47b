"""``current_job()``: what a task can ask about its job, wherever it runs, and the fields on log records."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sqs_tasks import CurrentJob, Postpone, SQSEnv, current_job
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.execution.running_job import JobFields
from sqs_tasks.testing import drain, in_memory, lambda_context, lambda_event

SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    SEEN.clear()
    yield
    SEEN.clear()


def asked() -> CurrentJob:
    """The job that runs here, which must be there."""
    job = current_job()
    assert job is not None
    return job


def test_outside_of_jobs_there_is_none() -> None:
    """A web request that calls the same function is no job."""
    assert current_job() is None


def test_a_plain_task_knows_its_job_and_its_last_attempt() -> None:
    """The id is that of the receipt, attempts count up, and the last of them is known."""
    env = SQSEnv()
    queue = env.queue("orders", max_receive_count=5)

    @queue.processor("ship", max_attempts=3, backoff_policy=None, timeout=50)
    def ship() -> None:
        job = asked()
        SEEN.append((job.job_id, job.task, job.queue_name, job.attempt, job.is_last_attempt, job.max_attempts))
        assert job.sent_at is not None
        assert job.seconds_left is not None
        assert 40 < job.seconds_left <= 50
        assert job.lease is None
        assert job.jobs[0].job_name == "ship"
        raise ValueError("no")

    with in_memory(env):
        job_id = ship.delay().job_id
        drain(queue, raise_errors=False, wait=True)

    assert [
        (job_id, "ship", "orders", 1, False, 3),
        (job_id, "ship", "orders", 2, False, 3),
        (job_id, "ship", "orders", 3, True, 3),
    ] == SEEN
    assert current_job() is None


def test_the_first_send_is_known_when_a_job_has_gone_on_by_a_copy() -> None:
    """The copy is a message of its own, sent later."""
    env = SQSEnv()
    queue = env.queue("orders")

    @queue.processor("ship")
    def ship() -> None:
        job = asked()
        SEEN.append((job.sent_at, job.first_sent_at))
        if len(SEEN) == 1:
            session.advance(5)
            raise Postpone(120)

    with in_memory(env) as session:
        ship.delay()
        drain(queue, wait=True)

    (sent_at, first_sent_at), (copied_at, first_of_copy) = SEEN
    assert sent_at == first_sent_at == first_of_copy
    assert 5 <= (copied_at - first_of_copy).total_seconds() < 60


def test_async_tasks_hooks_middleware_and_threads_see_the_same_job() -> None:
    """Asyncio tasks, ``to_thread`` and threads with a copied context inherit it; other threads do not."""

    def note(where: str) -> None:
        job = current_job()
        SEEN.append((where, None if job is None else job.job_id))

    async def around(_: Any, call_next: Any) -> Any:
        note("middleware")
        return await call_next()

    env = SQSEnv(middleware=[around])
    env.pre_task(lambda _: note("pre_task"))
    env.post_task(lambda _job, _outcome: note("post_task"))
    queue = env.queue("orders")

    @queue.processor("ship")
    async def ship() -> None:
        note("task")
        await asyncio.gather(asyncio.to_thread(note, "to_thread"), asyncio.create_task(later()))
        copied = threading.Thread(target=contextvars.copy_context().run, args=(note, "copied"))
        bare = threading.Thread(target=note, args=("bare",))
        for thread in (copied, bare):
            thread.start()
            thread.join()

    async def later() -> None:
        note("asyncio task")

    with in_memory(env):
        job_id = ship.delay().job_id
        drain(queue)

    seen = dict(SEEN)
    assert seen.pop("bare") is None
    assert seen == dict.fromkeys(
        ["middleware", "pre_task", "post_task", "task", "to_thread", "asyncio task", "copied"], job_id
    )


def test_in_a_batch_processor_it_stands_for_the_whole_call() -> None:
    """All jobs are listed; no one of them lends its id to the others."""
    env = SQSEnv()
    queue = env.queue("orders")

    @queue.batch_processor("index", batch_size=10)
    def index(_jobs: list[dict[str, int]]) -> None:
        job = asked()
        SEEN.append(({one.job_id for one in job.jobs}, job.job_id, job.task, job.attempt))

    with in_memory(env):
        ids = {index.delay(number=number).job_id for number in range(3)}
        drain(queue)

    assert [(ids, "", "index", 1)] == SEEN


def test_in_lambda_the_seconds_left_end_with_the_invocation() -> None:
    """A task without a timeout, and one with a longer one, are interrupted before the function ends."""
    env = SQSEnv()
    queue = env.queue("orders")

    def left() -> None:
        SEEN.append(asked().seconds_left)

    queue.processor("free")(left)
    queue.processor("short", timeout=2)(left)
    handler = SQSEventHandler(env)
    with in_memory(env):
        event = lambda_event(env.queue("orders").task("free").bake(), env.queue("orders").task("short").bake())
        assert handler(event, lambda_context(20)) == {"batchItemFailures": []}

    free, short = SEEN
    assert 10 < free < 20
    assert 1 < short <= 2


def test_records_of_the_application_and_of_other_libraries_carry_the_job(caplog: pytest.LogCaptureFixture) -> None:
    """A line of whatever logger can be found by the job; one that says itself what it is about is left alone."""
    env = SQSEnv()
    queue = env.queue("orders")

    @queue.processor("ship")
    def ship() -> None:
        logging.getLogger("another.library").warning("slow")
        logging.getLogger("shop").warning("mine", extra={"job_id": "another"})
        logging.getLogger("shop").warning("calling", extra={"attempt": 7})

    caplog.handler.addFilter(JobFields())
    with in_memory(env):
        job_id = ship.delay().job_id
        drain(queue)

    by_text = {record.getMessage(): record for record in caplog.records}
    slow = vars(by_text["slow"])
    assert (slow["job_id"], slow["job_name"], slow["queue_name"], slow["attempt"]) == (job_id, "ship", "orders", 1)
    assert vars(by_text["mine"])["job_id"] == "another"
    calling = vars(by_text["calling"])
    assert (calling["job_id"], calling["attempt"]) == (job_id, 7), "its own attempt, at something that the job does"


def test_the_lambda_handler_puts_the_job_on_all_records() -> None:
    """The handlers that Lambda has set up get the filter with the first handler that is made, once."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.dumps([record.getMessage(), getattr(record, "job_name", None)]))

    of_lambda = Lines()
    logging.getLogger().addHandler(of_lambda)
    try:
        env = SQSEnv()
        queue = env.queue("orders")

        @queue.processor("ship")
        def ship() -> None:
            logging.getLogger("another.library").warning("slow")

        for _ in range(2):
            handler = SQSEventHandler(env)
        assert len(of_lambda.filters) == 1
        with in_memory(env):
            handler(lambda_event(ship.bake()), lambda_context())
    finally:
        logging.getLogger().removeHandler(of_lambda)

    assert json.dumps(["slow", "ship"]) in lines


def test_handlers_that_on_start_sets_up_in_lambda_get_the_fields_too() -> None:
    """It runs after the module was loaded, and before the first job."""
    set_up = logging.getLogger("set.up.late")
    late = logging.NullHandler()
    env = SQSEnv()
    env.on_start(lambda: set_up.addHandler(late))
    try:
        SQSEventHandler(env)
        assert [type(one) for one in late.filters] == [JobFields]
    finally:
        set_up.removeHandler(late)
