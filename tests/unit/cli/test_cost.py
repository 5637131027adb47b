"""``sqs-tasks cost``."""

from __future__ import annotations

import json


def test_a_table_and_the_assumptions(run, app):
    """Each line with what it costs, and the sum."""
    result = run("cost", app.name, "--jobs-per-month", "1e6", "--seconds", "0.1", "--seconds", "send_email=2")

    assert result.exit_code == 0, result.output
    assert "Lambda time" in result.stdout
    assert "  a job runs for 0.1 s, those of the tasks that are named" in result.stdout
    row = json.loads(run("cost", app.name, "--jobs-per-month", "0", "--json").stdout)
    assert row["dollars"] == round(sum(line["dollars"] for line in row["lines"]), 2)


def test_wrong_numbers_are_wrong_usage(run, app):
    """With what they must be."""
    for words in (("--seconds", "x"), ("--jobs", "3"), ("--seconds", "send_email=-1"), ("--seconds", "nan")):
        result = run("cost", app.name, "--jobs-per-month", "1", *words)
        assert result.exit_code == 2
        assert "must be" in result.stderr
    assert run("cost", app.name, "--jobs-per-month", "1", "--jobs", "nope=1").exit_code == 1
