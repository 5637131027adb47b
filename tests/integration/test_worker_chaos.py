"""Chaos over HTTP, seeded and bounded: kills, forks, cuts, silence, renewed credentials, jumps of the clock.

At the end each job has run at least once, more often only where a kill or a cut explains it, none is lost, FIFO groups
are in order, and the dead-letter queue holds exactly the poison. ``make soak MINUTES=60`` runs the same for longer.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter

import pytest

from sqs_tasks import SQSEnv
from tests.support.chaos_books import Books
from tests.support.chaos_run import ChaosRun

#: Jobs; more for a longer look: SQS_TASKS_CHAOS_JOBS=20000.
JOBS = int(os.environ.get("SQS_TASKS_CHAOS_JOBS", "4000"))

#: Another order of events: SQS_TASKS_CHAOS_SEED=7.
SEED = int(os.environ.get("SQS_TASKS_CHAOS_SEED", "1"))

#: Jobs of the look at memory: SQS_TASKS_RSS_JOBS=200000.
RSS_JOBS = int(os.environ.get("SQS_TASKS_RSS_JOBS", "40000"))


def test_nothing_is_lost_whatever_dies(tmp_path, capsys):
    """Whatever dies, forks, expires or falls silent, the books balance."""
    books = ChaosRun(tmp_path, seed=SEED, is_over=lambda sent: sent >= JOBS).run()

    with capsys.disabled():
        print(f"\nchaos, seed {SEED}: {books.text()}")
    assert books.problems() == []


def test_books_that_do_not_balance_are_noticed():
    """A job that is lost, one that runs again without a cause, a step that is skipped, a letter too few, a wrong code."""
    balanced = Books(sent=2, poison={0}, steps=Counter(a=2), dead_letters=Counter({0: 1}))
    balanced.read(["work 0 17 1", "step a 0 17 2", "work 1 17 3", "step a 1 17 4"])
    unbalanced = Books(sent=3, poison={0}, steps=Counter(a=3), codes={"once": Counter({143: 1})})
    unbalanced.read(["work 0 17 1", "step a 0 17 2", "work 1 17 3", "work 1 17 4", "step a 2 17 5", "step a 1 17 6"])
    killed = Books(sent=1, dead_processes={17})
    killed.read(["work 0 17 1", "work 0 18 2"])

    assert balanced.problems() == killed.problems() == []
    assert [problem.split(":")[0] for problem in unbalanced.problems()] == [
        "1 jobs of 3 never ran",
        "1 jobs ran again, and kills and lost answers explain 0",
        "1 jobs ran again although their process lived on, and lost answers explain 0",
        "1 jobs ran again without a cause",
        "the dead letters are not the poison",
        "group a",
        "exit codes of supervisors that were asked to stop once",
    ]


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")  # noqa: PTH110
def test_memory_stays_flat():
    """After 40,000 jobs (200,000 in a soak) RSS is within 5 MB of that after 10,000, and no object is left for a job."""
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
        gc.collect()
        return resident_bytes(), sys.getallocatedblocks()

    bytes_before, blocks_before = run(2)
    bytes_after, blocks_after = run(RSS_JOBS // 5_000 - 2)

    assert bytes_after - bytes_before < 5 * 1024 * 1024
    # Bytes are noisy and blocks are not: one object that stays for each tenth job would be 3,000.
    assert blocks_after - blocks_before < 1_000
