"""``sqs-tasks doctor``."""

from __future__ import annotations

import json


def test_what_why_and_fix(run, app):
    """Each finding in three lines, a summary at the end, and exit code 1 for an error."""
    client = app.env.client()
    client.delete_queue(QueueUrl=app.env.get_queue_url("news"))

    result = run("doctor", app.name)

    assert result.exit_code == 1
    assert "error: queue t-news: there is no such queue in this account and region" in result.stdout
    assert "  fix  sqs-tasks queues create, or deploy the stack" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("1 error")
    assert "SQS is on this machine" in result.stderr


def test_all_is_well(run, app):
    """Exit code 0, and no line of JSON."""
    assert (run("doctor", app.name).exit_code, run("doctor", app.name).stdout) == (0, "all is well\n")
    assert run("doctor", app.name, "--json").stdout == ""


def test_warnings_alone_are_exit_code_3(run, app):
    """A dead letter is a warning, as JSON too; with --look its unknown task is an error."""
    names = {"JobName": {"DataType": "String", "StringValue": "gone"}}
    app.env.client().send_message(
        QueueUrl=app.env.get_queue_url("emails_dead"), MessageBody="{}", MessageAttributes=names
    )

    result = run("doctor", app.name, "--json")

    assert result.exit_code == 3
    [row] = [json.loads(line) for line in result.stdout.splitlines()]
    assert (row["kind"], row["severity"], row["subject"]) == ("dead-letters", "warning", "queue t-emails_dead")
    assert set(row) == {"kind", "severity", "subject", "what", "why", "fix"}
    assert run("doctor", app.name, "--look").exit_code == 1
