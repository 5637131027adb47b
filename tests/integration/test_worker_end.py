"""A worker that was asked to stop is gone soon after its grace period, whatever keeps it, and its jobs are given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from tests.support.polling import until
from tests.support.worker_processes import children_of, client, environment, left

#: A lease of a minute: what is visible soon after the end has been given back, and has not come by itself.
APP = """
import asyncio
import atexit
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from sqs_tasks import SQSEnv

env = SQSEnv()
jobs = env.queue("jobs", visibility_timeout_seconds=60, max_receive_count=5)
pool = ThreadPoolExecutor(1)


def note(name, *values):
    descriptor = os.open(name, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, (" ".join(map(str, values)) + "\\n").encode())
    os.close(descriptor)


def for_ever():
    threading.Event().wait()


@jobs.processor("starts")
def starts(what: str) -> None:
    if what == "thread":
        threading.Thread(target=for_ever).start()
    elif what == "executor":
        pool.submit(for_ever)
    elif what == "atexit":
        atexit.register(for_ever)
    elif what == "log":
        threading.Thread(target=logs, daemon=True).start()
    elif what == "print":
        atexit.register(lambda: sys.stdout.write("x" * 200_000))
    note("done", what)


@jobs.processor("hangs")
def hangs() -> None:
    note("started", "hangs")
    for_ever()


@jobs.processor("hangs_in_to_thread")
async def hangs_in_to_thread() -> None:
    note("started", "hangs_in_to_thread")
    await asyncio.to_thread(for_ever)


@jobs.processor("hangs_and_hides_it")
async def hangs_and_hides_it() -> None:
    note("started", "hangs_and_hides_it")
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass


def logs():
    while True:
        logging.getLogger("app").warning("x" * 1000)
        note("logged", 1)
"""

#: Where jobs run in the main thread, and where a supervisor waits for the process.
ALONE, SUPERVISED = ["-c", "1"], ["-c", "2", "--supervise"]

GRACE_SECONDS = 1

#: Seconds beyond it that an end may take on a slow machine; the supervisor kills after four.
MARGIN_SECONDS = 8


@pytest.fixture
def server():
    with LocalSQSServer() as server:
        yield server


@pytest.fixture
def jobs(server):
    env = SQSEnv(sqs_client=client(server.endpoint_url))
    queue = env.queue("jobs", max_receive_count=5)
    env.create_queues()
    yield queue
    env.client().close()


@pytest.fixture
def start(server, tmp_path):
    """Start a worker whose output goes into pipes that nobody reads."""
    (tmp_path / "app.py").write_text(APP)
    started = []

    def start(*options):
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sqs_tasks", "worker", "app:env", "--wait-seconds", "1"),
                *("--grace-seconds", str(GRACE_SECONDS), *options),
            ],
            cwd=tmp_path,
            env=environment(server.endpoint_url, PYTHONUNBUFFERED=""),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def lines(tmp_path):
    return lambda name: (tmp_path / name).read_text().splitlines() if (tmp_path / name).exists() else []


def stopped(worker):
    """The exit code of a worker that is asked to stop."""
    worker.send_signal(signal.SIGTERM)
    return worker.wait(GRACE_SECONDS + MARGIN_SECONDS)


@pytest.mark.parametrize(
    ("what", "options"), [("thread", ALONE), ("executor", SUPERVISED), ("atexit", ALONE), ("print", SUPERVISED)]
)
def test_what_a_task_leaves_running_does_not_keep_the_process(start, jobs, lines, what, options):
    """Python waits at its end for threads, for atexit and for output to be read; the platform does not."""
    jobs.add_job("starts", what=what)
    worker = start(*options)
    until(lambda: lines("done"), what="it is done")

    assert stopped(worker) == 0

    assert left(jobs) == (0, 0)


@pytest.mark.parametrize(
    ("task", "options"),
    [("hangs", SUPERVISED), ("hangs_in_to_thread", ["-c", "2"]), ("hangs_and_hides_it", SUPERVISED)],
)
def test_a_job_that_hangs_is_given_back(start, jobs, lines, task, options):
    """Also one that runs in a thread which Python would wait for, and one that does not let itself be cancelled."""
    jobs.add_job(task)
    worker = start(*options)
    until(lambda: lines("started"), what="it runs")

    assert stopped(worker) == 0

    assert left(jobs) == (1, 0)


@pytest.mark.parametrize("options", [ALONE, SUPERVISED])
def test_a_log_that_nobody_reads_does_not_keep_it(start, jobs, lines, options):
    """A full pipe holds up every thread that logs; the signal counts before it is logged."""
    jobs.add_job("starts", what="log")
    worker = start(*options)

    def is_full():
        before = len(lines("logged"))
        time.sleep(0.2)
        return before and len(lines("logged")) == before

    until(is_full, what="the pipe is full")
    jobs.add_job("hangs")

    assert stopped(worker) == 0

    assert left(jobs)[1] == 0


@pytest.mark.parametrize("options", [[], ["--supervise"]])
def test_a_limit_ends_it_too(start, jobs, lines, options):
    """After --max-tasks the process has a grace period to exit; under a supervisor a fresh one takes its place."""
    jobs.add_job("starts", what="thread")

    worker = start("-c", "2", "--max-tasks", "1", *options)

    if options:
        jobs.add_job("starts", what="thread")
        until(lambda: len(lines("done")) == 2, what="a fresh worker has done the second")
        assert stopped(worker) == 0
    else:
        assert worker.wait(30) == 0
    assert left(jobs) == (0, 0)


def test_a_full_log_of_the_supervisor_does_not_keep_its_workers_from_being_replaced(start, jobs, lines, server):
    """It supervises, whether or not somebody reads what it says."""
    jobs.add_job("starts", what="log")
    supervisor = start("-c", "2", "--supervise")
    until(lambda: lines("logged"), what="the pipe fills")
    (worker,) = children_of(supervisor.pid)
    time.sleep(0.5)

    os.kill(worker, signal.SIGKILL)

    until(lambda: set(children_of(supervisor.pid)) - {worker}, what="a new worker")
    assert stopped(supervisor) == 0
