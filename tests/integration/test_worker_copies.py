"""A worker that is killed after SQS has accepted the copy of a job, and before it has deleted the original."""

from __future__ import annotations

import os
import signal

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from tests.support.fault_proxy import FaultProxy
from tests.support.polling import until
from tests.support.worker_processes import client, left, processes

APP = """
import os

from sqs_tasks import Postpone, SQSEnv, current_job

env = SQSEnv()
jobs = env.queue("jobs", visibility_timeout_seconds=2, max_receive_count=5)
LOG = os.open("done", os.O_APPEND | os.O_CREAT | os.O_WRONLY)


@jobs.processor("work", max_attempts=1)
def work() -> None:
    if os.environ["WORKER"] == "first":
        raise Postpone(delay_seconds=1)
    os.write(LOG, f"{current_job().job_id}\\n".encode())
"""


def test_killed_between_copy_and_delete_the_job_runs_twice_and_is_not_lost(tmp_path):
    """SIGKILL in the moment in which the worker asks for the delete: both messages are there, under one job id."""
    with LocalSQSServer() as server, FaultProxy(server.endpoint_url) as proxy:
        sqs = client(server.endpoint_url)
        env = SQSEnv(sqs_client=sqs)
        jobs = env.queue("jobs", max_receive_count=5)
        env.create_queues()
        asked = []
        with processes(tmp_path, proxy.endpoint_url) as run:
            run.write("app.py", APP)
            first = run.python("-m", "sqs_tasks", "worker", "app:env", variables={"WORKER": "first"})

            def kill(action):
                if action == "SendMessage":
                    asked.append(action)
                if action != "DeleteMessageBatch" or first.poll() is not None:
                    return None
                os.kill(first.pid, signal.SIGKILL)
                first.wait(10)
                asked.append(action)
                return "cut"

            proxy.plan = kill
            sent = jobs.add_job("work")
            until(lambda: first.poll() is not None, what="the worker is killed")
            assert asked == ["SendMessage", "DeleteMessageBatch"]

            proxy.plan = lambda _: None
            run.python("-m", "sqs_tasks", "worker", "app:env", variables={"WORKER": "second"})
            until(lambda: len(run.lines("done")) == 2, what="both messages have run")
            until(lambda: left(jobs) == (0, 0), what="both are deleted")

        assert run.lines("done") == [sent.job_id] * 2
        assert jobs.statistics().dead_letters == 0
