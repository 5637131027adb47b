"""Two thousand jobs through the Lambda road while everything goes wrong that can: the books must balance."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from sqs_tasks import ConstantBackoff, Reject
from tests.support.lambda_app import LambdaApp

JOBS = 2_000

FAULTS = {"throttle": 0.05, "timeout": 0.05, "crash": 0.05, "oom": 0.02, "duplicate": 0.05, "cold_start": 0.1}


@pytest.fixture(autouse=True)
def quiet():
    """Some thousand failures on purpose."""
    loggers = [logging.getLogger("sqs_tasks"), logging.getLogger("sqs_tasks.local")]
    for one in loggers:
        one.setLevel(logging.CRITICAL)
    yield
    for one in loggers:
        one.setLevel(logging.NOTSET)


def work_off(app, left, rounds=400):
    """Deliver, and let time pass, until nothing is left."""
    for _ in range(rounds):
        app.source.drain()
        if left() == 0:
            return
        app.advance(5)
    raise AssertionError(f"{left()} messages are left")


@pytest.mark.parametrize("options", [{}, {"eager_acknowledgement": True}], ids=["plain", "eager"])
@pytest.mark.parametrize("seed", [1, 2])
def test_books_balance_whatever_lambda_does(options, seed):
    """Every job is done or dead, none is both, none is lost, and each dead one is in the dead-letter queue."""
    app = LambdaApp(backoff_policy=ConstantBackoff(3), max_receive_count=1000, visibility_timeout_seconds=60)
    done, tries = Counter(), Counter()

    @app.queue.processor("good")
    def good(n):
        done[n] += 1

    @app.queue.processor("async", timeout=5)
    async def concurrent(n):
        done[n] += 1

    @app.queue.processor("flaky")
    def flaky(n):
        tries[n] += 1
        if tries[n] <= n % 4:
            raise ValueError("not yet")
        done[n] += 1

    @app.queue.processor("exits")
    def exits(n):
        tries[n] += 1
        if tries[n] == 1:
            raise SystemExit(1)
        done[n] += 1

    @app.queue.processor("rejects")
    def rejects(n):
        raise Reject("never")

    @app.queue.processor("hopeless", max_attempts=3)
    def hopeless(n):
        raise ValueError("always")

    app.deploy(handler=options, faults=FAULTS, seed=seed)
    names = ["good", "good", "good", "async", "flaky", "flaky", "exits", "rejects", "hopeless", "good"]
    with app.queue.add_batch():
        for n in range(JOBS):
            app.queue.add_job(names[n % len(names)], n=n)
    poison = {
        app.client.send_message(QueueUrl=app.queue.queue_url, MessageBody=body)["MessageId"]
        for body in ("not a job", "{}", "[1, 2]", "\x20")
    }

    work_off(app, app.left)

    alive = {n for n in range(JOBS) if names[n % len(names)] not in ("rejects", "hopeless")}
    assert set(done) == alive
    letters = dead_letters(app)
    numbers = {letter["Body"] for letter in letters if "JobName" in letter["MessageAttributes"]}
    assert numbers == {f'{{"n": {n}}}' for n in range(JOBS) if n not in alive}
    assert len([letter for letter in letters if "JobName" not in letter["MessageAttributes"]]) >= len(poison)
    assert {letter["MessageAttributes"]["FailureType"]["StringValue"] for letter in letters} == {
        "Reject",
        "ValueError",
        "UndecodableMessageError",
    }
    statistics = app.source.statistics
    for fault in ("throttles", "timeouts", "crashes", "out_of_memory", "duplicates"):
        assert getattr(statistics, fault) > 0


def test_without_faults_everything_is_done_exactly_once():
    """Nothing is run twice that succeeded, and the dead-letter queue is exact."""
    app = LambdaApp(backoff_policy=ConstantBackoff(3), max_receive_count=1000)
    done = Counter()

    @app.queue.processor("good")
    def good(n):
        done[n] += 1

    @app.queue.processor("hopeless", max_attempts=3)
    def hopeless(n):
        raise ValueError("always")

    app.deploy(batch_size=100, batching_window_seconds=1)
    with app.queue.add_batch():
        for n in range(JOBS):
            app.queue.add_job("hopeless" if n % 10 == 0 else "good", n=n)
    work_off(app, app.left)

    assert done == Counter({n: 1 for n in range(JOBS) if n % 10})
    assert Counter(letter["Body"] for letter in dead_letters(app)) == Counter(
        f'{{"n": {n}}}' for n in range(0, JOBS, 10)
    )


def dead_letters(app):
    client = app.session.client("sqs")
    url = app.env.get_queue_url(app.queue.settings.dead_letter_queue)
    found = []
    while messages := client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=43_200
    ).get("Messages"):
        found += messages
    return found
