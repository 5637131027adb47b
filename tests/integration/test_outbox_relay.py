"""The relay over real databases: what it sends, in which order, and what stays when something refuses or dies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from sqs_tasks import SQSEnv
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.testing import in_memory
from sqs_tasks.transactions import Outbox
from sqs_tasks.transactions.outbox import Relay
from tests.support.fault_proxy import FaultProxy
from tests.support.forking import Forking, forking
from tests.support.outboxes import DATABASES, OutboxPlace, outbox_place
from tests.support.polling import until
from tests.support.postgres import PASSWORD, Postgres, postgres
from tests.support.worker_processes import environment, is_running


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Postgres]:
    """A PostgreSQL of this module's own."""
    with postgres() as server:
        yield server


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Postgres) -> Iterator[OutboxPlace]:
    """A database with an empty outbox, of either kind."""
    with outbox_place(request.param, tmp_path, postgresql) as made:
        yield made


class Client:
    """A client in memory whose sends can be watched and refused.

    Attributes:
        refuse: Asked about each entry of a SendMessageBatch; gives a failed entry, or None.
        before: Called before each request, with its entries.
        requests: The bodies of each request that was answered, with the last part of the queue's URL.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.refuse: Callable[[str, str], dict[str, Any] | None] = lambda queue, body: None
        self.before: Callable[[list[Any]], None] = lambda entries: None
        self.requests: list[tuple[str, list[str]]] = []

    def send_message_batch(self, **request: Any) -> Any:
        queue, entries = request["QueueUrl"].rpartition("/")[2], request["Entries"]
        self.before(entries)
        refused = {one["Id"]: self.refuse(queue, one["MessageBody"]) for one in entries}
        kept = [one for one in entries if refused[one["Id"]] is None]
        answer = self._client.send_message_batch(**{**request, "Entries": kept}) if kept else {"Successful": []}
        self.requests.append((queue, [one["MessageBody"] for one in kept]))
        failed = [{"Id": name, **why} for name, why in refused.items() if why is not None]
        return {**answer, "Failed": [*answer.get("Failed", ()), *failed]}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Shop:
    """An application in memory, its database, and a clock for the rests of its relays."""

    def __init__(self, place: OutboxPlace) -> None:
        self.place = place
        self.unsent: list[Any] = []
        self.env = env = SQSEnv(send=Outbox(session=lambda: None, on_unsent=lambda *args: self.unsent.append(args)))
        orders = env.queue("orders.fifo", content_based_deduplication=False)

        @env.queue("emails").processor("email")
        def email(to: str) -> None: ...

        @env.queue("reports").processor("report")
        def report(name: str) -> None: ...

        @orders.processor("order", group_by="customer")
        def order(customer: str, number: int) -> None: ...

        self.email, self.report, self.order = email, report, order
        self.seconds = 0.0
        self.clock = ManualClock()
        self.client: Client
        self.relay: Relay

    def new_relay(self) -> Relay:
        return Relay(self.env, self.place.database, clock=lambda: self.seconds)

    def sent(self, queue: str) -> list[str]:
        """The bodies that SQS has accepted for a queue, in their order."""
        return [body for name, bodies in self.client.requests if name == queue for body in bodies]


@contextmanager
def shop_of(place: OutboxPlace) -> Iterator[Shop]:
    shop = Shop(place)
    with in_memory(shop.env, clock=shop.clock) as session:
        shop.client = Client(session.client("sqs"))
        with shop.env.connected_to(shop.client):
            shop.relay = shop.new_relay()
            yield shop


@pytest.fixture
def shop(place: OutboxPlace) -> Iterator[Shop]:
    """An application and its relay."""
    with shop_of(place) as made:
        yield made


def write(shop: Shop, *, emails: int = 0, orders: str = "") -> None:
    """Commit jobs: so many e-mails, and orders by customer as in ``"a1 a2 b1"``."""
    with shop.place.session() as session:
        for number in range(emails):
            shop.email.options(outbox=session).delay(f"user{number}")
        for one in orders.split():
            shop.order.options(outbox=session).delay(one[0], int(one[1:]))
        session.commit()


def orders(shop: Shop) -> list[str]:
    """The orders that SQS has accepted, as in ``["a1", "b1"]``."""
    import json

    return [f"{one['customer']}{one['number']}" for one in map(json.loads, shop.sent("orders.fifo"))]


def test_rows_leave_in_tens_and_are_gone(shop: Shop) -> None:
    """In the order in which they were written, and each once."""
    write(shop, emails=23)

    done = shop.relay.run_once()

    assert (done.sent, done.failed, done.refused) == (23, 0, 0)
    assert [len(bodies) for _, bodies in shop.client.requests] == [10, 10, 3]
    assert shop.sent("emails") == [f'{{"to": "user{number}"}}' for number in range(23)]
    assert shop.place.rows() == []
    assert not shop.relay.run_once()


def test_what_sqs_refuses_for_good_stays_and_is_in_nobodys_way(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """It reaches on_unsent once, is not tried again, and can be retried."""
    shop.client.refuse = lambda queue, body: (
        {"Code": "InvalidMessageContents", "Message": "no", "SenderFault": True} if "user1" in body else None
    )
    write(shop, emails=12)

    done = shop.relay.run_once()

    assert (done.sent, done.refused) == (9, 3)
    assert [row.error for row in shop.place.rows()] == ["InvalidMessageContents: no"] * 3
    job_ids = [row.job_id for row in shop.place.rows()]
    assert [message.job_id for messages, _ in shop.unsent for message in messages] == job_ids
    assert "refuses 2 jobs of the outbox for good" in caplog.text
    assert shop.relay.look().refused == 3
    assert not shop.relay.run_once()

    shop.client.refuse = lambda queue, body: None
    assert shop.relay._stored.retry([]) == 3
    assert shop.relay.run_once().sent == 3
    assert shop.place.rows() == []


def test_a_message_for_which_sqs_refuses_the_whole_request_goes_alone(shop: Shop) -> None:
    """So that the others of its ten are sent, and it alone is refused."""

    def refuse_all(entries: list[Any]) -> None:
        if any("user1" in one["MessageBody"] for one in entries):
            raise ClientError({"Error": {"Code": "BatchRequestTooLong", "Message": "too long"}}, "SendMessageBatch")

    shop.client.before = refuse_all
    shop.env.queue("emails").outbox.sender._sleep = lambda seconds: None
    write(shop, emails=3)

    done = shop.relay.run_once()

    assert (done.sent, done.refused) == (2, 1)
    [row] = shop.place.rows()
    assert "BatchRequestTooLong" in row.error
    assert row.refused_ms is not None


def test_a_queue_that_is_missing_rests_and_no_other_waits_for_it(shop: Shop) -> None:
    """Its jobs are sent when it is there; the rests grow."""
    shop.env.queue("emails").outbox.sender._sleep = lambda seconds: None
    shop.client.delete_queue(QueueUrl=shop.env.get_queue_url("emails"))
    shop.env.urls = type(shop.env.urls)(shop.env.client)
    write(shop, emails=2, orders="a1")

    first = shop.relay.run_once()

    assert (first.sent, first.failed, first.refused) == (1, 2, 0)
    assert [(row.attempts, row.error.partition(":")[0]) for row in shop.place.rows()] == [(1, "QueueNotFoundError")] * 2
    assert not shop.relay.run_once(), "it rests"
    shop.seconds += 1.5
    assert shop.relay.run_once().failed == 2
    shop.env.create_queues()
    shop.seconds += 1.5
    assert not shop.relay.run_once(), "it rests for two seconds now"
    shop.seconds += 1
    assert shop.relay.run_once().sent == 2
    assert shop.unsent == []


def test_groups_of_fifo_queues_keep_their_order(shop: Shop) -> None:
    """A row that fails stops its group, before later ones are sent; other groups go on."""
    fails = [True]
    shop.env.queue("orders.fifo").outbox.sender._sleep = lambda seconds: None
    shop.client.refuse = lambda queue, body: {"Code": "InternalError"} if '"number": 2' in body and fails[0] else None
    write(shop, orders="a1 b1 a2 c5 a3 b3 c6")

    done = shop.relay.run_once()

    assert (done.sent, done.failed) == (5, 1)
    assert sorted(orders(shop)) == ["a1", "b1", "b3", "c5", "c6"]
    assert [row.attempts for row in shop.place.rows()] == [1, 0]
    fails[0] = False
    shop.seconds += 1.5
    assert shop.relay.run_once().sent == 2
    assert [one for one in orders(shop) if one[0] == "a"] == ["a1", "a2", "a3"]


def test_a_refused_row_stops_its_group_until_somebody_decides(shop: Shop) -> None:
    """Its successors wait, or the order would be lost; dropping it lets them go."""
    shop.client.refuse = lambda queue, body: (
        {"Code": "InvalidMessageContents", "SenderFault": True} if '"number": 1' in body else None
    )
    write(shop, orders="a1 a2 b2 b3")

    assert (shop.relay.run_once().sent, orders(shop)) == (2, ["b2", "b3"])
    write(shop, orders="a3 b4")
    assert (shop.relay.run_once().sent, orders(shop)) == (1, ["b2", "b3", "b4"])
    refused = shop.place.rows()[0]
    assert shop.relay._stored.drop([refused.id]) == 1
    assert (shop.relay.run_once().sent, orders(shop)) == (2, ["b2", "b3", "b4", "a2", "a3"])


def test_two_relays_at_once_send_each_row_once(shop: Shop) -> None:
    """What one is sending, the other does not take; on SQLite it waits for its turn, while the application can write."""
    write(shop, emails=15, orders="a1 a2")
    holds, is_held, others = threading.Event(), threading.Event(), threading.local()

    def hold(entries: list[Any]) -> None:
        if getattr(others, "first", False) and not is_held.is_set():
            is_held.set()
            assert holds.wait(20)

    def first() -> int:
        others.first = True
        return shop.relay.run_once().sent

    shop.client.before = hold
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(first)
        assert is_held.wait(20)
        write(shop, orders="b1")
        second = shop.new_relay().run_once().sent
        holds.set()
        total = running.result() + second

    assert total + shop.relay.run_once().sent == 18
    assert second == (8 if shop.place.kind == "postgresql" else 0)
    assert len(set(shop.sent("emails"))) == len(shop.sent("emails")) == 15
    assert sorted(orders(shop)) == ["a1", "a2", "b1"]
    assert shop.place.rows() == []


def test_a_group_belongs_to_one_relay_also_for_rows_that_come_meanwhile(shop: Shop) -> None:
    """The second relay leaves a group that the first is sending, and takes another."""
    write(shop, orders="a1 a2")
    second: list[Any] = []

    def meanwhile(entries: list[Any]) -> None:
        shop.client.before = lambda entries: None
        write(shop, orders="a3 b1")
        second.append(shop.new_relay().run_once().sent)
        second.append(orders(shop))

    shop.client.before = meanwhile
    shop.relay.run_once()

    assert second == ([1, ["b1"]] if shop.place.kind == "postgresql" else [0, []])
    assert [one for one in orders(shop) if one[0] == "a"] == ["a1", "a2", "a3"]
    assert shop.place.rows() == []


def test_a_relay_that_is_interrupted_deletes_what_sqs_has_accepted(shop: Shop) -> None:
    """By a second Ctrl-C between two requests, for example: only the rest is sent again."""
    write(shop, orders="a1 a2 a3")

    def interrupt(entries: list[Any]) -> None:
        if '"number": 2' in entries[0]["MessageBody"]:
            shop.client.before = lambda entries: None
            raise KeyboardInterrupt

    shop.client.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        shop.relay.run_once()

    assert len(shop.place.rows()) == 2
    assert shop.relay.run_once().sent == 2
    assert orders(shop) == ["a1", "a2", "a3"]


def test_rows_of_another_applications_queue_are_left_alone(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """And reported once."""
    other = SQSEnv()

    @other.queue("invoices").processor("invoice")
    def invoice() -> None: ...

    with shop.place.session() as session:
        invoice.options(outbox=session).delay()
        shop.report.options(outbox=session).delay("r")
        session.commit()
    shop.clock.advance(10)  # the other environment has the real time

    assert shop.relay.run_once().sent == 1
    assert shop.relay.run_once().sent == 0
    assert caplog.text.count("queue invoices, which is not registered here") == 1
    assert [row.queue_name for row in shop.place.rows()] == ["invoices"]


def test_a_row_that_is_no_message_is_in_nobodys_way(shop: Shop) -> None:
    """Somebody has changed it by hand: it stays as one that was refused."""
    write(shop, emails=3)
    with shop.place.engine.begin() as connection:
        connection.execute(text("UPDATE sqs_tasks_outbox SET message = '{}' WHERE message LIKE '%user1%'"))

    done = shop.relay.run_once()

    assert (done.sent, done.failed, done.refused) == (2, 0, 1)
    assert [row.error for row in shop.place.rows()] == ["KeyError: 'body'"]
    assert not shop.relay.run_once()


def test_a_file_that_somebody_else_writes_is_waited_for(tmp_path: Path, postgresql: Postgres) -> None:
    """What SQS has accepted is deleted by a later try, and not sent again."""
    with outbox_place("sqlite", tmp_path, postgresql) as place, shop_of(place) as shop:
        write(shop, emails=1)
        settle = shop.relay._stored._settle

        def is_locked(*args: Any) -> None:
            shop.relay._stored._settle = settle
            raise OperationalError("DELETE", {}, Exception("database is locked"))

        shop.relay._stored._settle = is_locked
        assert shop.relay.run_once().sent == 1
        assert (place.rows(), len(shop.sent("emails"))) == ([], 1)


def test_a_delete_that_fails_leaves_the_rows_and_a_resend_has_the_same_ids(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the database dies between the send and the delete; a FIFO queue drops the second copy."""
    monkeypatch.setattr("sqs_tasks.transactions.outbox.stored_rows._DELETE_PAUSE_SECONDS", 0)
    write(shop, emails=1, orders="a1")
    ids = {row.job_id for row in shop.place.rows()}
    settle = shop.relay._stored._settle

    def fails(*args: Any) -> None:
        raise ConnectionError("the database is gone")

    for _ in range(2):
        shop.relay._stored._settle = fails
        with pytest.raises(ConnectionError):
            shop.relay.run_once()
        shop.relay._stored._settle = settle
    assert len(shop.place.rows()) == 2
    assert shop.relay.run_once().sent == 2

    received = [one for queue in ("emails", "orders.fifo") for one in shop.env.queue(queue).get_raw_messages(0)]
    assert {one.job_id for one in received} == ids
    assert [one.job_name for one in received] == ["email", "email", "email", "order"]


def test_the_loop_goes_on_after_its_database_has_failed(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Until it is stopped, which ends it at once; reports have the numbers as fields."""
    caplog.set_level("INFO")
    stop = threading.Event()
    take = shop.relay._stored.queues
    calls: list[int] = []

    def queues() -> list[str]:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("the database is gone")
        if len(calls) == 3:
            stop.set()
        return take()

    shop.relay._stored.queues = queues
    write(shop, emails=3)
    stop.wait = lambda seconds=None: True  # type: ignore[method-assign, assignment]

    shop.relay.run(stop)

    assert "the outbox cannot be read, next try in 2 s: ConnectionError: the database is gone" in caplog.text
    [report] = [one for one in caplog.records if getattr(one, "action", "") == "outbox_relayed"]
    assert (report.sent, report.failed, report.waiting, report.oldest_age_seconds) == (3, 0, 0, 0.0)
    assert shop.place.rows() == []


APP = """
import os
import signal

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from sqs_tasks import SQSEnv

env = SQSEnv()


@env.queue(os.environ["QUEUE"], content_based_deduplication=False if os.environ["QUEUE"].endswith(".fifo") else None).processor("job")
def job(n: int) -> None: ...


if __name__ == "__main__":
    with Session(create_engine(os.environ["URL"].replace("postgresql:", "postgresql+psycopg:"))) as session:
        job.options(outbox=session).delay(1)
        session.commit()
        job.options(outbox=session).delay(2)
        session.flush()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forking]:
    """Starts relays and producers."""
    with forking() as made:
        yield made


@pytest.mark.parametrize(("kind", "queue", "copies"), [("postgresql", "jobs", 3), ("sqlite", "jobs.fifo", 1)])
def test_a_process_that_is_killed_at_any_moment_loses_nothing(
    kind: str,
    queue: str,
    copies: int,
    tmp_path: Path,
    postgresql: Postgres,
    server: LocalSQSServer,
    forks: Forking,
) -> None:
    """After the commit, before SQS has the job, before its answer, before the delete: it is sent, always with one id."""
    with outbox_place(kind, tmp_path, postgresql) as place, FaultProxy(server.endpoint_url) as proxy:
        (tmp_path / "app.py").write_text(APP)
        database = {"QUEUE": queue, "URL": place.url, "SQS_TASKS_OUTBOX_DATABASE_URL": place.url}
        variables = environment(proxy.endpoint_url, **database)
        asks, faults = threading.Event(), ["hang", "hang answer", 0.2]

        def plan(action: str) -> str | float | None:
            if action != "SendMessageBatch":
                return None
            asks.set()
            return faults[0] if faults else None

        def relay() -> int:
            asks.clear()
            words = ("outbox", "relay", "app:env", "--poll-seconds", "0.05", "--log-format", "json")
            return forks.start(*words, directory=tmp_path, variables=variables)

        def log(process: int) -> str:
            return (tmp_path / f"{process}.log").read_text()

        def killed(process: int) -> None:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            until(lambda: not is_running(process), what="it is dead", every=0.01)

        sqs = SQSEnv(endpoint_url=server.endpoint_url)
        waiting = sqs.queue(queue)
        sqs.create_queues()
        producer = forks.start("app.py", directory=tmp_path, variables=variables)
        until(lambda: not is_running(producer), what="the producer has killed itself", every=0.01)
        [row] = place.rows()
        proxy.plan = plan

        process = relay()
        assert asks.wait(30), log(process)
        killed(process)
        faults.pop(0)
        assert ([one.id for one in place.rows()], waiting.statistics().available) == ([row.id], 0)

        process = relay()
        until(lambda: waiting.statistics().available, what="SQS has it", every=0.02)
        killed(process)
        faults.pop(0)
        assert [one.id for one in place.rows()] == [row.id]

        process = relay()
        assert asks.wait(30), log(process)
        with place.engine.connect() as other:
            _keep_from_deleting(place, other)  # the answer comes, and the relay waits for the lock
            until(lambda: _waits_to_delete(place, process), what="it waits for the lock", every=0.02)
            killed(process)
        faults.pop(0)
        assert [one.id for one in place.rows()] == [row.id]

        process = relay()
        until(lambda: place.count() == 0, what="the relay has sent it", every=0.02)
        os.kill(process, signal.SIGTERM)
        until(lambda: not is_running(process), what="it has stopped", every=0.01)
        assert '"action": "relay_stopped"' in log(process)
        assert not [path for path in tmp_path.glob("*.log") if PASSWORD in path.read_text()]

        received = [one for _ in range(3) for one in waiting.get_raw_messages(0)]
        assert [one.job_id for one in received] == [row.job_id] * copies


def _keep_from_deleting(place: OutboxPlace, other: Any) -> None:
    if place.kind == "postgresql":
        other.execute(text("LOCK TABLE sqs_tasks_outbox IN SHARE MODE"))
    else:
        other.execute(text("UPDATE sqs_tasks_outbox SET attempts = 0"))


def _waits_to_delete(place: OutboxPlace, process: int) -> bool:
    """Whether the relay waits for a lock of the database."""
    if place.kind == "postgresql":
        with place.engine.connect() as third:
            return bool(third.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())
    # SQLite waits by sleeping, and nothing else in a relay with a request does.
    return "nanosleep" in Path(f"/proc/{process}/wchan").read_text()
