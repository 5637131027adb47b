"""Chaos: workers killed, connections cut, requests throttled, over HTTP, seeded and bounded.

At the end each job has run at least once, more often only where a kill or a cut explains it, none is lost, FIFO groups
are in order, and the dead-letter queue holds exactly the poison.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from itertools import pairwise

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.worker.settlement_buffer import MAX_UNSETTLED
from tests.support.fault_proxy import FaultProxy
from tests.support.worker_processes import client, processes

#: Jobs; fewer for a quick look: SQS_TASKS_CHAOS_JOBS=2000.
JOBS = int(os.environ.get("SQS_TASKS_CHAOS_JOBS", "20000"))

#: Another order of events: SQS_TASKS_CHAOS_SEED=7.
SEED = int(os.environ.get("SQS_TASKS_CHAOS_SEED", "1"))

POISON, GROUPS = 20, 10

#: Seconds after which it has failed.
PATIENCE = 150

APP = """
import ctypes
import os

from sqs_tasks import ConstantBackoff, Reject, SQSEnv
from sqs_tasks.worker.lease import current_lease

env = SQSEnv(backoff_policy=ConstantBackoff(0))
jobs = env.queue("jobs", visibility_timeout_seconds=3, max_receive_count=100)
steps = env.queue("steps.fifo", visibility_timeout_seconds=3, max_receive_count=100)
# One descriptor for all threads, appended to: a line is one write and stays whole, also when the process dies next.
LOG = os.open("done", os.O_APPEND | os.O_CREAT | os.O_WRONLY)


def note(*values):
    os.write(LOG, (" ".join(map(str, values)) + "\\n").encode())


@jobs.processor("work")
def work(n: int) -> None:
    note("work", n)


@jobs.processor("flaky")
def flaky(n: int) -> None:
    if current_lease().message.receive_count == 1:
        raise ValueError(n)
    note("work", n)


@jobs.processor("segfault")
def segfault(n: int) -> None:
    if current_lease().message.receive_count == 1:
        note("crash", n)
        ctypes.string_at(0)
    note("work", n)


@jobs.processor("poison")
def poison(n: int) -> None:
    raise Reject("poison")


@steps.processor("step", group_by="group")
def step(group: str, n: int) -> None:
    note("step", group, n)
"""


def produce(env):
    """All jobs, in an order of the seed; returns how many segfaults there are among them."""
    order = random.Random(SEED)
    crashes = max(JOBS // 4000, 1)
    crashing = set(order.sample(range(JOBS), crashes))

    def calls():
        for n in range(JOBS):
            yield ("segfault" if n in crashing else "flaky" if n % 20 == 0 else "work"), {"n": n}
            if n % (JOBS // POISON) == 0:
                yield "poison", {"n": n}

    env.queue("jobs").add_jobs(calls())
    per_group = max(JOBS // 1000, 5)
    with env.queue("steps.fifo").add_batch():
        for n in range(per_group):
            for group in range(GROUPS):
                env.queue("steps.fifo").add_job("step", _group_id=f"g{group}", group=f"g{group}", n=n)
    return crashes, per_group


def counted(sqs, name):
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(told["ApproximateNumberOfMessages"]) + int(told["ApproximateNumberOfMessagesNotVisible"])


def dead_letters(sqs):
    """The numbers of the jobs in the dead-letter queue."""
    url = sqs.get_queue_url(QueueName="jobs_dead")["QueueUrl"]
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
        "Messages"
    ):
        for message in messages:
            assert message["MessageAttributes"]["JobName"]["StringValue"] == "poison"
            yield json.loads(message["Body"])["n"]


def test_nothing_is_lost_whatever_dies(tmp_path, capsys):
    """20,000 jobs through kills, segfaults, cuts and throttles."""
    chance = random.Random(SEED)

    def plan(action):
        if chance.random() >= 0.01:
            return None
        return chance.choice(["throttle", "cut", "cut answer", "error", 0.05])

    with LocalSQSServer() as server, FaultProxy(server.endpoint_url, plan) as proxy:
        sqs = client(server.endpoint_url)
        env = SQSEnv(sqs_client=sqs)
        env.queue("jobs", max_receive_count=100)
        env.queue("steps.fifo", max_receive_count=100)
        env.create_queues()
        crashes, per_group = produce(env)
        with processes(tmp_path, proxy.endpoint_url) as run:
            run.write("app.py", APP)

            def start():
                return run.python(
                    *("-m", "sqs_tasks", "worker", "app:env", "--supervise", "--wait-seconds", "1", "-c", "10"),
                    *("--prefetch", "10", "--grace-seconds", "5", "--log-level", "error"),
                )

            workers = [start(), start()]
            killed = terminated = 0
            began = time.monotonic()
            next_fault = began + 3
            while counted(sqs, "jobs") or counted(sqs, "steps.fifo"):
                assert time.monotonic() - began < PATIENCE, (counted(sqs, "jobs"), counted(sqs, "steps.fifo"))
                if time.monotonic() >= next_fault:
                    next_fault += chance.uniform(2, 4)
                    victim = chance.randrange(len(workers))
                    if chance.random() < 0.5:
                        workers[victim].kill()  # its worker process stops by itself, a kill of both follows below
                        killed += 1
                    else:
                        workers[victim].send_signal(signal.SIGTERM)
                        terminated += 1
                    workers[victim] = start()
                if chance.random() < 0.2:
                    number = chance.choice([signal.SIGKILL, signal.SIGTERM])
                    hit = signal_a_worker_process(chance, workers[chance.randrange(len(workers))], number)
                    killed += hit and number == signal.SIGKILL
                    terminated += hit and number == signal.SIGTERM
                time.sleep(0.25)
            took = time.monotonic() - began
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            codes = [worker.wait(30) for worker in workers]
            lines = [line.split() for line in run.lines("done")]
        dead = Counter(dead_letters(sqs))
        sqs.close()

    done = Counter(int(words[1]) for words in lines if words[0] == "work")
    twice = sum(done.values()) - len(done)
    steps = {f"g{group}": [] for group in range(GROUPS)}
    for words in lines:
        if words[0] == "step":
            steps[words[1]].append(int(words[2]))
    faults = Counter(fault for (_, fault), count in proxy.faults.items() for _ in range(count))
    # A process that dies takes with it what was done and not settled: 20 in hand, and what waits to be settled.
    lost_answers = faults["cut answer"] + faults["cut"] + faults["error"] + faults["throttle"]
    deaths = killed + crashes
    most = 10 * lost_answers + (20 + MAX_UNSETTLED + 10) * deaths
    with capsys.disabled():
        print(
            f"\nchaos, seed {SEED}: {JOBS} jobs in {took:.0f} s, {killed} SIGKILL, {terminated} SIGTERM, {crashes} "
            f"segfaults, network faults {dict(faults)}; {twice} jobs ran twice, {dead.total()} dead letters, {dead.total() - POISON} of them twice"
        )

    assert set(codes) <= {0, 1}  # 1: a worker process was killed in the very last moment
    assert set(done) == set(range(JOBS))
    assert twice <= most
    # Exactly the poison; one of them twice where its copy was accepted and nobody lived to hear of it.
    assert set(dead) == {n for n in range(JOBS) if n % (JOBS // POISON) == 0}
    assert dead.total() - POISON <= deaths + lost_answers
    for group, ran in steps.items():
        # At least once and in order: after a repetition it goes on from there, nothing is skipped or overtaken.
        assert sorted(set(ran)) == list(range(per_group)), group
        assert all(after <= before + 1 for before, after in pairwise(ran)), (group, ran)


def signal_a_worker_process(chance, supervisor, number):
    """A signal for the process that runs the tasks; its supervisor starts another. Whether there was one."""
    try:
        with open(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children") as listed:  # noqa: PTH123
            pids = listed.read().split()
        if not pids:
            return False
        os.kill(int(chance.choice(pids)), number)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")  # noqa: PTH110
def test_memory_stays_flat():
    """RSS after 200,000 jobs within 5 MB of RSS after 10,000."""
    from sqs_tasks.local.memory import MemorySession
    from sqs_tasks.shutdown_policies import MaxTasksShutdown
    from sqs_tasks.worker.consumer import Consumer
    from sqs_tasks.worker.memory_limit import resident_bytes
    from sqs_tasks.worker.metrics import Metrics

    env = SQSEnv(MemorySession())
    queue = env.queue("jobs")

    @queue.processor("work")
    def work(text: str) -> None: ...

    env.create_queues()
    metrics = Metrics()

    def run(rounds):
        for _ in range(rounds):
            work.map({"text": "x" * 200} for _ in range(5_000))
            Consumer([queue], wait_seconds=0, prefetch=9, metrics=metrics).run(MaxTasksShutdown(5_000))
        return resident_bytes()

    before = run(2)
    after = run(int(os.environ.get("SQS_TASKS_RSS_JOBS", "200000")) // 5_000 - 2)

    assert after - before < 5 * 1024 * 1024
