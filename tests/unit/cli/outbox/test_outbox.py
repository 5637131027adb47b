"""``sqs-tasks outbox``: the relay run once, what waits, what becomes of refused jobs, and where the password may be."""

from __future__ import annotations

import json
import sqlite3
import sys
import types
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from django.core.management import call_command
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from sqs_tasks import AsyncTask, SQSEnv
from sqs_tasks.cli.group import main
from sqs_tasks.cli.outbox.place import DATABASE_VARIABLE
from sqs_tasks.cli.outbox.relay_health import STUCK_SECONDS, RelayHealth
from sqs_tasks.testing import drain, in_memory
from sqs_tasks.transactions.outbox import Relay, outbox_sql
from sqs_tasks.transactions.outbox.sqlalchemy_database import SQLAlchemyDatabase
from sqs_tasks.worker.health import serving_health
from tests.support import django_project

django_project.configure()


class Shop:
    """An application that a command line can load, and its database in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.url = f"sqlite:///{file}"
        self.engine = create_engine(self.url)
        self.env = env = SQSEnv()

        @env.queue("emails").processor("email")
        def email(to: str) -> None: ...

        self.email: AsyncTask[..., Any] = email

    def write(self, *to: str, **options: Any) -> list[str | None]:
        """Commit jobs; their ids."""
        with Session(self.engine) as session:
            ids = [self.email.options(outbox=session, **options).delay(one).job_id for one in to]
            session.commit()
        return ids

    def refuse(self, *ids: int) -> None:
        """Refuse the jobs of rows as SQS does."""
        connection = sqlite3.connect(self.file)
        for one in ids:
            connection.execute("UPDATE sqs_tasks_outbox SET refused_ms = 1, error = 'no' WHERE id = ?", [one])
        connection.commit()
        connection.close()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """An application in memory."""
    shop = Shop(tmp_path / "shop.db")
    connection = sqlite3.connect(shop.file)
    for statement in outbox_sql("sqlite"):
        connection.execute(statement)
    connection.close()
    module = types.ModuleType("outbox_app")
    module.env = shop.env  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "outbox_app", module)
    monkeypatch.setattr("sqs_tasks.cli.outbox.relay.configure_logging", lambda *args: None)
    monkeypatch.setattr("sqs_tasks.cli.outbox.relay.after_application", lambda *args: None)
    monkeypatch.setenv(DATABASE_VARIABLE, shop.url)
    with in_memory(shop.env):
        yield shop
    shop.engine.dispose()


def run(*words: str) -> Result:
    """The command."""
    return CliRunner().invoke(main, ["outbox", *words], catch_exceptions=False)


def test_the_relay_once_sends_what_is_ready(shop: Shop) -> None:
    """And says what it did; exit code 1 if a job was not sent."""
    shop.write("a", "b")

    sent = run("relay", "outbox_app:env", "--once")

    assert (sent.output, sent.exit_code) == ("2 sent, 0 to be tried again, 0 refused\n", 0)
    assert drain(shop.env).succeeded == 2
    shop.write("c")
    shop.env.queue("emails").outbox.sender._sleep = lambda seconds: None
    with in_memory(shop.env) as session:
        session.client("sqs").delete_queue(QueueUrl=shop.env.get_queue_url("emails"))
        missing = run("relay", "outbox_app:env", "--once")
    assert (missing.output, missing.exit_code) == ("0 sent, 1 to be tried again, 0 refused\n", 1)


def test_what_waits_is_listed_and_counted(shop: Shop) -> None:
    """By row, with its state and without its arguments."""
    ids = shop.write("a@example.com", "b@example.com")
    shop.write("c@example.com", delay_seconds=86_400)
    shop.refuse(2)

    rows = json.loads(run("ls", "--json").output)
    counted = json.loads(run("count", "--json").output)

    assert [(row["id"], row["job_name"], row["state"]) for row in rows] == [
        *((1, "email", "waiting"), (2, "email", "refused"), (3, "email", "waiting"))
    ]
    assert [row["job_id"] for row in rows[:2]] == ids
    assert rows[2]["due"] > rows[2]["written"]
    assert {name: counted[name] for name in ("ready", "later", "refused")} == {"ready": 1, "later": 1, "refused": 1}
    assert [row["id"] for row in json.loads(run("ls", "--refused", "--json").output)] == [2]
    table = run("ls", "--limit", "2").output
    assert table.splitlines()[0].split() == [
        *("id", "queue", "group", "task", "job", "written", "due", "attempts", "state", "error")
    ]
    assert len(table.splitlines()) == 3
    assert "example.com" not in table
    assert run("count").output.split()[:4] == ["ready", "later", "refused", "oldest"]


def test_refused_jobs_are_retried_or_dropped(shop: Shop) -> None:
    """By their numbers, or all of them; a job that was not refused is dropped by its number alone."""
    shop.write("a", "b", "c", "d")
    shop.refuse(1, 2, 3)

    assert run("retry", "1", "4").output == "1 jobs are tried again\n"
    assert run("drop", "2").output == "1 jobs were deleted\n"
    assert run("drop", "--all-refused").output == "1 jobs were deleted\n"
    assert [row["id"] for row in json.loads(run("ls", "--json").output)] == [1, 4]
    assert run("drop").exit_code == 2
    assert run("drop", "1", "--all-refused").exit_code == 2
    assert run("drop", "4").output == "1 jobs were deleted\n"


def test_a_password_on_the_command_line_is_refused(shop: Shop) -> None:
    """Everybody on the machine would see it; and no error quotes it."""
    for url in ("postgresql://app:hush@db/shop", "postgresql://db/shop?user=app&password=hush"):
        refused = run("count", "--database", url)
        assert refused.exit_code == 2
        assert f"set {DATABASE_VARIABLE}" in " ".join(refused.output.split())
        assert "hush" not in refused.output
    assert run("count", "--database", shop.url).exit_code == 0


@pytest.mark.parametrize("url", ["nonsense:hush", "oracle+nothing://app:hush@db/shop", "postgresql://app:hush@db:p/x"])
def test_a_url_that_cannot_be_used_is_one_line_without_the_url(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """With an example."""
    monkeypatch.setenv(DATABASE_VARIABLE, url)

    refused = run("count")

    assert refused.exit_code == 1
    assert "the URL of the outbox's database cannot be used" in refused.output
    assert "hush" not in refused.output


def test_a_missing_table_is_one_line(shop: Shop, tmp_path: Path) -> None:
    """In the words of the database."""
    refused = run("count", "--database", f"sqlite:///{tmp_path / 'empty.db'}")

    assert (refused.exit_code, refused.output) == (
        1,
        "Error: the outbox cannot be read: OperationalError: no such table: sqs_tasks_outbox\n",
    )


def test_a_database_of_django(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its alias; the settings have the password."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    missing = run("count", "--database", "django:default")
    assert missing.exit_code == 2
    assert "DJANGO_SETTINGS_MODULE does not say where" in " ".join(missing.output.split())

    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "of_the_test_process")
    call_command("migrate", "sqs_tasks_outbox", verbosity=0)
    try:
        shop.email.options(outbox="default").delay("a")
        assert run("count", "--database", "django:default").output.split()[-4:-1] == ["1", "0", "0"]
        assert run("relay", "outbox_app:env", "--once", "--database", "django:").output.startswith("1 sent")
    finally:
        call_command("migrate", "sqs_tasks_outbox", "zero", verbosity=0)


def test_the_printed_statements_make_the_table(tmp_path: Path) -> None:
    """Each ends with a semicolon, so that a database's own command line takes them."""
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.executescript(run("sql", "--dialect", "sqlite").output)
    assert connection.execute("SELECT count(*) FROM sqs_tasks_outbox").fetchone() == (0,)
    connection.close()
    assert "GENERATED BY DEFAULT AS IDENTITY" in run("sql").output


def test_the_health_of_a_relay(shop: Shop) -> None:
    """Its numbers, a database that fails, and a relay that is stuck."""
    shop.write("a", "b", "c")
    relay = Relay(shop.env, SQLAlchemyDatabase(shop.engine))
    relay.depth = relay.look()
    relay.run_once()
    with serving_health(RelayHealth(relay), 0, host="127.0.0.1") as port:

        def ask(path: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        assert ask("ready")[0] == 200
        numbers = ask("metrics")[1]
        assert "sqs_tasks_outbox_sent_total 3" in numbers
        assert 'sqs_tasks_outbox_rows{state="ready"} 3' in numbers
        assert "sqs_tasks_outbox_oldest_age_seconds" in numbers
        relay.problem = "OperationalError: gone"
        assert ask("ready")[0] == 503
        assert ask("live")[0] == 200
        relay.looked_at -= STUCK_SECONDS + 1
        assert ask("live")[0] == 503
