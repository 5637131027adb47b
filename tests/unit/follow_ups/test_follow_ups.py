"""Jobs that are sent when another is over, in all runtimes, and what a death between two steps leaves."""

from __future__ import annotations

import asyncio
import json
import random
import string
from contextlib import closing

import pytest

from sqs_tasks import (
    ConstantBackoff,
    DeadLetterQueue,
    MemorySession,
    Postpone,
    Reject,
    Retry,
    S3Offload,
    SQSEnv,
    testing,
)
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.errors import ConfigurationError, MessageTooLargeError
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.outcome import Succeeded
from sqs_tasks.store import SQLiteStore
from tests.support.lambda_events import FakeContext
from tests.support.scripted_client import ScriptedClient, raising

EMAILS = "emails"


class Shop:
    """A task that may fail, and two that can follow it."""

    def __init__(self, session, *, client=None, follower_queue=EMAILS, **options):
        self.session = session
        self.env = env = SQSEnv(session, **options) if client is None else SQSEnv(sqs_client=client, **options)
        self.orders = env.queue("orders", backoff_policy=ConstantBackoff(0))
        self.emails = env.queue(follower_queue)
        self.log = []
        self.fail = []
        self.jobs = []

        @self.orders.processor("place", max_attempts=2)
        def place(order):
            if self.fail:
                raise self.fail.pop(0)
            self.log.append(f"place {order}")

        @self.emails.processor("notify")
        def notify(order):
            self.log.append(f"notify {order}")

        @self.emails.processor("alarm")
        def alarm(order):
            self.log.append(f"alarm {order}")

        self.place, self.notify, self.alarm = place, notify, alarm
        env.pre_task(lambda job: self.jobs.append((job.job_name, job.job_id)))
        env.create_queues()

    def send(self, order=7):
        follow = self.place.options(then=self.notify.bake(order), on_failure=self.alarm.bake(order))
        return follow.delay(order)


@pytest.fixture
def session():
    return MemorySession(clock=ManualClock())


@pytest.fixture
def shop(session):
    return Shop(session)


def test_then_is_sent_when_the_job_has_succeeded(shop):
    """It runs once, by its own queue, with the id of the job before it."""
    receipt = shop.send()

    testing.drain(shop.env)

    assert shop.log == ["place 7", "notify 7"]
    assert shop.jobs[1] == ("notify", f"{receipt.job_id}/then")


def test_nothing_follows_an_attempt_that_is_followed_by_another(shop):
    """A retry and a postponed job are not over; a copy carries what follows on."""
    shop.fail = [ValueError("once"), Postpone(5)]
    shop.send()

    testing.drain(shop.env, raise_errors=False)
    assert shop.log == []
    testing.drain(shop.env, wait=True)

    assert shop.log == ["place 7", "notify 7"]


@pytest.mark.parametrize("failures", [[Reject("no")], [ValueError("a"), ValueError("b")]])
def test_on_failure_is_sent_before_the_dead_letter(shop, failures):
    """When the job is rejected, or has used up its attempts."""
    shop.fail = failures
    receipt = shop.send()

    testing.drain(shop.env, raise_errors=False)

    assert shop.log == ["alarm 7"]
    assert shop.jobs[-1] == ("alarm", f"{receipt.job_id}/on_failure")
    assert shop.env.queue("orders").statistics().dead_letters == 1


def test_dead_letter_that_is_moved_back_is_followed_too(shop):
    """The same ids again: a receiver knows them."""
    shop.fail = [Reject("no")]
    receipt = shop.send()
    testing.drain(shop.env, raise_errors=False)
    shop.env.queue("orders_dead", DeadLetterQueue.maker(shop.orders)).push_back()
    shop.session.advance(2)
    testing.drain(shop.orders)
    testing.drain(shop.emails)

    assert shop.log == ["alarm 7", "place 7", "notify 7"]
    assert shop.jobs[-1] == ("notify", f"{receipt.job_id}/then")


def test_chain_by_nesting(shop):
    """What follows may be followed, to any depth, and its message does not double with each."""
    step = shop.notify.bake(0)
    sizes = []
    for number in range(1, 9):
        step = shop.notify.options(then=step).bake(number)
        sizes.append(len(step.message().attributes["FollowUps"]["StringValue"]))
    receipt = shop.place.options(then=step).delay(9)

    testing.drain(shop.env)

    assert shop.log == ["place 9", *(f"notify {number}" for number in range(8, -1, -1))]
    assert shop.jobs[-1][1] == receipt.job_id + "/then" * 9
    assert sizes[-1] - sizes[-2] == sizes[2] - sizes[1], "it grows by one step each time"


def test_death_between_follow_up_and_delete_sends_the_same_id(session):
    """The job runs again, and its follow-up comes once more with the id that its receiver has seen."""
    client = ScriptedClient(session.client("sqs"))
    shop = Shop(session, client=client)
    shop.send()
    client.script("delete_message_batch", lambda _: {"Failed": [{"Id": "0", "Code": "ReceiptHandleIsInvalid"}]})

    shop.orders.process_batch()
    session.advance(120)
    shop.orders.process_batch()
    shop.emails.process_batch()

    assert shop.log == ["place 7", "place 7", "notify 7", "notify 7"]
    ids = [job_id for name, job_id in shop.jobs if name == "notify"]
    assert ids[0] == ids[1]


def test_fifo_queue_drops_the_second_copy(session):
    """There the id is the deduplication id too, so that nothing runs twice within five minutes."""
    client = ScriptedClient(session.client("sqs"))
    shop = Shop(session, client=client, follower_queue="emails.fifo")
    shop.send()
    client.script("delete_message_batch", lambda _: {"Failed": [{"Id": "0", "Code": "ReceiptHandleIsInvalid"}]})

    shop.orders.process_batch()
    session.advance(120)
    shop.orders.process_batch()
    shop.emails.process_batch()
    shop.emails.process_batch()

    assert shop.log == ["place 7", "place 7", "notify 7"]


def test_follow_up_that_is_not_accepted_leaves_the_job(session, monkeypatch, caplog):
    """The job is not deleted: it runs again, and then its follow-up is sent."""
    monkeypatch.setattr("sqs_tasks.sending.sender.RETRY_SECONDS", 0)
    client = ScriptedClient(session.client("sqs"))
    shop = Shop(session, client=client)
    shop.send()
    client.script("send_message_batch", *[raising(ConnectionError("no route"))] * 4)

    shop.orders.process_batch()

    assert client.counts["delete_message_batch"] == 0
    assert "the job runs again" in caplog.text
    session.advance(31)
    shop.orders.process_batch()
    shop.emails.process_batch()
    assert shop.log == ["place 7", "place 7", "notify 7"]


def test_failure_that_nobody_hears_of_is_no_dead_letter(session, monkeypatch):
    """The dead letter waits for its follow-up, so that there is one of it."""
    monkeypatch.setattr("sqs_tasks.sending.sender.RETRY_SECONDS", 0)
    client = ScriptedClient(session.client("sqs"))
    shop = Shop(session, client=client)
    shop.fail = [Reject("no"), Reject("no")]
    shop.send()
    client.script("send_message_batch", *[raising(ConnectionError("no route"))] * 4)

    shop.orders.process_batch()
    assert shop.orders.statistics().dead_letters == 0
    session.advance(31)
    shop.orders.process_batch()

    assert shop.orders.statistics().dead_letters == 1
    shop.emails.process_batch()
    assert shop.log == ["alarm 7"]


def test_lambda_sends_it_before_it_answers(session, monkeypatch):
    """And answers that the message stays, where it could not be sent."""
    monkeypatch.setattr("sqs_tasks.sending.sender.RETRY_SECONDS", 0)
    client = ScriptedClient(session.client("sqs"))
    shop = Shop(session, client=client)
    handler = SQSEventHandler(shop.env)
    shop.send()
    event = testing.lambda_event(shop.orders)
    identifier = event["Records"][0]["messageId"]

    client.script("send_message_batch", *[raising(ConnectionError("no route"))] * 4)
    assert handler(event, FakeContext()) == {"batchItemFailures": [{"itemIdentifier": identifier}]}
    client.forget("send_message_batch")
    assert handler(event, FakeContext()) == {"batchItemFailures": []}

    shop.fail = [Reject("no")]
    assert handler(event, FakeContext()) == {"batchItemFailures": []}
    testing.drain(shop.emails)
    assert shop.log == ["place 7", "place 7", "notify 7", "alarm 7"]


def test_async_tasks_and_batches_are_followed(session):
    """Each job of a batch by its own; an async task without blocking its loop."""
    env = SQSEnv(session)
    queue, log = env.queue("orders"), []

    @queue.processor("place")
    async def place(order):
        await asyncio.sleep(0)

    @env.queue("many").batch_processor("load", batch_size=2)
    def load(items):
        return [ValueError("no") if item["order"] == 1 else None for item in items]

    notify = queue.processor("notify")(log.append)
    env.create_queues()
    place.options(then=notify.bake(5)).delay(order=5)
    load.options(then=notify.bake(0)).delay(order=0)
    load.options(then=notify.bake(1)).delay(order=1)

    queue.process_batch()
    testing.drain(env.queue("many"), raise_errors=False)
    testing.drain(queue)

    assert sorted(log) == [0, 5]


def test_async_producers_and_map_take_it(shop):
    """Wherever a job is sent."""
    asyncio.run(shop.place.options(then=shop.notify.bake(1)).adelay(1))
    shop.place.map([{"order": 2}, {"order": 3}], then=shop.notify.bake(0))

    testing.drain(shop.env)

    assert sorted(shop.log) == ["notify 0", "notify 0", "notify 1", "place 1", "place 2", "place 3"]


def test_eager_jobs_are_followed_at_once(session):
    """There is no further attempt, so every failure is the last."""
    shop = Shop(session)
    with testing.eager(shop.env):
        shop.send()
    with testing.eager(shop.env, raise_errors=False):
        shop.fail = [ValueError("no")]
        shop.send(8)

    assert shop.log == ["place 7", "notify 7", "alarm 8"]


def test_context_group_delay_and_attributes_travel(session):
    """What follows has the context of its sender, and the options of its bake()."""
    shop = Shop(session)
    seen = []

    @shop.emails.processor("show", pass_context=True, fair_by="tenant")
    def show(tenant, context):
        seen.append(dict(context))

    with shop.env.context(request="r-1"):
        shop.place.options(then=show.options(delay_seconds=60, message_attributes={"kind": "mail"}).bake("acme")).delay(
            1
        )
    testing.drain(shop.env)
    assert seen == []
    session.advance(60)
    message = shop.emails.get_raw_messages()[0]

    assert message.attribute("kind") == "mail"
    assert message.group_id == "acme"
    session.advance(60)
    testing.drain(shop.env)
    assert seen == [{"request": "r-1"}]


def test_large_argument_of_a_follow_up_goes_to_s3_when_it_is_sent(session):
    """It travels in the message of its job, and in S3 from there on."""
    shop = Shop(session, offload=S3Offload(bucket="payloads", above_bytes=5_000))
    shop.place.options(then=shop.notify.bake("x" * 20_000)).delay(1)
    objects = session.client("s3")
    assert objects.list_objects_v2(Bucket="payloads")["KeyCount"] == 0

    testing.drain(shop.orders)
    put = {one["Key"] for one in objects.list_objects_v2(Bucket="payloads")["Contents"]}
    assert len(put) == 1
    testing.drain(shop.emails)

    assert shop.log == ["place 1", f"notify {'x' * 20_000}"]
    most = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=1_500_000))
    shop.place.options(on_failure=shop.alarm.bake(2)).delay("y" * 20_000)
    (key,) = {one["Key"] for one in objects.list_objects_v2(Bucket="payloads")["Contents"]} - put
    objects.delete_object(Bucket="payloads", Key=key)
    testing.drain(shop.env, raise_errors=False)
    assert shop.log[-1] == "alarm 2", "a body that is missing is a failure for good"
    with pytest.raises(MessageTooLargeError, match="do not go to S3"):
        shop.place.options(then=shop.notify.bake(most)).delay(1)
    plain = Shop(MemorySession())
    with pytest.raises(MessageTooLargeError):
        plain.place.options(then=plain.notify.bake(most)).delay(1)


def test_message_sends_to_registered_queues_alone(session, shop, monkeypatch):
    """A message whose attribute names another queue, or is garbled, sends nothing; its job comes back."""
    shop.send()
    (raw,) = shop.env.client().receive_message(QueueUrl=shop.orders.queue_url, MessageAttributeNames=["All"])[
        "Messages"
    ]
    attributes = raw["MessageAttributes"]
    written = json.loads(attributes["FollowUps"]["StringValue"])
    for value in (
        json.dumps({"then": {**written["then"], "queue": "https://sqs.eu-west-1.amazonaws.com/1/stolen"}}),
        json.dumps({"then": {**written["then"], "body": 5}}),
        "[]",
        "no JSON",
    ):
        shop.env.client().purge_queue(QueueUrl=shop.orders.queue_url)
        shop.session.advance(61)
        attributes["FollowUps"]["StringValue"] = value
        shop.env.client().send_message(
            QueueUrl=shop.orders.queue_url, MessageBody=raw["Body"], MessageAttributes=attributes
        )
        testing.drain(shop.orders)
        assert shop.orders.statistics().total == 1
    assert shop.emails.statistics().total == 0


def test_senders_own_attribute_of_that_name_means_nothing(shop):
    """As those of copies, ours is told by its type."""
    shop.place.options(message_attributes={"FollowUps": "mine"}).delay(1)

    testing.drain(shop.env)

    assert shop.log == ["place 1"]
    assert shop.orders.statistics().total == 0


def test_what_cannot_follow_is_refused_where_it_is_written(session, shop):
    """Each says what is allowed."""
    other = Shop(MemorySession())
    unregistered = shop.env.queue("other")
    for options, text in [
        ({"then": shop.notify}, r"notify.bake"),
        ({"then": other.notify.bake(1)}, "another environment"),
        ({"then": shop.notify.options(queue=unregistered).bake(1)}, "has no task 'notify'"),
        ({"then": shop.notify.options(delay_seconds=2_000).bake(1)}, "is due at"),
        ({"then": shop.notify.bake(1), "message_attributes": {"FollowUps": "x"}}, "another name"),
    ]:
        with pytest.raises(ConfigurationError, match=text):
            shop.place.options(**options).delay(1)
    declared = shop.orders.processor("declared", enqueues=["orders"])(lambda: None)
    with pytest.raises(ConfigurationError, match="goes to queue 'emails', and the task says enqueues="):
        declared.options(then=shop.notify.bake(1)).delay()
    alone = shop.env.queue("alone", dead_letter_queue=None).processor("x")(lambda: None)
    with pytest.raises(ConfigurationError, match=r"dead_letter_queue="):
        alone.options(on_failure=shop.alarm.bake(1)).delay()
    fifo = Shop(MemorySession(), follower_queue="emails.fifo")
    with pytest.raises(ConfigurationError, match="deduplication_id"):
        fifo.place.options(then=fifo.notify.options(deduplication_id="d").bake(1)).delay(1)


def test_job_without_one_makes_the_same_requests(session):
    """One send, one receive, one delete, as ever."""
    client = ScriptedClient(session.client("sqs"))
    shop = Shop(session, client=client)
    client.counts.clear()

    shop.place.delay(1)
    shop.orders.process_batch()

    assert dict(client.counts) == {
        "send_message": 1,
        "receive_message": 1,
        "delete_message_batch": 1,
        "get_queue_url": 1,
    }


def test_retry_keeps_the_job_and_its_follow_up(shop):
    """A delay longer than SQS hides a message goes on by a copy, with what follows."""
    shop.fail = [Retry(delay_seconds=90_000)]
    shop.send()

    testing.drain(shop.env, wait=True)

    assert shop.log == ["place 7", "notify 7"]


def test_job_that_was_done_before_is_followed_once_more(session):
    """A worker that dies between the end of an idempotent job and its follow-up: the second delivery sends it."""
    with closing(SQLiteStore(":memory:")) as store:
        client = ScriptedClient(session.client("sqs"))
        env = SQSEnv(sqs_client=client, store=store)
        queue, log = env.queue("orders"), []

        @queue.processor("charge", idempotent=True)
        def charge(order):
            log.append(f"charge {order}")

        @queue.processor("notify")
        def notify(order):
            log.append(f"notify {order}")

        env.create_queues()
        charge.options(then=notify.bake(7)).delay(7)
        ((message, outcome),) = [(one, queue.executor().execute(one)) for one in queue.get_raw_messages()]
        assert isinstance(outcome, Succeeded)  # and here the worker dies

        handler = SQSEventHandler(env)
        session.advance(60)
        assert handler(testing.lambda_event(queue), FakeContext()) == {"batchItemFailures": []}
        queue.settlement().delete([message])
        testing.drain(queue)

    assert log == ["charge 7", "notify 7"]
