"""Receipts: a string that is the message id, and the id of the job that will run."""

from __future__ import annotations

import pytest

from sqs_tasks import DeadLetterQueue, MemorySession, Reject, SQSEnv
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.queue import JobQueue
from sqs_tasks.receipts import MessageId, PendingMessage
from sqs_tasks.task import AsyncTask
from sqs_tasks.testing import drain


@pytest.fixture
def session() -> MemorySession:
    return MemorySession(ManualClock())


@pytest.fixture
def env(session: MemorySession) -> SQSEnv:
    return SQSEnv(session)


@pytest.fixture
def ran(env: SQSEnv) -> list[str]:
    """The ids of the jobs that ran."""
    ids: list[str] = []
    env.pre_task(lambda job: ids.append(job.job_id))
    return ids


def paying(env: SQSEnv, **options: object) -> tuple[JobQueue, AsyncTask[..., None]]:
    queue = env.queue("payments.fifo", **options)  # type: ignore[arg-type]
    task = queue.processor("pay")(lambda n: None)
    env.create_queues()
    return queue, task


def test_a_duplicate_says_so_and_names_the_job_that_runs(env: SQSEnv, ran: list[str]) -> None:
    """A status page that waits for the second job's id waits for the first, which is the one that counts."""
    queue, pay = paying(env)

    first = pay.options(deduplication_id="invoice-7").delay(1)
    second = pay.options(deduplication_id="invoice-7").delay(1)
    drain(queue)

    assert (first, first.is_duplicate, second.is_duplicate) == (second, False, True)
    assert ran == [first.job_id] == [second.job_id]


def test_a_duplicate_by_content_is_the_same(env: SQSEnv, ran: list[str]) -> None:
    """The id is derived from the task and its arguments."""
    queue, pay = paying(env, content_based_deduplication=True)

    receipts = [pay.delay(1), pay.delay(1), pay.delay(2)]
    drain(queue)

    assert [receipt.is_duplicate for receipt in receipts] == [False, True, False]
    assert ran == [receipts[0].job_id, receipts[2].job_id]
    assert receipts[1].job_id == receipts[0].job_id


def test_a_duplicate_of_another_process_names_the_job_that_runs(
    session: MemorySession, env: SQSEnv, ran: list[str]
) -> None:
    """SQS answers with the id of the first message, whoever sent it."""
    queue, pay = paying(env)
    elsewhere = SQSEnv(session).queue("payments.fifo")

    elsewhere.add_job("pay", n=1, _deduplication_id="invoice-7")
    receipt = pay.options(deduplication_id="invoice-7").delay(1)
    drain(queue)

    assert ran == [receipt.job_id]


def test_after_five_minutes_the_same_id_is_another_job(
    session: MemorySession, env: SQSEnv, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs have two ids, although they were sent with one deduplication id."""
    queue, pay = paying(env)

    first = pay.options(deduplication_id="monthly").delay(1)
    drain(queue)
    session.advance(301)
    second = pay.options(deduplication_id="monthly").delay(1)
    drain(queue)

    assert ran == [first.job_id, second.job_id]
    assert first.job_id != second.job_id
    assert not second.is_duplicate


def test_duplicates_in_a_batch_are_known_after_the_flush(env: SQSEnv, ran: list[str]) -> None:
    """Before, nobody knows which job will run."""
    queue, pay = paying(env)

    with pay.batch():
        receipts = [pay.options(deduplication_id="invoice-7").delay(1) for _ in range(2)]
        before = [receipt.job_id for receipt in receipts]
    drain(queue)

    assert before == [None, None]
    assert [receipt.job_id for receipt in receipts] == ran * 2
    assert sorted(receipt.is_duplicate for receipt in receipts) == [False, True]


def test_jobs_with_ids_of_their_own_are_never_duplicates(env: SQSEnv, ran: list[str]) -> None:
    """Neither on standard queues nor on FIFO queues that are told nothing."""
    queue, pay = paying(env)

    receipts = [pay.delay(1), pay.delay(1)]
    drain(queue)

    assert ran == [receipt.job_id for receipt in receipts]
    assert not any(receipt.is_duplicate for receipt in receipts)


def test_the_id_of_such_a_job_survives_its_dead_letter(env: SQSEnv) -> None:
    """The copy has another message id, and goes by that of the message that it was."""
    queue = env.queue("payments.fifo")
    dead = env.queue("payments_dead.fifo", DeadLetterQueue.maker(queue))

    @queue.processor("pay")
    def pay(n: int) -> None:
        raise Reject("no money")

    env.create_queues()
    receipt = pay.options(deduplication_id="invoice-7").delay(1)
    queue.process_batch()

    [letter] = dead.get_raw_messages()
    assert letter.attribute("JobId") == receipt.job_id
    assert letter.message_id != receipt


def test_a_pending_receipt_is_a_string_and_itself(env: SQSEnv) -> None:
    """Code that takes an id takes it; two of them are two, although neither has an id yet."""
    task = env.queue("q").processor("t")(lambda: None)
    env.create_queues()

    with task.batch():
        one, two = task.delay(), task.delay()
        assert isinstance(one, str)
        assert isinstance(one, PendingMessage)
        assert isinstance(one, MessageId)
        assert (one.message_id, f"{one}", bool(one)) == (None, "", False)
        assert len({one, two}) == 2
        assert one != two
        assert one == one  # noqa: PLR0124 - it has a comparison of its own

    assert f"{one}" == one.message_id
    assert one.message_id != two.message_id
