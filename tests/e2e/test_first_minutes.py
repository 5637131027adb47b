"""A new user's first five minutes, with nothing but what the README says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import aws_cli
from tests.support.aws_cli import AwsCli
from tests.support.dev_process import PATIENCE, clean_environment, dev

README = Path(__file__).resolve().parents[2] / "README.md"

#: What the README's task does not do yet.
BODY = ": ..."

ARGUMENTS = '(to="a@example.com", subject="Hi", body="Hello")'


@pytest.fixture
def cli():
    if not aws_cli.is_installed():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the AWS CLI is not installed; 'make test' installs it")
    return AwsCli


@pytest.fixture
def tasks(tmp_path):
    """The README's first example as the file it names."""
    example = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    path = tmp_path / "myapp" / "tasks.py"
    path.parent.mkdir()
    path.write_text(example[1], encoding="utf-8")
    return path


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def delay(directory, exports):
    """Another process, with exactly the printed variables; gives the message id."""
    done = subprocess.run(
        [sys.executable, "-c", f"from myapp.tasks import send_email; print(send_email.delay{ARGUMENTS})"],
        cwd=directory,
        env={**clean_environment(), **exports},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_first_five_minutes(tasks, tmp_path, cli):
    """Scaffold, run, send, edit, fail, redrive: each step by what the one before it printed."""
    with dev(tmp_path, "myapp.tasks:env") as session:
        exports = session.wait_for("dev_started")["environment"]
        aws = cli(exports["AWS_ENDPOINT_URL_SQS"], exports)
        (queue,) = session.wait_for("dev_loaded")["queues"]

        sent = delay(tmp_path, exports)
        ran = session.wait_for("job_succeeded")
        assert (ran["message_id"], ran["queue_name"], ran["attempt"]) == (sent, "emails", 1)

        edit(tasks, BODY, ':\n    raise ValueError(f"no mailbox for {to}")')
        edit(tasks, "max_attempts=5", "max_attempts=1")
        session.wait_for("dev_loaded")
        sent = delay(tmp_path, exports)
        failed = session.wait_for("job_rejected")
        assert failed["message_id"] == sent
        assert "ValueError: no mailbox for a@example.com" in failed["exception"]
        session.wait_for("dev_queues", lambda told: told["queues"][0]["dead"] == 1)

        edit(tasks, '    raise ValueError(f"no mailbox for {to}")', '    print(f"mailed {subject} to {to}")')
        session.wait_for("dev_loaded")
        arn, dead_arn = (
            aws.run("get-queue-attributes", "--queue-url", url, "--attribute-names", "QueueArn")["Attributes"][
                "QueueArn"
            ]
            for url in (queue["url"], queue["dead_letter_url"])
        )
        aws.run("start-message-move-task", "--source-arn", dead_arn, "--destination-arn", arn)
        redriven = session.wait_for("job_succeeded")
        assert redriven["job_id"] == failed["job_id"]
        session.wait_for_output("mailed Hi to a@example.com")

        (task,) = aws.run("list-message-move-tasks", "--source-arn", dead_arn)["Results"]
        assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)
        assert session.stop() == (0, "")
