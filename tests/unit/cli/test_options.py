"""The declaration of options: one for each, with its environment variable."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from sqs_tasks.cli.options import setting, variable_of
from sqs_tasks.cli.worker import worker

#: Every option of the worker with its variable and default, as deployed containers use them.
WORKER = {
    "--concurrency": ("SQS_TASKS_CONCURRENCY", 10),
    "--async-concurrency": ("SQS_TASKS_ASYNC_CONCURRENCY", None),
    "--processes": ("SQS_TASKS_PROCESSES", 1),
    "--supervise": ("SQS_TASKS_SUPERVISE", False),
    "--isolate": ("SQS_TASKS_ISOLATE", None),
    "--max-jobs-per-child": ("SQS_TASKS_MAX_JOBS_PER_CHILD", None),
    "--prefetch": ("SQS_TASKS_PREFETCH", 0),
    "--heed-pause": ("SQS_TASKS_HEED_PAUSE", None),
    "--weight": ("SQS_TASKS_WEIGHT", ()),
    "--strict-priority": ("SQS_TASKS_STRICT_PRIORITY", False),
    "--wait-seconds": ("SQS_TASKS_WAIT_SECONDS", 20),
    "--grace-seconds": ("SQS_TASKS_GRACE_SECONDS", 25),
    "--max-tasks": ("SQS_TASKS_MAX_TASKS", None),
    "--max-runtime": ("SQS_TASKS_MAX_RUNTIME", None),
    "--max-rss": ("SQS_TASKS_MAX_RSS", None),
    "--max-overrun": ("SQS_TASKS_MAX_OVERRUN", None),
    "--idle-seconds": ("SQS_TASKS_IDLE_SECONDS", None),
    "--health-port": ("SQS_TASKS_HEALTH_PORT", None),
    "--health-host": ("SQS_TASKS_HEALTH_HOST", ()),
    "--report-interval": ("SQS_TASKS_REPORT_INTERVAL", 300),
    "--log-level": ("SQS_TASKS_LOG_LEVEL", "info"),
    "--log-format": ("SQS_TASKS_LOG_FORMAT", "text"),
}


@pytest.fixture
def command():
    @click.command()
    @setting("-n", "--max-things", "things", type=int, default=3, help="How many.")
    def command(things):
        click.echo(things)

    return command


def test_variable_gives_what_the_command_line_does_not(command, monkeypatch):
    """The command line wins over the variable, the variable over the default."""
    run = CliRunner().invoke
    assert run(command).output == "3\n"

    monkeypatch.setenv("SQS_TASKS_MAX_THINGS", "5")

    assert run(command).output == "5\n"
    assert run(command, ["-n", "7"]).output == "7\n"


def test_help_shows_the_variable_and_the_default(command):
    """Nobody has to look them up elsewhere."""
    said = " ".join(CliRunner().invoke(command, ["--help"]).output.split())

    assert "SQS_TASKS_MAX_THINGS" in said
    assert "default: 3" in said


def test_variable_is_named_after_the_long_option():
    """The short name and the name of the argument do not matter."""
    assert variable_of("-c", "--async-concurrency", "count") == "SQS_TASKS_ASYNC_CONCURRENCY"


def test_options_of_the_worker_keep_their_variables_and_defaults(directory):
    """Images and task definitions that are deployed name them."""
    values = worker.make_context("worker", []).params
    found = {
        option.opts[-1]: (option.envvar, values[option.name])
        for option in worker.params
        if isinstance(option, click.Option) and isinstance(option.envvar, str)
    }

    assert found == WORKER
