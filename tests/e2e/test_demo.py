"""The demo, end to end in a smaller size; and that its books notice what does not add up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sqs_tasks.local.server import LocalSQSServer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

#: Seconds that the demo may take on a busy machine.
PATIENCE = 120


def demo(*words):
    # As on a fresh machine: nothing of the caller's AWS configuration helps, and nothing of it may be touched.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SQS_TASKS_"))}
    return subprocess.run(
        [sys.executable, EXAMPLES / "shop" / "demo.py", *words],
        env={**environ, "AWS_PROFILE": "a-profile-nobody-has"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def rows(text):
    """The lines of the table by their queue, without the column of who worked it."""
    lines = (line.split() for line in text.splitlines())
    return {line[0]: line for line in lines if line and line[0] in ("receipts", "pictures", "payments", "all")}


def test_demo_accounts_for_every_job():
    """The table of the demo adds up: each job sent has succeeded or is a dead letter."""
    ran = demo("--jobs", "100")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = rows(ran.stdout)
    assert found["receipts"][2:-2] == ["x", "worker", "50", "46", "8", "4", "0", "0"]
    assert found["pictures"][2:-2] == ["x", "Lambda", "30", "27", "5", "3", "0", "0"]
    assert found["payments"][2:-2] == ["x", "Lambda", "20", "17", "3", "3", "0", "0"]
    # With so few jobs the first process may have done all before the second was there.
    assert {found[name][1] for name in ("receipts", "pictures", "payments")} <= {"1", "2"}
    assert found["all"][1:] == ["100", "90", "16", "10", "0", "0"]
    assert "every job is accounted for" in ran.stdout


def test_demo_in_a_pipe_prints_plain_lines():
    """Without a terminal the demo draws nothing."""
    ran = demo("--jobs", "20")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\x1b" not in ran.stdout
    assert ran.stderr == ""


def test_demo_that_runs_out_of_time_says_what_is_left_and_fails():
    """Without workers nothing of the containers' queue is done."""
    ran = demo("--jobs", "20", "--workers", "0", "--timeout", "1")

    assert ran.returncode == 1
    assert rows(ran.stdout)["receipts"][4:10] == ["10", "0", "0", "0", "10", "0"]
    assert "receipts: 10 sent are not 0 succeeded + 0 dead-lettered" in ran.stdout
    assert "every job is accounted for" not in ran.stdout


@pytest.fixture
def shop(monkeypatch):
    """The example's modules, on a local SQS with the shop's queues."""
    with LocalSQSServer() as server:
        for name, value in {
            "AWS_ENDPOINT_URL_SQS": server.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(EXAMPLES)
        import shop.accounts
        import shop.tasks

        shop.tasks.env.create_queues()
        yield shop
        shop.tasks.env.client().close()
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def produce(tmp_path, jobs):
    """Run the producer; gives its outbox and an empty journal."""
    outbox, journal = tmp_path / "outbox.jsonl", tmp_path / "journal.jsonl"
    subprocess.run(
        [sys.executable, EXAMPLES / "shop" / "produce.py", "--jobs", str(jobs), "--outbox", outbox],
        check=True,
        timeout=PATIENCE,
        capture_output=True,
    )
    journal.touch()
    return outbox, journal


def test_books_see_a_message_that_is_lost(shop, tmp_path):
    """A message that somebody deleted is in none of the places where it could be."""
    outbox, journal = produce(tmp_path, 10)
    receipts = shop.tasks.receipts
    (message, *_) = receipts.get_raw_messages(max_messages=1)
    receipts.settlement().delete([message])

    account, *_ = shop.accounts.close(shop.tasks.env, outbox, journal)

    assert (account.queue, account.sent, account.left, account.lost) == ("receipts", 5, 4, 1)
    assert any(problem.startswith("5 sent are not") for problem in account.problems)


def test_books_see_a_job_that_died_and_succeeded(shop, tmp_path, monkeypatch):
    """A job that is both done and dead is reported as a problem."""
    outbox, journal = produce(tmp_path, 10)
    monkeypatch.setenv("SHOP_JOURNAL", str(journal))
    receipts, client = shop.tasks.receipts, shop.tasks.env.client()
    (message, *_) = receipts.get_raw_messages(max_messages=1)
    client.send_message(
        QueueUrl=shop.tasks.env.get_queue_url("receipts_dead"),
        MessageBody=message.body,
        MessageAttributes=message.message_attributes,
    )
    client.change_message_visibility_batch(
        QueueUrl=receipts.queue_url,
        Entries=[{"Id": "0", "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": 0}],
    )
    receipts.process_batch()

    account, *_ = shop.accounts.close(shop.tasks.env, outbox, journal)

    job_id = message.attribute("JobId")
    assert f"job {job_id} is in the dead-letter queue, and succeeded" in account.problems


def test_books_see_a_run_too_few(shop, tmp_path, monkeypatch):
    """A job that should have failed first, and did not, was not run as planned."""
    outbox, journal = produce(tmp_path, 10)
    monkeypatch.setenv("SHOP_JOURNAL", str(journal))
    monkeypatch.setattr("shop.services._maybe_fail", lambda name: None)
    shop.tasks.receipts.process_batch()

    account, *_ = shop.accounts.close(shop.tasks.env, outbox, journal)

    assert (account.sent, account.succeeded, account.left, account.lost) == (5, 5, 0, 0)
    assert [problem.partition(" (")[2] for problem in account.problems] == [
        "flaky-1) succeeded after 1 runs; it should have succeeded after 2"
    ]
