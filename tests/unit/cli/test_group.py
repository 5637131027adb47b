"""The command group: its overview, its errors, and what it does without click."""

from __future__ import annotations

import subprocess
import sys

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from sqs_tasks.errors import ConfigurationError


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_help_lists_every_command(run):
    """Each command stands in the overview."""
    result = run("--help")

    assert result.exit_code == 0
    for name in ("worker", "send", "queues", "manifest", "local-sqs", "invoke"):
        assert f"\n  {name} " in result.stdout


def test_help_imports_no_command():
    """The overview must be quick, and must not fail because one command's parts are missing."""
    ran = python(
        "import sys\n"
        "from sqs_tasks.cli.main import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(sorted({'boto3', 'asyncio', 'rich', 'sqs_tasks.worker', 'sqs_tasks.cli.invoke'} & set(sys.modules)))"
    )

    assert ran.stderr == ""
    assert ran.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    "command",
    [
        *("dev", "worker", "send", "queues create", "queues list", "queues redrive"),
        *("manifest", "diff", "iam", "local-sqs", "invoke"),
    ],
)
def test_every_command_has_help_with_examples(run, command):
    """Each command's help shows how it is called."""
    result = run(*command.split(), "--help")

    assert result.exit_code == 0
    assert f"$ sqs-tasks {command}" in result.stdout


def test_unknown_command_is_wrong_usage(run):
    """A typo is exit code 2."""
    result = run("wroker")

    assert result.exit_code == 2
    assert "No such command" in result.stderr


def test_version(run):
    """``--version`` prints name and version."""
    assert run("--version").stdout.startswith("sqs-tasks, version ")


def test_without_click_it_says_what_to_install():
    """Without the extra the command says what to install."""
    ran = python("import sys; sys.modules['click'] = None; from sqs_tasks.cli.main import main; main()")

    assert ran.returncode == 1
    assert ran.stderr == "sqs-tasks: the command line needs click; install it with: pip install 'sqs-tasks[cli]'\n"


def test_module_runs_as_the_script_does():
    """``python -m sqs_tasks`` is the same command."""
    ran = subprocess.run([sys.executable, "-m", "sqs_tasks", "--version"], capture_output=True, text=True, timeout=60)

    assert ran.returncode == 0
    assert "version" in ran.stdout


def failing(app, monkeypatch, error):
    def raise_it(**_):
        raise error

    monkeypatch.setattr(app.env.client(), "get_queue_attributes", raise_it, raising=False)


def test_what_the_library_refuses_is_one_line(run, app, monkeypatch):
    """An error of ours is one line and exit code 1."""
    failing(app, monkeypatch, ConfigurationError("what is wrong, and what to do"))

    result = run("queues", "list", app.name)

    assert (result.exit_code, result.stderr) == (1, "Error: what is wrong, and what to do\n")


def test_what_aws_refuses_is_one_line(run, app, monkeypatch):
    """An error of AWS is one line with its code."""
    error = ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "GetQueueAttributes")
    failing(app, monkeypatch, error)

    result = run("queues", "list", app.name)

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: AccessDenied: ")
    assert result.stderr.count("\n") == 1


def test_missing_credentials_are_one_line(run, app, monkeypatch):
    """An error of botocore is one line."""
    failing(app, monkeypatch, NoCredentialsError())

    result = run("queues", "list", app.name)

    assert (result.exit_code, result.stderr) == (1, "Error: NoCredentialsError: Unable to locate credentials\n")


def test_other_errors_are_shown_as_they_are(run, app, monkeypatch):
    """A bug is not hidden behind a line."""
    failing(app, monkeypatch, ZeroDivisionError("a bug"))

    result = run("queues", "list", app.name)

    assert isinstance(result.exception, ZeroDivisionError)


def test_endpoint_where_nobody_answers_comes_with_a_hint(run, directory, monkeypatch):
    """Most often dev was stopped in the other terminal."""
    monkeypatch.setattr("sqs_tasks.cli.invoke._configure_logging", lambda: None)
    (directory / "away_app.py").write_text(
        "from sqs_tasks import SQSEnv\nenv = SQSEnv()\n@env.queue('q').processor('t')\ndef t(): pass\n"
    )
    (directory / "away_handler.py").write_text("def handler(event, context): pass\n")
    for words in (
        ["send", "away_app:env", "q", "t"],
        ["queues", "list", "away_app:env"],
        ["invoke", "away_handler.handler", "--queue", "q", "--in-process"],
    ):
        result = run(*words, "--endpoint-url", "http://127.0.0.1:9")

        assert result.exit_code == 1
        assert "'sqs-tasks dev' or 'sqs-tasks local-sqs' running there?" in result.stderr
        assert "AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9" in result.stderr
