"""Set-up, registry and names: what an environment, a queue and a task are registered with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from sqs_tasks import JobQueue, MemorySession, Processor, RawQueue, SQSEnv, context_middleware, create_standard_queue
from sqs_tasks.errors import ConfigurationError, DuplicateTaskError, QueueNotFoundError
from sqs_tasks.testing import drain
from tests.support.queues import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_environment_makes_no_call_and_imports_no_boto3() -> None:
    """Making it, registering queues and tasks, and binding arguments cost no import of boto3, asyncio or pickle."""
    code = """
import sys
from sqs_tasks import SQSEnv
env = SQSEnv()
emails = env.queue("emails", max_receive_count=8)

@emails.processor("send", max_attempts=5)
def send(to, *, subject=""):
    pass

send.bake(to="a")
env.manifest()
print([name for name in ("boto3", "botocore", "asyncio", "pickle", "concurrent.futures") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


def test_credentials_come_from_boto3s_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is passed, so environment variables, profiles and roles work as everywhere."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    client: Any = SQSEnv(client="boto3").client()

    assert client._get_credentials().access_key == "from-the-environment"
    assert client.meta.region_name == "eu-north-1"


def test_session_client_region_and_configuration_may_be_given() -> None:
    """A session of boto3 or in memory, a ready client, and settings of botocore."""
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="y", region_name="eu-west-3")
    client: Any = SQSEnv(session, client_config={"read_timeout": 45}).client()
    ready = MemorySession().client("sqs")

    assert client.meta.region_name == "eu-west-3"
    assert client.meta.config.read_timeout == 45
    assert SQSEnv(sqs_client=ready).client() is ready
    assert SQSEnv(boto3, region_name="us-west-2").client().meta.region_name == "us-west-2"  # type: ignore[attr-defined]


class _Body(BytesIO):
    """What botocore reads an answer from."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


@pytest.mark.parametrize(
    ("variable", "config", "expected"),
    [
        ("", {}, r"sqs-tasks/\S+ Boto3/\S+ os/\S+ lang/python#\S+"),
        ("shop", {}, r"sqs-tasks/.* app/shop"),
        ("", {"user_agent_appid": "shop"}, r"sqs-tasks/.* app/shop"),
        ("", {"user_agent_extra": "md/x"}, r"sqs-tasks/.* Botocore/.* md/x"),
        ("", {"user_agent": "mine/1"}, r"mine/1"),
    ],
)
def test_requests_say_who_asks(
    monkeypatch: pytest.MonkeyPatch, variable: str, config: dict[str, str], expected: str
) -> None:
    """For CloudTrail; what botocore's own settings add to it is there too."""
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", variable)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    monkeypatch.delenv("AWS_EXECUTION_ENV", raising=False)
    client: Any = SQSEnv(region_name="us-east-1", client_config=config).client()
    sent: list[Any] = []

    def answer(request: Any, **_: Any) -> Any:
        sent.append(str(request.headers["User-Agent"], "ascii"))
        return AWSResponse(request.url, 200, {}, _Body(b'{"QueueUrl": "http://localhost/emails"}'))

    client.meta.events.register("before-send.sqs", answer)
    client.get_queue_url(QueueName="emails")

    # Powertools, once imported, adds itself to every client.
    assert re.fullmatch(rf"{expected}( Botocore/\S+)?( md/x)?( PT/.*)?", sent[0])


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"])
def test_the_endpoint_comes_from_the_argument_or_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """endpoint_url= goes before what boto3 reads from the environment."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv(variable, "http://localhost:9324")

    assert SQSEnv().client().meta.endpoint_url == "http://localhost:9324"  # type: ignore[attr-defined]
    env = SQSEnv(endpoint_url="http://localhost:1")
    assert env.client().meta.endpoint_url == "http://localhost:1"  # type: ignore[attr-defined]


def test_boto3_outwaits_a_long_poll_and_tries_as_often_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The read timeout is above the 20 s of a poll; retries are botocore's, with sqs-workers' two arguments."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    usual: Any = SQSEnv().client()
    told: Any = SQSEnv(retry_max_attempts=7, retry_mode="adaptive").client()

    assert usual.meta.config.read_timeout > 20
    assert usual.meta.config.retries["mode"] == "standard"
    assert told.meta.config.retries == {"total_max_attempts": 8, "mode": "adaptive"}


def test_the_prefix_is_part_of_names_and_not_of_urls() -> None:
    """An account can hold several environments; a URL is taken as it is."""
    desk = Desk(queue_prefix="test-")
    queue = desk.env.queue("emails")
    desk.create()
    by_url = desk.env.queue(f"{queue.queue_url}-other")

    assert queue.get_sqs_queue_name() == "test-emails"
    assert desk.env.get_queue_url("emails_dead").endswith("/test-emails_dead")
    assert by_url.name == "test-emails-other"
    assert by_url.queue_url == f"{queue.queue_url}-other"


def test_a_queue_by_its_url_needs_the_message_actions_only(desk: Desk) -> None:
    """Counted: a producer sends, a worker receives, deletes, changes visibility, and writes dead letters. No GetQueueUrl."""
    urls = {}
    for name in ("emails", "emails_dead"):
        urls[name] = desk.memory.create_queue(QueueName=name)["QueueUrl"]
    queue = desk.env.queue(urls["emails"], dead_letter_queue=urls["emails_dead"])
    queue.processor("good")(lambda: None)
    queue.processor("bad")(lambda: 1 / 0)
    queue.processor("hopeless", max_attempts=1)(lambda: 1 / 0)

    for name in ("good", "bad", "hopeless"):
        queue.add_job(name)
    with queue.add_batch():
        queue.add_job("good")
    sent = set(desk.sqs.counts)
    desk.sqs.counts.clear()
    queue.process_batch()

    assert sent == {"send_message", "send_message_batch"}  # sqs:SendMessage
    assert set(desk.sqs.counts) == {
        "receive_message",  # sqs:ReceiveMessage
        "delete_message_batch",  # sqs:DeleteMessage
        "change_message_visibility_batch",  # sqs:ChangeMessageVisibility
        "send_message",  # sqs:SendMessage on the dead-letter queue
    }


def test_the_urls_of_queues_come_from_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS_TASKS_QUEUE_URLS, which the stack sets, saves the same right for queues registered by name."""
    url = desk.memory.create_queue(QueueName="x-emails")["QueueUrl"]
    monkeypatch.setenv("SQS_TASKS_QUEUE_URLS", json.dumps({"emails": url}))

    desk.env.queue("emails").add_job("send")

    assert desk.sqs.counts == {"send_message": 1}


def test_a_task_has_one_explicit_name(desk: Desk) -> None:
    """The name on the wire is the decorator's; a second function of that name or alias is refused."""
    queue = desk.env.queue("emails")

    @queue.processor("send_email", aliases=["send_mail"])
    def anything() -> None:
        """Does it."""

    assert (anything.name, anything.__name__, anything.__doc__) == ("send_email", "anything", "Does it.")
    for name in ("send_email", "send_mail"):
        with pytest.raises(DuplicateTaskError, match=f"already has a task '{name}'"):
            queue.processor(name)(lambda: None)
    with pytest.raises(DuplicateTaskError, match="already has a task 'send_mail'"):
        queue.processor("other", aliases=["send_mail"])(lambda: None)
    with pytest.raises(ConfigurationError, match="with parentheses and a name"):
        queue.processor(lambda: None)  # type: ignore[arg-type]


def test_jobs_queued_under_an_old_name_find_the_renamed_task(desk: Desk) -> None:
    """Aliases let a task be renamed while jobs of its old name are on their way."""
    queue, seen = desk.env.queue("emails"), []
    queue.processor("send_email", aliases=["send_mail", "mail"])(lambda to: seen.append(to))  # noqa: PLW0108 - it has a name
    desk.create()
    SQSEnv(sqs_client=desk.memory).queue("emails").add_job("send_mail", to="a")
    drain(queue)

    assert seen == ["a"]


def test_a_job_goes_to_its_tasks_queue_or_where_the_send_says(desk: Desk) -> None:
    """Two queues with their tasks, and one send that is routed elsewhere."""
    emails, slow = desk.env.queue("emails"), desk.env.queue("slow")
    send = emails.processor("send")(lambda n: None)
    desk.create()
    send.delay(1)
    send.options(queue=slow).delay(2)

    assert (desk.bodies("emails"), desk.bodies("slow")) == (['{"n": 1}'], ['{"n": 2}'])
    assert send.options(queue=slow).bake(3).queue is slow


def test_a_class_can_be_a_task(desk: Desk) -> None:
    """A bound method, or an object that can be called, with its own state."""
    queue, seen = desk.env.queue("emails"), []

    class Mailer:
        def __init__(self, sender: str) -> None:
            self.sender = sender

        def run(self, to: str) -> None:
            seen.append((self.sender, to))

        async def __call__(self, to: str) -> None:
            seen.append(("called", to))

    mailer = Mailer("shop")
    desk_task = queue.connect_processor("send", mailer.run)
    called = queue.processor("call")(mailer)
    desk.create()
    desk_task.delay(to="a")
    called.delay("b")
    drain(queue)

    assert seen == [("shop", "a"), ("called", "b")]
    with pytest.raises(TypeError, match="missing a required argument: 'to'"):
        desk_task.delay()


def test_a_processor_maker_and_middleware_wrap_every_task() -> None:
    """Subclass as in sqs-workers, or a chain of functions; the first middleware is outermost, the processor innermost."""
    seen = []

    class Loud(Processor):
        def process(self, job_kwargs, job_context=None):
            seen.append(f"processor {self.queue_name}.{self.job_name}")
            return super().process(job_kwargs, job_context)

    def named(name: str) -> Any:
        def middleware(job: Any, call_next: Any) -> Any:
            seen.append(f"{name} before {job.job_name}")
            try:
                return call_next()
            finally:
                seen.append(f"{name} after")

        return middleware

    desk = Desk(processor_maker=Loud, middleware=[named("outer"), named("inner")])
    queue = desk.env.queue("emails")
    queue.processor("send")(lambda: seen.append("task"))
    desk.create()
    queue.add_job("send")
    drain(queue)

    assert seen == [
        "outer before send",
        "inner before send",
        "processor emails.send",
        "task",
        "inner after",
        "outer after",
    ]


def test_a_framework_context_is_around_plain_async_and_batch_tasks() -> None:
    """One context manager, as Flask's app context or Django's connections need it, serves all three."""
    inside, seen = [], []

    @contextmanager
    def app_context(job: Any) -> Any:
        inside.append(job.job_name)
        yield
        inside.pop()

    desk = Desk(middleware=[context_middleware(app_context)])
    queue = desk.env.queue("emails")
    queue.processor("plain")(lambda: seen.append(list(inside)))

    @queue.processor("async")
    async def on_loop() -> None:
        seen.append(list(inside))

    @queue.batch_processor("batch")
    def many(messages: Any) -> None:
        seen.append(list(inside))

    desk.create()
    for name in ("plain", "async", "batch"):
        queue.add_job(name)
    drain(queue)

    assert sorted(seen) == [["async"], ["batch"], ["plain"]]
    assert inside == []


def test_middleware_for_single_jobs_fails_on_a_batch_in_place_of_speaking_for_it() -> None:
    """One that looks at a job's id or arguments must not take one job of a batch for all of them."""
    desk = Desk(middleware=[lambda job, call_next: job.job_id and call_next()])
    queue, seen = desk.env.queue("emails"), []
    queue.batch_processor("batch")(lambda messages: seen.append(messages))  # noqa: PLW0108 - the argument has a name
    desk.create()
    queue.add_job("batch")

    result = drain(queue, raise_errors=False)

    assert (seen, result.failed) == ([], 1)


def test_kinds_of_queue_are_chosen_by_their_maker(desk: Desk) -> None:
    """JobQueue unless told otherwise; a maker may carry arguments."""
    assert isinstance(desk.env.queue("jobs"), JobQueue)
    assert isinstance(desk.env.queue("events", RawQueue), RawQueue)
    assert desk.env.queue("jobs") is desk.env.queue("jobs", JobQueue)
    with pytest.raises(ConfigurationError, match="must be 1 to 80 letters"):
        desk.env.queue("no spaces")
    with pytest.raises(ConfigurationError, match="create it with create_fifo_queue"):
        create_standard_queue(desk.env, "emails.fifo")


def test_the_stage_and_the_prefix_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stack sets: the stage follows the prefix in every name, and a prefix takes the place of the code's."""
    monkeypatch.setenv("SQS_TASKS_STAGE", "dev")
    assert SQSEnv(queue_prefix="shop-").get_sqs_queue_name("orders.fifo") == "shop-dev-orders.fifo"

    monkeypatch.setenv("SQS_TASKS_QUEUE_PREFIX", "acme-")
    assert SQSEnv(queue_prefix="shop-").get_sqs_queue_name("emails") == "acme-dev-emails"

    monkeypatch.setenv("SQS_TASKS_STAGE", "a b")
    with pytest.raises(ConfigurationError, match="SQS_TASKS_STAGE='a b' cannot be part of a queue's name"):
        SQSEnv()


def test_a_pattern_stands_for_the_queues_of_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry for all queues of a registry needs no request; an environment of another prefix is not meant by it."""
    monkeypatch.setenv(
        "SQS_TASKS_QUEUE_URLS",
        json.dumps({"emails": "https://sqs.test/1/elsewhere", "*": "https://sqs.test/1/shop-*"}),
    )
    desk, other = Desk(queue_prefix="shop-"), Desk(queue_prefix="billing-")

    assert desk.env.get_queue_url("emails") == "https://sqs.test/1/elsewhere"
    assert desk.env.get_queue_url("orders.fifo") == "https://sqs.test/1/shop-orders.fifo"
    assert not desk.sqs.counts
    with pytest.raises(QueueNotFoundError):
        other.env.get_queue_url("orders.fifo")
