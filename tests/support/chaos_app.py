"""The application of the chaos runs: tasks that succeed, fail, crash, fork and wait, and note down what they did.

Each note is one line of the file ``done`` in the current directory: the kind, the number, the process, and the checksum
of the receipt handle.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import subprocess
import threading
import time
import zlib

from sqs_tasks import ConstantBackoff, Postpone, Reject, Retry, SQSEnv
from sqs_tasks.worker.lease import current_lease

#: Seconds of a lease; a task of :func:`slow` takes longer.
LEASE_SECONDS = 3

env = SQSEnv(backoff_policy=ConstantBackoff(0), client_config={"read_timeout": 3, "connect_timeout": 2})
jobs = env.queue("jobs", visibility_timeout_seconds=LEASE_SECONDS, max_receive_count=100)
steps = env.queue("steps.fifo", visibility_timeout_seconds=LEASE_SECONDS, max_receive_count=100)

fork = multiprocessing.get_context("fork")

#: A pool at a time in a process: the subject is what forks do to the worker, not what a crowd of them costs.
one_pool = threading.Lock()

# One descriptor for all threads, appended to: a line is one write and stays whole, also when the process dies next.
LOG = os.open("done", os.O_APPEND | os.O_CREAT | os.O_WRONLY)


def note(*values: object) -> None:
    handle = zlib.crc32(current_lease().message.receipt_handle.encode())
    os.write(LOG, (" ".join(map(str, (*values, os.getpid(), handle))) + "\n").encode())


def is_first() -> bool:
    return current_lease().message.receive_count == 1


@jobs.processor("work")
def work(n: int) -> None:
    note("work", n)


@jobs.processor("wait")
async def wait(n: int) -> None:
    await asyncio.sleep(0.01)
    note("work", n)


@jobs.processor("flaky")
def flaky(n: int) -> None:
    if is_first():
        raise ValueError(n)
    note("work", n)


@jobs.processor("later")
def later(n: int) -> None:
    if is_first():
        raise Retry(delay_seconds=5, reason="not yet")
    note("work", n)


@jobs.processor("put_off")
def put_off(n: int) -> None:
    try:  # by a file: what is put off goes on as another message
        os.close(os.open(f"put off {n}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        note("put_off", n)
        return
    raise Postpone(delay_seconds=2)


@jobs.processor("slow")
def slow(n: int) -> None:
    time.sleep(LEASE_SECONDS + 1)
    note("work", n)


@jobs.processor("segfault")
def segfault(n: int) -> None:
    if is_first():
        note("crash", n)
        ctypes.string_at(0)
    note("work", n)


@jobs.processor("pool")
def pool(n: int) -> None:
    with one_pool, fork.Pool(2) as children:  # its end is a SIGTERM to each of them
        children.apply_async(time.sleep, (60,))
        if children.apply(abs, (-n,)) != n:
            raise ValueError(n)
    note("work", n)


@jobs.processor("command")
def command(n: int) -> None:
    subprocess.run(["true"], check=True)
    note("work", n)


@jobs.processor("leaves_a_fork")
def leaves_a_fork(n: int) -> None:
    if not os.fork():
        time.sleep(2)
        os._exit(0)
    note("work", n)


@jobs.processor("poison")
def poison(n: int) -> None:
    raise Reject("poison")


@steps.processor("step", group_by="group")
def step(group: str, n: int) -> None:
    note("step", group, n)
