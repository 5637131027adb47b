"""``sqs-tasks plan``."""

from __future__ import annotations

import json


def test_a_table_of_queues(run, app):
    """A line for each queue, in plain columns in a pipe."""
    lines = run("plan", app.name).stdout.splitlines()

    assert lines[0].split("  ")[0] == "queue"
    assert [line.split()[:3] for line in lines[1:3]] == [["emails", "t-emails", "lambda"], ["news", "t-news", "lambda"]]
    assert lines[1].split()[3:] == ["10", "305", "1830", "5", "345600"]


def test_the_whole_plan_as_json(run, app):
    """For programs: with variables and policies."""
    made = json.loads(run("plan", app.name, "--json").stdout)

    assert made["app"] == app.name
    assert made["workers"][0]["environment"]["SQS_TASKS_APP"] == app.name
    assert made["workers"][0]["policy"]["Statement"][0]["Sid"] == "WorkQueues"
