"""The worker's lines when the application sets up logging of its own, and the application's lines about jobs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.dev_process import clean_environment

APP = """
import logging, logging.config
SETUP
from sqs_tasks import MemorySession, SQSEnv

env = SQSEnv(MemorySession())
queue = env.queue("emails", max_receive_count=2)
log = logging.getLogger("shop.tasks")


@env.pre_task
def before(job):
    log.info("hook for %s", job.kwargs.get("n"))


@queue.processor("fail", max_attempts=1)
def fail(n: int) -> None:
    log.info("in plain %d", n)
    raise ValueError("boom")


@queue.processor("wait")
async def wait(n: int) -> None:
    import asyncio
    await asyncio.sleep(0.01 * (3 - n))
    log.info("in async %d", n)


@queue.batch_processor("many")
def many(items) -> None:
    log.info("in batch of %d", len(items))


env.create_queues()
JOBS
log.info("outside of jobs")
"""

#: Disables every logger that exists, as it does unless told otherwise.
SETUP = """
logging.config.dictConfig({
    "version": 1,
    "formatters": {"mine": {"format": "MINE %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "mine"}},
    "root": {"level": "INFO", "handlers": ["console"]},
})
"""


@pytest.fixture
def lines(tmp_path):
    """Runs a worker until its queue is empty; gives the lines of its standard error."""

    def lines(jobs, *words, setup=""):
        # This library is imported first, as it is by its own command.
        (tmp_path / "shop_app.py").write_text(APP.replace("SETUP", setup).replace("JOBS", jobs))
        ran = subprocess.run(
            [sys.executable, "-m", "sqs_tasks", "worker", "shop_app:env", "--idle-seconds", "1", *words],
            cwd=tmp_path,
            env={**clean_environment(), "AWS_DEFAULT_REGION": "us-east-1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stderr.splitlines()

    return lines


def test_set_up_that_disables_loggers_does_not_silence_the_library(lines):
    """A failing job leaves a line, in the application's own format."""
    heard = lines("fail.delay(1)", setup=SETUP)

    (line,) = [line for line in heard if "rejected" in line and "boom" in line]
    assert line.startswith("MINE ERROR sqs_tasks.execution")


def test_json_lines_stay_json_whatever_the_application_sets_up(lines):
    """The stack counts them; each is there once, and the application's own lines are as it wants them."""
    heard = lines("fail.delay(1)", "--log-format", "json", setup=SETUP)

    ours = [json.loads(line) for line in heard if line.startswith("{")]
    (rejected,) = [one for one in ours if one.get("action") == "job_rejected"]
    assert (rejected["job_name"], rejected["queue_name"]) == ("fail", "emails")
    assert "MINE INFO shop.tasks in plain 1" in heard
    assert not [line for line in heard if line.startswith("MINE") and "sqs_tasks." in line]


def test_lines_of_the_application_have_the_job_that_they_are_about(lines):
    """In text at their end, as the library's own; also in hooks, and in async jobs that run at the same time."""
    heard = lines("fail.delay(7)\nfor n in range(3): wait.delay(n)")

    id_by_line = {
        message: line.partition("job_id=")[2].split()[0]
        for line in heard
        for message in [
            "in plain 7",
            "hook for 7",
            *(f"{word} {n}" for word in ("in async", "hook for") for n in range(3)),
        ]
        if line.partition(" queue=")[0].endswith(message)
    }
    (outside,) = [line for line in heard if "outside of jobs" in line]

    assert len(id_by_line) == 8
    assert id_by_line["in plain 7"] == id_by_line["hook for 7"]
    assert [id_by_line[f"in async {n}"] for n in range(3)] == [id_by_line[f"hook for {n}"] for n in range(3)]
    assert len(set(id_by_line.values())) == 4
    assert "job_id" not in outside


def test_fields_of_the_job_are_in_json_too(lines):
    """A batch is several jobs, so its lines name the task alone."""
    heard = [
        json.loads(line) for line in lines("fail.delay(1)\nfor n in range(3): many.delay(n=n)", "--log-format", "json")
    ]

    (plain,) = [one for one in heard if one["message"] == "in plain 1"]
    batch = next(one for one in heard if one["message"].startswith("in batch"))
    assert plain["job_id"]
    assert (plain["queue_name"], plain["job_name"], plain["attempt"]) == ("emails", "fail", 1)
    assert (batch["queue_name"], batch["job_name"]) == ("emails", "many")
    assert "job_id" not in batch
