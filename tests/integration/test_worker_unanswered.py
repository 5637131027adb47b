"""Requests that are never answered: a worker goes on, and no job runs twice for it."""

from __future__ import annotations

import signal

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from tests.support.fault_proxy import FaultProxy
from tests.support.polling import until
from tests.support.worker_processes import client, left, processes

APP = """
import os
import time

from sqs_tasks import SQSEnv

env = SQSEnv()
jobs = env.queue("jobs", visibility_timeout_seconds=4, max_receive_count=5)


@jobs.processor("work")
def work(n: int, seconds: float) -> None:
    with open("started", "a") as started:
        started.write(f"{n}\\n")
    time.sleep(seconds)
    with open("done", "a") as done:
        done.write(f"{n}\\n")
"""


@pytest.fixture
def run(tmp_path):
    with (
        LocalSQSServer() as server,
        FaultProxy(server.endpoint_url) as proxy,
        processes(tmp_path, proxy.endpoint_url) as run,
    ):
        run.write("app.py", APP)
        run.proxy, run.direct = proxy, client(server.endpoint_url)
        yield run
        run.direct.close()


@pytest.fixture
def jobs(run):
    env = SQSEnv(sqs_client=run.direct)
    queue = env.queue("jobs", max_receive_count=5)
    env.create_queues()
    return queue


def hang_once(proxy, action):
    """Never answer the first request of a kind."""
    seen = []

    def plan(asked):
        if asked != action or seen:
            return None
        seen.append(asked)
        return "hang"

    proxy.plan = plan
    return seen


@pytest.mark.parametrize("action", ["ChangeMessageVisibilityBatch", "DeleteMessageBatch"])
@pytest.mark.parametrize("concurrency", ["1", "20"])
def test_one_request_without_an_answer(run, jobs, action, concurrency):
    """A heartbeat or a delete: the messages are kept, others are settled, and every job runs once."""
    seen = hang_once(run.proxy, action)
    count = 1 if concurrency == "1" else 12
    # Beyond the first lease where it is a heartbeat that is not answered; a delete comes after the job anyway.
    seconds = 6 if action == "ChangeMessageVisibilityBatch" else 1
    jobs.add_jobs(("work", {"n": n, "seconds": seconds}) for n in range(count))
    worker = run.python("-m", "sqs_tasks", "worker", "app:env", "--wait-seconds", "1", "-c", concurrency)
    until(lambda: seen, what="the request has been made")

    # Well before the client itself would give the request up.
    until(lambda: len(run.lines("done")) == count and left(jobs) == (0, 0), what="all are done and settled", seconds=20)

    assert len(run.lines("started")) == count
    assert "lost the lease" not in run.log(worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0, run.log(worker)
