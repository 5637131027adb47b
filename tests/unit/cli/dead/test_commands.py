"""``sqs-tasks dead``: questions, files, editors and exit codes."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.unit.cli.conftest import app, directory, run  # noqa: F401 - fixtures of the folder above


@pytest.fixture
def buried(run, app):  # noqa: F811
    """Two jobs that gave up and one that cannot be read, as dead letters of emails."""
    app.module.give_up.delay()
    app.module.give_up.delay()
    app.module.emails.add_job("send_email", to="anna", copies=2)
    app.module.emails.process_batch()
    return app


def letters(app):  # noqa: F811
    return app.module.emails.statistics().dead_letters


def test_nothing_is_dropped_without_an_answer(run, buried):  # noqa: F811
    """No answer is wrong usage, a no is an end without harm, a yes does it; what is chosen is shown first."""
    silent = run("dead", "drop", buried.name, "emails")
    refused = run("dead", "drop", buried.name, "emails", "--task", "give_up", given="n\n")
    assert (silent.exit_code, refused.exit_code) == (2, 0)
    assert "--yes answers it in advance" in silent.stderr
    assert "Drop all 2 letters of t-emails_dead? This cannot be undone." in silent.stderr
    assert "2  give_up · Reject" in refused.stderr
    assert letters(buried) == 2

    done = run("dead", "drop", buried.name, "emails", "--task", "give_up", given="y\n")

    assert (done.exit_code, done.stdout) == (0, "2 dropped from t-emails_dead\n")
    assert letters(buried) == 0


def test_a_limit_is_for_all_queues_together(run, buried):  # noqa: F811
    """``--limit 1`` over all queues drops one."""
    result = run("dead", "drop", buried.name, "--limit", "1", "--yes", "--json")

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["dropped"] for row in rows] == [1]
    assert letters(buried) == 1


def test_an_id_that_fits_nothing_fails(run, buried):  # noqa: F811
    """A script must know; an empty queue without an id is no failure."""
    assert run("dead", "retry", buried.name, "emails", "--id", "0" * 36, "--yes").exit_code == 1
    assert run("dead", "show", buried.name, "emails", "--id", "0" * 36).exit_code == 1
    assert run("dead", "retry", buried.name, "bare", "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ls", "cli_app:env", "nope"), "there is no queue 'nope' with dead letters; there are emails_dead, bare_dead"),
        (("ls", "cli_app:env", "news"), "queue 'news' has no dead-letter queue"),
        (("ls", "cli_app:env", "--older", "soon"), "must be a number with s, m, h or d, such as 30m or 2d"),
        (("ls", "cli_app:env", "--id", "abc"), "too short to mean one letter"),
        (("edit", "cli_app:env"), "'edit' works on one queue at a time; name one of t-emails_dead, t-bare_dead"),
        (("ls",), "APP must be module:attribute"),
    ],
)
def test_wrong_usage_is_said(run, app, words, said):  # noqa: F811
    """Exit code 2 and what would be right."""
    result = run("dead", *words)

    assert result.exit_code == 2
    assert said in result.stderr


def test_export_and_import(run, buried, directory):  # noqa: F811
    """Letters to a file, dropped, and back from the file."""
    exported = run("dead", "export", buried.name, "emails", "-o", "letters.jsonl")
    run("dead", "drop", buried.name, "emails", "--yes")
    assert (letters(buried), exported.stderr) == (0, "2 exported from t-emails_dead\n")

    imported = run("dead", "import", buried.name, "emails", "letters.jsonl", "--start", "2")

    assert imported.stdout == "1 imported to t-emails_dead\n"
    assert "importing line 2" in imported.stderr
    assert letters(buried) == 1


@pytest.fixture
def editor(directory, monkeypatch):  # noqa: F811
    """Have ``$EDITOR`` replace one text by another in the file that it opens."""

    def editor(old, new):
        script = directory / "editor.py"
        script.write_text(
            "import sys, pathlib\n"
            "file = pathlib.Path(sys.argv[1])\n"
            f"file.write_text(file.read_text().replace({old!r}, {new!r}))\n"
        )
        monkeypatch.setitem(os.environ, "VISUAL", f"{sys.executable} {script}")

    return editor


@pytest.fixture
def failed(run, app):  # noqa: F811
    """A job of send_email, dead."""
    task = app.module.emails.registry.get("send_email")
    real = task.processor.fn

    def refuse(to, copies=1, total=None):
        raise app.module.Reject("no")

    task.processor.fn = refuse
    app.module.send_email.delay(to="anna", copies=2)
    app.module.emails.process_batch()
    task.processor.fn = real
    assert letters(app) == 1
    return app


def test_an_edit_in_an_editor(run, failed, editor):  # noqa: F811
    """What was written is sent, the letter is gone, and what was changed is named, without its value."""
    editor("anna", "anna@example.com")

    result = run("dead", "edit", failed.name, "emails", given="y\n")

    assert result.exit_code == 0, result.output
    assert "Send send_email with another to, and drop letter" in result.stderr
    assert letters(failed) == 0
    run("worker", failed.name, "emails", "--idle-seconds", "0")
    assert failed.module.done == [("anna@example.com", 2, None)]


def test_an_edit_that_changes_nothing_or_cannot_be_read(run, failed, editor):  # noqa: F811
    """Nothing is sent, and the letter stays; what is wrong is said, and the editor offered again."""
    editor("nothing", "of it")
    assert run("dead", "edit", failed.name, "emails").stdout == "0 edited: nothing was changed\n"
    editor('"to"', '"two"')
    refused = run("dead", "edit", failed.name, "emails", given="n\n")

    assert "the arguments do not fit task 'send_email'" in refused.stderr
    assert "Edit again?" in refused.stderr
    assert letters(failed) == 1
    assert run("dead", "edit", failed.name, "emails", "--set", "copies=3", "--dry-run").exit_code == 0
    assert run("dead", "edit", failed.name, "emails", "--set", "copies=many").exit_code == 2
    assert letters(failed) == 1


def test_move_is_made_by_sqs_and_can_be_selective(run, buried):  # noqa: F811
    """All by one request; some by copies."""
    assert run("dead", "move", buried.name, "emails", "--limit", "1", "--yes").stdout == "1 moved from t-emails_dead\n"
    assert (
        run("dead", "move", buried.name, "emails", "--dry-run").stdout == "1 letter of t-emails_dead would be moved\n"
    )
    assert run("dead", "move", buried.name, "emails", "--yes").stdout == "1 moved from t-emails_dead\n"
    assert letters(buried) == 0
    assert run("dead", "move", buried.name, "emails", "--yes").stdout == (
        "0 moved from t-emails_dead: the dead-letter queue is empty\n"
    )


def test_watch_prints_changes(run, buried):  # noqa: F811
    """One line for each queue at first, and no letter is received for it."""
    result = run("dead", "watch", buried.name, "--times", "2", "--interval", "0.1", "--json")

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["queue"], row["letters"]) for row in rows] == [("t-emails_dead", 2), ("t-bare_dead", 0)]
    [first] = json.loads("[" + run("dead", "ls", buried.name, "emails", "--json", "--limit", "1").stdout.strip() + "]")
    assert first["receives"] == 1


def test_a_redrive_policy_of_the_dead_letter_queue_itself_is_warned_of(run, buried):  # noqa: F811
    """There a look would move letters on."""
    client = buried.env.client()
    arn = client.get_queue_attributes(QueueUrl=buried.env.get_queue_url("bare"), AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": 9}
    client.set_queue_attributes(
        QueueUrl=buried.env.get_queue_url("emails_dead"), Attributes={"RedrivePolicy": json.dumps(policy)}
    )

    result = run("dead", "ls", buried.name, "emails")

    assert "careful: t-emails_dead has a redrive policy itself; after 9 receives" in result.stderr
