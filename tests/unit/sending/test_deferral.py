"""``env.deferred()``: jobs that wait for the end of a block."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sqs_tasks import AsyncTask, SQSEnv
from sqs_tasks.errors import BatchSendError
from sqs_tasks.testing import in_memory
from tests.support.counting_client import CountingClient


@pytest.fixture
def env() -> SQSEnv:
    """An environment that would talk to AWS."""
    return SQSEnv()


@pytest.fixture
def send_email(env: SQSEnv) -> AsyncTask[..., Any]:
    """A task."""

    @env.processor("emails", "send_email")
    def send_email(to: str) -> None: ...

    return send_email


def test_jobs_leave_in_tens_when_the_block_has_ended(env: SQSEnv, send_email: AsyncTask[..., Any]) -> None:
    """Nothing is sent before; receipts have their job ids at once and their message ids afterwards."""
    with in_memory(env) as session, env.connected_to((client := CountingClient(session.client("sqs"))).as_client):
        with env.deferred() as jobs:
            receipts = [send_email.delay(f"{number}@example.com") for number in range(12)]
            assert env.queue("emails").statistics().total == 0
            assert len(jobs) == len(jobs.messages) == 12
            assert all(receipt.job_id and receipt.message_id is None for receipt in receipts)

        assert client.batches == [10, 2]
        assert all(receipt.message_id for receipt in receipts)
        assert env.queue("emails").statistics().total == 12


def _send_and_fail(env: SQSEnv, task: AsyncTask[..., Any]) -> None:
    with env.deferred():
        task.delay("b@example.com")
        raise ValueError("no")


def test_nothing_leaves_when_the_block_raises(env: SQSEnv, send_email: AsyncTask[..., Any]) -> None:
    """The jobs of a request that failed are as if they had never been sent; the next ones are sent."""
    with in_memory(env):
        with pytest.raises(ValueError, match="no"):
            _send_and_fail(env, send_email)
        send_email.delay("b@example.com")

        assert env.queue("emails").statistics().total == 1


def test_context_and_arguments_are_those_of_the_call(env: SQSEnv, send_email: AsyncTask[..., Any]) -> None:
    """What changes between the call and the end of the block does not change the job; a wrong call fails where it is."""
    with in_memory(env), env.deferred() as jobs:
        with env.context(user=7):
            send_email.delay("a@example.com")
        with pytest.raises(TypeError):
            send_email.delay(nobody="a@example.com")

        assert [message.attributes["JobContext"]["StringValue"] for message in jobs.messages] == ['{"user": 7}']


def test_a_block_in_a_block_waits_for_the_outer_one(env: SQSEnv, send_email: AsyncTask[..., Any]) -> None:
    """A function that defers can be called by one that defers; what the inner block drops stays dropped."""
    with in_memory(env):
        with env.deferred() as outer:
            with env.deferred():
                inner = send_email.delay("a@example.com")
            with pytest.raises(ValueError, match="no"):
                _send_and_fail(env, send_email)
            assert (len(outer), inner.message_id) == (1, None)

        assert env.queue("emails").statistics().total == 1
        assert inner.message_id


def test_batches_maps_threads_and_late_jobs_wait_too(env: SQSEnv, send_email: AsyncTask[..., Any]) -> None:
    """However a job is sent: in a batch, by a map, from a thread with the block's context, or for a later moment."""
    later = datetime.now(UTC) + timedelta(days=3)
    with in_memory(env):
        with env.deferred() as jobs:
            with send_email.batch():
                send_email.delay("a@example.com")
            assert send_email.map({"to": str(number)} for number in range(3)) == 3
            thread = threading.Thread(target=contextvars.copy_context().run, args=(send_email.delay, "b@example.com"))
            thread.start()
            thread.join()
            other = threading.Thread(target=send_email.delay, args=("c@example.com",))
            other.start()
            other.join()
            in_three_days = send_email.options(run_at=later).delay("d@example.com")
            assert len(jobs) == 6
            assert env.queue("emails").statistics().total == 1

        assert env.queue("emails").statistics().total == 6
        assert in_three_days.run_at == later
        assert env.cancel(str(in_three_days.job_id))


def test_what_sqs_does_not_accept_is_in_the_error(env: SQSEnv, send_email: AsyncTask[..., Any]) -> None:
    """The jobs that were accepted are sent, the others can be sent again from the error."""
    with in_memory(env) as session:
        client = CountingClient(session.client("sqs"))
        client.refuses = "b@"
        receipts = []

        def send() -> None:
            with env.deferred():
                receipts.extend([send_email.delay("a@example.com"), send_email.delay("b@example.com")])

        with (
            env.connected_to(client.as_client),
            pytest.raises(BatchSendError, match="InvalidMessageContents") as caught,
        ):
            send()
        refused = receipts[1]

        assert [message.job_id for message in caught.value.unsent] == [refused.job_id]
        assert env.queue("emails").statistics().total == 1


def test_async_blocks_send_without_the_event_loop(env: SQSEnv, send_email: AsyncTask[..., Any]) -> None:
    """Requests are made in a thread; asyncio tasks of the block join it."""
    threads: list[int] = []

    async def main() -> None:
        async def send(to: str) -> None:
            send_email.delay(to)

        async with env.deferred() as jobs:
            await asyncio.gather(send("a@example.com"), send("b@example.com"))
            assert len(jobs) == 2

    with in_memory(env) as session:

        class Noting(CountingClient):
            def send_message_batch(self, **request: Any) -> Any:
                threads.append(threading.get_ident())
                return super().send_message_batch(**request)

        with env.connected_to(Noting(session.client("sqs")).as_client):
            asyncio.run(main())

        assert env.queue("emails").statistics().total == 2
    assert threads
    assert threading.get_ident() not in threads


def test_eager_jobs_run_when_the_block_has_ended() -> None:
    """In an eager environment too a job runs only if its block ended well."""
    env = SQSEnv(eager=True)
    ran: list[str] = []

    @env.processor("emails", "send_email")
    def send_email(to: str) -> None:
        ran.append(to)

    with env.deferred():
        send_email.delay("a@example.com")
        assert ran == []
    assert ran == ["a@example.com"]
