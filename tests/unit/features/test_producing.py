"""Producing: every way of sending a job, what it returns, and what it refuses."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from sqs_tasks import RawQueue, SQSEnv
from sqs_tasks.errors import BatchSendError, ConfigurationError, MessageTooLargeError, SerializationError
from sqs_tasks.receipts import MessageId, PendingMessage
from sqs_tasks.testing import drain
from tests.support.queues import Desk
from tests.support.scripted_client import failing


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_add_job_returns_the_message_id_and_keeps_its_own_names_apart(desk: Desk) -> None:
    """Arguments named like our parameters are the task's; only the four with an underscore are ours."""
    queue, seen = desk.env.queue("emails"), []
    queue.processor("send")(lambda **kwargs: seen.append(kwargs))
    desk.create()
    message_id = queue.add_job("send", job_name="a", self="b", queue_name="c", options="d", delay_seconds=5)
    drain(queue)

    assert isinstance(message_id, MessageId)
    assert seen == [{"job_name": "a", "self": "b", "queue_name": "c", "options": "d", "delay_seconds": 5}]
    with pytest.raises(ConfigurationError, match="'_delay_seconds' has a name that delay"):
        queue.processor("bad")(lambda _delay_seconds: None)


def test_a_receipt_has_the_message_id_the_job_id_and_the_sequence_number(desk: Desk) -> None:
    """A string, for those who only want the id."""
    queue = desk.env.queue("emails.fifo")
    desk.create()

    receipt = queue.add_job("send")

    (stored,) = desk.stored("emails.fifo")
    assert receipt == receipt.message_id == stored.message.message_id
    assert receipt.job_id == stored.message.attribute("JobId")
    assert receipt.sequence_number
    assert queue.add_job("send").sequence_number > receipt.sequence_number


def test_the_options_of_a_send_collide_with_no_argument(desk: Desk) -> None:
    """The task's own delay_seconds and group_id are arguments, those of options() are SQS's."""
    queue, seen = desk.env.queue("emails.fifo"), []
    task = queue.processor("send")(lambda group_id, queue, content_type: seen.append((group_id, queue, content_type)))
    desk.create()
    options = task.options(group_id="g", deduplication_id="d", content_type="json+zlib", message_attributes={"T": "x"})

    options.delay("mine", queue="also mine", content_type="too")
    options.bake("mine", "also mine", "too").delay()  # the same deduplication id: SQS drops it

    (stored,) = desk.stored("emails.fifo")
    assert stored.message.group_id == "g"
    assert stored.message.attribute("T") == "x"
    assert stored.message.attribute("ContentType") == "json+zlib"
    drain(queue)
    assert seen == [("mine", "also mine", "too")]


def test_a_delay_is_checked_and_comes_from_send_task_or_queue(desk: Desk) -> None:
    """0 to 900 seconds; above it the error names the alternatives."""
    queue = desk.env.queue("emails")
    slow = desk.env.queue("slow", delay_seconds=30)
    task = queue.processor("send", delay_seconds=60)(lambda: None)
    desk.create()
    task.delay()
    task.options(delay_seconds=0).delay()
    queue.add_job("send", _delay_seconds=900)
    slow.add_job("send")

    assert desk.states("emails") == ["delayed", "ready", "delayed"]
    desk.session.advance(60)
    assert desk.states("emails") == ["ready", "ready", "delayed"]
    assert desk.states("slow") == ["ready"]
    for bad in (-1, True, "60"):
        with pytest.raises(ConfigurationError, match=r"0 to 900; for a later time use EventBridge Scheduler"):
            queue.add_job("send", _delay_seconds=bad)


def test_fifo_ids_are_given_derived_from_an_argument_or_unique(desk: Desk) -> None:
    """A group for each tenant, a deduplication id of one's own; without one each job is its own."""
    queue = desk.env.queue("orders.fifo", default_group_id="all")
    ship = queue.processor("ship", group_by="tenant")(lambda tenant, n=0: None)
    desk.create()
    ship.delay(tenant="a")
    ship.delay(tenant="a")
    ship.options(group_id="b").delay(tenant="a")
    queue.add_job("other")
    queue.add_job("other", _group_id=7, _deduplication_id=1)
    queue.add_job("other", _group_id=7, _deduplication_id=1)

    assert [one.message.group_id for one in desk.stored("orders.fifo")] == ["a", "a", "b", "all", "7"]
    with pytest.raises(ConfigurationError, match="group_id 'with space' must be 1 to 128 ASCII"):
        queue.add_job("other", _group_id="with space")


def test_content_based_deduplication_is_the_queues_choice(desk: Desk) -> None:
    """With it the same arguments are one job for five minutes; the JobId attribute does not make them two."""
    queue = desk.env.queue("orders.fifo", content_based_deduplication=True)
    desk.create()
    queue.add_job("ship", n=1)
    queue.add_job("ship", n=1)
    queue.add_job("ship", n=2)

    assert desk.bodies("orders.fifo") == ['{"n": 1}', '{"n": 2}']


def test_fair_by_gives_standard_queues_a_tenant(desk: Desk) -> None:
    """The argument's value becomes the message group, so that SQS serves a quiet tenant before a noisy one."""
    queue = desk.env.queue("emails")
    send = queue.processor("send", fair_by="tenant")(lambda tenant=None: None)
    desk.create()
    for tenant in ("a", 5, None, "né"):
        send.delay(tenant=tenant)
    queue.add_job("send", _group_id="given", tenant="a")

    groups = [one.message.group_id for one in desk.stored("emails")]
    assert groups[:3] == ["a", "5", None]
    assert groups[3].startswith("sha256-")
    assert groups[4] == "given"
    with pytest.raises(ConfigurationError, match="takes no deduplication_id"):
        queue.add_job("send", _deduplication_id="x")
    with pytest.raises(ConfigurationError, match="group_by is for FIFO queues"):
        queue.processor("x", group_by="tenant")(lambda tenant: None)


def test_a_batch_sends_in_tens_and_its_receipts_are_filled_in(desk: Desk) -> None:
    """The id is unknown until the flush and known after it; thirteen jobs take two calls."""
    queue = desk.env.queue("emails")
    desk.create()
    with queue.add_batch():
        receipts = [queue.add_job("send", n=n) for n in range(13)]
        known = [receipt.message_id is not None for receipt in receipts]

    assert known == [True] * 10 + [False] * 3
    assert all(isinstance(receipt, PendingMessage) for receipt in receipts)
    assert [receipt.message_id for receipt in receipts] == [one.message.message_id for one in desk.stored("emails")]
    assert desk.sqs.counts == {"get_queue_url": 1, "send_message_batch": 2}


def test_what_was_added_before_an_exception_in_a_batch_is_sent(desk: Desk) -> None:
    """delay() had returned, as it does outside a batch; the exception is the caller's own."""
    queue = desk.env.queue("emails")
    desk.create()

    def half_a_batch() -> None:
        with queue.add_batch():
            queue.add_job("send", n=1)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        half_a_batch()

    assert desk.bodies("emails") == ['{"n": 1}']


def test_a_batch_in_a_batch_joins_it(desk: Desk) -> None:
    """One request for both."""
    queue = desk.env.queue("emails")
    task = queue.processor("send")(lambda n: None)
    desk.create()
    with queue.add_batch():
        task.delay(1)
        with task.batch():
            task.delay(2)

    assert desk.sqs.counts["send_message_batch"] == 1


def test_batches_belong_to_their_asyncio_task(desk: Desk) -> None:
    """Two coroutines side by side each have their own, and one without a batch sends at once."""
    queue = desk.env.queue("emails")
    desk.create()
    sent_inside = []

    async def batching(name: str, other: asyncio.Event) -> None:
        with queue.add_batch():
            queue.add_job(name)
            other.set()
            await asyncio.sleep(0)

    async def main() -> None:
        begun = asyncio.Event()
        batches = asyncio.gather(batching("one", begun), batching("two", begun))
        await begun.wait()
        sent_inside.append(queue.add_job("alone"))
        await batches

    asyncio.run(main())

    assert isinstance(sent_inside[0], MessageId)
    assert desk.sqs.counts["send_message_batch"] == 2


def test_what_is_started_inside_a_batch_sends_for_itself(desk: Desk) -> None:
    """A coroutine or a thread that inherits the block's context may outlive the block, so it does not join it."""
    queue = desk.env.queue("emails")
    desk.create()

    async def one() -> Any:
        return queue.add_job("task")

    async def main() -> list[Any]:
        with queue.add_batch():
            queue.add_job("batch")
            return [await asyncio.create_task(one()), await asyncio.to_thread(queue.add_job, "thread")]

    receipts = asyncio.run(main())

    assert [type(receipt) for receipt in receipts] == [MessageId, MessageId]
    assert [one.message.job_name for one in desk.stored("emails")] == ["task", "thread", "batch"]


def test_map_streams_any_number_of_jobs(desk: Desk) -> None:
    """The iterable is read as requests leave, from several threads when asked to."""
    queue = desk.env.queue("emails")
    task = queue.processor("send")(lambda n: None)
    desk.create()
    read = []

    def calls(count: int) -> Any:
        for n in range(count):
            read.append(n)
            yield {"n": n}

    assert task.map(calls(95), max_in_flight=4) == 95
    assert queue.add_jobs(("send", {"n": n}) for n in range(5)) == 5
    assert len(desk.bodies("emails")) == 100
    assert desk.sqs.counts["send_message_batch"] == 11

    desk.sqs.script("send_message_batch", *[failing("AccessDenied")] * 4)
    read.clear()
    with pytest.raises(BatchSendError) as raised:
        task.map(calls(1000))
    assert len(raised.value.unsent) == 10
    assert len(read) <= 30


def test_a_call_runs_the_function_when_the_environment_says_so() -> None:
    """Refused by default, because who writes send() probably meant send.delay()."""
    strict, free = SQSEnv(), SQSEnv(direct_calls=True)

    assert free.queue("q").processor("double")(lambda n: 2 * n)(4) == 8
    with pytest.raises(RuntimeError, match="called synchronously"):
        strict.queue("q").processor("double")(lambda n: 2 * n)(4)


def test_context_travels_is_restored_and_goes_on_to_jobs_of_jobs(desk: Desk) -> None:
    """Set around a send, seen by the task and by the task it starts; afterwards the worker's own is back."""
    queue, seen = desk.env.queue("emails"), []

    @queue.processor("first", pass_context=True, context_var="ctx")
    def first(ctx: Any = None) -> None:
        seen.append(("first", dict(ctx), desk.env.context["user"]))
        second.delay()

    @queue.processor("second")
    def second() -> None:
        seen.append(("second", desk.env.context.to_dict()))

    desk.create()
    with desk.env.context(user=7) as context, context(user=8):
        assert desk.env.context["user"] == 8
    assert desk.env.context.to_dict() == {}
    with desk.env.context(user=7):
        first.delay()
    desk.env.context["user"] = "the worker's"
    drain(queue)

    assert seen == [("first", {"user": 7}, 7), ("second", {"user": 7})]
    assert desk.env.context.to_dict() == {"user": "the worker's"}


def test_context_is_each_asyncio_tasks_own(desk: Desk) -> None:
    """Two requests served side by side do not see each other's values."""
    env = desk.env

    async def request(user: int) -> Any:
        with env.context(user=user):
            await asyncio.sleep(0)
            return env.context["user"]

    async def main() -> list[Any]:
        return await asyncio.gather(request(1), request(2))

    assert asyncio.run(main()) == [1, 2]
    assert contextvars.copy_context().run(env.context.to_dict) == {}


def test_a_context_that_is_too_large_is_refused(desk: Desk) -> None:
    """It travels with every job, so it has a bound of its own."""
    queue = desk.env.queue("emails")
    desk.create()
    with desk.env.context(blob="x" * 20_000), pytest.raises(SerializationError, match=r"the context is 2\d{4} bytes"):
        queue.add_job("send")


def test_hooks_watch_sends_in_order_and_after_sqs_accepted(desk: Desk) -> None:
    """post_send tells of accepted messages only: after the flush of a batch, and for each job of map()."""
    queue, events = desk.env.queue("emails"), []
    desk.create()
    desk.env.pre_send(lambda message: events.append(("pre", message.queue_name, message.body)))
    desk.env.post_send(lambda message, receipt: events.append(("post", message.body, receipt.message_id is not None)))

    with queue.add_batch():
        queue.add_job("send", n=1)
        queue.add_job("send", n=2)
    queue.add_jobs([("send", {"n": 3})])
    desk.sqs.script("send_message", failing("AccessDenied"))
    with pytest.raises(Exception, match="AccessDenied"):
        queue.add_job("send", n=4)

    assert events == [
        ("pre", "emails", '{"n": 1}'),
        ("pre", "emails", '{"n": 2}'),
        ("post", '{"n": 1}', True),
        ("post", '{"n": 2}', True),
        ("pre", "emails", '{"n": 3}'),
        ("post", '{"n": 3}', True),
        ("pre", "emails", '{"n": 4}'),
    ]


def test_raw_sends_carry_attributes_and_are_checked(desk: Desk) -> None:
    """Body as it is, attributes of any type, size and number within SQS's limits."""
    queue = desk.env.queue("events", RawQueue)
    desk.create()
    queue.add_raw_job("x", 5, message_attributes={"A": "text", "B": {"DataType": "Binary", "BinaryValue": b"\x00"}})

    (stored,) = desk.stored("events")
    assert stored.state == "delayed"
    assert stored.message.message_attributes["B"]["BinaryValue"] == b"\x00"
    for body in ("", b"x", {"a": 1}):
        with pytest.raises(ConfigurationError, match="must be a string that is not empty"):
            queue.add_raw_job(body)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="11 message attributes; SQS allows 10"):
        queue.add_raw_job("x", message_attributes={str(n): "x" for n in range(11)})
    with pytest.raises(MessageTooLargeError, match="1048577 bytes"):
        queue.add_raw_job("x" * 1_048_577)


def test_values_json_has_no_word_for_arrive_with_their_types(desk: Desk) -> None:
    """And what cannot travel is refused at the send, with the argument's name."""
    queue, seen = desk.env.queue("emails"), []
    send = queue.processor("send")(lambda value: seen.append(value))  # noqa: PLW0108 - the argument has a name
    desk.create()
    values = [datetime(2024, 5, 1, tzinfo=UTC), date(2024, 5, 1), Decimal("1.10"), {1, 2}, b"\x00"]
    for value in values:
        send.delay(value)
    drain(queue)

    assert seen == values
    with pytest.raises(SerializationError, match=r"job 'send': .*'value'.*object"):
        send.delay(object())


def test_a_codec_of_ones_own_is_registered_and_named(desk: Desk) -> None:
    """Producers name it, consumers accept it, and without that it is refused like any other."""

    class Shout:
        content_type = "shout"

        def serialize(self, value: Any) -> str:
            return repr(value).upper()

        def deserialize(self, text: str) -> Any:
            return {"text": text}

    env, seen = SQSEnv(sqs_client=desk.memory, codecs=[Shout()], codec="shout", accept=["shout"]), []
    queue = env.queue("emails")
    queue.processor("send")(lambda text: seen.append(text))  # noqa: PLW0108 - the argument has a name
    env.create_queues()
    queue.add_job("send", text="hello")
    drain(queue)

    assert seen == ["{'TEXT': 'HELLO'}"]
    with pytest.raises(ConfigurationError, match="no codec for content type 'shout'"):
        SQSEnv(codec="shout")


def test_a_large_body_is_compressed_and_still_read(desk: Desk) -> None:
    """Above 64 KiB, where SQS bills another request; an option turns it off."""
    queue, seen = desk.env.queue("emails"), []
    plain = desk.env.queue("plain", compress_above_bytes=None)
    queue.processor("send")(lambda text: seen.append(len(text)))
    desk.create()
    for one in (queue, plain):
        one.add_job("send", text="x" * 100_000)
    assert len(desk.bodies("emails")[0]) < 1000
    drain(queue)

    assert seen == [100_000]
    assert len(desk.bodies("plain")[0]) > 100_000


def test_a_job_above_the_limit_is_refused_with_its_largest_argument(desk: Desk) -> None:
    """The error names the task, the size and what to store elsewhere."""
    queue = desk.env.queue("emails", compress_above_bytes=None)
    with pytest.raises(MessageTooLargeError, match=r"job 'send' is 1200129 bytes.*the largest argument is 'blob' with"):
        queue.add_job("send", small="x", blob="é" * 200_000)
