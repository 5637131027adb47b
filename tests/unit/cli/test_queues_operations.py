"""``sqs-tasks queues show``, ``ls``, ``purge``, ``pause``, ``resume``, ``watch``, and what ``create`` says differs."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from sqs_tasks.cli.sparkline import sparkline


def test_show_has_numbers_tasks_and_settings(run, app):
    """By any name; the dead letters in flight are said."""
    app.module.send_email.delay(to="x")
    client = app.env.client()
    client.send_message(QueueUrl=app.env.get_queue_url("emails_dead"), MessageBody="dead")
    client.receive_message(QueueUrl=app.env.get_queue_url("emails_dead"))

    shown = run("queues", "show", app.name, "t-emails")

    assert shown.exit_code == 0
    assert "messages      1 ready, 0 in flight, 0 delayed" in shown.stdout
    assert "dead letters  1 in t-emails_dead, 1 of them in flight" in shown.stdout
    assert "tasks         send_email, fail, give_up" in shown.stdout
    assert run("queues", "show", app.name, "news").stdout.count("no dead-letter queue") == 1


def test_what_differs_is_shown_and_changed_by_create(run, app):
    """``show`` fails by it, a dry run names it, ``create`` changes it."""
    url = app.env.get_queue_url("emails")
    app.env.client().set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77"})
    line = "VisibilityTimeout: 77 there, 30 registered"

    shown = run("queues", "show", app.name, "emails", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["differences"]) == (1, [line])
    assert f"would update t-emails\n  {line}\n" in run("queues", "create", app.name, "--dry-run").stdout
    assert f"  changed {line}" in run("queues", "create", app.name).stderr
    assert run("queues", "show", app.name, "emails").exit_code == 0


def test_ls_is_list_and_takes_names(run, app):
    """With or without the prefix."""
    lines = run("queues", "ls", app.name, "news", "t-bare").stdout.splitlines()

    assert [line.split()[0] for line in lines] == ["queue", "t-news", "t-bare"]
    assert run("queues", "ls", app.name, "nope").exit_code == 2


def test_a_missing_queue_is_said(run, app):
    """With what creates it."""
    app.env.delete_queue("news")

    result = run("queues", "show", app.name, "news")

    assert result.exit_code == 1
    assert "t-news is not there; create it with 'sqs-tasks queues create'" in result.stderr


def test_purge_asks_and_counts(run, app):
    """Dead letters stay."""
    app.module.send_email.delay(to="x")
    app.env.client().send_message(QueueUrl=app.env.get_queue_url("emails_dead"), MessageBody="dead")

    assert run("queues", "purge", app.name, "emails").exit_code == 2
    assert run("queues", "purge", app.name, "emails", given="n\n").stdout == "0 deleted: not confirmed\n"
    assert app.module.emails.statistics().total == 1
    done = run("queues", "purge", app.name, "emails", "--yes")

    assert done.stdout == "SQS deletes 1 messages of t-emails; it may take a minute\n"
    statistics = app.module.emails.statistics()
    assert (statistics.total, statistics.dead_letters) == (0, 1)


def ages(**request):
    """What CloudWatch says of a queue's oldest message, in no order."""
    assert request["Dimensions"] == [{"Name": "QueueName", "Value": "t-emails"}]
    return {"Datapoints": [{"Timestamp": at, "Maximum": at * 100.0} for at in (2, 3, 1)]}


@pytest.fixture
def mappings(monkeypatch):
    """Lambda with one mapping; what was changed of it."""
    changed = []
    mapping = {"UUID": "u", "FunctionArn": "arn:aws:lambda:us-east-1:0:function:shop-emails", "State": "Enabled"}
    client = SimpleNamespace(
        list_event_source_mappings=lambda **_: {"EventSourceMappings": [mapping]},
        update_event_source_mapping=lambda **request: changed.append(request),
    )
    monkeypatch.setattr(
        "sqs_tasks.cli.queues_show.cloudwatch_of", lambda _: SimpleNamespace(get_metric_statistics=ages)
    )
    for module in ("queues_steering", "queues_show"):
        monkeypatch.setattr(f"sqs_tasks.cli.{module}.lambda_of", lambda _: client)
    return changed


def test_pause_and_resume_switch_the_mapping(run, app, mappings):
    """And ``show`` has its state."""
    assert "shop-emails: off; Lambda takes up to a minute\n" in run("queues", "pause", app.name, "emails").stdout
    assert "shop-emails: on; Lambda takes up to a minute\n" in run("queues", "resume", app.name, "t-emails").stdout

    assert mappings == [{"UUID": "u", "Enabled": False}, {"UUID": "u", "Enabled": True}]
    shown = run("queues", "show", app.name, "emails").stdout
    assert "mapping       shop-emails: enabled" in shown
    assert "oldest        300 s old, as CloudWatch had it last" in shown


def test_a_paused_queue_is_left_alone_by_workers_that_heed_it(run, app):
    """They receive nothing, others go on; ``show`` says since when; resumed, it is worked again."""
    app.module.send_email.delay(to="x")
    paused = run("queues", "pause", app.name, "emails")
    assert paused.stdout == "t-emails: paused for workers that run with --heed-pause\n"
    assert "workers without --heed-pause go on" in paused.stderr
    assert "paused        since 20" in run("queues", "show", app.name, "emails").stdout

    idle = run("worker", app.name, "emails", "--heed-pause", "0.01", "--idle-seconds", "0")
    assert (idle.exit_code, app.module.done) == (0, [])
    run("queues", "resume", app.name, "emails")
    assert "paused " not in run("queues", "show", app.name, "emails").stdout
    run("worker", app.name, "emails", "--heed-pause", "0.01", "--idle-seconds", "0")

    assert app.module.done == [("x", 1, None)]


def test_watch_shows_numbers_over_time(run, app):
    """A line for each queue at each look, with how fast it grows."""
    app.module.send_email.delay(to="x")

    rows = run("queues", "watch", app.name, "emails", "--times", "2", "--interval", "0.1", "--json").stdout
    table = run("queues", "watch", app.name, "--times", "1").stdout

    assert [json.loads(row)["ready_per_minute"] for row in rows.splitlines()] == [None, 0.0]
    assert "t-emails  █" in table


@pytest.mark.parametrize(
    ("numbers", "line"), [([], ""), ([0, 0], "▁▁"), ([0, 5, 10], "▁▅█"), ([3], "█"), ([1, 1000], "▁█")]
)
def test_a_sparkline_has_a_block_for_each_number(numbers, line):
    """The greatest is full."""
    assert sparkline(numbers) == line
