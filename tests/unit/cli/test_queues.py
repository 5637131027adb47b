"""``sqs-tasks queues create``, ``queues list`` and ``queues redrive``."""

from __future__ import annotations

import json

import pytest

from sqs_tasks.app_path import load_app
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
    """Each name is printed in the order of creation, a shared dead-letter queue once."""
    result = run("queues", "create", fresh)

    assert result.exit_code == 0
    assert result.stdout.split() == ["f-orders_dead.fifo", "f-orders.fifo", "f-shared_dead", "f-letters", "f-parcels"]
    assert run("queues", "list", fresh).exit_code == 0


def test_create_twice_changes_nothing(run, fresh):
    """Creating again gives the same answer."""
    assert run("queues", "create", fresh).stdout == run("queues", "create", fresh).stdout


def test_dry_run_says_what_would_be_done_and_does_nothing(run, fresh):
    """A dry run tells creating from updating, and creates nothing."""
    names = ["f-orders_dead.fifo", "f-orders.fifo", "f-shared_dead", "f-letters", "f-parcels"]

    before = run("queues", "create", fresh, "--dry-run")
    again = run("queues", "create", fresh, "--dry-run")
    run("queues", "create", fresh)
    after = run("queues", "create", fresh, "--dry-run")

    assert before.stdout.splitlines() == again.stdout.splitlines() == [f"would create {name}" for name in names]
    assert after.stdout.splitlines() == [f"would update {name}" for name in names]


def test_list_in_a_pipe_is_plain_columns(run, app):
    """Ready, in flight, delayed and dead messages stand in plain columns."""
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
    """``--json`` has the same numbers and the names."""
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
    """A missing queue is a row of dashes, a line that says what to do, and exit code 1."""
    result = run("queues", "list", fresh)

    assert result.exit_code == 1
    assert "f-letters          -          -        -     -" in result.stdout
    assert "not found: f-orders.fifo, f-letters, f-parcels; create them with 'sqs-tasks queues create'" in result.stderr


def test_list_on_a_terminal_is_drawn(app, capsys, monkeypatch):
    """On a terminal the table has lines and thousands separators."""
    monkeypatch.setattr("sqs_tasks.cli.table.sys.stdout.isatty", lambda: True)
    table = Table(("queue", "ready"))
    table.add("emails", 1_234)

    table.print()

    drawn = capsys.readouterr().out
    assert "─" in drawn
    assert "1,234" in drawn


@pytest.fixture
def buried(run, app):
    """Three jobs of emails as dead letters; gives a count of both queues."""
    for _ in range(3):
        app.module.give_up.delay()
    run("worker", app.name, "emails", "--idle-seconds", "0")

    def counts():
        told = app.module.emails.statistics()
        return told.total, told.dead_letters

    assert counts() == (0, 3)
    return counts


def test_redrive_moves_dead_letters_back(run, app, buried):
    """All dead letters are moved, and their number is printed."""
    result = run("queues", "redrive", app.name, "emails")

    assert (result.exit_code, result.stdout) == (0, "3 moved from t-emails_dead to t-emails\n")
    assert buried() == (3, 0)


def test_redrive_of_some_and_of_none(run, app, buried):
    """``--dry-run`` moves none, ``--limit`` so many."""
    dry = run("queues", "redrive", app.name, "emails", "--dry-run")
    assert (dry.stdout, buried()) == ("3 would be moved from t-emails_dead to t-emails\n", (0, 3))

    some = run("queues", "redrive", app.name, "emails", "--limit", "2", "--rate", "1000", "--json")

    assert json.loads(some.stdout) == {
        "queue_name": "t-emails",
        "dead_letter_queue": "t-emails_dead",
        "moved": 2,
        "dry_run": False,
    }
    assert buried() == (2, 1)


def test_redrive_needs_no_registered_dead_letter_queue(run, app):
    """The dead-letter queue is found by its name."""
    client = app.env.client()
    client.send_message(QueueUrl=app.env.get_queue_url("bare_dead"), MessageBody="{}")

    assert run("queues", "redrive", app.name, "bare").stdout == "1 moved from t-bare_dead to t-bare\n"
    assert run("queues", "redrive", app.name, "bare").stdout == "0 moved from t-bare_dead to t-bare\n"


def test_redrive_of_a_fifo_queue_keeps_the_order_of_its_groups(run, fresh):
    """Dead letters of a group come back in their order."""
    run("queues", "create", fresh)
    env = load_app(fresh)
    client = env.client()
    for body in ("1", "2"):
        client.send_message(
            QueueUrl=env.get_queue_url("orders_dead.fifo"),
            MessageBody=body,
            MessageGroupId="g",
            MessageDeduplicationId=body,
        )

    result = run("queues", "redrive", fresh, "orders.fifo")

    assert result.stdout == "2 moved from f-orders_dead.fifo to f-orders.fifo\n"
    assert [message.body for message in env.queue("orders.fifo").get_raw_messages()] == ["1", "2"]


@pytest.mark.parametrize(
    ("queue", "exit_code", "told"),
    [
        ("nope", 2, "there is no queue 'nope'; there are orders.fifo, letters, parcels"),
        ("letters", 1, "shared_dead also holds the dead letters of parcels"),
    ],
)
def test_redrive_refuses_what_it_cannot_tell(run, fresh, queue, exit_code, told):
    """An unknown queue is wrong usage; a dead-letter queue that others share is refused."""
    result = run("queues", "redrive", fresh, queue)

    assert result.exit_code == exit_code
    assert told in result.stderr


def test_redrive_of_a_queue_without_dead_letters_is_wrong_usage(run, app):
    """A queue without a dead-letter queue is exit code 2."""
    assert run("queues", "redrive", app.name, "news").exit_code == 2


def test_redrive_takes_the_names_that_list_shows(run, app, buried):
    """The queue's and the dead-letter queue's, with the prefix."""
    shown = run("queues", "list", app.name).stdout.splitlines()[1].split()[0]

    assert shown == "t-emails"
    assert run("queues", "redrive", app.name, shown, "--dry-run").exit_code == 0
    assert run("queues", "redrive", app.name, "t-emails_dead", "--dry-run").exit_code == 0
