"""``sqs-tasks manifest``."""

from __future__ import annotations

import json

import pytest


def test_manifest_says_where_the_app_is(run, app):
    """The command prints the manifest of the application, with its name."""
    result = run("manifest", app.name)

    told = json.loads(result.stdout)
    assert told["app"] == app.name
    assert told == app.env.manifest(app=app.name)


def test_manifest_goes_to_a_file(run, app, directory):
    """``--output`` writes the same text, and a note to standard error."""
    result = run("manifest", app.name, "--output", "out.json")

    assert (result.stdout, result.stderr) == ("", "wrote out.json\n")
    assert (directory / "out.json").read_text() == run("manifest", app.name).stdout


def test_manifest_asks_aws_nothing(run, app, monkeypatch):
    """The manifest needs no credentials."""

    def no_client():
        raise AssertionError("a client was made")

    monkeypatch.setattr(app.env, "client", no_client)

    assert run("manifest", app.name).exit_code == 0


EMPTY = """
from sqs_tasks import SQSEnv

env = SQSEnv(queue_prefix="b-")
mail = env.queue("mail")
"""


@pytest.fixture
def empty(directory):
    """An application whose module imports no module with tasks."""
    (directory / "billing.py").write_text(EMPTY)
    return "billing:env"


@pytest.mark.parametrize("words", [["manifest"], ["iam", "--for", "worker"], ["schedules", "ls"]])
def test_registry_without_any_task_is_refused(run, empty, words):
    """A stack that is built from it would remove all workers, and schedules would be deleted."""
    result = run(*words, empty)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "billing:env has no task" in result.stderr
    assert "mail" in result.stderr
    assert "import the modules that register your tasks" in result.stderr


def test_registry_without_any_task_cannot_be_compared(run, empty):
    """Exit code 2: a build must not take it for a difference."""
    result = run("diff", empty)

    assert result.exit_code == 2
    assert "has no task" in result.stderr


def test_registry_without_any_task_is_printed_for_those_who_mean_it(run, empty):
    """For an application that only sends, say."""
    result = run("manifest", empty, "--without-tasks")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["queues"][0]["tasks"] == []
    assert run("iam", "--for", "producer", empty).exit_code == 0


def test_registry_without_queues_is_refused_too(run, directory):
    """There is nothing that a stack could be built from."""
    (directory / "billing.py").write_text("from sqs_tasks import SQSEnv\nenv = SQSEnv()\n")

    assert "billing:env has no task" in run("manifest", "billing:env").stderr
    assert "it has no queue either" in run("iam", "--for", "worker", "billing:env").stderr
