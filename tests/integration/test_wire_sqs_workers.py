"""The wire format in both directions with sqs-workers itself: its producer to our worker, our producer to its worker.

Both talk to the embedded SQS over HTTP with boto3, so what is shared is the messages and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.deadletter_queue import DeadLetterQueue
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.testing import drain

sqs_workers = pytest.importorskip("sqs_workers", reason="sqs-workers is not installed")

PICKLE = ["json", "json+zlib", "pickle", "pickle_compat"]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalSQSServer]:
    with LocalSQSServer() as running:
        yield running


@pytest.fixture
def name(server: LocalSQSServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue name of this test alone, with boto3 pointed at the server."""
    for variable, value in {
        "AWS_ENDPOINT_URL_SQS": server.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(variable, value)
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[-40:].strip("-")


def theirs(**options: Any) -> Any:
    import boto3

    return sqs_workers.SQSEnv(session=boto3.Session(), **options)


@pytest.mark.parametrize("codec", ["json", "pickle", "pickle_compat"])
def test_its_producer_to_our_worker(name: str, codec: str) -> None:
    """delay, bake, batch and add_job, with their context, in each of its codecs."""
    env, seen = SQSEnv(accept=PICKLE), []
    queue = env.queue(name)

    @queue.processor("send", pass_context=True)
    def send(to: str, subject: str = "none", context: Any = None) -> None:
        seen.append((to, subject, context["user"]))

    env.create_queues()
    their_env = theirs(codec=codec)
    their_queue = their_env.queue(name)
    their_send = their_queue.connect_processor("send", lambda to, subject="none": None)
    with their_env.context(user="é"):
        their_send.delay(to="delay")
        their_send.bake(to="bake", subject="s").delay()
        with their_send.batch():
            their_send.delay(to="batch")
        their_queue.add_job("send", to="add_job", _content_type="json")

    drain(queue)

    assert sorted(seen) == [
        ("add_job", "none", "é"),
        ("bake", "s", "é"),
        ("batch", "none", "é"),
        ("delay", "none", "é"),
    ]


@pytest.mark.parametrize("codec", ["json", "pickle", "pickle_compat"])
def test_our_producer_to_its_worker(name: str, codec: str) -> None:
    """Every way we send is a job to it, and attributes it does not know do not disturb it."""
    env, seen = SQSEnv(codec=codec), []
    queue = env.queue(name)
    send = queue.processor("send")(lambda to, subject="none": None)
    env.create_queues()
    with env.context(user="é"):
        send.delay("delay")
        send.bake("bake", subject="s").delay()
        with send.batch():
            send.delay(to="batch")
        send.map([{"to": "map"}])
        send.options(message_attributes={"Tenant": "blue"}).delay("options")
    their_queue = theirs().queue(name)

    @their_queue.processor("send", pass_context=True)
    def their_send(to: str, subject: str = "none", context: Any = None) -> None:
        seen.append((to, subject, context["user"]))

    result = their_queue.process_batch(wait_seconds=1)

    assert result.succeeded_count() == 5
    assert sorted(seen) == [
        ("bake", "s", "é"),
        ("batch", "none", "é"),
        ("delay", "none", "é"),
        ("map", "none", "é"),
        ("options", "none", "é"),
    ]


def test_its_default_codec_is_refused_until_the_consumer_accepts_it(name: str) -> None:
    """Its producer pickles by default: such a job goes to the dead-letter queue unless accept says otherwise."""
    env = SQSEnv()
    queue = env.queue(name)
    queue.processor("send")(lambda to: None)
    env.create_queues()
    theirs().queue(name).add_job("send", to="a")

    drain(queue, raise_errors=False)

    assert env.queue(f"{name}_dead").statistics().available == 1


def test_fifo_in_both_directions(name: str) -> None:
    """Groups, deduplication and order are understood by either side."""
    fifo = f"{name}.fifo"
    env, ours, theirs_seen = SQSEnv(), [], []
    queue = env.queue(fifo)
    queue.processor("send")(lambda n: ours.append(n))  # noqa: PLW0108 - the argument has a name
    env.create_queues()
    their_queue = theirs(codec="json").queue(fifo)
    their_queue.connect_processor("send", lambda n: theirs_seen.append(n))  # noqa: PLW0108 - the same
    for n in (1, 1, 2):
        their_queue.add_job("send", n=n, _deduplication_id=f"theirs-{n}", _group_id="g")
    drain(queue)
    for n in (3, 3, 4):
        queue.add_job("send", n=n, _deduplication_id=f"ours-{n}")
    their_queue.process_batch(wait_seconds=1)

    assert ours == [1, 2]
    assert theirs_seen == [3, 4]


def test_raw_messages_in_both_directions(name: str) -> None:
    """Raw queues carry bodies as they are."""
    from sqs_tasks import RawQueue

    env, seen = SQSEnv(), []
    queue = env.queue(name, RawQueue)
    queue.raw_processor()(lambda message: seen.append(message.body))
    env.create_queues()
    their_queue = theirs().queue(name, sqs_workers.RawQueue)
    their_queue.connect_raw_processor(lambda message: seen.append(message.body))
    their_queue.add_raw_job("theirs")
    drain(queue)
    queue.add_raw_job("ours")
    their_queue.process_batch(wait_seconds=1)

    assert seen == ["theirs", "ours"]


def test_dead_letters_of_one_are_pushed_back_by_the_other(name: str) -> None:
    """A job of its producer that we gave up on is run by its worker after our push back."""
    env, seen = SQSEnv(accept=PICKLE), []
    queue = env.queue(name)
    dead = env.queue(f"{name}_dead", DeadLetterQueue.maker(queue))
    queue.processor("send", max_attempts=1)(lambda to: 1 / 0)
    env.create_queues()
    their_queue = theirs().queue(name)
    their_queue.connect_processor("send", lambda to: seen.append(to))  # noqa: PLW0108 - the argument has a name
    their_queue.add_job("send", to="a")
    drain(queue, raise_errors=False)
    drain(dead)

    their_queue.process_batch(wait_seconds=3)

    assert seen == ["a"]
