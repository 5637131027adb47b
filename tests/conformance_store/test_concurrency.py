"""Several threads and processes at one item: no write is lost, and one of them is the first."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sqs_tasks.store.protocol import Condition
from tests.conformance_store.backends import open_store

rule = pytest.mark.rule

ROOT = Path(__file__).resolve().parents[2]

#: What each process does: it waits for the word to begin, and adds, and takes from what is there while there is any.
CHILD = """
import sys
from sqs_tasks.store.protocol import Condition
from tests.conformance_store.backends import open_store
store, key = open_store((sys.argv[1], sys.argv[2])), sys.argv[3]
print("ready", flush=True)
sys.stdin.readline()
took = 0
for _ in range(25):
    store.update(key, {}, add={"added": 1})
    took += store.update(key, {}, add={"left": -1}, when=[Condition("left", ">", 0)]).done
print(took, flush=True)
"""


@rule("concurrency")
def test_processes_lose_no_write_and_take_nothing_twice(backend):
    """Two processes: each addition counts, and what is left is given out exactly."""
    key = backend.key()
    backend.store.put_if_absent(key, {"left": 30})
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, *backend.spec, key],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()

    took = [int(child.communicate(timeout=60)[0]) for child in children]

    assert all(child.returncode == 0 for child in children)
    assert sum(took) == 30
    assert backend.store.get(key) == {"left": 0, "added": 50}


@rule("concurrency")
def test_one_of_many_threads_is_the_first(backend):
    """Eight threads put the same item; one has made it, and all others see that one's."""
    answers, barrier = [], threading.Barrier(8)

    def put(number):
        store = backend.store if number % 2 else open_store(backend.spec, backend.clock)
        barrier.wait()
        answers.append(store.put_if_absent(backend.key(), {"by": number}))
        if store is not backend.store and hasattr(store, "close"):
            store.close()

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 8
    assert sum(one.done for one in answers) == 1
    assert len({one.item["by"] for one in answers}) == 1


@rule("concurrency")
def test_lease_passes_to_one_heir(backend):
    """Of those who take over what has ended, one succeeds."""
    backend.store.put_if_absent(backend.key(), {"run": "dead"})
    done = [
        backend.store.update(backend.key(), {"run": heir}, when=[Condition("run", "=", "dead")]).done
        for heir in ("a", "b")
    ]

    assert done == [True, False]
    assert backend.store.get(backend.key()) == {"run": "a"}
