"""``sqs-tasks worker --isolate process``: jobs that cannot be stopped, or that take their process along, cost themselves."""

from __future__ import annotations

import json
import signal

import pytest

from sqs_tasks import SQSEnv
from tests.support.polling import until
from tests.support.worker_processes import client, is_running, left, processes

APP = """
import asyncio
import contextlib
import ctypes
import itertools
import logging
import os
import signal
import threading
import time

from sqs_tasks import SQSEnv, context_middleware, current_job

@contextlib.contextmanager
def noted(job):
    note("middleware", os.getpid())
    yield

env = SQSEnv(middleware=[context_middleware(noted)])
jobs = env.queue("jobs", visibility_timeout_seconds=60)
logging.getLogger("shop").info("loaded")


def note(name, value):
    descriptor = os.open(name, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, f"{value}\\n".encode())
    os.close(descriptor)


@env.on_start
def start():
    note("starts", os.getpid())

@env.on_stop
def stop():
    note("stops", os.getpid())

@env.post_task
def after(job, outcome):
    note("outcomes", f"{job.job_name} {type(outcome).__name__} {job.job_id}")


@jobs.processor("loop", timeout=1, max_attempts=1)
def loop() -> None:
    while True:
        pass

@jobs.processor("c_code", timeout=1, max_attempts=1)
def c_code() -> None:
    note("c_code", os.getpid())
    sum(itertools.repeat(0))  # for ever, with the interpreter's lock

@jobs.processor("segfault", max_attempts=1)
def segfault() -> None:
    ctypes.string_at(0)

@jobs.processor("leave", max_attempts=1)
def leave() -> None:
    os._exit(7)

@jobs.processor("hoard", max_attempts=1, memory_mib=200)
def hoard() -> None:
    kept = b"x" * (400 << 20)
    time.sleep(60)

@jobs.processor("fail", max_attempts=1)
def fail() -> None:
    raise ValueError("no")

@jobs.processor("again")
def again() -> None:
    if current_job().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)

@jobs.processor("fork", max_attempts=1)
def fork() -> None:
    if os.fork() == 0:
        return  # this must not answer in the place of its parent
    note("forked", os.WEXITSTATUS(os.wait()[1]))

@jobs.processor("quick")
def quick(n: int) -> None:
    job = current_job()
    assert (job.task, job.lease.lost) == ("quick", False)
    assert threading.current_thread() is threading.main_thread()
    logging.getLogger("shop").warning("number %d", n)
    note("quick", n)

@jobs.processor("wait", timeout=1, max_attempts=1)
async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)
    note("waited", seconds)

@jobs.processor("block", timeout=1, max_attempts=1)
async def block() -> None:
    while True:
        pass

@jobs.batch_processor("index", batch_size=10, isolate_failures=True, max_attempts=1)
def index(items: list[dict[str, int]]) -> None:
    if any(item["n"] == 3 for item in items):
        ctypes.string_at(0)
    for item in items:
        note("indexed", item["n"])

@jobs.processor("gated")
def gated(name: str) -> None:
    note("gated", os.getpid())
    while not os.path.exists(name):
        time.sleep(0.01)
    note("done", name)

@jobs.processor("deaf")
def deaf() -> None:
    note("deaf", os.getpid())
    sum(itertools.repeat(0))
"""

WORKER = ("-m", "sqs_tasks", "worker", "app:env", "--isolate", "process", "--wait-seconds", "1")


class Bench:
    """The queue of the application, and its worker."""

    def __init__(self, run, server):
        self.run = run
        run.write("app.py", APP)
        self.env = SQSEnv(sqs_client=client(server.endpoint_url))
        self.jobs = self.env.queue("jobs")
        self.env.create_queues()

    def worker(self, *words):
        return self.run.python(*WORKER, "--log-format", "json", *words)

    def lines(self, name):
        return self.run.lines(name)

    def log(self, worker):
        return [json.loads(line) for line in self.run.log(worker).splitlines() if line.startswith("{")]


@pytest.fixture
def bench(tmp_path, server):
    with processes(tmp_path, server.endpoint_url) as run:
        yield Bench(run, server)


def test_bad_jobs_cost_themselves_and_the_others_go_on(bench):
    """An endless loop, a call into C, crashes and a hoarder: each fails with its reason, and all else is done."""
    bad = ("loop", "c_code", "segfault", "leave", "hoard", "fail", "fork", "again", "block")
    for name in bad:
        bench.jobs.add_job(name)
    for n in range(20):
        bench.jobs.add_job("quick", n=n)
    for n in range(5):
        bench.jobs.add_job("index", n=n)
    bench.jobs.add_job("wait", seconds=0.01)
    bench.jobs.add_job("wait", seconds=30)

    worker = bench.worker("-c", "3", "--max-tasks", "37", "--max-jobs-per-child", "5")
    assert worker.wait(60) == 0, bench.run.log(worker)

    assert sorted(map(int, bench.lines("quick"))) == list(range(20))
    assert sorted(map(int, bench.lines("indexed"))) == [0, 1, 2, 4]
    assert bench.lines("waited") == ["0.01"]
    assert bench.lines("forked") == ["0"]
    letters = bench.env.queue("jobs_dead").get_raw_messages()
    reasons = {letter.job_name: letter.attribute("FailureReason") for letter in letters}
    types = {letter.job_name: letter.attribute("FailureType") for letter in letters}
    assert reasons == {
        "loop": "1 attempts used up: TaskTimeoutError: the task ran longer than its timeout of 1 s",
        "wait": "1 attempts used up: TaskTimeoutError: the task ran longer than its timeout of 1 s",
        "c_code": "1 attempts used up: TaskTimeoutError: the task ran longer than its timeout of 1 s and went on when it "
        "was interrupted; its process was killed",
        "segfault": "1 attempts used up: JobCrashedError: its process ended: SIGSEGV",
        "index": "1 attempts used up: JobCrashedError: its process ended: SIGSEGV",
        "leave": "1 attempts used up: JobCrashedError: its process ended: exit code 7",
        "hoard": reasons["hoard"],
        "block": reasons["block"],
        "fail": "1 attempts used up: ValueError: no",
    }
    assert "more than memory_mib=200, and was killed" in reasons["hoard"]
    assert "TaskTimeoutError: the task ran longer than its timeout of 1 s" in reasons["block"]
    assert (types["fail"], types["block"]) == ("ValueError", "TaskTimeoutError")
    assert left(bench.jobs) == (0, 0)

    log = bench.log(worker)
    ended = {line["job_name"]: line["cause"] for line in log if line.get("action") == "job_process_ended"}
    assert (ended["segfault"], ended["leave"], ended["again"]) == ("SIGSEGV", "exit code 7", "SIGKILL")
    retried = [line for line in log if line.get("action") == "job_retried"]
    assert [line["job_name"] for line in retried] == ["again"]
    said = [line for line in log if line.get("logger") == "shop" and line.get("job_id")]
    assert {(line["job_name"], line["queue_name"]) for line in said} == {("quick", "jobs")}
    assert sum(line.get("action") == "job_succeeded" for line in log) == 28
    assert len(set(bench.lines("starts"))) > 6, "each crash and each five jobs took a fresh process"
    assert str(worker.pid) not in bench.lines("starts") + bench.lines("middleware")
    outcomes = [line.split()[:2] for line in bench.lines("outcomes")]
    assert ["segfault", "Rejected"] in outcomes, "post_task is called for a lost job too"


def test_stop_lets_jobs_end_and_then_kills_them(bench):
    """What ends within the grace period is done, the rest is back in its queue at once, and no process is left."""
    bench.jobs.add_job("gated", name="open")
    bench.jobs.add_job("deaf")
    worker = bench.worker("-c", "3", "--grace-seconds", "1.5")
    (deaf,) = until(lambda: bench.lines("deaf"), what="the job that hears nothing")
    (gated,) = until(lambda: bench.lines("gated"), what="the job at the gate")

    worker.send_signal(signal.SIGTERM)
    bench.run.write("open", "")
    assert worker.wait(20) == 0, bench.run.log(worker)

    assert bench.lines("done") == ["open"]
    assert left(bench.jobs) == (1, 0)
    assert not is_running(deaf)
    until(lambda: not is_running(gated), what="the end of the other child")
    assert gated in bench.lines("stops"), "on_stop is called in the process that ran the job"
    (unfinished,) = [line for line in bench.log(worker) if line.get("action") == "job_unfinished"]
    assert unfinished["job_name"] == "deaf"


def test_children_end_with_a_worker_that_is_killed(bench):
    """Also one whose job holds the interpreter's lock, so that it hears of nothing."""
    bench.jobs.add_job("gated", name="never")
    bench.jobs.add_job("deaf")
    worker = bench.worker("-c", "2")
    pids = [*until(lambda: bench.lines("deaf"), what="one"), *until(lambda: bench.lines("gated"), what="the other")]

    worker.kill()

    until(lambda: not any(map(is_running, pids)), what="the end of the children", seconds=10)


def test_application_that_cannot_be_loaded_ends_the_worker(bench):
    """It says why, and receives nothing."""
    bench.run.write("broken.py", APP + "\n\n@env.on_start\ndef no():\n    raise SystemExit(3)\n")
    bench.jobs.add_job("quick", n=1)

    worker = bench.run.python("-m", "sqs_tasks", "worker", "broken:env", "--isolate", "process")

    assert worker.wait(30) == 1
    assert "a child process could not load broken:env: exit code 3" in bench.run.log(worker)
    assert left(bench.jobs) == (1, 0)
