"""``sqs-tasks send``."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest


def bodies(queue):
    return [message.body for message in queue.get_raw_messages()]


def test_sends_a_job_and_prints_its_message_id(run, app):
    """The message holds the arguments by name, and its id is printed."""
    result = run("send", app.name, "emails", "send_email", "to=a@example.com", "copies=2")

    (message,) = app.module.emails.get_raw_messages()
    assert (result.exit_code, result.stdout) == (0, f"{message.message_id}\n")
    assert json.loads(message.body) == {"to": "a@example.com", "copies": 2}


def test_what_was_sent_runs(run, app):
    """A worker gets the values in their types."""
    run("send", app.name, "emails", "send_email", "to=a", "total=1.50")

    app.module.emails.process_batch()

    assert app.module.done == [("a", 1, Decimal("1.50"))]


def test_object_and_pairs_go_together(run, app):
    """A pair goes before the same key of the object."""
    run("send", app.name, "emails", "send_email", '{"to": "a", "copies": 1}', "copies=2")

    app.module.emails.process_batch()

    assert app.module.done == [("a", 2, None)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["emails", "send_email"], "missing a required argument: 'to'"),
        (["emails", "send_email", "to=x", "cc=y"], "unexpected keyword argument 'cc'"),
        (["emails", "send_email", "to=x", "copies=many"], "copies: not the int that the task wants, for example 17"),
        (["emails", "send_email", "nonsense"], "must be KEY=VALUE"),
        (["emails", "send_mail"], "queue 'emails' has no task 'send_mail'; there are send_email, fail"),
        (["mails", "send_email"], "there is no queue 'mails'; there are emails, news"),
        (["emails"], "QUEUE and TASK are needed"),
    ],
)
def test_wrong_words_are_wrong_usage_and_nothing_is_sent(run, app, words, told):
    """Arguments are checked against the task before anything is sent."""
    result = run("send", app.name, *words)

    assert result.exit_code == 2
    assert told in result.stderr
    assert bodies(app.module.emails) == []


def test_reserved_names_are_no_way_around_the_options(run, app):
    """An underscored option is refused with a hint at the command's own options."""
    result = run("send", app.name, "emails", "send_email", "to=x", "_delay_seconds=1")

    assert result.exit_code == 2
    assert "_delay_seconds is reserved; this command has options for what it means" in result.stderr


def test_options_reach_sqs(run, app):
    """``--delay-seconds`` delays the message."""
    result = run("send", app.name, "emails", "send_email", "to=x", "--delay-seconds", "5")

    assert result.exit_code == 0
    assert app.module.emails.get_raw_messages() == []


def test_option_that_the_queue_cannot_honour_is_one_line(run, app):
    """A FIFO option on a standard queue is an error, not a traceback."""
    result = run("send", app.name, "emails", "send_email", "to=x", "--deduplication-id", "1")

    assert result.exit_code == 1
    assert "is a standard queue" in result.stderr


def test_lines_of_standard_input_are_jobs(run, app):
    """Each line is a job; more than ten go in several batches."""
    lines = "".join(f'{{"edition": {n}}}\n' for n in range(23)) + "\n"

    result = run("send", app.name, "news", "print_news", "-", given=lines)

    ids = result.stdout.split()
    assert result.exit_code == 0
    assert len(set(ids)) == 23
    for _ in range(3):
        app.module.news.process_batch()
    assert sorted(app.module.done) == list(range(23))


@pytest.mark.parametrize("line", ["{nonsense", '{"edition": 1, "colour": 2}', "[1]"])
def test_line_that_does_not_fit_ends_it_after_what_came_before(run, app, line):
    """Everything before the line has been sent, and says so by its id."""
    result = run("send", app.name, "news", "print_news", "-", given=f'{{"edition": 1}}\n{line}\n{{"edition": 3}}\n')

    assert result.exit_code == 2
    assert "line 2: " in result.stderr
    (message,) = app.module.news.get_raw_messages()
    assert result.stdout == f"{message.message_id}\n"


def test_arguments_are_in_no_log(run, app, caplog):
    """A refused argument's neighbours are not repeated in logs or errors."""
    caplog.set_level("DEBUG")

    result = run("send", app.name, "emails", "send_email", "to=hunter2", "copies=many")

    assert "hunter2" not in caplog.text + result.stderr


def test_line_of_json_whose_value_does_not_fit_is_refused(run, app):
    """With its number, and nothing of it is sent."""
    result = run("send", app.name, "emails", "send_email", "-", given='{"to": "a", "copies": "many"}\n')

    assert result.exit_code == 2
    assert "line 1: copies: not the int that the task wants, for example 17" in result.stderr
    assert bodies(app.module.emails) == []


def test_queue_may_be_named_as_sqs_knows_it(run, app):
    """That is the name which 'queues list' shows."""
    result = run("send", app.name, "t-emails", "send_email", "to=x")

    assert result.exit_code == 0, result.output
    assert len(bodies(app.module.emails)) == 1
