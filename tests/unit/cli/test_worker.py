"""``sqs-tasks worker``, in this process: what it works, and when it ends by itself."""

from __future__ import annotations

import json

import click
import pytest

from sqs_tasks.cli.worker import worker
from sqs_tasks.cli.worker_limits import WorkerLimits
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import BatchProcessingResult


def result_of(count):
    message = ReceivedMessage(message_id="m", receipt_handle="h", body="")
    return BatchProcessingResult("q", succeeded=[message] * count)


def test_works_all_queues_that_have_tasks(run, app):
    """Without names every queue with a task is worked."""
    app.module.send_email.delay(to="x")
    app.module.print_news.delay(edition=7)

    result = run("worker", app.name, "--idle-seconds", "0", "--concurrency", "1")

    assert result.exit_code == 0, result.output
    assert sorted(app.module.done, key=str) == [("x", 1, None), 7]


def test_works_the_queues_that_a_pattern_names(run, app):
    """A glob chooses queues."""
    app.module.send_email.delay(to="x")
    app.module.print_news.delay(edition=7)

    run("worker", app.name, "ne*", "--idle-seconds", "0")

    assert app.module.done == [7]


def test_ends_after_max_tasks(run, app):
    """``--max-tasks`` ends the worker after the jobs that it has received."""
    for edition in range(30):
        app.module.print_news.delay(edition=edition)

    result = run("worker", app.name, "news", "--max-tasks", "3", "--concurrency", "1")

    assert result.exit_code == 0
    assert 3 <= len(app.module.done) <= 10


def test_options_come_from_the_environment_too(run, app, monkeypatch):
    """Containers set options as variables."""
    monkeypatch.setenv("SQS_TASKS_APP", app.name)
    monkeypatch.setenv("SQS_TASKS_IDLE_SECONDS", "0")
    monkeypatch.setenv("SQS_TASKS_LOG_FORMAT", "json")

    result = run("worker", "news")

    assert result.exit_code == 0
    started = json.loads(result.stderr.splitlines()[0])
    assert started["action"] == "worker_started"
    assert started["queues"] == ["news"]


def test_queues_come_from_the_environment_where_the_command_names_none(run, app, monkeypatch):
    """``SQS_TASKS_QUEUES`` chooses queues; a pattern that matches nothing is an error."""
    app.module.send_email.delay(to="x")
    app.module.print_news.delay(edition=7)
    monkeypatch.setenv("SQS_TASKS_QUEUES", "ne* other*")

    wrong = run("worker", app.name, "--idle-seconds", "0")
    monkeypatch.setenv("SQS_TASKS_QUEUES", "ne*")
    right = run("worker", app.name, "--idle-seconds", "0")

    assert "other*" in wrong.stderr
    assert right.exit_code == 0
    assert app.module.done == [7]


def test_every_option_has_an_environment_variable():
    """No option is out of a container's reach, and its help names the variable."""
    options = [option for option in worker.params if isinstance(option, click.Option)]

    for option in options:
        names = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or [])
        assert any(name.startswith("SQS_TASKS_") for name in names), option.name
        assert names[0] in option.help or option.show_envvar, option.name


def test_logs_name_jobs_and_never_their_arguments(run, app):
    """The line of a job has its names and ids, and no argument."""
    app.module.send_email.delay(to="hunter2")

    result = run("worker", app.name, "--idle-seconds", "0", "--log-level", "info", "--log-format", "json")

    (done,) = [line for line in map(json.loads, result.stderr.splitlines()) if line.get("action") == "job_succeeded"]
    assert (done["job_name"], done["queue_name"], done["attempt"]) == ("send_email", "emails", 1)
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "no registered queue matches 'nothing'"),
        (["bare"], "queue 'bare' of cli_app:env has no tasks"),
        (["--concurrency", "0"], "--concurrency"),
        (["--wait-seconds", "21"], "--wait-seconds"),
        (["--log-format", "xml"], "--log-format"),
    ],
)
def test_wrong_words_are_wrong_usage(run, app, words, told):
    """Unknown queues and values out of range are exit code 2."""
    result = run("worker", app.name, *words)

    assert result.exit_code == 2
    assert told in result.stderr


def test_app_without_tasks_is_broken(run, directory):
    """An application without any task is exit code 1."""
    (directory / "empty_app.py").write_text(
        "from sqs_tasks import MemorySession, SQSEnv\nenv = SQSEnv(MemorySession())"
    )

    result = run("worker", "empty_app:env")

    assert result.exit_code == 1
    assert "empty_app:env has no task on any queue" in result.stderr


def test_queue_that_does_not_exist_is_not_waited_for(run, directory):
    """A missing queue is an error at the start."""
    (directory / "early_app.py").write_text(
        "from sqs_tasks import MemorySession, SQSEnv\n"
        "env = SQSEnv(MemorySession())\n"
        "@env.queue('q').processor('t')\n"
        "def t(): pass\n"
    )

    result = run("worker", "early_app:env")

    assert result.exit_code == 1
    assert "there is no queue 'q'" in result.stderr


def test_region_that_is_missing_is_one_line(run, directory):
    """The error says which variable to set."""
    (directory / "aws_app.py").write_text(
        "from sqs_tasks import SQSEnv\nenv = SQSEnv()\n@env.queue('q').processor('t')\ndef t(): pass\n"
    )

    result = run("worker", "aws_app:env")

    assert result.exit_code == 1
    assert "no AWS region is set; set AWS_REGION" in result.stderr


def test_limits_count_the_jobs_of_all_queues():
    """``--max-tasks`` counts over all queues together."""
    limits = WorkerLimits(max_tasks=3)

    limits.update_state(result_of(2))
    assert not limits.need_shutdown()
    limits.update_state(result_of(1))

    assert limits.need_shutdown()


def test_reached_limit_stays_reached():
    """One queue has stopped by then; another that goes on alone would be half a worker."""
    limits = WorkerLimits(idle_seconds=0)
    limits.update_state(result_of(0))
    assert limits.need_shutdown()

    limits.update_state(result_of(1))

    assert limits.need_shutdown()


def test_without_limits_it_never_ends():
    """Without limits the worker goes on, in the longest polls."""
    limits = WorkerLimits()

    limits.update_state(result_of(0))

    assert not limits.need_shutdown()
    assert limits.longest_wait_seconds() == 20


@pytest.mark.parametrize("weight", ["emails=x", "nope=2"])
def test_wrong_weight_is_refused_before_it_says_that_it_starts(run, app, weight):
    """A wrong ``--weight`` is refused before the worker reports its start."""
    result = run("worker", app.name, "--weight", weight)

    assert result.exit_code == 2
    assert weight.partition("=")[0] in result.stderr
    assert "INFO" not in result.stderr


@pytest.mark.parametrize("name", ["t-news", "t-ne*"])
def test_works_the_queues_that_are_named_as_sqs_knows_them(run, app, name):
    """The names that 'queues list' shows, patterns and weights included."""
    app.module.send_email.delay(to="x")
    app.module.print_news.delay(edition=7)

    result = run("worker", app.name, name, "--idle-seconds", "0", "--weight", "t-news=2")

    assert result.exit_code == 0, result.output
    assert app.module.done == [7]
