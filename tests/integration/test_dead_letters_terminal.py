"""A bar on a terminal names the letter that is being sent."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

from click.testing import CliRunner

from sqs_tasks.cli.main import main
from tests.support.worker_processes import client, environment

APP = """
from sqs_tasks import MemorySession, SQSEnv

env = SQSEnv(MemorySession())
jobs = env.queue("jobs")
env.create_queues()
for n in range(3):
    names = {"JobName": {"DataType": "String", "StringValue": "work"}}
    env.client().send_message(QueueUrl=jobs.dead_letter_queue_url(), MessageBody="{}", MessageAttributes=names)
"""


def test_a_retry_on_a_terminal_shows_its_progress(tmp_path):
    """How many of how many, and the id of the letter that comes next; standard output has the result alone."""
    (tmp_path / "app.py").write_text(APP)
    ours, theirs = pty.openpty()

    done = subprocess.run(
        [sys.executable, "-m", "sqs_tasks", "dead", "retry", "app:env", "--yes"],
        cwd=tmp_path,
        env=environment("http://127.0.0.1:1", COLUMNS="120", TERM="xterm"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        timeout=30,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65_536):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)

    assert (done.returncode, done.stdout) == (0, "3 retried from jobs_dead\n")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert len(set(re.findall(r"retrying ([0-9a-f-]{36}) work", text))) == 3
    assert "3/3" in text


def test_a_url_alone_is_enough(server, monkeypatch):
    """Without an application letters are listed, shown and retried elsewhere; boto3 says where SQS is."""
    for name in [one for one in os.environ if one.startswith(("SQS_TASKS_", "AWS_"))]:
        monkeypatch.delenv(name)
    for name, value in environment(server.endpoint_url).items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    direct = client(server.endpoint_url)
    urls = {name: direct.create_queue(QueueName=name)["QueueUrl"] for name in ("jobs_dead", "jobs")}
    names = {"JobName": {"DataType": "String", "StringValue": "work"}}
    direct.send_message(QueueUrl=urls["jobs_dead"], MessageBody='{"n": 1}', MessageAttributes=names)

    def run(*words):
        return CliRunner().invoke(main, ["dead", words[0], urls["jobs_dead"], *words[1:]])

    assert "     1  work" in run("ls").stdout
    assert '"n": 1' in run("show", "--arguments").stdout
    assert "say where it goes with --to QUEUE" in run("retry", "--yes").stderr
    assert run("retry", "--yes", "--to", urls["jobs"]).stdout == "1 retried from jobs_dead\n"
    direct.close()
