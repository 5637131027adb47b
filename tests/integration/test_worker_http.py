"""The road of a job over HTTP: a producer process, a worker process, real signals, and faults on the way."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from tests.support.fault_proxy import FaultProxy
from tests.support.polling import until
from tests.support.worker_processes import client, environment, processes, signal_until_gone

#: Every task appends a line to a file; O_APPEND keeps lines of several processes whole.
APP = """
import asyncio
import logging
import os
import sys
import threading

from sqs_tasks import ConstantBackoff, Reject, SQSEnv
from sqs_tasks.worker.lease import current_lease

env = SQSEnv(queue_prefix="shop-", backoff_policy=ConstantBackoff(0))
jobs = env.queue("jobs", visibility_timeout_seconds=int(os.environ.get("LEASE", "60")))
orders = env.queue("orders.fifo")


def note(name, *values):
    line = " ".join(map(str, values)) + "\\n"
    descriptor = os.open(name, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, line.encode())
    os.close(descriptor)


@jobs.processor("work")
def work(n: int) -> None:
    note("done", n)


@jobs.processor("flaky")
def flaky(n: int) -> None:
    if current_lease().message.receive_count < 3:
        raise ValueError(n)
    note("done", n)


@jobs.processor("hopeless")
def hopeless(n: int) -> None:
    raise Reject("no use")


@jobs.processor("coroutine")
async def coroutine(n: int) -> None:
    await asyncio.sleep(0.001)
    note("done", n)


@jobs.processor("slow")
def slow(n: int, seconds: float) -> None:
    note("started", n)
    threading.Event().wait(seconds)
    note("done", n)


@orders.processor("step", group_by="group")
def step(group: str, n: int) -> None:
    if n == 2 and current_lease().message.receive_count == 1:
        raise ValueError(n)
    note(group, n)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    options = dict(concurrency=int(os.environ.get("CONCURRENCY", "4")), grace_seconds=float(os.environ.get("GRACE", "10")))
    note("ready", os.getpid())
    if sys.argv[1:] == ["all"]:
        env.process_queues(**options)
    else:
        jobs.process_queue(wait_seconds=int(os.environ.get("WAIT", "1")), **options)
    note("left", os.getpid())
"""

PRODUCER = """
from app import coroutine, env, flaky, hopeless, jobs, orders, step, work

with jobs.add_batch():
    for n in range(0, 40):
        work.delay(n=n)
    for n in range(40, 60):
        flaky.delay(n=n)
    for n in range(60, 80):
        coroutine.delay(n=n)
    for n in range(80, 85):
        hopeless.delay(n=n)
with orders.add_batch():
    for n in range(5):
        for group in "ab":
            step.delay(group=group, n=n)
print(work.delay(n=100))
"""


@pytest.fixture
def sqs(server):
    client_ = client(server.endpoint_url)
    yield client_
    client_.close()


@pytest.fixture
def run(server, tmp_path):
    with processes(tmp_path, server.endpoint_url) as run:
        run.write("app.py", APP)
        yield run


@pytest.fixture
def queues(server, run):
    """Creates the queues of the application."""
    env = SQSEnv(queue_prefix="shop-", sqs_client=client(server.endpoint_url))
    env.queue("jobs")
    env.queue("orders.fifo")
    env.create_queues()
    return env


def in_queue(sqs, name):
    told = sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], AttributeNames=["All"])
    told = told["Attributes"]
    return int(told["ApproximateNumberOfMessages"]), int(told["ApproximateNumberOfMessagesNotVisible"])


@pytest.fixture(scope="module", autouse=True)
def long_job(tmp_path_factory):
    """A task of 30 s under a visibility of 5 s, with an idle worker beside it; it runs while the other tests do."""
    directory = tmp_path_factory.mktemp("long_job")
    with LocalSQSServer() as server, processes(directory, server.endpoint_url) as run:
        run.write("app.py", APP)
        sqs = client(server.endpoint_url)
        env = SQSEnv(queue_prefix="shop-", sqs_client=sqs)
        env.queue("jobs")
        env.create_queues()
        env.queue("jobs").add_job("slow", n=1, seconds=30)
        workers = [run.python("app.py", variables={"LEASE": "5"}) for _ in range(2)]
        yield run, sqs, workers
        sqs.close()


def test_jobs_of_one_process_run_in_another(run, queues, sqs):
    """.delay() here, process_queues() there: each succeeds, is retried, or lands in the dead-letter queue."""
    run.write("producer.py", PRODUCER)
    producer = run.python("producer.py")
    worker = run.python("app.py", "all", variables={"CONCURRENCY": "6"})

    until(lambda: len(set(run.lines("done"))) == 81, what="81 jobs done")
    until(lambda: in_queue(sqs, "shop-jobs") == (0, 0), what="the queue is empty")
    until(lambda: run.lines("b")[-1:] == ["4"] and run.lines("a")[-1:] == ["4"], what="both groups are done")

    assert producer.wait(10) == 0, run.log(producer)
    assert sorted(map(int, run.lines("done"))) == [*range(80), 100]
    assert run.lines("a") == run.lines("b") == ["0", "1", "2", "3", "4"]
    assert in_queue(sqs, "shop-jobs_dead") == (5, 0)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0, run.log(worker)
    assert run.lines("left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda number: number.name)
@pytest.mark.parametrize("concurrency", ["1", "3"])
def test_a_signal_lets_running_jobs_finish_and_exits_cleanly(run, queues, sqs, number, concurrency):
    """What runs is finished and settled, what does not stays in the queue (fault S3)."""
    for n in range(6):
        queues.queue("jobs").add_job("slow", n=n, seconds=1)
    worker = run.python("app.py", variables={"CONCURRENCY": concurrency})
    until(lambda: len(run.lines("started")) == int(concurrency), what="jobs run")

    worker.send_signal(number)

    assert worker.wait(10) == 0, run.log(worker)
    started = run.lines("started")
    assert sorted(run.lines("done")) == sorted(started)
    assert in_queue(sqs, "shop-jobs") == (6 - len(started), 0)


def test_a_second_signal_exits_at_once(run, queues):
    """Even while a task runs in the main thread."""
    queues.queue("jobs").add_job("slow", n=0, seconds=60)
    worker = run.python("app.py", variables={"CONCURRENCY": "1", "GRACE": "60"})
    until(lambda: run.lines("started"), what="the job runs")

    worker.send_signal(signal.SIGTERM)
    until(lambda: "stopping" in run.log(worker), what="the first signal is heard")

    assert signal_until_gone(worker, signal.SIGTERM) == 128 + signal.SIGTERM
    assert run.lines("left") == []


def test_a_signal_during_a_long_poll_waits_for_the_poll_and_no_longer(run, queues):
    """An idle worker: in flight is only the poll."""
    worker = run.python("app.py", variables={"WAIT": "3"})
    until(lambda: "processing queue" in run.log(worker), what="the worker polls")
    started = time.monotonic()

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(10) == 0
    assert time.monotonic() - started < 6


def test_the_grace_period_is_kept_by_a_worker_whose_job_does_not_end(run, queues, sqs):
    """In time, with an error in the log; the job comes back when its lease ends."""
    queues.queue("jobs").add_job("slow", n=0, seconds=60)
    worker = run.python("app.py", variables={"CONCURRENCY": "2", "GRACE": "1", "LEASE": "2"})
    until(lambda: run.lines("started"), what="the job runs")
    started = time.monotonic()

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(10) == 0
    assert time.monotonic() - started < 6
    assert "still run" in run.log(worker)
    until(lambda: in_queue(sqs, "shop-jobs") == (1, 0), what="the job is visible again")


def test_a_killed_worker_loses_nothing(run, queues, sqs):
    """SIGKILL: what it held comes back when the lease ends."""
    queues.queue("jobs").add_job("slow", n=0, seconds=3)
    first = run.python("app.py", variables={"LEASE": "2"})
    until(lambda: run.lines("started"), what="the job runs")

    first.kill()
    run.python("app.py", variables={"LEASE": "2"})

    until(lambda: run.lines("done") == ["0"], what="the second worker has done it")
    assert run.lines("started") == ["0", "0"]


def test_the_loop_survives_an_endpoint_that_goes_away_and_comes_back(run, queues, server):
    """Connection refused for a while, then the same queues again (celery/celery#8243)."""
    worker = run.python("app.py", variables={"CONCURRENCY": "2"})
    queues.queue("jobs").add_job("work", n=1)
    until(lambda: run.lines("done") == ["1"], what="the first job is done")

    server.stop()
    until(lambda: "cannot receive" in run.log(worker), what="the worker has noticed")
    with LocalSQSServer(port=server.port) as again:
        env = SQSEnv(queue_prefix="shop-", sqs_client=client(again.endpoint_url))
        env.queue("jobs")
        env.create_queues()
        env.queue("jobs").add_job("work", n=2)
        until(lambda: run.lines("done") == ["1", "2"], what="the second job is done")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_jobs_get_done_through_a_bad_network(server, seed):
    """Cuts before and after the endpoint, delays, throttles: nothing lost; twice only where an answer was cut."""
    random_ = random.Random(seed)
    share = 0.0

    def plan(action):
        if random_.random() >= share:
            return None
        return random_.choice(["throttle", "cut", "cut answer", "error", 0.02])

    with FaultProxy(server.endpoint_url, plan) as proxy:
        env = SQSEnv(
            sqs_client=client(proxy.endpoint_url),
        )
        queue = env.queue("jobs", visibility_timeout_seconds=2)
        done = []

        @queue.processor("work")
        def work(n: int) -> None:
            done.append(n)

        env.create_queues()
        work.map([{"n": n} for n in range(300)])
        share = 0.15

        class Done:
            def update_state(self, result):
                pass

            def need_shutdown(self):
                return len(set(done)) == 300

        queue.process_queue(Done(), wait_seconds=1, concurrency=4)

        cut = sum(count for (_, fault), count in proxy.faults.items() if fault in ("cut answer", "cut", "error"))
        assert sorted(set(done)) == list(range(300))
        assert len(done) - 300 <= 10 * cut
        env.client().close()


def test_a_worker_that_is_throttled_goes_on(server):
    """Every second request is refused for a while; SQS is not asked in a rush."""
    count = 0

    def plan(action):
        nonlocal count
        count += 1
        return "throttle" if count % 2 and count < 40 else None

    with FaultProxy(server.endpoint_url) as proxy:
        env = SQSEnv(sqs_client=client(proxy.endpoint_url))
        queue = env.queue("jobs")
        done = threading.Semaphore(0)

        @queue.processor("work")
        def work(n: int) -> None:
            done.release()

        env.create_queues()
        work.map([{"n": n} for n in range(60)])
        proxy.plan = plan

        queue.process_queue(MaxTasksShutdown(60), wait_seconds=1, concurrency=2)

        assert all(done.acquire(blocking=False) for _ in range(60))
        env.client().close()


def test_a_full_disk_under_the_logs_does_not_end_the_worker(run, queues, sqs):
    """Every line that is logged fails; the jobs are done."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        worker = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=run.directory,
            env=environment(run.endpoint_url),
            stdout=full,
            stderr=full,
        )
    run.started.append(worker)
    for n in range(5):
        queues.queue("jobs").add_job("work", n=n)
    queues.queue("jobs").add_job("hopeless", n=9)

    until(lambda: len(run.lines("done")) == 5, what="the jobs are done")
    until(lambda: in_queue(sqs, "shop-jobs_dead") == (1, 0), what="the hopeless one is a dead letter")
    worker.send_signal(signal.SIGTERM)
    worker.wait(10)
    assert run.lines("left")


def test_a_queue_that_is_deleted_and_made_again_is_worked_again(run, queues, sqs):
    """The worker waits for it as for anything else that is away."""
    worker = run.python("app.py")
    queues.queue("jobs").add_job("work", n=1)
    until(lambda: run.lines("done") == ["1"], what="the first job")

    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="shop-jobs")["QueueUrl"])
    until(lambda: "cannot receive" in run.log(worker), what="the worker has noticed")
    queues.create_queues()
    queues.queue("jobs").add_job("work", n=2)

    until(lambda: run.lines("done") == ["1", "2"], what="the second job")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0


def test_the_network_may_swallow_requests(server):
    """Requests that are never answered: botocore gives up after its timeout, and the loop goes on."""
    hangs = 2

    def plan(action):
        nonlocal hangs
        if action == "ReceiveMessage" and hangs:
            hangs -= 1
            return "hang"
        return None

    with FaultProxy(server.endpoint_url) as proxy:
        env = SQSEnv(
            endpoint_url=proxy.endpoint_url,
            session=boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"),
            client_config={"read_timeout": 1, "retries": {"max_attempts": 1, "mode": "standard"}},
        )
        queue = env.queue("jobs")
        done = []

        @queue.processor("work")
        def work() -> None:
            done.append(1)

        env.create_queues()
        work.delay()
        proxy.plan = plan

        queue.process_queue(MaxTasksShutdown(1), wait_seconds=0, concurrency=2)

        assert done == [1]
        assert hangs == 0
        env.client().close()


def test_a_task_of_30_seconds_under_a_visibility_of_5_runs_once(long_job):
    """The last of this module: it has been running beside the others (faults W3, Q8)."""
    run, sqs, workers = long_job

    until(lambda: run.lines("done") == ["1"], what="the long job is done", seconds=60)
    until(lambda: in_queue(sqs, "shop-jobs") == (0, 0), what="it is settled")

    assert run.lines("started") == ["1"]
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(10) for worker in workers] == [0, 0]
