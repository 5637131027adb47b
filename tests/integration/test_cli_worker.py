"""``sqs-tasks worker`` as a process of its own, over HTTP, with real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress

import boto3
import pytest

from sqs_tasks.local.server import LocalSQSServer
from tests.support.ports import free_ports

#: Seconds after which a test that hangs gives up.
PATIENCE = 30

#: Its task says hello on a socket, waits for a word and says goodbye: the test decides when it ends.
APP = """
import os, socket, sys

from sqs_tasks import SQSEnv

env = SQSEnv()
calls = env.queue("calls")


@env.on_start
def start():
    print("application started", file=sys.stderr)


@env.on_stop
async def stop():
    print("application stopped", file=sys.stderr)


@calls.processor("call")
def call(name: str) -> None:
    with socket.create_connection(("127.0.0.1", int(os.environ["TEST_PORT"]))) as line:
        line.sendall(f"{name}\\n".encode())
        if line.recv(16):
            line.sendall(b"done\\n")


@calls.processor("greet")
def greet(name: str) -> None:
    print("hello")


@calls.processor("fail")
def fail() -> None:
    raise RuntimeError("no")
"""


class Bench:
    """A local SQS, an application beside it, and a socket that its tasks call."""

    def __init__(self, server, directory, listener):
        self.server = server
        self.directory = directory
        self.listener = listener
        self.client = boto3.client("sqs", region_name="us-east-1", endpoint_url=server.endpoint_url)

    @property
    def environ(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SQS_TASKS_"))}
        return {
            **kept,
            "AWS_ENDPOINT_URL_SQS": self.server.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "TEST_PORT": str(self.listener.getsockname()[1]),
        }

    def run(self, *words, given=None):
        return subprocess.run(
            [sys.executable, "-m", "sqs_tasks", *words],
            cwd=self.directory,
            env=self.environ,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    @contextmanager
    def worker(self, *words):
        """A worker that the block ends, or that is killed after it."""
        process = subprocess.Popen(
            [sys.executable, "-m", "sqs_tasks", "worker", "signal_app:env", "--wait-seconds", "1", *words],
            cwd=self.directory,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def answer(self):
        """Take a task's call; gives the line, and a file to read what it says."""
        line, _ = self.listener.accept()
        line.settimeout(PATIENCE)
        return line, line.makefile("r")

    def counts(self, name="calls"):
        url = self.client.get_queue_url(QueueName=name)["QueueUrl"]
        attributes = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"]), int(attributes["ApproximateNumberOfMessagesNotVisible"])


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    (tmp_path / "signal_app.py").write_text(APP)
    with LocalSQSServer() as server, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        bench = Bench(server, tmp_path, listener)
        created = bench.run("queues", "create", "signal_app:env")
        assert (created.returncode, created.stdout) == (0, "calls_dead\ncalls\n"), created.stderr
        yield bench
        bench.client.close()


def send(bench, task, *words):
    ran = bench.run("send", "signal_app:env", "calls", task, *words)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("concurrency", ["1", "4"])
def test_signal_lets_the_running_job_finish_and_ends_with_0(bench, number, concurrency):
    """SIGTERM and SIGINT wait for the running job, settle it, stop the application and end the process with 0."""
    send(bench, "call", "name=ann")

    with bench.worker("--concurrency", concurrency) as worker:
        line, said = bench.answer()
        assert said.readline() == "ann\n"
        worker.send_signal(number)
        line.sendall(b"go")
        assert said.readline() == "done\n"
        _, logs = worker.communicate(timeout=PATIENCE)
        line.close()

    assert worker.returncode == 0, logs
    order = [logs.find(text) for text in ("application started", "job call succeeded", "application stopped")]
    assert -1 < order[0] < order[1] < order[2], logs
    assert bench.counts() == (0, 0)


def test_stopping_worker_receives_no_more(bench):
    """A message that is sent after the signal stays in the queue, visible."""
    send(bench, "call", "name=first")

    with bench.worker("--concurrency", "1") as worker:
        line, said = bench.answer()
        said.readline()
        send(bench, "call", "name=second")
        worker.send_signal(signal.SIGTERM)
        line.sendall(b"go")
        worker.communicate(timeout=PATIENCE)
        line.close()

    assert worker.returncode == 0
    assert bench.counts() == (1, 0)


def test_second_signal_ends_it_at_once(bench):
    """The second signal ends the process with the exit code of the signal."""
    send(bench, "call", "name=ann")

    with bench.worker() as worker:
        line, said = bench.answer()
        said.readline()
        worker.send_signal(signal.SIGTERM)
        ended = None
        while ended is None:
            # Signals that arrive together are one: the second has to come after the first was heard.
            worker.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                ended = worker.wait(0.2)
        line.close()

    assert worker.returncode == 128 + signal.SIGTERM


def test_worker_in_a_pipe_prints_plain_lines(bench):
    """Without a terminal there are no colours, and logs hold no argument."""
    send(bench, "greet", "name=hunter2")
    send(bench, "fail")

    ran = bench.run("worker", "signal_app:env", "--max-tasks", "2", "--wait-seconds", "1")

    assert ran.returncode == 0
    assert ran.stdout == "hello\n"
    assert "\x1b" not in ran.stderr
    assert "hunter2" not in ran.stderr
    assert "INFO    sqs_tasks.execution.executor: job greet succeeded in" in ran.stderr
    assert "RuntimeError: no" in ran.stderr


def test_json_logs_are_an_object_a_line(bench):
    """Each line of the log is a JSON object; a retried attempt is a warning without a traceback."""
    send(bench, "greet", "name=hunter2")
    send(bench, "fail")

    ran = bench.run("worker", "signal_app:env", "--max-tasks", "2", "--wait-seconds", "1", "--log-format", "json")

    # All but what the application itself prints as it starts and stops.
    lines = [line for line in ran.stderr.splitlines() if line not in {"application started", "application stopped"}]
    told = {line.get("action"): line for line in map(json.loads, lines)}
    assert told["job_succeeded"]["job_name"] == "greet"
    assert told["job_retried"]["message"].endswith("RuntimeError: no")
    assert told["job_retried"]["level"] == "WARNING"
    assert "exception" not in told["job_retried"]


def test_jobs_come_through_standard_input(bench):
    """``send … -`` reads a job a line, and a worker runs them all."""
    sent = bench.run(
        "send", "signal_app:env", "calls", "greet", "-", given="".join(f'{{"name": "{n}"}}\n' for n in range(25))
    )
    ran = bench.run("worker", "signal_app:env", "--idle-seconds", "0")
    listed = bench.run("queues", "list", "signal_app:env", "--json")

    assert len(set(sent.stdout.split())) == 25
    assert ran.stdout.count("hello") == 25
    assert [(one["ready"], one["in_flight"], one["dead"]) for one in json.loads(listed.stdout)] == [(0, 0, 0)]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["no_such_app:env"], 1, "there is no module 'no_such_app'"),
        (["signal_app:env", "nothing"], 2, "no registered queue matches 'nothing'"),
        (["signal_app:env", "--endpoint-url", "nonsense"], 2, "must be a URL"),
    ],
)
def test_exit_codes(bench, words, code, told):
    """A broken application ends with 1, wrong usage with 2, each with one line that says why."""
    ran = bench.run("worker", *words)

    assert ran.returncode == code
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_worker_waits_for_an_endpoint_that_is_away(bench):
    """A local SQS that restarts, or a network that comes late, is no reason to end."""
    port = free_ports()
    with bench.worker("--endpoint-url", f"http://127.0.0.1:{port}") as worker:
        assert any("cannot receive from queue calls" in line for line in iter(worker.stderr.readline, ""))
        with LocalSQSServer(port=port) as server:
            here = Bench(server, bench.directory, bench.listener)
            assert here.run("queues", "create", "signal_app:env").returncode == 0
            send(here, "call", "name=late")
            line, said = bench.answer()
            assert said.readline() == "late\n"
            line.sendall(b"go")
            assert said.readline() == "done\n"
            worker.send_signal(signal.SIGTERM)
            worker.communicate(timeout=PATIENCE)
            line.close()
            here.client.close()

    assert worker.returncode == 0
