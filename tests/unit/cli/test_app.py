"""Finding the application: by argument or environment variable, from the working directory, its errors shown."""

from __future__ import annotations

import pytest


def test_app_comes_from_the_environment_variable(run, app, monkeypatch):
    """``SQS_TASKS_APP`` stands in for the argument."""
    monkeypatch.setenv("SQS_TASKS_APP", app.name)

    result = run("queues", "list")

    assert result.exit_code == 0
    assert "t-emails" in result.stdout


def test_words_after_the_app_may_stand_without_it(run, app, monkeypatch):
    """SQS_TASKS_APP in a container, and the queue's name as its command."""
    monkeypatch.setenv("SQS_TASKS_APP", app.name)

    assert run("send", "news", "print_news", "edition=1").exit_code == 0


def test_app_argument_wins_over_the_variable(run, app, monkeypatch):
    """The argument goes before the variable."""
    monkeypatch.setenv("SQS_TASKS_APP", "another:env")

    assert run("queues", "list", app.name).exit_code == 0


def test_working_directory_is_searched(run, directory):
    """A module in the working directory is found without an installation."""
    (directory / "only_here.py").write_text(
        "from sqs_tasks import MemorySession, SQSEnv\n"
        "env = SQSEnv(MemorySession())\n"
        "env.queue('jobs').processor('work')(print)"
    )

    assert run("manifest", "only_here:env").exit_code == 0


@pytest.mark.parametrize("words", [[], ["cli_app"]])
def test_missing_app_is_wrong_usage(run, words):
    """No application, or one without an attribute, is exit code 2 with the form that is expected."""
    result = run("manifest", *words)

    assert result.exit_code == 2
    assert "APP must be module:attribute" in result.stderr


def test_malformed_variable_is_wrong_usage(run, monkeypatch):
    """The error quotes the variable and its value."""
    monkeypatch.setenv("SQS_TASKS_APP", "cli_app")

    result = run("worker")

    assert result.exit_code == 2
    assert "SQS_TASKS_APP='cli_app' must be module:attribute" in result.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [("no_such_module:env", "there is no module 'no_such_module'"), ("cli_app:nothing", "has no 'nothing'")],
)
def test_app_that_is_not_there_is_one_line(run, app, name, told):
    """A missing module or attribute is one line, without a traceback."""
    result = run("manifest", name)

    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_broken_app_shows_its_own_lines_only(run, directory):
    """The traceback begins in the application, not in the importer."""
    (directory / "broken_app.py").write_text("def f():\n    raise KeyError('oops')\n\nf()\n")

    result = run("manifest", "broken_app:env")

    assert result.exit_code == 1
    assert "raise KeyError('oops')" in result.stderr
    assert "Error: cannot load broken_app:env: KeyError: 'oops'" in result.stderr
    assert "importlib" not in result.stderr
    assert "sqs_tasks" not in result.stderr


def test_app_whose_own_import_fails_shows_which(run, directory):
    """A missing dependency of the application is not taken for a missing application."""
    (directory / "half_app.py").write_text("import a_package_nobody_has\n")

    result = run("manifest", "half_app:env")

    assert result.exit_code == 1
    assert "import a_package_nobody_has" in result.stderr
    assert "ModuleNotFoundError" in result.stderr


def test_queue_s_url_is_no_app(run, app, monkeypatch):
    """With the variable set, a URL is taken for a queue although it has a colon."""
    monkeypatch.setenv("SQS_TASKS_APP", app.name)

    result = run("worker", "https://sqs.eu-central-1.amazonaws.com/123456789012/emails")

    assert result.exit_code == 2
    assert "no registered queue matches 'https://" in result.stderr
