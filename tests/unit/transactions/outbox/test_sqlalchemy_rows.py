"""``task.options(outbox=session)``: a job is a row of the caller's transaction, and its message is fixed by the call."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from sqs_tasks import MemorySession, S3Offload, SQSEnv
from sqs_tasks.errors import ConfigurationError, MessageTooLargeError
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.receipts import Receipt
from sqs_tasks.testing import drain, in_memory
from sqs_tasks.transactions import Outbox
from sqs_tasks.transactions.outbox import Relay
from sqs_tasks.transactions.outbox.sqlalchemy_database import SQLAlchemyDatabase
from sqs_tasks.transactions.outbox.table import outbox_table

TABLE = outbox_table(MetaData())


class Shop:
    """An application with its queues in memory, and its database in a file."""

    def __init__(self, engine: Engine, **options: Any) -> None:
        self.engine = engine
        self.ran: list[str] = []
        self.env = env = SQSEnv(**options)
        emails = env.queue("emails")
        orders = env.queue("orders.fifo", content_based_deduplication=False)

        @emails.processor("email")
        def email(to: str) -> None:
            self.ran.append(to)

        @orders.processor("order", group_by="customer")
        def order(number: int, customer: str = "c") -> None:
            self.ran.append(f"{customer}{number}")

        self.email, self.order = email, order

    def rows(self) -> list[Any]:
        """What has been committed."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(TABLE).order_by(TABLE.c.id)))

    def drained(self) -> list[str]:
        """What the jobs did that were sent."""
        drain(self.env)
        return self.ran

    def relay(self) -> int:
        """Relay what is ready; how many jobs were sent."""
        return Relay(self.env, SQLAlchemyDatabase(self.engine)).run_once().sent


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database with the table, whose savepoints work as everywhere else."""
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    _with_savepoints(engine)
    TABLE.metadata.create_all(engine)
    yield engine
    engine.dispose()


def _with_savepoints(engine: Engine) -> None:
    """As SQLAlchemy's documentation tells users of pysqlite to do."""

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")


@pytest.fixture
def shop(engine: Engine) -> Iterator[Shop]:
    """An application in memory."""
    shop = Shop(engine)
    with in_memory(shop.env):
        yield shop


@pytest.mark.parametrize("kind", ["session", "scoped session", "connection"])
def test_a_row_is_written_by_the_callers_transaction(shop: Shop, engine: Engine, kind: str) -> None:
    """It is there after the commit and not before, and gone after a rollback or that of its savepoint."""
    makers: dict[str, Callable[[], Any]] = {
        "session": lambda: Session(engine),
        "scoped session": lambda: scoped_session(sessionmaker(engine)),
        "connection": engine.connect,
    }
    target = makers[kind]()
    receipt = shop.email.options(outbox=target).delay("kept")
    with target.begin_nested():
        shop.email.options(outbox=target).delay("kept too")
    inner = target.begin_nested()
    shop.email.options(outbox=target).delay("rolled back")
    inner.rollback()
    assert shop.rows() == []
    target.commit()
    shop.email.options(outbox=target).delay("rolled back")
    target.rollback()
    target.close()

    assert shop.rows()[0].job_id == receipt.job_id
    assert shop.ran == []
    assert shop.relay() == 2
    assert shop.rows() == []
    assert shop.drained() == ["kept", "kept too"]


def test_async_sessions_and_connections(shop: Shop, tmp_path: Path) -> None:
    """A session writes with its flush, so that delay() works in it too; a connection is awaited."""

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
        _with_savepoints(engine.sync_engine)
        sessions = async_sessionmaker(engine)
        async with sessions() as session:
            await shop.email.options(outbox=session).adelay("a")
            shop.email.options(outbox=session).delay("b")
            async with session.begin_nested():
                await shop.email.options(outbox=session).adelay("c")
            inner = await session.begin_nested()
            await shop.email.options(outbox=session).adelay("rolled back")
            await inner.rollback()
            assert await shop.email.amap([{"to": "d"}, {"to": "e"}], outbox=session) == 2
            await session.commit()
            await shop.email.options(outbox=session).adelay("rolled back")
            await session.rollback()
        scoped = async_scoped_session(sessions, scopefunc=asyncio.current_task)
        await shop.email.options(outbox=scoped).adelay("f")
        await scoped.commit()
        await scoped.remove()
        async with engine.begin() as connection:
            await shop.email.options(outbox=connection).adelay("g")
            with pytest.raises(TypeError, match=r"is an AsyncConnection, on which delay\(\) cannot wait; write 'await"):
                shop.email.options(outbox=connection).delay("x")
        await engine.dispose()

    asyncio.run(main())

    assert shop.relay() == 7
    assert shop.drained() == list("abcdefg")


def test_the_message_is_fixed_by_the_call(shop: Shop, engine: Engine) -> None:
    """Arguments, context, trace, group, attributes and id: what changes afterwards changes nothing."""
    seen: list[str] = []
    shop.env.pre_send(lambda message: message.attributes.update(traceparent=_string("trace-1")))
    shop.env.post_send(lambda message, receipt: seen.append(f"{message.job_id} {receipt.message_id}"))
    shop.env.context.set(user="zoë")
    to = ["a@example.com"]
    with Session(engine) as session:
        receipt = shop.order.options(
            outbox=session, message_attributes={"kind": "x", "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
        ).delay(7, customer="c1")
        shop.env.context.set(user="bob")
        to.append("b")
        session.commit()
    assert receipt.message_id is None
    [before] = shop.rows()
    assert (before.queue_name, before.group_id, before.job_name) == ("orders.fifo", "c1", "order")

    assert shop.relay() == 1

    [sent] = shop.env.queue("orders.fifo").get_raw_messages(0)
    assert seen == [f"{receipt.job_id} {sent.message_id}"]
    assert sent.attributes["MessageDeduplicationId"] == sent.job_id == receipt.job_id
    assert (sent.group_id, sent.body) == ("c1", '{"number": 7, "customer": "c1"}')
    assert sent.attribute("JobContext") == '{"user": "zo\\u00eb"}'
    assert (sent.attribute("traceparent"), sent.attribute("kind")) == ("trace-1", "x")
    assert sent.message_attributes["raw"] == {"DataType": "Binary", "BinaryValue": b"\x00\xff"}


def _string(value: str) -> Any:
    return {"DataType": "String", "StringValue": value}


def test_what_is_due_later_waits_in_the_table(engine: Engine) -> None:
    """Up to 900 s are left to SQS; FIFO jobs wait till they are due. No EventBridge Scheduler is asked for."""
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    shop = Shop(engine)
    with in_memory(shop.env, clock=clock, schedules=False):
        with Session(engine) as session:
            later: Receipt = shop.email.options(outbox=session, delay_seconds=1000).delay("in 1000 s")
            shop.email.options(outbox=session, delay_seconds=60).delay("in 60 s")
            shop.email.options(outbox=session, run_at=datetime(2026, 1, 2, tzinfo=UTC)).delay("tomorrow")
            shop.order.options(outbox=session, delay_seconds=30).delay(1)
            session.commit()
        assert later.run_at == datetime(2026, 1, 1, 0, 16, 40, tzinfo=UTC)
        clock.advance(20.5)
        assert shop.relay() == 1
        assert shop.env.queue("emails").get_raw_messages(0) == [], "SQS holds it back for the rest, 40 s"
        clock.advance(10)
        assert shop.relay() == 1, "the FIFO job is due"
        clock.advance(29.4)
        assert shop.env.queue("emails").get_raw_messages(0) == []
        clock.advance(0.6)
        [email] = shop.env.queue("emails").get_raw_messages(0)
        assert "in 60 s" in email.body
        clock.advance(40)
        assert shop.relay() == 1
        assert shop.relay() == 0
        clock.advance(86_400)
        assert shop.relay() == 1
        assert shop.rows() == []


def test_an_environment_writes_all_its_jobs(engine: Engine) -> None:
    """``SQSEnv(send=Outbox(session=...))``: deferred blocks and batches too; without a session a job is sent at once."""
    current: list[Any] = [None]
    shop = Shop(engine, send=Outbox(session=lambda: current[-1]))
    with in_memory(shop.env, schedules=False):
        assert shop.email.delay("at once").message_id
        with Session(engine) as session:
            current.append(session)
            with shop.env.deferred():
                receipt = shop.email.delay("deferred")
            with shop.email.batch():
                shop.email.delay("in a batch")
            assert shop.email.map([{"to": "mapped"}]) == 1
            session.rollback()
            assert shop.rows() == []
            shop.email.options(delay_seconds=86_400).delay("tomorrow")
            shop.email.delay("kept")
            session.commit()
            current.append(None)
        assert receipt.job_id is not None
        assert [row.due_ms is None for row in shop.rows()] == [False, True]
        assert shop.relay() == 1
        assert shop.drained() == ["at once", "kept"]


def test_a_session_of_an_async_application(engine: Engine, tmp_path: Path) -> None:
    """``delay()`` cannot wait there, and need not: the session writes with its flush."""
    current: list[Any] = []
    shop = Shop(engine, send=Outbox(session=lambda: current[0]))

    async def main() -> None:
        theirs = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
        async with async_sessionmaker(theirs)() as session:
            current.append(session)
            shop.email.delay("a")
            await shop.email.adelay("b")
            await session.commit()
            shop.email.delay("rolled back")
            await session.rollback()
        await theirs.dispose()

    with in_memory(shop.env):
        asyncio.run(main())
        assert shop.relay() == 2
        assert shop.drained() == ["a", "b"]


def test_many_jobs_are_written_in_their_order(shop: Shop, engine: Engine) -> None:
    """By ``map()``, spread over a time or not; an iterable is read while rows are written."""
    with Session(engine) as session:
        assert shop.order.map(({"number": number} for number in range(250)), outbox=session) == 250
        assert shop.email.map([{"to": "a"}, {"to": "b"}], outbox=session, spread_seconds=100) == 2
        session.commit()
    rows = shop.rows()
    assert [row.due_ms - row.created_ms for row in rows[250:]] == [0, 50_000]

    assert shop.relay() == 252
    assert [one for one in shop.drained() if one[0] == "c"] == [f"c{number}" for number in range(250)]


def test_jobs_that_fifo_queues_deduplicate_keep_their_own_ids(shop: Shop, engine: Engine) -> None:
    """The id is known before SQS has the job; SQS drops the second one when it is sent."""
    with Session(engine) as session:
        receipts = [
            shop.order.options(outbox=session, deduplication_id="one").delay(number, customer="a") for number in (1, 2)
        ]
        session.commit()
    assert [row.job_id for row in shop.rows()] == [receipt.job_id for receipt in receipts]

    assert shop.relay() == 2
    assert shop.drained() == ["a1"]


def test_what_cannot_travel_is_refused_by_the_call(shop: Shop, engine: Engine) -> None:
    """Before anything is written, so that the transaction goes on."""
    with Session(engine) as session:
        with pytest.raises(MessageTooLargeError):
            shop.email.options(outbox=session, content_type="json").delay(os.urandom(800_000).hex())
        with pytest.raises(TypeError, match="missing"):
            shop.email.options(outbox=session).delay()
        shop.email.options(outbox=session).delay("a")
        session.commit()
    assert shop.relay() == 1


def test_follow_ups_travel_in_the_row_of_their_job(shop: Shop, engine: Engine) -> None:
    """They are sent when it is over; a row of their own would be sent before."""
    with Session(engine) as session:
        own = shop.email.options(outbox=session).bake("its own row")
        with pytest.raises(
            ConfigurationError, match="has outbox=Session; a follow-up travels in the job that it follows"
        ):
            shop.email.options(outbox=session, then=own).delay("a")
        shop.email.options(outbox=session, then=shop.email.bake("b")).delay("a")
        session.commit()
    assert len(shop.rows()) == 1

    assert shop.relay() == 1
    assert shop.drained() == ["a", "b"]


def test_a_target_that_takes_no_rows_is_refused(shop: Shop) -> None:
    """With what would."""
    with pytest.raises(TypeError, match="outbox= is Engine, in which no row can be written; give a Session"):
        shop.email.options(outbox=shop.engine).delay("a")


def test_a_missing_table_says_how_it_is_made(shop: Shop) -> None:
    """Beside the words of the database."""
    with create_engine("sqlite://").connect() as connection, pytest.raises(OperationalError) as caught:
        shop.email.options(outbox=connection).delay("a")
    assert "create_outbox(op) in an Alembic migration" in "".join(caught.value.__notes__)


def test_an_eager_environment_runs_its_jobs_where_they_are_relayed(engine: Engine) -> None:
    """The commit is respected in such tests too."""
    shop = Shop(engine, eager=True)
    with Session(engine) as session:
        shop.email.options(outbox=session).delay("a")
        assert shop.ran == []
        session.commit()
    assert (shop.relay(), shop.ran) == (1, ["a"])


def test_large_bodies_are_in_the_row_until_they_are_relayed(engine: Engine) -> None:
    """A rollback leaves no object in S3, and one that S3 does not take is tried again."""
    memory = MemorySession()
    s3 = memory.client("s3")
    shop = Shop(engine, session=memory, offload=S3Offload(bucket="large", above_bytes=1_000))
    shop.env.create_queues()
    seconds = [0.0]
    relay = Relay(shop.env, SQLAlchemyDatabase(engine), clock=lambda: seconds[0])
    shop.env.queue("emails").outbox.sender._sleep = lambda pause: None
    with Session(engine) as session:
        shop.email.options(outbox=session).delay("x" * 5_000)
        session.rollback()
        shop.email.options(outbox=session, content_type="json").delay("y" * 5_000)
        shop.email.options(outbox=session).delay("small")
        session.commit()
    assert "Contents" not in s3.list_objects_v2(Bucket="large")

    put, s3.put_object = s3.put_object, _no_route
    assert (relay.run_once().sent, len(shop.rows())) == (1, 1)
    s3.put_object = put
    seconds[0] += 2
    assert (relay.run_once().sent, shop.rows()) == (1, [])
    assert len(s3.list_objects_v2(Bucket="large")["Contents"]) == 1
    assert sorted(shop.drained()) == ["small", "y" * 5_000]


def _no_route(**_request: Any) -> Any:
    raise ConnectionError("no route")
