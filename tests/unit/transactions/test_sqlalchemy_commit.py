"""``SQSEnv(send=OnCommit(session=...))`` with SQLAlchemy, plain and async sessions."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import StaticPool

from sqs_tasks import AsyncTask, SQSEnv
from sqs_tasks.sending.held_messages import HeldMessage
from sqs_tasks.testing import in_memory
from sqs_tasks.transactions import OnCommit
from tests.support.counting_client import CountingClient


class Shop:
    """An application, its queue in memory, the requests that send, and the session in use."""

    session: Any = None

    def __init__(self) -> None:
        self.env = env = SQSEnv(send=OnCommit(session=lambda: self.session))

        @env.processor("emails", "email")
        def email(to: str) -> None: ...

        self.email: AsyncTask[..., Any] = email
        self.client: CountingClient

    @property
    def sent(self) -> int:
        return self.env.queue("emails").statistics().total


@pytest.fixture
def shop() -> Iterator[Shop]:
    """An application that sends on commit."""
    shop = Shop()
    with in_memory(shop.env) as session:
        shop.client = CountingClient(session.client("sqs"))
        with shop.env.connected_to(shop.client.as_client):
            yield shop


@pytest.fixture
def new_session() -> Iterator[Callable[[], Session]]:
    """Makes sessions of a database in memory, with savepoints that work."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    yield sessionmaker(engine)
    engine.dispose()


def test_jobs_leave_in_tens_after_the_commit(shop: Shop, new_session: Callable[[], Session]) -> None:
    """Each commit of a session sends its own; without a transaction a job leaves at once."""
    with new_session() as shop.session:
        shop.email.delay("at once")
        assert shop.sent == 1
        for jobs in (12, 1):
            shop.session.execute(text("select 1"))
            shop.client.batches.clear()
            receipts = [shop.email.delay(str(number)) for number in range(jobs)]
            assert shop.client.batches == []
            assert all(receipt.job_id and receipt.message_id is None for receipt in receipts)
            shop.session.commit()
            assert sum(shop.client.batches) == jobs
            assert all(receipt.message_id for receipt in receipts)
    shop.session = None
    shop.email.delay("no session")
    assert shop.sent == 15


def test_what_is_rolled_back_is_never_sent(shop: Shop, new_session: Callable[[], Session]) -> None:
    """By rollback, by closing without a commit, and by a savepoint in a transaction that commits."""
    with new_session() as shop.session:
        session = shop.session
        session.execute(text("select 1"))
        shop.email.delay("rolled back")
        session.rollback()

        session.execute(text("select 1"))
        shop.email.delay("kept")
        with session.begin_nested():
            shop.email.delay("kept too")
            with session.begin_nested() as inner:
                shop.email.delay("rolled back")
                inner.rollback()
        outer = session.begin_nested()
        with session.begin_nested():
            shop.email.delay("released, and rolled back with the savepoint around it")
        outer.rollback()
        assert shop.sent == 0
        session.commit()
        assert shop.sent == 2

        session.execute(text("select 1"))
        shop.email.delay("closed")
    with new_session() as shop.session:
        shop.session.execute(text("select 1"))
        shop.session.commit()
    assert shop.sent == 2


def test_a_session_that_lives_long_keeps_nothing_of_what_was_rolled_back(
    shop: Shop, new_session: Callable[[], Session]
) -> None:
    """A worker may use one session for all its jobs."""
    with new_session() as shop.session:
        for _ in range(3):
            shop.session.execute(text("select 1"))
            shop.email.delay("rolled back")
            with shop.session.begin_nested() as inner:
                shop.email.delay("rolled back")
                inner.rollback()
            shop.session.rollback()

        assert not [
            one for one in gc.get_objects() if type(one) is HeldMessage
        ]  # isinstance() would wake Django's lazy objects


def test_a_commit_with_open_savepoints_sends_theirs_too(shop: Shop, new_session: Callable[[], Session]) -> None:
    """SQLAlchemy releases them on the way."""
    with new_session() as shop.session:
        shop.session.execute(text("select 1"))
        shop.session.begin_nested()
        shop.email.delay("a")
        shop.session.flush()
        shop.session.commit()
        assert shop.sent == 1


def test_a_scoped_session_is_a_session(new_session: Any) -> None:
    """As web applications have it: one for each thread."""
    sessions = scoped_session(new_session)
    env = SQSEnv(send=OnCommit(session=lambda: sessions))

    @env.processor("emails", "email")
    def email() -> None: ...

    with in_memory(env):
        sessions.execute(text("select 1"))
        email.delay()
        assert env.queue("emails").statistics().total == 0
        sessions.commit()
        assert env.queue("emails").statistics().total == 1
    sessions.remove()


def test_async_sessions_commit_without_blocking_their_loop(shop: Shop) -> None:
    """The request is made in a thread, and awaited by the commit."""
    threads: list[int] = []
    send = shop.client.send_message_batch

    def noting(**request: Any) -> Any:
        threads.append(threading.get_ident())
        return send(**request)

    shop.client.send_message_batch = noting  # type: ignore[method-assign]

    async def main() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with AsyncSession(engine) as shop.session, shop.session.begin():
            await shop.session.execute(text("select 1"))
            async with shop.session.begin_nested():
                shop.email.delay("a")
            assert shop.sent == 0
        assert shop.sent == 1
        await engine.dispose()

    asyncio.run(main())
    assert threads
    assert threading.get_ident() not in threads


def test_what_is_no_session_is_refused(shop: Shop) -> None:
    """Where the job is sent, with what it should be."""
    shop.session = object()
    with pytest.raises(TypeError, match="gave object, which is no session of SQLAlchemy; give a function"):
        shop.email.delay("a")


def test_a_loop_whose_threads_have_ended_sends_all_the_same(shop: Shop) -> None:
    """At the end of a process, for example: the commit does not fail."""

    async def main() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with AsyncSession(engine) as shop.session:
            await shop.session.execute(text("select 1"))
            shop.email.delay("a")
            await asyncio.get_running_loop().shutdown_default_executor()
            await shop.session.commit()
        await engine.dispose()

    asyncio.run(main())
    assert shop.sent == 1


def test_what_cannot_even_be_tried_reaches_the_hook(shop: Shop, new_session: Callable[[], Session]) -> None:
    """An error that nobody thought of loses no message, and raises nothing into the committed request."""
    unsent: list[Any] = []
    shop.env.hold = OnCommit(
        session=lambda: shop.session, on_unsent=lambda messages, error: unsent.append((messages, error))
    )

    def breaks(_held: Any) -> Any:
        raise ZeroDivisionError("nobody thought of it")

    shop.env.queue("emails").outbox.send_held = breaks  # type: ignore[method-assign]
    with new_session() as shop.session:
        shop.session.execute(text("select 1"))
        receipt = shop.email.delay("a")
        shop.session.commit()

    [([message], error)] = unsent
    assert message.job_id == receipt.job_id
    assert "ZeroDivisionError" in str(error)


def test_many_jobs_outside_of_a_transaction_leave_in_tens(shop: Shop, new_session: Callable[[], Session]) -> None:
    """Thirty jobs are three requests, plain and async; in a transaction they wait for its commit."""
    calls = [{"to": str(number)} for number in range(30)]

    assert shop.email.map(calls) == 30
    assert asyncio.run(shop.email.amap(calls)) == 30
    assert shop.client.batches == [10] * 6

    shop.session = new_session()
    shop.session.begin()
    assert shop.email.map(calls) == 30
    assert shop.sent == 60
    shop.session.commit()
    assert shop.sent == 90
