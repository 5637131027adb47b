"""Ways for a task to fail that would take a careless worker with them."""

from __future__ import annotations

import asyncio
import json
import signal
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.execution.event_loop import limited, run_coroutine
from sqs_tasks.message import ReceivedMessage, string_attribute
from sqs_tasks.outcome import Outcome, Rejected, Retried


def outcome_of(error: BaseException, **options: object) -> Outcome:
    queue = SQSEnv(log_retries="traceback").queue("work")

    @queue.processor("go", **options)
    def go() -> None:
        raise error

    return queue.executor().execute(message_for("go"))


def message_for(name: str) -> ReceivedMessage:
    return ReceivedMessage(
        message_id="m", receipt_handle="r", body="{}", message_attributes={"JobName": string_attribute(name)}
    )


class Mute(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exception_without_a_text_is_a_failure_like_any_other() -> None:
    """Its type is all that can be said, and the job is retried."""
    outcome = outcome_of(Mute())

    assert isinstance(outcome, Retried)
    assert outcome.reason == "Mute"


def test_a_task_that_exits_has_failed_and_the_worker_goes_on() -> None:
    """sys.exit() in a task is the task's mistake (S53)."""
    assert isinstance(outcome_of(SystemExit(1)), Retried)


def test_a_stray_cancellation_is_a_failure_of_the_task() -> None:
    """It is no Exception, and one message must not end one worker after the other."""
    assert isinstance(outcome_of(asyncio.CancelledError()), Retried)


@pytest.mark.parametrize("options", [{}, {"max_attempts": 1}])
def test_the_traceback_in_the_log_begins_with_the_application(
    caplog: pytest.LogCaptureFixture, options: dict[str, int]
) -> None:
    """How the worker came to the task would only stand in front of what failed."""
    error = ValueError("no")
    outcome_of(error, **options)

    (record,) = caplog.records
    assert record.exc_info is not None
    kind, told, trace = record.exc_info
    assert (kind, told) == (ValueError, error)
    assert [frame.name for frame in traceback.extract_tb(trace)] == ["go"]
    assert len(traceback.extract_tb(error.__traceback__)) > 1, "the exception itself keeps all"


def test_the_traceback_of_an_async_task_begins_with_it_too(caplog: pytest.LogCaptureFixture) -> None:
    """Also where another thread runs the event loop, and the failure comes through the standard library."""
    queue = SQSEnv(log_retries="traceback").queue("work")

    @queue.processor("go", timeout=5)
    async def go() -> None:
        await asyncio.sleep(0)
        json.loads("{")

    queue.executor(run_coroutine=run_coroutine).execute(
        ReceivedMessage(
            message_id="m", receipt_handle="r", body="{}", message_attributes={"JobName": string_attribute("go")}
        )
    )

    (record,) = caplog.records
    assert record.exc_info is not None
    names = [frame.name for frame in traceback.extract_tb(record.exc_info[2])]
    assert names[:2] == ["go", "loads"]


@pytest.mark.parametrize(
    ("receives", "says", "level", "log_retries", "has_traceback"),
    [
        (2, "on attempt 2, again in", "WARNING", "message", False),
        (2, "on attempt 2, again in", "WARNING", "traceback", True),
        (3, "attempt 3, the last that its queue", "ERROR", "message", True),
    ],
)
def test_the_last_failure_that_a_queue_allows_promises_no_other(
    caplog: pytest.LogCaptureFixture, receives: int, says: str, level: str, log_retries: str, has_traceback: bool
) -> None:
    """SQS moves the message then, and nothing else would tell; so that one is an error with its traceback."""
    queue = SQSEnv(log_retries=log_retries).queue("work", max_receive_count=3)

    @queue.processor("go")
    def go() -> None:
        raise ValueError("no")

    outcome = queue.executor().execute(
        ReceivedMessage(
            message_id="m",
            receipt_handle="r",
            body="{}",
            attributes={"ApproximateReceiveCount": str(receives)},
            message_attributes={"JobName": string_attribute("go")},
        )
    )

    assert isinstance(outcome, Retried)
    assert says in caplog.text
    (record,) = caplog.records
    assert (record.levelname, bool(record.exc_info)) == (level, has_traceback)


def test_jobs_of_a_batch_processor_are_told_of_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    """Each with its own outcome, and its own fields."""
    queue = SQSEnv().queue("work")

    @queue.batch_processor("index", batch_size=2)
    def index(messages: list[dict[str, object]]) -> list[Exception | None]:
        return [None, ValueError("no id")]

    caplog.set_level("INFO", "sqs_tasks")
    queue.executor().execute_batch(
        [
            ReceivedMessage(
                message_id=one,
                receipt_handle=one,
                body="{}",
                message_attributes={"JobName": string_attribute("index")},
            )
            for one in ("a", "b")
        ]
    )

    told = {record.__dict__["message_id"]: record.__dict__["action"] for record in caplog.records}
    assert told == {"a": "job_succeeded", "b": "job_retried"}


def test_an_interrupt_ends_the_worker_unless_the_runtime_says_otherwise() -> None:
    """Ctrl-C belongs to the person at the keyboard."""
    with pytest.raises(KeyboardInterrupt):
        outcome_of(KeyboardInterrupt())


def test_an_interrupt_of_a_task_in_another_thread_is_its_failure() -> None:
    """Ctrl-C comes to the main thread alone, so a task has raised it."""
    with ThreadPoolExecutor(1) as threads:
        outcome = threads.submit(outcome_of, KeyboardInterrupt()).result()

    assert isinstance(outcome, Retried)


def test_an_interrupt_of_a_task_is_its_failure_where_ctrl_c_is_handled() -> None:
    """A worker has a handler for the signal, which raises nothing."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        outcome = outcome_of(KeyboardInterrupt())
    finally:
        signal.signal(signal.SIGINT, before)

    assert isinstance(outcome, Retried)
    assert outcome.reason == "KeyboardInterrupt: "


def test_a_generator_exit_of_a_task_is_its_failure() -> None:
    """It is no Exception, and nobody closes a task."""
    assert isinstance(outcome_of(GeneratorExit()), Retried)


class Fatal(BaseException):
    """Derived from BaseException, as some libraries do."""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit(), SystemExit(1), Fatal(), MemoryError()])
def test_whatever_an_async_task_raises_on_the_loop_is_its_failure(error: BaseException) -> None:
    """It shares the loop with others, and ends neither them nor the loop."""
    queue = SQSEnv().queue("work")

    @queue.processor("go")
    async def go() -> None:
        raise error

    outcome = run_coroutine(queue.executor().execute_async(message_for("go"), limited=limited), timeout_seconds=5)

    assert isinstance(outcome, Retried)


def test_an_async_job_that_the_worker_gives_up_on_has_no_outcome() -> None:
    """It was cancelled from outside: its message is given back and not counted as failed."""
    queue = SQSEnv().queue("work")
    outcomes: list[Outcome] = []
    queue.env.post_task(lambda _job, outcome: outcomes.append(outcome))

    @queue.processor("go")
    async def go() -> None:
        await asyncio.sleep(60)

    async def give_up() -> bool:
        job = asyncio.ensure_future(queue.executor().execute_async(message_for("go"), limited=limited))
        await asyncio.sleep(0.01)
        job.cancel()
        await asyncio.wait([job])
        return job.cancelled()

    assert run_coroutine(give_up(), timeout_seconds=5)
    assert outcomes == []


def test_attempts_used_up_reject_the_job() -> None:
    """max_attempts=1 means one run."""
    assert isinstance(outcome_of(ValueError("x"), max_attempts=1), Rejected)


@pytest.mark.parametrize("log_retries", [None, "message", "traceback"])
def test_a_task_may_have_its_own_way_of_logging_retries(
    caplog: pytest.LogCaptureFixture, log_retries: str | None
) -> None:
    """It goes before that of the environment."""
    outcome_of(ValueError("no"), log_retries=log_retries)

    (record,) = caplog.records
    assert bool(record.exc_info) == (log_retries != "message")


def test_no_other_way_of_logging_retries_is_taken() -> None:
    """Where it is written."""
    with pytest.raises(ConfigurationError, match="log_retries='all' must be"):
        SQSEnv(log_retries="all")
    with pytest.raises(ConfigurationError, match="task 'go': log_retries='all' must be"):
        outcome_of(ValueError("no"), log_retries="all")
