"""``sqs-tasks invoke`` as a process: nothing that it started outlives it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest

from sqs_tasks.local.server import LocalSQSServer
from tests.support.worker_processes import client, environment

PATIENCE = 60

#: The function starts a process of its own. Both hold a connection to the test, so it sees when both are gone.
HANDLER = """
import os, socket, subprocess, sys

CHILD = '''
import socket
line = socket.create_connection(("127.0.0.1", PORT))
line.sendall(b"c")
print("connected", flush=True)
line.recv(1)
'''

def handler(event, context):
    body = event["Records"][0]["body"]
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
    child.stdout.readline()
    print("no newline", end="")
    os.system("echo from a program")
    with socket.create_connection(("127.0.0.1", PORT)) as line:
        line.sendall(b"f")
        if body == "wait":
            line.recv(1)
    if body == "crash":
        os._exit(3)
"""


@pytest.fixture
def endpoint():
    with LocalSQSServer() as server:
        yield server.endpoint_url


@pytest.fixture
def listener(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        (tmp_path / "app.py").write_text(HANDLER.replace("PORT", str(listener.getsockname()[1])))
        yield listener


@pytest.fixture
def start(endpoint, tmp_path):
    """Starts the command with a message in its queue, and ends it."""
    sqs = client(endpoint)
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    started = []

    def start(body, *words):
        sqs.send_message(QueueUrl=url, MessageBody=body)
        process = subprocess.Popen(
            [sys.executable, "-m", "sqs_tasks", "invoke", "app.handler", "--queue", "q", *words],
            cwd=tmp_path,
            env=environment(endpoint),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    sqs.close()
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def accept(listener, count=2):
    lines = [listener.accept()[0] for _ in range(count)]
    for line in lines:
        line.settimeout(PATIENCE)
        assert line.recv(1) in {b"c", b"f"}
    return lines


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_ended_invoke_leaves_neither_function_nor_what_it_started(start, listener, number):
    """However it ends, in the middle of an invocation; SIGTERM a second time ends it at once."""
    process = start("wait")
    lines = accept(listener)

    process.send_signal(number)
    if number == signal.SIGTERM:
        while "once more" not in process.stderr.readline():
            pass
        process.send_signal(number)

    assert [line.recv(1) for line in lines] == [b"", b""]
    for line in lines:
        line.close()


def test_crashed_function_leaves_nothing_that_it_started(start, listener):
    """As on Lambda, where the environment ends with its process."""
    start("crash")
    for line in accept(listener):
        assert line.recv(1) == b""
        line.close()


@pytest.mark.parametrize("how", [["--in-process"], []])
def test_json_stands_alone_on_standard_output(start, listener, how):
    """Also what a program writes that the function starts is kept apart, and no line is glued to another."""
    process = start("go", "--json", "--until-empty", *how)
    lines = accept(listener)
    for line in lines:
        line.close()  # the program of the function ends

    printed, errors = process.communicate(timeout=PATIENCE)

    assert [json.loads(line)["status"] for line in printed.splitlines()] == ["succeeded"]
    assert "from a program" in errors
    assert process.returncode == 0
