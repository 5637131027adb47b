"""What is said of jobs in queues, and what no job can have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sqs_tasks import ConstantBackoff, Reject, SQSEnv
from sqs_tasks.testing import (
    assert_dead_lettered,
    assert_enqueued,
    drain,
    eager,
    enqueued,
    in_memory,
    refute_dead_lettered,
    refute_enqueued,
)


def test_assert_enqueued_finds_delayed_and_retried_jobs_by_some_of_their_arguments(env: SQSEnv) -> None:
    """And compares values as they arrive: a dataclass or a tuple as its sender wrote it."""
    queue = env.queue("emails")
    send = queue.processor("send", aliases=["old_send"])(lambda to, tags=(): 1 / 0)
    with in_memory(env):
        send.options(delay_seconds=60).delay("late")
        send.delay("now", tags=("a", "b"))
        queue.add_job("old_send", to="alias")
        drain(queue, raise_errors=False)

        assert [job.kwargs["to"] for job in assert_enqueued(send)] == ["late", "now", "alias"]
        assert len(assert_enqueued(send, tags=("a", "b"))) == 1
        refute_enqueued(send, to="never")
        with pytest.raises(AssertionError, match=r"no job 'send' with to='never'.*it has 3: send\(to='late'\)"):
            assert_enqueued(send, to="never")
        with pytest.raises(AssertionError, match="1 jobs 'send' with to='late'"):
            refute_enqueued(send, to="late")
        assert len(enqueued(queue)) == 3


def test_looking_into_a_real_queue_is_refused() -> None:
    """The error says how to get queues in memory."""
    env = SQSEnv(sqs_client=object())
    send = env.queue("https://sqs.eu-west-1.amazonaws.com/1/q").processor("send")(lambda: None)

    with pytest.raises(TypeError, match="in_memory"):
        assert_enqueued(send)


@pytest.mark.parametrize("check", [assert_enqueued, refute_enqueued, assert_dead_lettered, refute_dead_lettered])
def test_name_that_no_job_of_the_task_can_have_is_refused(env: SQSEnv, check: Callable[..., object]) -> None:
    """A misspelt argument would make a refutation hold for ever."""
    send = env.queue("emails").processor("send", pass_context=True)(lambda to, context: None)
    with in_memory(env):
        send.delay(to="a@x")
        for misspelt in ({"too": "a@x"}, {"_delay_seconds": 5}, {"context": {}}):
            with pytest.raises(TypeError, match=rf"'send' has no parameter '{next(iter(misspelt))}'.*it is send\(to\)"):
                check(send, **misspelt)


def test_names_that_a_task_takes_by_keyword_are_any(env: SQSEnv) -> None:
    """``**kwargs`` takes whatever it gets, and so does a batch processor, whose signature is of the list."""
    queue = env.queue("emails")
    anything = queue.processor("anything")(lambda **kwargs: None)
    batch = queue.batch_processor("batch")(lambda items: None)
    with in_memory(env):
        anything.delay(x=1)
        batch.delay(y=2)

        assert len(assert_enqueued(anything, x=1)) == 1
        assert len(assert_enqueued(batch, y=2)) == 1
        refute_enqueued(anything, y=2)


def test_nothing_can_be_said_of_queues_where_jobs_run_at_once(env: SQSEnv) -> None:
    """In an eager environment a refutation would hold although the job was sent."""
    send = env.queue("emails").processor("send")(lambda: None)
    with in_memory(env), eager(env):
        send.delay()
        with pytest.raises(TypeError, match="eager"):
            refute_enqueued(send)


def test_dead_letters_are_found_by_some_of_their_arguments(env: SQSEnv) -> None:
    """Those that a task rejected, and those that SQS moved after too many receives."""
    queue = env.queue("emails", max_receive_count=2)

    @queue.processor("send", backoff_policy=ConstantBackoff(1))
    def send(to: str) -> None:
        if to == "gone":
            raise Reject("no such address")
        raise ValueError

    with in_memory(env):
        send.delay("gone")
        send.delay("broken")
        refute_dead_lettered(send)
        with pytest.raises(
            AssertionError, match="no job 'send' with to='gone' in dead-letter queue 'emails_dead'; it is"
        ):
            assert_dead_lettered(send, to="gone")

        drain(queue, raise_errors=False, wait=True)

        (job,) = assert_dead_lettered(send, to="gone")
        assert job.message.attribute("FailureReason") == "Reject: no such address"
        assert len(assert_dead_lettered(send)) == 2
        with pytest.raises(AssertionError, match="1 jobs 'send' with to='broken' in dead-letter queue 'emails_dead'"):
            refute_dead_lettered(send, to="broken")


def test_queue_without_dead_letters_has_none_to_assert(env: SQSEnv) -> None:
    """Another assertion that could never fail."""
    send = env.queue("news", dead_letter_queue=None).processor("send")(lambda: None)
    with in_memory(env), pytest.raises(TypeError, match="'news' has no dead-letter queue"):
        refute_dead_lettered(send)
