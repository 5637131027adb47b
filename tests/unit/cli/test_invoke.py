"""``sqs-tasks invoke`` on the SQS in memory; with a handler in this process, and in one of its own."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys

import pytest
from click.testing import CliRunner

from sqs_tasks.cli.invoke import invoke
from sqs_tasks.local.memory import MemorySession

HANDLER = """
import os

def handler(event, context):
    if os.environ.get("INTERRUPT"):
        os.kill(os.getpid(), 2)
    for record in event["Records"]:
        if record["body"] == "raise":
            raise ValueError("no good")
    return {"batchItemFailures": [
        {"itemIdentifier": record["messageId"]} for record in event["Records"] if record["body"] == "bad"
    ]}
"""


#: Returns when twenty are there.
MEETING = """
import threading

together = threading.Barrier(20)

def handler(event, context):
    together.wait(20)
"""


@pytest.fixture
def client(monkeypatch):
    client = MemorySession().client("sqs")
    monkeypatch.setattr("sqs_tasks.cli.invoke.ClientProvider", lambda **_: lambda: client)
    monkeypatch.setattr("sqs_tasks.local.event_source.mapping.POLL_WAIT_SECONDS", 0)
    return client


@pytest.fixture
def url(client):
    return client.create_queue(QueueName="q")["QueueUrl"]


@pytest.fixture
def run(client, url, tmp_path, monkeypatch):
    """Runs the command in a directory with a handler, and leaves the process as it was."""
    (tmp_path / "invoked_app.py").write_text(HANDLER)
    (tmp_path / "meeting.py").write_text(MEETING)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "path", sys.path.copy())
    logger = logging.getLogger("sqs_tasks.local")
    before = logger.handlers.copy(), logger.propagate
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments, handler="invoked_app.handler", queue="q"):
        settings = ["--queue", queue, "--directory", str(tmp_path), "--until-empty", "--seed", "1"]
        return CliRunner().invoke(invoke, [handler, *settings, *arguments], catch_exceptions=False)

    yield run
    logger.handlers, logger.propagate = before
    for number, handler in signals.items():
        signal.signal(number, handler)
    sys.modules.pop("invoked_app", None)


def send(client, url, *bodies):
    return [client.send_message(QueueUrl=url, MessageBody=body)["MessageId"] for body in bodies]


@pytest.mark.parametrize("how", [["--in-process"], []], ids=["in process", "in a subprocess"])
def test_queue_is_worked_off_and_reported(run, client, url, how):
    """The command ends with the totals and exit code 0."""
    send(client, url, "a", "b")

    result = run(*how)

    assert result.exit_code == 0, result.output
    assert "REPORT RequestId: " in result.stdout
    assert "2 records: 2 deleted, 0 left" in result.stdout
    assert "2 records, 2 deleted, 0 failed" in result.stderr


def test_failure_is_listed_and_sets_the_exit_code(run, client, url):
    """The ids of failed messages are printed, and the exit code is 1."""
    _, bad = send(client, url, "good", "bad")

    result = run("--in-process")

    assert result.exit_code == 1
    assert f"2 records: 1 deleted, 1 left\n  {bad}" in result.stdout


def test_error_of_an_in_process_handler_is_printed(run, client, url):
    """The traceback of an exception is shown."""
    send(client, url, "raise")

    result = run("--in-process")

    assert "[ERROR] ValueError: no good" in result.stdout
    assert "invoked_app.py" in result.stdout


def test_json_lines(run, client, url):
    """Each invocation is one JSON object on one line."""
    good, bad = send(client, url, "good", "bad")

    result = run("--in-process", "--json", "--batch-size", "1")

    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert {first["deleted"][0] if first["deleted"] else None, second["deleted"][0] if second["deleted"] else None} == {
        good,
        None,
    }
    assert first["failed"] + second["failed"] == [bad]
    assert {"requestId", "status", "durationMs", "billedDurationMs", "memorySizeMB"} <= set(first)


def test_queue_url_is_taken_as_it_is(run, client, url):
    """A URL needs no look-up by name."""
    send(client, url, "a")

    assert "1 deleted" in run("--in-process", queue=url).stdout


def test_settings_reach_the_event_source(run, client, url):
    """Options of the command line change how the source behaves."""
    send(client, url, '{"kind": "order"}', '{"kind": "refund"}', "a", "b")

    result = run("--in-process", "--filter", '{"body": {"kind": ["order"]}}', "--fault", "crash=1", "--json")

    told = json.loads(result.stdout)
    assert told["error"]["type"] == "Runtime.ExitError"
    assert "3 filtered" in result.stderr


def test_provisioned_pollers_run_side_by_side(run, client, url):
    """Two are worth twenty at a time; what one of them would wait for is there at once."""
    send(client, url, *map(str, range(20)))

    result = run("--in-process", "--batch-size", "1", "--provisioned-pollers", "2", "2", handler="meeting.handler")

    assert result.exit_code == 0
    assert "20 invocations, 20 records, 20 deleted, 0 failed" in result.stderr


def test_first_interrupt_ends_after_the_running_invocation(run, client, url):
    """Ctrl-C waits for the invocation, and reports it."""
    send(client, url, "a", "b")

    result = run("--in-process", "--batch-size", "1", "--env", "INTERRUPT=1")

    assert result.exit_code == 0
    assert "1 invocation, 1 record, 1 deleted, 0 failed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--queue", "other"], "there is no queue 'other'"),
        (["--batch-size", "11"], "needs a window"),
        (["--fault", "lightning=1"], "unknown fault 'lightning'"),
        (["--filter", "{"], "not JSON"),
        (["--env", "NAME"], "must be NAME=VALUE"),
        (["--memory", "64"], "give 128 to 10240"),
        (["--provisioned-pollers", "1", "9"], "provisioned_pollers=1, 9 is out of range"),
        (["--provisioned-pollers", "2", "3", "--maximum-concurrency", "2"], "exclude each other"),
        (["--timeout", "31"], "less than Function timeout: 31 seconds"),
    ],
)
def test_wrong_settings_are_told_without_a_traceback(run, arguments, problem):
    """A setting that AWS refuses is one line on stderr."""
    result = run("--in-process", *arguments)

    assert result.exit_code in (1, 2)
    assert problem in result.stderr
    assert not re.search(r"\bS\d", result.stderr)


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        ("handler", "must be 'module.function'"),
        ("there_is_none.handler", "there is no module 'there_is_none'"),
        ("invoked_app.other", "has no 'other'"),
    ],
)
def test_handler_that_is_not_there_is_told(run, handler, problem):
    """The error names what could not be found."""
    result = run("--in-process", handler=handler)

    assert result.exit_code == 1
    assert problem in result.stderr


@pytest.mark.parametrize(
    ("arguments", "handler", "problem"),
    [
        ([], "there_is_none.handler", "there_is_none"),
        ([], "invoked_app.other", "other"),
        (["--command", "./nothere"], "invoked_app.handler", "./nothere"),
    ],
)
def test_handler_that_cannot_be_loaded_receives_nothing(run, client, url, arguments, handler, problem):
    """Each receive counts towards the dead-letter queue, and its message is invisible for a while."""
    send(client, url, "a")

    result = run(*arguments, handler=handler)

    assert result.exit_code == 1
    assert problem in result.stderr.splitlines()[-1]
    message = client.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"][0]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_command_that_is_not_there_fails_on_an_empty_queue_too(run):
    """A runtime that cannot start is noticed before any message comes."""
    assert run("--command", "./nothere").exit_code == 1


def test_cold_start_before_the_first_receive_is_reported_with_the_first_invocation(run, client, url):
    """The first REPORT line has the init duration."""
    send(client, url, "a")

    result = run()

    assert "Init Duration: " in result.stdout
    assert "1 invocation, 1 cold start, " in result.stderr


def test_queue_is_not_called_empty_while_messages_are_in_flight_or_delayed(run, client, url):
    """What could not be worked off is counted, and the exit code is 1."""
    send(client, url, "a", "b")
    client.receive_message(QueueUrl=url, MaxNumberOfMessages=2)
    client.send_message(QueueUrl=url, MessageBody="c", DelaySeconds=60)

    result = run("--in-process")

    assert result.exit_code == 1
    assert result.stderr.rstrip().endswith(
        "0 invocations, 0 records, 0 deleted, 0 failed, 2 still in flight, 1 still delayed"
    )


#: Writes lines in pieces, and leaves the last one open.
TALKATIVE = """
import subprocess, sys

def handler(event, context):
    for record in event["Records"]:
        print("one", record["body"])
        print("to standard error", file=sys.stderr)
        print("no newline", record["body"], end="")
"""


@pytest.fixture
def talkative(tmp_path):
    (tmp_path / "talkative.py").write_text(TALKATIVE)
    yield "talkative.handler"
    sys.modules.pop("talkative", None)


@pytest.mark.parametrize("how", [["--in-process"], []])
def test_report_never_stands_in_a_line_of_the_function(run, client, url, talkative, how):
    """Whatever the function leaves open is a line of its own before the report."""
    send(client, url, "a")

    printed = run(*how, handler=talkative).stdout.splitlines()

    at = next(number for number, line in enumerate(printed) if line.startswith("REPORT"))
    assert "no newline a" in printed[:at]
    assert "one a" in printed[:at]


@pytest.mark.parametrize("how", [["--in-process"], []])
def test_json_is_all_there_is_on_standard_output(run, client, url, talkative, how):
    """So that it can be piped into a program; what the function writes goes to standard error."""
    send(client, url, "a")

    result = run("--json", *how, handler=talkative)

    assert [json.loads(line)["status"] for line in result.stdout.splitlines()] == ["succeeded"]
    lines = result.stderr.splitlines()
    assert "one a" in lines
    assert "no newline a" in lines


def test_lines_of_functions_that_run_side_by_side_stay_whole(run, client, url, tmp_path):
    """Two processes that write at the same moment."""
    (tmp_path / "chorus.py").write_text(
        "import os\n"
        "def handler(event, context):\n"
        "    name = event['Records'][0]['body']\n"
        "    for _ in range(300):\n"
        "        os.write(1, name.encode())\n"
        "        os.write(1, name.encode() + b'\\n')\n"
    )
    send(client, url, "aaaa", "bbbb")

    printed = run("--batch-size", "1", handler="chorus.handler").stdout.splitlines()

    assert printed.count("a" * 8) == 300
    assert printed.count("b" * 8) == 300
