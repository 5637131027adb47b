"""What the READMEs of sqs-workers show runs here with the import changed.

Each snippet is written for ``sqs_workers``, as its users have it in their code, and is executed with ``sqs_tasks`` in its
place. Queues are in memory, and the loops that never end end when their queue is empty.
"""

from __future__ import annotations

import os
import textwrap
from typing import Any

import pytest

from sqs_tasks.client import ClientProvider
from sqs_tasks.env import SQSEnv
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.shutdown_policies import ASAP_SHUTDOWN


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> MemorySession:
    """What boto3 would reach, with ``process_queue()`` ending on an empty queue."""
    memory = MemorySession(ManualClock())
    monkeypatch.setattr(ClientProvider, "_make", lambda self: memory.client("sqs"))
    queue, queues = GenericQueue.process_queue, SQSEnv.process_queues

    def process_queue(self: Any, shutdown_policy: Any = ASAP_SHUTDOWN, **options: Any) -> None:
        queue(self, shutdown_policy, **options)

    def process_queues(self: Any, names: Any = None, maker: Any = lambda: ASAP_SHUTDOWN) -> None:
        queues(self, names, maker)

    monkeypatch.setattr(GenericQueue, "process_queue", process_queue)
    monkeypatch.setattr(SQSEnv, "process_queues", process_queues)
    return memory


def run(code: str, **scope: Any) -> dict[str, Any]:
    """Execute a snippet of sqs-workers' with the import changed, and give its names."""
    exec(textwrap.dedent(code).replace("sqs_workers", "sqs_tasks"), scope)
    return scope


EMAILS = """
    from sqs_workers import SQSEnv, create_standard_queue
    sqs = SQSEnv()
    create_standard_queue(sqs, "emails")
    queue = sqs.queue("emails")

    @queue.processor("send_email")
    def send_email(to, subject, body):
        print(f"Sending email {subject} to {to}")
"""
MESSAGE = 'to="user@example.com", subject="Hello world", body="hello world"'


def test_usage(session: MemorySession, capsys: pytest.CaptureFixture[str]) -> None:
    """Explicit and Celery-like sends, a worker for one queue and one for all."""
    scope = run(EMAILS)
    run(f'queue.add_job("send_email", {MESSAGE})\nsend_email.delay({MESSAGE})', **scope)
    run("sqs.queue('emails').process_queue()", **scope)
    run(f"send_email.delay({MESSAGE})\nsqs.process_queues()", **scope)

    assert capsys.readouterr().out == "Sending email Hello world to user@example.com\n" * 3


def test_baked_tasks(session: MemorySession, capsys: pytest.CaptureFixture[str]) -> None:
    """bake() and delay() later."""
    run(f"task = send_email.bake({MESSAGE})\ntask.delay()\nqueue.process_batch()", **run(EMAILS))

    assert "to user@example.com" in capsys.readouterr().out


def test_batching(session: MemorySession, capsys: pytest.CaptureFixture[str]) -> None:
    """Both spellings of a batch."""
    code = f"""
with queue.add_batch():
    queue.add_job("send_email", {MESSAGE})
    queue.add_job("send_email", {MESSAGE})
with send_email.batch():
    send_email.delay({MESSAGE})
    send_email.delay({MESSAGE})
queue.process_batch()
"""
    run(code, **run(EMAILS))

    assert capsys.readouterr().out.count("Sending") == 4


def test_synchronous_task_execution(session: MemorySession, capsys: pytest.CaptureFixture[str]) -> None:
    """A call is refused in the words users know, run() runs."""
    scope = run(EMAILS)
    with pytest.raises(RuntimeError, match=r"Task emails\.send_email called synchronously") as raised:
        run(f"send_email({MESSAGE})", **scope)
    run(f"send_email.run({MESSAGE})", **scope)

    assert ".run(...)" in str(raised.value)
    assert ".delay(...)" in str(raised.value)
    assert "Sending" in capsys.readouterr().out


def test_fifo_queues(session: MemorySession) -> None:
    """Created with their dead-letter queue; ids of message and group given with the job."""
    code = """
    from sqs_workers import SQSEnv, create_fifo_queue
    sqs = SQSEnv()

    create_fifo_queue(sqs, 'emails_dead.fifo')
    create_fifo_queue(sqs, 'emails.fifo',
        redrive_policy=sqs.redrive_policy('emails_dead.fifo', 3)
    )
    subject, email, kwargs = "subject", "a@example.com", {"body": "x"}
    sqs.queue("emails.fifo").add_job(
        'send_email', _deduplication_id=subject, _group_id=email, **kwargs)
    (message,) = sqs.queue("emails.fifo").get_raw_messages()
    """
    message = run(code)["message"]

    assert message.group_id == "a@example.com"
    assert message.attributes["MessageDeduplicationId"] == "subject"


def test_custom_processor_of_the_older_shape(session: MemorySession, capsys: pytest.CaptureFixture[str]) -> None:
    """process(job_kwargs), with queue_name and job_name."""
    code = """
    from sqs_workers import SQSEnv
    from sqs_workers.processors import Processor

    class CustomProcessor(Processor):
        def process(self, job_kwargs):
            print(f'Processing {self.queue_name}.{self.job_name} with {job_kwargs}')
            super(CustomProcessor, self).process(job_kwargs)

    sqs = SQSEnv(processor_maker=CustomProcessor)
    sqs.create_standard_queue("q1")
    sqs.processor("q1", "hello")(lambda name: print("hello", name)).delay(name="x")
    sqs.queue("q1").process_batch()
    """
    run(code)

    assert capsys.readouterr().out == "Processing q1.hello with {'name': 'x'}\nhello x\n"


def test_contexts(session: MemorySession, capsys: pytest.CaptureFixture[str]) -> None:
    """In a block, by item, and cleared; the queue's name before the task's, as the README has it."""
    code = """
    from sqs_workers import SQSEnv, create_standard_queue
    sqs = SQSEnv()
    create_standard_queue(sqs, "q1")
    queue = sqs.queue("q1")

    @queue.processor('q1', 'hello_world', pass_context=True)
    def hello_world(username=None, context=None):
        print(f'Hello {username} from {context["remote_addr"]}')

    with sqs.context(remote_addr='127.0.0.1'):
        hello_world.delay(username='Foo')

    sqs.context['remote_addr'] = '127.0.0.2'
    hello_world.delay(username='Bar')
    sqs.context.clear()
    assert sqs.context.to_dict() == {}

    queue.process_batch()
    """
    run(code)

    assert capsys.readouterr().out == "Hello Foo from 127.0.0.1\nHello Bar from 127.0.0.2\n"


def test_automatic_applying_of_the_context(session: MemorySession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor subclass that applies the context around every task."""
    monkeypatch.setenv("REMOTE_ADDR", "before")
    code = """
    import os
    from sqs_workers import SQSEnv
    from sqs_workers.processors import Processor

    class CustomProcessor(Processor):
        def process(self, job_kwargs, job_context):
            os.environ['REMOTE_ADDR'] = job_context['remote_addr']
            super(CustomProcessor, self).process(job_kwargs, job_context)
            os.unsetenv('REMOTE_ADDR')

    sqs = SQSEnv(
        processor_maker=CustomProcessor,
    )
    sqs.create_standard_queue("q1")
    seen = []
    task = sqs.processor("q1", "look")(lambda: seen.append(os.environ["REMOTE_ADDR"]))
    with sqs.context(remote_addr="127.0.0.1"):
        task.delay()
    sqs.process_batch("q1")
    """

    assert run(code)["seen"] == ["127.0.0.1"]
    os.environ["REMOTE_ADDR"] = "before"


def test_raw_queues(session: MemorySession, capsys: pytest.CaptureFixture[str]) -> None:
    """A raw queue by its maker, its processor, a raw send, and the headers of the message."""
    code = """
    from sqs_workers import SQSEnv, create_standard_queue
    sqs = SQSEnv()
    create_standard_queue(sqs, 'cron')

    from sqs_workers import RawQueue
    cron = sqs.queue('cron', RawQueue)
    headers = {}

    @cron.raw_processor()
    def processor(message):
        print(message.body)
        headers.update(message.attributes)

    cron.add_raw_job("Hello world")
    cron.process_queue()
    """
    headers = run(code)["headers"]

    assert capsys.readouterr().out == "Hello world\n"
    assert headers.keys() >= {"SenderId", "ApproximateFirstReceiveTimestamp", "SentTimestamp"}
    assert headers["ApproximateReceiveCount"] == "1"


def test_dead_letter_queues_and_redrive(session: MemorySession) -> None:
    """Three failed deliveries, and the fourth goes to the dead-letter queue instead."""
    code = """
    from sqs_workers import SQSEnv, create_standard_queue, IMMEDIATE_RETURN
    sqs = SQSEnv(backoff_policy=IMMEDIATE_RETURN)

    create_standard_queue(sqs, 'emails_dead')
    create_standard_queue(sqs, 'emails',
        redrive_policy=sqs.redrive_policy('emails_dead', 3)
    )
    runs = []
    sqs.queue('emails').processor('fail')(lambda: runs.append(1 / 0 if len(runs) > 9 else runs.append(1) or 1 / 0))
    sqs.queue('emails').add_job('fail')
    for _ in range(5):
        sqs.queue('emails').process_batch()
    """
    scope = run(code)

    assert len(scope["runs"]) == 3
    assert len(scope["sqs"].queue("emails_dead").get_raw_messages()) == 1


@pytest.mark.parametrize(("policy", "seconds"), [("DEFAULT_BACKOFF", 1), ("IMMEDIATE_RETURN", 0)])
def test_backoff_policies(session: MemorySession, policy: str, seconds: int) -> None:
    """For the queue, as the second README has it, and for the processor, as the first had it."""
    code = f"""
    from sqs_workers import SQSEnv, DEFAULT_BACKOFF, IMMEDIATE_RETURN
    sqs = SQSEnv()
    for name in ("one", "two"):
        sqs.create_standard_queue(name)
    queue = sqs.queue("one", backoff_policy={policy})

    @queue.processor('send_email')
    def send_email(to, subject, body):
        raise ValueError

    @sqs.processor('two', 'send_email', backoff_policy={policy})
    def send_email_too(to, subject, body):
        raise ValueError

    for task in (send_email, send_email_too):
        task.delay({MESSAGE})
    for name in ("one", "two"):
        sqs.process_batch(name)
    """
    sqs = run(code)["sqs"]
    before = [len(sqs.queue(name).get_raw_messages()) for name in ("one", "two")]
    session.advance(seconds)
    after = [len(sqs.queue(name).get_raw_messages()) for name in ("one", "two")]

    assert (before, after) == (([0, 0], [1, 1]) if seconds else ([1, 1], [0, 0]))


def test_shutdown_policies(session: MemorySession) -> None:
    """After idle seconds, after a number of tasks, and combinations."""
    code = """
    from sqs_workers import SQSEnv
    from sqs_workers.shutdown_policies import (
        ASAP_SHUTDOWN, NEVER_SHUTDOWN, AndShutdown, IdleShutdown, MaxTasksShutdown, NeverShutdown, OrShutdown)

    sqs = SQSEnv()
    sqs.create_standard_queue("foo")
    runs = []
    sqs.queue("foo").processor("x")(lambda: runs.append(1))
    for _ in range(30):
        sqs.queue("foo").add_job("x")
    sqs.queue("foo").process_queue(shutdown_policy=MaxTasksShutdown(max_tasks=5))
    after_five = len(runs)
    sqs.queue("foo").process_queue(shutdown_policy=OrShutdown(IdleShutdown(idle_seconds=300), MaxTasksShutdown(1)))
    sqs.queue("foo").process_queue(shutdown_policy=AndShutdown(IdleShutdown(idle_seconds=0), MaxTasksShutdown(1)))
    sqs.queue("foo").process_queue(shutdown_policy=ASAP_SHUTDOWN)
    """
    scope = run(code)

    assert 5 <= scope["after_five"] < 30
    assert len(scope["runs"]) == 30


def test_pushing_back_dead_letters(session: MemorySession) -> None:
    """All messages go upstream with a second's delay, and the call returns."""
    code = """
    from sqs_workers import SQSEnv, JobQueue
    from sqs_workers.shutdown_policies import IdleShutdown
    from sqs_workers.deadletter_queue import DeadLetterQueue
    env = SQSEnv()
    for name in ("foo", "foo_dead"):
        env.create_standard_queue(name)
    foo = env.queue("foo")
    foo_dead = env.queue("foo_dead", DeadLetterQueue.maker(foo))
    for n in range(12):
        foo_dead.add_raw_job(str(n))
    foo_dead.process_queue(shutdown_policy=IdleShutdown(0))
    """
    scope = run(code)
    session.advance(1)

    assert scope["foo"].drain_queue() == 12
    assert scope["foo_dead"].drain_queue() == 0


def test_running_dead_letters_in_place(session: MemorySession) -> None:
    """With the processors of the main queue."""
    code = """
    from sqs_workers import SQSEnv
    from sqs_workers.shutdown_policies import IdleShutdown
    env = SQSEnv()
    env.create_standard_queue("foo_dead")
    seen = []
    foo = env.queue("foo")
    foo.processor("x")(lambda n: seen.append(n))
    foo_dead = env.queue("foo_dead")
    foo.copy_processors(foo_dead)
    foo_dead.add_job("x", n=1)
    foo_dead.process_queue(shutdown_policy=IdleShutdown(0))
    """

    assert run(code)["seen"] == [1]


def test_memory_session() -> None:
    """SQSEnv(MemorySession()), and process_batch by the queue's name."""
    code = """
    from sqs_workers import SQSEnv, MemorySession
    env = SQSEnv(MemorySession())
    env.create_standard_queue("foo")
    seen = []

    @env.processor("foo", "task")
    def task(n):
        seen.append(n)

    def create_task():
        task.delay(n=1)

    def test_task_creation_side_effects():
        create_task()
        env.process_batch('foo')

    test_task_creation_side_effects()
    """

    assert run(code)["seen"] == [1]


def test_batch_processing_of_the_first_readme(session: MemorySession) -> None:
    """batch_processor gets "messages", a list of dicts; add_job and process_queue by the queue's name."""
    code = """
    from sqs_workers import SQSEnv
    sqs = SQSEnv()
    sqs.create_standard_queue('emails_deadletters')
    sqs.create_standard_queue('emails',
        redrive_policy=sqs.redrive_policy('emails_deadletters', 3)
    )
    seen = []

    @sqs.batch_processor('emails', 'send_email')
    def send_email(messages):
        seen.extend(messages)

    sqs.add_job(
        'emails', 'send_email', to='user@examile.com', subject='Hello world', body='hello world')
    sqs.process_queue('emails')
    """

    assert run(code)["seen"] == [{"to": "user@examile.com", "subject": "Hello world", "body": "hello world"}]


def test_serializers(session: MemorySession) -> None:
    """JSON and pickle; who wants to read pickle says so, which is the one line a switch may need."""
    code = """
    from sqs_workers import SQSEnv
    sqs = SQSEnv(codec="pickle_compat", accept=["json", "pickle", "pickle_compat"])
    sqs.create_standard_queue("emails")
    seen = []
    sqs.processor("emails", "task")(lambda value: seen.append(value))
    sqs.add_job("emails", "task", value={1, 2})
    sqs.add_job("emails", "task", value=[1, 2], _content_type="json")
    sqs.process_batch("emails")
    """

    assert run(code)["seen"] == [{1, 2}, [1, 2]]


def test_constructor_arguments_of_sqs_workers() -> None:
    """Those that its constructor takes and that mean something here."""
    code = """
    import boto3
    from sqs_workers import SQSEnv
    from sqs_workers.context import SQSContext
    from sqs_workers.backoff_policies import ExponentialBackoff

    class Context(SQSContext):
        pass

    sqs = SQSEnv(session=boto3, queue_prefix="p-", codec="json", retry_max_attempts=7, retry_mode="adaptive",
                 backoff_policy=ExponentialBackoff(base=2, min_visibility_timeout=1, max_visbility_timeout=60),
                 context_maker=Context)
    """
    scope = run(code)

    assert isinstance(scope["sqs"].context, scope["Context"])
    assert scope["sqs"].backoff_policy.max_visibility_timeout == 60
    assert scope["sqs"].client._config["retries"] == {"max_attempts": 7, "mode": "adaptive"}
