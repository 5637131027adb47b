"""Large bodies in S3, by queues and an S3 in memory."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import string
import threading

import pytest

from sqs_tasks import MemorySession, Postpone, RawQueue, Reject, Retry, S3Offload, SQSEnv, testing
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.deadletter_queue import DeadLetterQueue
from sqs_tasks.errors import ConfigurationError, MessageTooLargeError
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.offload.pointer import Pointer
from sqs_tasks.operations.plain_body import plain_body
from sqs_tasks.readers import celery
from sqs_tasks.transactions.outbox.row import Row, message_of, values_of
from tests.support.lambda_events import FakeContext

BUCKET = "payloads"
#: Text that does not compress away.
LARGE = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=3_000))


@pytest.fixture
def session():
    return MemorySession(clock=ManualClock())


@pytest.fixture
def s3(session):
    return session.client("s3")


def keys(s3, prefix=""):
    return [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())]


def environment(session, **options):
    return SQSEnv(session, offload=S3Offload(bucket=BUCKET, **{"above_bytes": 1_000, **options}))


def received(env, name):
    """What a queue holds, as SQS has it."""
    url = env.get_queue_url(name)
    answer = env.client().receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    )
    return answer.get("Messages", [])


class Books:
    """A queue with a task that notes its arguments."""

    def __init__(self, session, fail=None, **options):
        self.env = environment(session, **options)
        self.queue = self.env.queue("reports", max_receive_count=20)
        self.seen = []
        self.fail = list(fail or ())

        @self.queue.processor("write", max_attempts=5)
        def write(text):
            if self.fail:
                raise self.fail.pop(0)
            self.seen.append(text)

        self.write = write
        self.env.create_queues()


def test_large_body_travels_by_the_pointer_of_amazons_clients(session, s3):
    """The message holds a pointer and the size, the object the body, and the task gets its arguments."""
    books = Books(session)

    books.write.delay(LARGE)

    (message,) = received(books.env, "reports")
    kind, place = json.loads(message["Body"])
    assert kind == "software.amazon.payloadoffloading.PayloadS3Pointer"
    assert place == {"s3BucketName": BUCKET, "s3Key": keys(s3)[0]}
    body = s3.get_object(Bucket=BUCKET, Key=place["s3Key"])["Body"].read()
    assert json.loads(body) == {"text": LARGE}
    assert message["MessageAttributes"]["ExtendedPayloadSize"] == {
        "DataType": "Number",
        "StringValue": str(len(body)),
    }
    session.advance(60)
    testing.drain(books.env)
    assert books.seen == [LARGE]


def test_small_body_stays_and_makes_no_request(session, s3):
    """Below the size nothing of it is seen, and no object is made."""
    books = Books(session)

    books.write.delay("short")

    (message,) = received(books.env, "reports")
    assert json.loads(message["Body"]) == {"text": "short"}
    assert "ExtendedPayloadSize" not in message["MessageAttributes"]
    assert keys(s3) == []


def test_object_is_there_before_the_message(session, s3):
    """S3 that refuses leaves no message; a send that dies after it leaves an object alone, for the lifecycle rule."""
    books = Books(session)
    put = s3.put_object
    s3.put_object = lambda **_: (_ for _ in ()).throw(ConnectionError("no route"))
    with pytest.raises(ConnectionError):
        books.write.delay(LARGE)
    s3.put_object = put
    assert received(books.env, "reports") == []

    books.env.client().send_message = lambda **_: (_ for _ in ()).throw(ConnectionError("no route"))
    with pytest.raises(ConnectionError):
        books.write.delay(LARGE)

    assert len(keys(s3)) == 1
    assert received(books.env, "reports") == []


def test_many_are_packed_by_the_size_of_their_pointers(session, s3):
    """Ten jobs of 200 kB go in one request, by map and in a batch, plain and async."""
    books = Books(session)
    client, sizes = books.env.client(), []
    send = client.send_message_batch
    client.send_message_batch = lambda **request: sizes.append(len(request["Entries"])) or send(**request)
    large = "".join(random.Random(8).choices(string.ascii_letters + string.digits, k=200_000))
    assert books.write.map({"text": f"{index}{large}"} for index in range(10)) == 10
    with books.write.batch():
        for index in range(10):
            books.write.delay(f"{index}{large}")
    assert sizes == [10, 10]

    async def several():
        await asyncio.gather(*(books.write.adelay(f"{index}{LARGE}") for index in range(3)))
        async with books.write.abatch():
            books.write.delay(LARGE)

    asyncio.run(several())
    assert len(keys(s3)) == 24
    testing.drain(books.env)
    assert len(books.seen) == 24


def test_copies_keep_the_pointer(session, s3):
    """A postponed job, one that waits longer than SQS hides it, and a dead letter point to the one object."""
    books = Books(session, fail=[Postpone(60), Retry(delay_seconds=90_000), Reject("no")])
    books.write.delay(LARGE)

    testing.drain(books.env, raise_errors=False, wait=True)

    (letter,) = received(books.env, "reports_dead")
    assert json.loads(letter["Body"])[1]["s3Key"] == keys(s3)[0]
    assert len(keys(s3)) == 1
    assert books.seen == []


def test_dead_letter_moved_back_runs(session, s3):
    """The queue that pushes dead letters back moves the pointer, not the body."""
    books = Books(session, fail=[Reject("no")], remove_with_job=True)
    dead = books.env.queue("reports_dead", DeadLetterQueue.maker(books.queue))
    books.write.delay(LARGE)
    testing.drain(books.queue, raise_errors=False)
    assert len(keys(s3)) == 1, "a dead letter keeps its body"

    assert dead.push_back() == 1

    session.advance(2)
    testing.drain(books.queue)
    assert books.seen == [LARGE]
    assert keys(s3) == [], "and it goes with the job"


def test_missing_object_is_a_dead_letter_that_says_so(session, s3):
    """No attempt brings it back, so there is none."""
    books = Books(session)
    books.write.delay(LARGE)
    s3.delete_object(Bucket=BUCKET, Key=keys(s3)[0])

    testing.drain(books.env, raise_errors=False)

    (letter,) = received(books.env, "reports_dead")
    assert "is in S3" in letter["MessageAttributes"]["FailureReason"]["StringValue"]
    assert "is not there" in letter["MessageAttributes"]["FailureReason"]["StringValue"]


def test_unreachable_s3_costs_no_attempt(session, s3, caplog):
    """However long S3 is unreachable: the job comes back, and runs when it is there again."""
    books = Books(session)
    books.write.delay(LARGE)
    get, s3.get_object = s3.get_object, lambda **_: (_ for _ in ()).throw(ConnectionError("no route"))
    with caplog.at_level(logging.ERROR):
        for _ in range(30):  # more receives than the queue allows
            testing.drain(books.env, raise_errors=False)
            session.advance(3_600)
    assert "S3 does not give" in caplog.text
    assert received(books.env, "reports_dead") == []

    s3.get_object = get
    books.fail = [ValueError("its first attempt")] * 4
    testing.drain(books.env, wait=True, raise_errors=False)

    assert books.seen == [LARGE], "the fifth of five attempts"


@pytest.mark.parametrize("place", [Pointer("others", "secret"), Pointer(BUCKET, "elsewhere/secret")])
def test_message_chooses_no_bucket_and_no_prefix(session, s3, place):
    """A pointer to another place is refused, and nothing is asked of S3."""
    books = Books(session, prefix="reports/")
    s3.put_object(Bucket=place.bucket, Key=place.key, Body=b'{"text": "stolen"}')
    asked = []
    s3.get_object = lambda **request: asked.append(request)
    books.env.client().send_message(
        QueueUrl=books.queue.queue_url,
        MessageBody=place.as_body(),
        MessageAttributes={
            "JobName": {"DataType": "String", "StringValue": "write"},
            "ExtendedPayloadSize": {"DataType": "Number", "StringValue": "18"},
        },
    )

    testing.drain(books.env, raise_errors=False)

    (letter,) = received(books.env, "reports_dead")
    assert "the message points to" in letter["MessageAttributes"]["FailureReason"]["StringValue"]
    assert asked == []
    assert books.seen == []


def test_without_the_option_no_pointer_is_followed(session, s3):
    """A queue that does not offload rejects a pointer, and says what it may be."""
    Books(session).write.delay(LARGE)
    env = SQSEnv(session)
    env.queue("reports", max_receive_count=20).processor("write")(lambda text: None)

    testing.drain(env, raise_errors=False)

    (letter,) = received(env, "reports_dead")
    assert "pointer to S3" in letter["MessageAttributes"]["FailureReason"]["StringValue"]


@pytest.mark.parametrize("body", ["[]", "no JSON", '["other.Class", {"s3BucketName": "payloads", "s3Key": "k"}]'])
def test_what_is_no_pointer_is_refused(session, body):
    """Whatever stands in its place ends as a dead letter."""
    books = Books(session)
    books.env.client().send_message(
        QueueUrl=books.queue.queue_url,
        MessageBody=body,
        MessageAttributes={"SQSLargePayloadSize": {"DataType": "Number", "StringValue": "18"}},
    )

    testing.drain(books.env, raise_errors=False)

    assert len(received(books.env, "reports_dead")) == 1


def test_object_above_the_limit_is_not_loaded(session, s3):
    """Who can write to the bucket cannot fill a worker's memory."""
    books = Books(session, max_bytes=5_000)
    books.write.delay(LARGE)
    s3.put_object(Bucket=BUCKET, Key=keys(s3)[0], Body=b"x" * 5_001)

    testing.drain(books.env, raise_errors=False)

    (letter,) = received(books.env, "reports_dead")
    assert "at most 5000 are read" in letter["MessageAttributes"]["FailureReason"]["StringValue"]
    with pytest.raises(MessageTooLargeError, match=r"max_bytes"):
        books.write.delay(LARGE * 2)


def test_removed_with_its_job(session, s3):
    """The body goes when the message is deleted, and only then."""
    books = Books(session, fail=[ValueError("once")], remove_with_job=True)
    books.write.delay(LARGE)

    testing.drain(books.env, raise_errors=False)
    assert len(keys(s3)) == 1, "it will be tried again"
    testing.drain(books.env, wait=True)

    assert books.seen == [LARGE]
    assert keys(s3) == []


def test_removed_by_a_worker_and_left_by_default(session, s3):
    """A worker that removes them, and one that leaves them to the rule."""
    for removes in (True, False):
        books = Books(session, remove_with_job=removes)
        books.write.delay(LARGE)
        books.queue.process_batch()
        assert books.seen == [LARGE]
        assert len(keys(s3)) == (0 if removes else 1)


def test_body_that_cannot_be_removed_holds_nothing_up(session, s3, caplog):
    """The job is done, the message is deleted, and the rule of the bucket removes the rest."""
    books = Books(session, remove_with_job=True)
    books.write.delay(LARGE)
    s3.delete_objects = lambda **_: {"Errors": [{"Code": "AccessDenied"}]}

    testing.drain(books.env)

    assert "AccessDenied" in caplog.text
    session.advance(50_000)
    assert received(books.env, "reports") == []


def test_lambda_fetches_it_too(session, s3):
    """The event holds the pointer; the function answers as ever, and a missing object goes to the dead letters."""
    books = Books(session)
    handler = SQSEventHandler(books.env)
    books.write.delay(LARGE)
    event = testing.lambda_event(books.queue)
    assert "s3Key" in event["Records"][0]["body"]
    assert handler(event, FakeContext()) == {"batchItemFailures": []}
    assert books.seen == [LARGE]

    for key in keys(s3):
        s3.delete_object(Bucket=BUCKET, Key=key)
    assert handler(event, FakeContext()) == {"batchItemFailures": []}
    assert len(received(books.env, "reports_dead")) == 1

    s3.get_object = lambda **_: (_ for _ in ()).throw(ConnectionError("no route"))
    assert handler(event, FakeContext()) == {"batchItemFailures": []}
    session.advance(60)
    (copy,) = received(books.env, "reports")
    assert copy["MessageAttributes"]["Attempt"]["StringValue"] == "0", "its job goes on by it, and had no attempt"


def test_lambda_gives_up_an_s3_that_does_not_answer(session, s3):
    """Before the invocation ends, so that the answer keeps the message, and those of other jobs go."""
    books = Books(session)
    books.write.delay("short")
    books.write.delay(LARGE)
    event = testing.lambda_event(books.queue)
    large = next(one["messageId"] for one in event["Records"] if "s3Key" in one["body"])
    waited_out = []
    s3.get_object = lambda **_: waited_out.append(threading.Event().wait(20))

    answer = SQSEventHandler(books.env)(event, FakeContext(0.6))

    assert answer == {"batchItemFailures": [{"itemIdentifier": large}]}
    assert waited_out == []
    assert books.seen == ["short"]


def test_async_task_is_fetched_beside_the_event_loop(session, s3):
    """The request for the body is made in a thread, so other jobs of the loop go on."""
    env = environment(session)
    queue = env.queue("reports")
    threads, seen = [], []
    get = s3.get_object

    def fetched(**request):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            threads.append("beside")
        else:
            threads.append("on the loop")
        return get(**request)

    s3.get_object = fetched

    @queue.processor("write")
    async def write(text):
        seen.append(text)

    env.create_queues()
    write.delay(LARGE)

    queue.process_batch()

    assert seen == [LARGE]
    assert threads == ["beside"]


def test_batch_processors_and_raw_queues(session):
    """A list of jobs, and a raw message, have their whole bodies."""
    env = environment(session)
    seen = []
    env.queue("many").batch_processor("load", batch_size=3)(lambda items: seen.extend(item["text"] for item in items))
    raw = env.queue("raw", RawQueue)

    @raw.raw_processor()
    def take(message):
        seen.append((message.body, sorted(message.message_attributes)))

    env.create_queues()
    env.queue("many").task("load").map({"text": f"{index}{LARGE}"} for index in range(3))
    raw.add_raw_job(LARGE, message_attributes={"kind": "report"})

    testing.drain(env)

    assert sorted(one for one in seen if isinstance(one, str)) == [f"{index}{LARGE}" for index in range(3)]
    assert seen[-1] == (LARGE, ["kind"]) or (LARGE, ["kind"]) in seen


def test_fifo_content_counts_and_not_the_pointer(session):
    """Two equal bodies are one message where the queue deduplicates by content, in job queues and raw ones."""
    env = environment(session)
    jobs = env.queue("jobs.fifo", content_based_deduplication=True)
    raw = env.queue("raw.fifo", RawQueue, content_based_deduplication=True)
    seen = []
    write = jobs.processor("write")(lambda text: seen.append("job"))
    raw.raw_processor()(lambda message: seen.append("raw"))
    env.create_queues()

    for _ in range(2):
        write.delay(text=LARGE)
        raw.add_raw_job(LARGE)
    testing.drain(env)

    assert sorted(seen) == ["job", "raw"]


def test_foreign_message_is_known_by_its_body(session, s3):
    """A reader gets the body from S3, and metrics and dead letters know the task."""
    env = environment(session)
    queue = env.queue("old", readers=[celery])
    outcomes = []
    env.post_task(lambda job, outcome: outcomes.append(job.job_name))
    queue.processor("tasks.write")(lambda text: None)
    env.create_queues()
    body = json.dumps([[LARGE], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    celery_message = json.dumps(
        {
            "body": __import__("base64").b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"id": "c-1", "task": "tasks.write", "lang": "py"},
            "properties": {"body_encoding": "base64"},
        }
    )
    s3.put_object(Bucket=BUCKET, Key="foreign", Body=celery_message.encode())
    env.client().send_message(
        QueueUrl=queue.queue_url,
        MessageBody=Pointer(BUCKET, "foreign").as_body(),
        MessageAttributes={"ExtendedPayloadSize": {"DataType": "Number", "StringValue": "1"}},
    )

    testing.drain(env)

    assert outcomes == ["tasks.write"]


def test_deferred_and_eager_and_single_runs_need_no_bucket_too_early(session, s3):
    """A block that raises puts nothing; eager jobs and testing.run have their bodies without S3."""
    books = Books(session)

    def changes_its_mind():
        with books.env.deferred():
            books.write.delay(LARGE)
            raise ValueError("no")

    with pytest.raises(ValueError):
        changes_its_mind()
    assert keys(s3) == []
    with books.env.deferred():
        books.write.delay(LARGE)
        assert keys(s3) == []
    assert len(keys(s3)) == 1

    with testing.eager(books.env):
        books.write.delay(LARGE)
    testing.run(books.write, LARGE)
    assert len(keys(s3)) == 1
    assert books.seen == [LARGE, LARGE]
    testing.assert_enqueued(books.write, text=LARGE)


def test_job_that_is_due_after_its_body_expires_is_refused(session):
    """A schedule in a year would send a pointer to nothing."""
    books = Books(session)
    with pytest.raises(ConfigurationError, match=r"due in 365 days.*expire_days"):
        books.write.options(delay_seconds=365 * 86_400).delay(LARGE)

    books.write.options(delay_seconds=3_600).delay(LARGE)

    session.advance(3_700)
    testing.drain(books.env)
    assert books.seen == [LARGE]


def test_options_that_cannot_work_are_refused_where_they_are_written():
    """Each says what is allowed."""
    for options, text in [
        ({"bucket": "Not_A_Bucket"}, "lower-case"),
        ({"above_bytes": -1}, "above_bytes"),
        ({"prefix": "/reports"}, "prefix"),
        ({"expire_days": 0}, "expire_days"),
    ]:
        with pytest.raises(ConfigurationError, match=text):
            S3Offload(**options)
    with pytest.raises(ConfigurationError, match=r"at least 18 are needed"):
        SQSEnv(offload=S3Offload(expire_days=10)).queue("reports")
    env = SQSEnv(region_name="us-east-1", offload=S3Offload(above_bytes=0))
    task = env.queue("reports").processor("write")(lambda text: None)
    with pytest.raises(ConfigurationError, match=r"SQS_TASKS_OFFLOAD_BUCKET"):
        task.bake(text="x").message()
    with pytest.raises(ConfigurationError, match=r"ExtendedPayloadSize"):
        task.options(message_attributes={"ExtendedPayloadSize": "1"}).bake(text="x").message()


def test_row_of_an_outbox_holds_the_body_until_the_relay_sends(session, s3):
    """A transaction that is rolled back leaves no object; the relay puts it, and then sends the pointer."""
    books = Books(session)
    values = values_of(books.write.bake(LARGE).message(), 1_000.0)
    assert keys(s3) == []
    row = Row(id=1, **{name: values[name] for name in Row._fields if name != "id"})

    books.queue.outbox.send_written([message_of(row, 1_000.0)])

    assert len(keys(s3)) == 1
    testing.drain(books.env)
    assert books.seen == [LARGE]


def test_look_at_a_dead_letter_fetches_nothing(session, s3):
    """It says where the body is; the letter can be sent back as it is."""
    books = Books(session, fail=[Reject("no")])
    books.write.delay(LARGE)
    testing.drain(books.env, raise_errors=False)
    s3.get_object = None
    (message,) = books.env.queue("reports_dead").get_raw_messages()

    seen = plain_body(message)

    assert (seen.task, seen.arguments) == ("write", None)
    assert keys(s3)[0] in seen.problem
