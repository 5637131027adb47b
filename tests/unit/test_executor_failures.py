"""Ways for a task to fail that would take a careless worker with them."""

from __future__ import annotations

import asyncio

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.message import ReceivedMessage, string_attribute
from sqs_tasks.outcome import Outcome, Rejected, Retried


def outcome_of(error: BaseException, **options: object) -> Outcome:
    queue = SQSEnv().queue("work")

    @queue.processor("go", **options)
    def go() -> None:
        raise error

    return queue.executor().execute(
        ReceivedMessage(
            message_id="m", receipt_handle="r", body="{}", message_attributes={"JobName": string_attribute("go")}
        )
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


def test_an_interrupt_ends_the_worker_unless_the_runtime_says_otherwise() -> None:
    """Ctrl-C belongs to the person at the keyboard."""
    with pytest.raises(KeyboardInterrupt):
        outcome_of(KeyboardInterrupt())


def test_attempts_used_up_reject_the_job() -> None:
    """max_attempts=1 means one run."""
    assert isinstance(outcome_of(ValueError("x"), max_attempts=1), Rejected)
