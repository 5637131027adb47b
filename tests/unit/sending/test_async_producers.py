"""Coroutines send without blocking their event loop: one by one, in batches and in streams."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time

import pytest

from sqs_tasks import MemorySession, RawQueue, SQSEnv
from sqs_tasks.errors import BatchSendError, ConfigurationError, MessageTooLargeError
from sqs_tasks.hooks import Request
from sqs_tasks.local.peek import stored_messages
from sqs_tasks.sending import blocked_loop
from sqs_tasks.testing import adrain, drain, in_memory


class Recorder:
    """A client that notes each request, waits for a gate, and refuses what it is asked to."""

    def __init__(self, inner, *, refuse=()):
        self.inner = inner
        self.requests: list[list[str]] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.refuse = refuse

    def __getattr__(self, name):
        if name == "is_in_memory":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _note(self, bodies):
        self.requests.append(bodies)
        self.threads.add(threading.get_ident())
        assert self.gate.wait(10)
        if any(word in body for body in bodies for word in self.refuse):
            raise ConnectionError("refused")

    def send_message(self, **request):
        self._note([request["MessageBody"]])
        return self.inner.send_message(**request)

    def send_message_batch(self, **request):
        self._note([entry["MessageBody"] for entry in request["Entries"]])
        return self.inner.send_message_batch(**request)


class Shop:
    """A queue over a recorder, with a task that takes a number."""

    def __init__(self, *, refuse=(), queue="q", **options):
        self.sqs = Recorder(MemorySession().client("sqs"), refuse=refuse)
        self.env = SQSEnv(sqs_client=self.sqs)
        self.queue = self.env.queue(queue, **options)
        self.task = self.queue.processor("count")(lambda n, more="": None)
        self.env.create_queues()

    async def has_begun(self, count):
        """Wait until so many requests have begun."""
        deadline = time.monotonic() + 10
        while len(self.sqs.requests) < count and time.monotonic() < deadline:  # noqa: ASYNC110 - threads count
            await asyncio.sleep(0)

    @property
    def messages(self):
        return [one.message for one in stored_messages(self.sqs.inner, self.queue.queue_url)]

    @property
    def numbers(self):
        return [self.queue.job(message).kwargs["n"] for message in self.messages]


def test_the_jobs_of_many_callers_leave_in_tens():
    """Forty coroutines that send in one turn of the loop make four requests, none of them in the loop's thread."""
    shop = Shop()

    async def main():
        return await asyncio.gather(*(shop.task.adelay(n) for n in range(40)))

    receipts = asyncio.run(main())

    assert [len(request) for request in shop.sqs.requests] == [10, 10, 10, 10]
    assert sorted(shop.numbers) == list(range(40))
    assert len({str(one) for one in receipts}) == 40
    assert all(one.job_id for one in receipts)
    assert threading.get_ident() not in shop.sqs.threads


def test_jobs_gather_while_requests_are_under_way():
    """Eight requests are under way at most; what comes meanwhile waits, and leaves together."""
    shop = Shop()
    shop.sqs.gate.clear()

    async def main():
        first = []
        for n in range(8):
            first.append(asyncio.create_task(shop.task.adelay(n)))
            await shop.has_begun(n + 1)
        later = [asyncio.create_task(shop.task.adelay(n)) for n in range(8, 15)]
        await asyncio.sleep(0)
        shop.sqs.gate.set()
        await asyncio.gather(*first, *later)

    asyncio.run(main())

    assert [len(request) for request in shop.sqs.requests] == [1] * 8 + [7]


def test_a_fifo_queue_keeps_the_order_of_the_calls():
    """One request at a time."""
    shop = Shop(queue="q.fifo", default_group_id="g", content_based_deduplication=False)

    async def main():
        await asyncio.gather(*(shop.task.adelay(n) for n in range(25)))
        async with shop.task.abatch():
            for n in range(25, 50):
                shop.task.delay(n)
        await shop.task.amap({"n": n} for n in range(50, 75))

    asyncio.run(main())

    assert shop.numbers == list(range(75))


def test_how_a_fifo_queue_deduplicates_is_asked_beside_the_loop():
    """The first send has to know it; the question is no reason to block."""
    shop = Shop(queue="q.fifo", default_group_id="g")
    asked = []
    ask, shop.sqs.get_queue_attributes = shop.sqs.get_queue_attributes, None
    shop.sqs.get_queue_attributes = lambda **request: asked.append(threading.get_ident()) or ask(**request)

    asyncio.run(shop.task.adelay(1))

    assert shop.numbers == [1]
    assert asked
    assert threading.get_ident() not in asked


def test_arguments_context_and_trace_are_those_of_the_call():
    """What changes between the call and the send is not sent."""
    shop = Shop()
    shop.env.pre_send(lambda message: message.attributes.update(Trace={"DataType": "String", "StringValue": trace[-1]}))
    trace, numbers = ["first"], [1]

    async def main():
        with shop.env.context(user="a"):
            coroutine = shop.task.adelay(numbers)
        numbers.append(2)
        trace.append("second")
        await coroutine

    asyncio.run(main())

    (message,) = shop.messages
    job = shop.queue.job(message)
    assert job.kwargs == {"n": [1]}
    assert job.context == {"user": "a"}
    assert message.message_attributes["Trace"]["StringValue"] == "first"


def test_arguments_that_do_not_fit_are_refused_at_the_call():
    """The error is where the author is, before anything is awaited."""
    shop = Shop()

    with pytest.raises(TypeError, match="missing a required argument: 'n'"):
        shop.task.adelay()
    with pytest.raises(MessageTooLargeError):
        shop.task.adelay(os.urandom(1_000_000).hex())


def test_a_caller_gets_its_own_failure():
    """One that sent alone gets what the network said; of several each gets its own message."""
    shop = Shop(refuse=["bad"])
    shop.queue.outbox.sender._sleep = lambda seconds: None

    async def main():
        alone = await asyncio.gather(shop.task.adelay(1, "bad"), return_exceptions=True)
        together = await asyncio.gather(shop.task.adelay(2), shop.task.adelay(3, "bad"), return_exceptions=True)
        return alone, together

    (alone,), (second, third) = asyncio.run(main())

    assert isinstance(alone, ConnectionError)
    assert all(
        isinstance(one, BatchSendError) and isinstance(one.__cause__, ConnectionError) for one in (second, third)
    )
    assert ["2" in one.unsent[0].body for one in (second, third)] == [True, False]


def test_a_caller_that_is_cancelled_in_time_sends_nothing():
    """Before its request begins its job is dropped; once it has begun, the job may be sent."""
    shop = Shop()

    async def main():
        gone, stays = asyncio.create_task(shop.task.adelay(1)), asyncio.create_task(shop.task.adelay(2))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        shop.sqs.gate.clear()
        late = asyncio.create_task(shop.task.adelay(3))
        await shop.has_begun(2)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        shop.sqs.gate.set()
        await shop.task.adelay(4)

    asyncio.run(main())

    assert sorted(shop.numbers) == [2, 3, 4]


def test_hooks_are_called_once_for_each_job():
    """post_send has the receipt, in the context of the sender; requests are announced to around_request."""
    shop = Shop()
    sent, requests = [], []
    shop.env.post_send(lambda message, receipt: sent.append((shop.env.context.get("n"), bool(receipt.message_id))))

    class Around:
        def __init__(self, request: Request):
            requests.append(len(request.messages))

        def __enter__(self): ...
        def __exit__(self, *_): ...

    shop.env.around_request = Around

    async def one(n):
        shop.env.context.set(n=n)
        await shop.task.adelay(n)

    async def main():
        await asyncio.gather(one(1), one(2))
        await one(3)

    asyncio.run(main())

    assert sorted(sent) == [(1, True), (2, True), (3, True)]
    assert requests == [2, 1]


def test_a_batch_of_a_coroutine_sends_in_tens_and_resolves_its_receipts():
    """delay() and adelay() are collected alike, a batch in it joins it, and nothing is sent in the loop's thread."""
    shop = Shop()

    async def main():
        async with shop.task.abatch():
            receipts = [shop.task.delay(n) for n in range(12)]
            receipts.append(await shop.queue.add_job_async("count", n=12))
            async with shop.queue.add_batch_async():
                receipts.append(shop.task.delay(13))
            with shop.task.batch():
                receipts.append(shop.task.delay(14))
            assert receipts[-1].message_id is None
        return receipts

    receipts = asyncio.run(main())

    assert sorted(len(request) for request in shop.sqs.requests) == [5, 10]
    assert all(one.message_id for one in receipts)
    assert threading.get_ident() not in shop.sqs.threads


def test_a_batch_of_a_coroutine_belongs_to_its_own_task():
    """An asyncio task that starts in the block sends for itself."""
    shop = Shop()

    async def other():
        await shop.task.adelay(2)

    async def main():
        async with shop.task.abatch():
            shop.task.delay(1)
            await asyncio.create_task(other())
            assert shop.numbers == [2]

    asyncio.run(main())

    assert shop.numbers == [2, 1]


def test_a_batch_of_a_coroutine_reports_what_was_not_accepted():
    """The error carries the messages; what was added before the block raised is sent all the same."""
    shop = Shop(refuse=["bad"])
    shop.queue.outbox.sender._sleep = lambda seconds: None

    async def fails():
        async with shop.task.abatch():
            shop.task.delay(1, "bad")

    async def raises():
        async with shop.task.abatch():
            shop.task.delay(2)
            raise KeyError("mine")

    with pytest.raises(BatchSendError) as caught:
        asyncio.run(fails())
    with pytest.raises(KeyError, match="mine"):
        asyncio.run(raises())

    assert [one.job_name for one in caught.value.unsent] == ["count"]
    assert shop.numbers == [2]


def test_a_stream_of_a_coroutine_is_read_as_requests_leave():
    """Iterables of both kinds; no more is read than is under way."""
    shop = Shop()
    read = []

    def calls():
        for n in range(100):
            read.append(len(shop.sqs.requests))
            yield {"n": n}

    async def acalls():
        for n in range(100, 125):
            yield {"n": n}

    async def main():
        return await shop.task.amap(calls()), await shop.task.amap(acalls(), max_in_flight=3)

    assert asyncio.run(main()) == (100, 25)
    assert sorted(shop.numbers) == list(range(125))
    assert max(n // 10 - done for n, done in enumerate(read)) <= 2


def test_a_stream_of_a_coroutine_ends_with_what_was_not_accepted():
    """Reading stops; an error of the iterable comes after what was read has been sent."""
    shop = Shop(refuse=['"n": 15'])
    shop.queue.outbox.sender._sleep = lambda seconds: None

    def breaks():
        yield {"n": 1}
        raise KeyError("mine")

    with pytest.raises(BatchSendError) as caught:
        asyncio.run(shop.task.amap({"n": n} for n in range(1000)))
    with pytest.raises(KeyError, match="mine"):
        asyncio.run(shop.task.amap(breaks()))

    assert len(caught.value.unsent) == 10
    assert len(shop.sqs.requests) < 10
    assert shop.numbers.count(1) == 2


def test_jobs_of_a_block_that_defers_are_held():
    """adelay, abatch and amap go by env.deferred as delay does."""
    shop = Shop()

    async def main():
        async with shop.env.deferred():
            await shop.task.adelay(1)
            async with shop.task.abatch():
                shop.task.delay(2)
            await shop.task.amap([{"n": 3}])
            assert shop.numbers == []

    asyncio.run(main())

    assert sorted(shop.numbers) == [1, 2, 3]


def test_a_plain_send_that_blocks_the_loop_is_reported_once(caplog, monkeypatch):
    """The warning says where; sends of plain code, of threads and to queues in memory are none."""
    monkeypatch.setattr(blocked_loop, "is_reported", False)
    shop, memory = Shop(), SQSEnv(MemorySession())
    in_mem = memory.queue("q").processor("count")(lambda n: None)
    memory.create_queues()

    async def main(*, plainly):
        in_mem.delay(1)
        await asyncio.to_thread(shop.task.delay, 1)
        await shop.task.adelay(1)
        async with shop.task.abatch():
            shop.task.delay(1)
        for _ in range(2 if plainly else 0):
            shop.task.delay(1)

    with caplog.at_level(logging.WARNING, "sqs_tasks"):
        shop.task.delay(1)
        asyncio.run(main(plainly=False))
        assert caplog.records == []
        asyncio.run(main(plainly=True))

    (record,) = caplog.records
    assert "a plain send to queue q at " in record.getMessage()
    assert "test_async_producers.py" in record.getMessage()
    assert "await task.adelay" in record.getMessage()


@pytest.mark.parametrize("how", ["delay", "adelay"])
def test_eager_jobs_run_inside_a_running_loop(how):
    """Async jobs that adelay sends run on the caller's own loop, those of delay on another; nested ones too."""
    env = SQSEnv(eager=True)
    queue, ran = env.queue("q"), []

    @queue.processor("leaf")
    async def leaf(name: str) -> None:
        await asyncio.sleep(0)
        ran.append((name, asyncio.get_running_loop()))

    @queue.processor("plain")
    def plain() -> None:
        leaf.delay("of plain")

    @queue.processor("root")
    async def root() -> None:
        ran.append(("root", asyncio.get_running_loop()))
        leaf.delay("of delay")
        await leaf.adelay("of adelay")
        plain.delay()
        await plain.adelay()

    async def main():
        if how == "delay":
            root.delay()
        else:
            assert (await root.adelay()).job_id
        return asyncio.get_running_loop()

    mine = asyncio.run(main())

    own = [name for name, loop in ran if loop is mine]
    assert [name for name, _ in ran] == ["root", "of delay", "of adelay", "of plain", "of plain"]
    assert own == ([] if how == "delay" else ["root", "of adelay", "of plain"])


def test_the_caller_of_an_eager_job_gets_its_exception():
    """As with delay()."""
    env = SQSEnv(eager=True)

    @env.queue("q").processor("fails")
    async def fails() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(fails.adelay())


def test_jobs_in_memory_are_sent_and_drained_in_an_async_test():
    """in_memory, adelay and both drains inside a running loop."""
    env, ran = SQSEnv(), []

    @env.queue("q").processor("child")
    async def child(n: int) -> None:
        ran.append(n)

    @env.queue("q").processor("parent")
    async def parent() -> None:
        await child.adelay(1)
        async with child.abatch():
            child.delay(2)

    async def main():
        with in_memory(env):
            await parent.adelay()
            await adrain(env)
            await parent.options(delay_seconds=60).adelay()
            await parent.bake().adelay()
            drain(env, wait=True)

    asyncio.run(main())

    assert sorted(ran) == [1, 1, 1, 2, 2, 2]


def test_jobs_for_scheduler_are_made_by_threads():
    """adelay, abatch and amap take what is due in days."""
    env = SQSEnv()
    task = env.queue("q").processor("later")(lambda n: None)
    later = task.options(delay_seconds=90_000)

    async def main():
        with in_memory(env) as session:
            receipts = [await later.adelay(1)]
            async with task.abatch():
                receipts.append(later.delay(2))
            assert await task.amap([{"n": 3}, {"n": 4}], delay_seconds=90_000) == 2
            session.advance(90_060)
            return receipts, drain(env).succeeded

    receipts, succeeded = asyncio.run(main())

    assert all(one.run_at and one.job_id for one in receipts)
    assert succeeded == 4


def test_a_loop_that_ends_with_a_request_under_way_leaves_the_process_in_order():
    """The next loop sends as if nothing was."""
    shop = Shop()
    shop.sqs.gate.clear()

    async def leaves():
        task = asyncio.create_task(shop.task.adelay(1))
        await shop.has_begun(1)
        task.cancel()

    asyncio.run(leaves())
    shop.sqs.gate.set()
    asyncio.run(shop.task.adelay(2))
    deadline = time.monotonic() + 5
    while len(shop.numbers) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)

    assert sorted(shop.numbers) == [1, 2]


def test_raw_messages_leave_from_threads_and_together():
    """``add_raw_job_async`` packs what coroutines send, and refuses at the call what cannot be sent."""
    sqs = Recorder(MemorySession().client("sqs"))
    env = SQSEnv(sqs_client=sqs)
    queue, fifo = env.queue("raw", RawQueue), env.queue("raw.fifo", RawQueue)
    env.create_queues()

    async def send():
        receipts = await asyncio.gather(*(queue.add_raw_job_async(f"body {n}") for n in range(10)))
        receipts.append(await fifo.add_raw_job_async("first", group_id="g", message_attributes={"kind": "x"}))
        with pytest.raises(ConfigurationError):
            queue.add_raw_job_async("")
        return receipts

    receipts = asyncio.run(send())

    assert [len(bodies) for bodies in sqs.requests] == [10, 1]
    assert threading.get_ident() not in sqs.threads
    assert len(set(receipts)) == 11
    (message,) = fifo.get_raw_messages()
    assert (message.body, message.group_id, message.attribute("kind")) == ("first", "g", "x")
