"""What is logged of a failure: with what middleware bound, and with nothing of a message but its names and ids."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging

import pytest

from sqs_tasks import MemorySession, RawQueue, SQSEnv, context_middleware
from sqs_tasks.errors import one_line
from sqs_tasks.execution.event_loop import limited, run_coroutine
from sqs_tasks.message import ReceivedMessage, string_attribute
from sqs_tasks.outcome import Rejected, Retried, UnknownTask
from sqs_tasks.readers import ForeignJob

SECRET = "4111-1111-1111-1111"

request_id = contextvars.ContextVar("request_id", default="-")


@contextlib.contextmanager
def bound(job):
    """As frameworks bind what stands on their lines."""
    token = request_id.set("bound")
    try:
        yield
    finally:
        request_id.reset(token)


def bound_plain(job, call_next):
    """The same as a plain middleware, which turns failures into others."""
    with bound(job):
        try:
            return call_next()
        except ValueError as error:
            raise LookupError("another error") from error


@pytest.fixture
def lines():
    """The id that was bound when each line was logged, by its action."""
    found = {}

    class Handler(logging.Handler):
        def emit(self, record):
            found[record.__dict__.get("action")] = request_id.get()

    handler, logger = Handler(), logging.getLogger("sqs_tasks")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def message(job="go", body="{}", message_id="m", **attributes):
    names = {"JobName": job, **attributes}
    return ReceivedMessage(
        message_id,
        "r",
        body,
        message_attributes={name: string_attribute(value) for name, value in names.items() if value is not None},
    )


def execute(queue):
    return queue.executor(run_coroutine=run_coroutine).execute(message())


def execute_async(queue):
    return run_coroutine(queue.executor().execute_async(message(), limited=limited), timeout_seconds=5)


@pytest.mark.parametrize("middleware", [context_middleware(bound), bound_plain])
def test_failure_of_a_plain_task_is_logged_with_what_middleware_bound(lines, middleware):
    """The middleware has been left by then, and may have turned the error into another."""
    queue = SQSEnv(middleware=[middleware]).queue("work")

    @queue.processor("go")
    def go() -> None:
        raise ValueError("no")

    execute(queue)

    assert lines == {"job_retried": "bound"}
    assert request_id.get() == "-"


@pytest.mark.parametrize("run", [execute, execute_async])
def test_failure_of_an_async_task_is_logged_with_what_middleware_bound(lines, run):
    """Also where its middleware ran in another thread."""
    queue = SQSEnv(middleware=[context_middleware(bound)]).queue("work")

    @queue.processor("go", timeout=5)
    async def go() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    run(queue)

    assert lines == {"job_retried": "bound"}


def test_failures_of_a_batch_are_logged_with_what_middleware_bound(lines):
    """Of a call that failed as a whole."""
    queue = SQSEnv(middleware=[context_middleware(bound)]).queue("work")

    @queue.batch_processor("go", batch_size=2)
    def go(jobs: list[dict[str, object]]) -> None:
        raise ValueError("no")

    queue.executor().execute_batch([message(), message()])

    assert lines == {"job_retried": "bound"}


def test_error_that_middleware_raises_itself_is_logged_as_it_is(lines):
    """Nothing has been bound inside of it, and nothing of an earlier job is."""
    once = LookupError("busy")

    def busy(job, call_next):
        with bound(job):
            if job.job_id == "first":
                return call_next()
        raise once

    queue = SQSEnv(middleware=[busy]).queue("work")

    @queue.processor("go")
    def go() -> None:
        raise once

    queue.executor().execute(message(JobId="first"))
    assert lines.pop("job_retried") == "bound"
    queue.executor().execute(message(JobId="second"))
    assert lines == {"job_retried": "-"}


def text_of(caplog):
    """All that a handler could write of the records above DEBUG."""
    records = [record for record in caplog.records if record.levelno > logging.DEBUG]
    formatter = logging.Formatter()
    return "\n".join(formatter.format(record) + json.dumps(record.__dict__, default=repr) for record in records)


def unreadable_tag(queue):
    queue.processor("go")(lambda at: None)
    return message(body=json.dumps({"at": {"$datetime": SECRET}}), JobId="j-1")


def unreadable_json(queue):
    queue.processor("go")(lambda at: None)
    return message(body=f'{{"at": {SECRET}')


def values_of_arguments_that_do_not_fit(queue):
    queue.processor("go")(lambda at: None)
    return message(body=json.dumps({"card": SECRET}))


def positional_arguments_that_do_not_fit(queue):
    queue.processor("go")(lambda: None)
    return message(job=None, body=SECRET)


def reader(body, attributes, *, accept):
    if body != SECRET:
        return int(body[1:])
    return ForeignJob(job_name="go", args=(body,), kwargs={}, context={}, job_id=None, content_type="json")


def failing_reader(queue):
    queue.processor("go")(lambda: None)
    return message(job=None, body=f"x{SECRET}")


@pytest.mark.parametrize(
    "case",
    [
        unreadable_tag,
        unreadable_json,
        values_of_arguments_that_do_not_fit,
        positional_arguments_that_do_not_fit,
        failing_reader,
    ],
)
def test_no_value_of_a_message_stands_in_a_log_or_a_reason(caplog, case):
    """What the standard library says of a value quotes it; only the task's own errors say what they like."""
    caplog.set_level("DEBUG", "sqs_tasks")
    env = SQSEnv()
    queue = env.queue("work", readers=[reader] if "reader" in case.__name__ or "positional" in case.__name__ else [])
    received = case(queue)

    outcome = queue.executor().execute(received)

    assert isinstance(outcome, Rejected)
    assert SECRET not in outcome.reason
    assert SECRET not in text_of(caplog)
    assert outcome.reason.split(":")[0] in ("UndecodableMessageError", "SignatureMismatchError")


def test_how_decoding_failed_is_logged_for_those_who_ask(caplog):
    """At DEBUG, with its traceback; above it the place is named."""
    caplog.set_level("DEBUG", "sqs_tasks")
    queue = SQSEnv().queue("work", readers=[reader])
    queue.executor().execute(failing_reader(queue))

    assert f"ValueError in {__file__}:" in caplog.text
    assert [record.levelname for record in caplog.records if record.exc_info] == ["DEBUG"]


FORGED = "x\n2026-01-01 ERROR forged\r\x1b[31m\u2028end"


@pytest.mark.parametrize("length", [1, 100_000])
def test_no_name_or_id_of_a_message_forges_a_line(caplog, length):
    """They are untrusted: any sender may choose them, and up to a mebibyte of each."""
    caplog.set_level("INFO", "sqs_tasks")
    queue = SQSEnv().queue("work")
    queue.processor("go")(lambda: None)
    forged = FORGED * length

    assert isinstance(queue.executor().execute(message(job=forged, JobId=forged)), UnknownTask)
    queue.executor().execute(message(JobId=forged, message_id=forged))
    queue.executor().execute(message(job=forged, body="{", JobId=forged, ContentType=forged))

    fields = [f"{value}" for record in caplog.records for value in record.__dict__.values() if value is not None]
    fields += [record.getMessage() for record in caplog.records]
    assert len(caplog.records) == 3
    assert all(len(text.splitlines()) <= 1 and "\x1b" not in text and len(text) < 2_000 for text in fields)


def test_text_of_a_tasks_error_is_one_line_of_bounded_length(caplog):
    """It may hold what a message says."""
    queue = SQSEnv().queue("work")

    @queue.processor("go")
    def go() -> None:
        raise ValueError(FORGED * 10_000)

    outcome = queue.executor().execute(message())

    assert isinstance(outcome, Retried)
    assert outcome.reason.startswith("ValueError: x\\n2026-01-01 ERROR forged\\r\\x1b[31m\\u2028end")
    assert len(outcome.reason) < 2_000
    (record,) = caplog.records
    assert len(record.getMessage().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("a\tb\x00", "a\\tb\\x00"),
        ("é 漢", "é 漢"),
        ("\ud800", "\\ud800"),
        ("x" * 300, "x" * 200 + "..."),
    ],
)
def test_one_line(text, line):
    """Letters of all scripts stay what they are."""
    assert one_line(text) == line


def test_dead_letter_names_its_job(caplog, memory_env):
    """Who reads the line knows which job was moved, and why, without its message."""
    queue = memory_env.queue("work")
    queue.processor("go", max_attempts=1)(lambda: 1 / 0)
    memory_env.create_queues()
    queue.add_job("go")
    (received,) = queue.get_raw_messages()

    queue.settlement().conclude(received, queue.executor().execute(received))

    (moved,) = [record for record in caplog.records if record.__dict__["action"] == "dead_lettered"]
    assert moved.getMessage() == (
        f"job go (message {received.message_id}) moved to the dead-letter queue: "
        "1 attempts used up: ZeroDivisionError: division by zero"
    )
    assert (moved.job_name, moved.job_id, moved.queue_name) == ("go", received.job_id, "work")


def test_dead_letter_of_another_library_names_its_job_too(caplog, memory_env):
    """The name and the id stand in its body, and are known since it was read."""

    def read(body, attributes, *, accept):
        return ForeignJob(job_name="go", args=(), kwargs={}, context={}, job_id="their-id", content_type="json")

    queue = memory_env.queue("work", readers=[read])
    queue.processor("go", max_attempts=1)(lambda: 1 / 0)
    memory_env.create_queues()
    memory_env.client().send_message(QueueUrl=queue.queue_url, MessageBody="anything")
    (received,) = queue.get_raw_messages()

    queue.settlement().conclude(received, queue.executor().execute(received))

    (moved,) = [record for record in caplog.records if record.__dict__["action"] == "dead_lettered"]
    assert (moved.job_name, moved.job_id) == ("go", "their-id")


@pytest.fixture
def memory_env():
    return SQSEnv(MemorySession())


def test_raw_messages_are_logged_by_their_ids(caplog):
    """The function of a raw queue says what it likes of a body, and the library nothing."""
    queue = SQSEnv().queue("raw", RawQueue)
    queue.connect_raw_processor(lambda message: 1 / 0)

    queue.executor().execute(message(job=None, body=SECRET))

    assert SECRET not in text_of(caplog)
