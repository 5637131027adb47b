"""``sqs-tasks queues create`` and ``queues list``."""

from __future__ import annotations

import json

import pytest

from sqs_tasks.cli.table import Table

FRESH = """
from sqs_tasks import MemorySession, SQSEnv

env = SQSEnv(MemorySession(), queue_prefix="f-")
orders = env.queue("orders.fifo")
letters = env.queue("letters", dead_letter_queue="shared_dead")
parcels = env.queue("parcels", dead_letter_queue="shared_dead")
"""


@pytest.fixture
def fresh(directory):
    """An application whose queues are not there yet."""
    (directory / "fresh_app.py").write_text(FRESH)
    return "fresh_app:env"


def test_create_makes_queues_with_their_dead_letter_queues_first(run, fresh):
    result = run("queues", "create", fresh)

    assert result.exit_code == 0
    assert result.stdout.split() == ["f-orders_dead.fifo", "f-orders.fifo", "f-shared_dead", "f-letters", "f-parcels"]
    assert run("queues", "list", fresh).exit_code == 0


def test_create_twice_changes_nothing(run, fresh):
    assert run("queues", "create", fresh).stdout == run("queues", "create", fresh).stdout


def test_dry_run_says_what_would_be_done_and_does_nothing(run, fresh):
    names = ["f-orders_dead.fifo", "f-orders.fifo", "f-shared_dead", "f-letters", "f-parcels"]

    before = run("queues", "create", fresh, "--dry-run")
    again = run("queues", "create", fresh, "--dry-run")
    run("queues", "create", fresh)
    after = run("queues", "create", fresh, "--dry-run")

    assert before.stdout.splitlines() == again.stdout.splitlines() == [f"would create {name}" for name in names]
    assert after.stdout.splitlines() == [f"would update {name}" for name in names]


def test_list_in_a_pipe_is_plain_columns(run, app):
    app.module.send_email.delay(to="x")
    app.module.send_email.options(delay_seconds=60).delay(to="y")

    result = run("queues", "list", app.name)

    assert result.stdout.splitlines() == [
        "queue     ready  in flight  delayed  dead",
        "t-emails      1          0        1     0",
        "t-news        0          0        0     -",
        "t-bare        0          0        0     0",
    ]


def test_list_as_json(run, app):
    app.module.send_email.delay(to="x")
    app.module.emails.get_raw_messages()
    client = app.env.client()
    client.send_message(QueueUrl=app.env.get_queue_url("emails_dead"), MessageBody="dead")

    emails, *others = json.loads(run("queues", "list", app.name, "--json").stdout)

    assert emails == {
        "name": "emails",
        "queue_name": "t-emails",
        "ready": 0,
        "in_flight": 1,
        "delayed": 0,
        "dead": 1,
        "dead_letter_queue": "t-emails_dead",
    }
    assert [one["name"] for one in others] == ["news", "bare"]


def test_list_shows_queues_that_are_not_there_and_fails(run, fresh):
    result = run("queues", "list", fresh)

    assert result.exit_code == 1
    assert "f-letters          -          -        -     -" in result.stdout
    assert "f-orders.fifo, f-letters, f-parcels: not there; 'sqs-tasks queues create'" in result.stderr


def test_list_on_a_terminal_is_drawn(app, capsys, monkeypatch):
    monkeypatch.setattr("sqs_tasks.cli.table.sys.stdout.isatty", lambda: True)
    table = Table(("queue", "ready"))
    table.add("emails", 1_234)

    table.print()

    drawn = capsys.readouterr().out
    assert "─" in drawn
    assert "1,234" in drawn
