"""Tasks that fork: what is the worker's own (signals, sockets, threads, leases) is not their children's."""

from __future__ import annotations

import signal
import socket

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from tests.support.polling import until
from tests.support.ports import free_ports
from tests.support.worker_processes import client, is_running, left, processes

APP = """
import multiprocessing
import os
import signal
import sys
import time

from sqs_tasks import SQSEnv
from sqs_tasks.worker.lease import current_lease

env = SQSEnv()
jobs = env.queue("jobs", visibility_timeout_seconds=60, max_receive_count=5)
fork = multiprocessing.get_context("fork")
left_running = []


def note(name, *values):
    descriptor = os.open(name, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, (" ".join(map(str, values)) + "\\n").encode())
    os.close(descriptor)


def wait_at_the_gate():
    while not os.path.exists("gate is open"):
        time.sleep(0.01)


@jobs.processor("gated")
def gated(n: int) -> None:
    note("started", n)
    wait_at_the_gate()
    note("done", n)


def slept(seconds):
    time.sleep(seconds)


@jobs.processor("pool")
def pool(n: int) -> None:
    with fork.Pool(2) as pool:  # whose end is a SIGTERM to each of its processes
        waiting = pool.apply_async(slept, (60,))
        assert pool.apply(abs, (-n,)) == n
    note("done", n)


@jobs.processor("leaves_a_pool")
def leaves_a_pool(n: int) -> None:
    pool = fork.Pool(1)
    left_running.append(pool)
    note("children", pool.apply(os.getpid))
    note("done", n)


@jobs.processor("leaves_a_fork")
def leaves_a_fork(n: int) -> None:
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    note("children", child)
    note("done", n)


@jobs.processor("ends_a_fork")
def ends_a_fork(n: int) -> None:
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    os.kill(child, signal.SIGTERM)
    note("ended by", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@jobs.processor("escapes")
def escapes(n: int, how: str) -> None:
    child = os.fork()
    if not child:
        note("lease in the fork", current_lease())
        if how == "returns":
            return
        if how == "exits":
            sys.exit(7)
        raise {"raises": ValueError, "interrupts": KeyboardInterrupt}[how]("out of the task")
    note("left with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    note("done", n)


@jobs.processor("escapes_async")
async def escapes_async(n: int) -> None:
    child = os.fork()
    if not child:
        return
    note("left with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    note("done", n)


note("loaded", os.getpid())

if __name__ == "__main__":
    from sqs_tasks.shutdown_policies import IdleShutdown

    jobs.process_queue(IdleShutdown(0), wait_seconds=1, concurrency=2)
    note("returned", 1)
"""

#: How a fork may leave its task, and what its process then exits with.
CODES = {"returns": "0", "exits": "7", "raises": "1", "interrupts": "1"}


@pytest.fixture
def run(tmp_path):
    with LocalSQSServer() as server, processes(tmp_path, server.endpoint_url) as run:
        run.write("app.py", APP)
        yield run
        run.kill_listed("children", "loaded")


@pytest.fixture
def jobs(run):
    env = SQSEnv(sqs_client=client(run.endpoint_url))
    queue = env.queue("jobs", max_receive_count=5)
    env.create_queues()
    yield queue
    env.client().close()


def start(run, *options):
    return run.python("-m", "sqs_tasks", "worker", "app:env", "--wait-seconds", "1", "--grace-seconds", "5", *options)


@pytest.mark.parametrize("options", [["-c", "1"], ["-c", "4"], ["-c", "4", "-p", "2"]])
def test_the_end_of_a_pool_in_a_task_ends_nothing_else(run, jobs, options):
    """Its processes carry the worker's handlers and its wake-up socket; the signal is for them (procrastinate#1062)."""
    jobs.add_jobs(("pool", {"n": n}) for n in range(3))
    worker = start(run, *options)

    until(lambda: len(run.lines("done")) == 3, what="all are done")

    assert worker.poll() is None, run.log(worker)
    assert "stopping" not in run.log(worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0, run.log(worker)
    assert sorted(run.lines("done")) == ["0", "1", "2"]


def test_a_job_beside_it_is_not_cut_off(run, jobs):
    """A neighbour in the same process goes on."""
    jobs.add_job("gated", n=1)
    worker = start(run, "-c", "4")
    until(lambda: run.lines("started"), what="the neighbour runs")

    jobs.add_job("pool", n=2)

    until(lambda: run.lines("done") == ["2"], what="the pool is over")
    (run.directory / "gate is open").touch()
    until(lambda: left(jobs) == (0, 0), what="both are done and settled")
    assert worker.poll() is None, run.log(worker)


def test_a_fork_ends_by_sigterm(run, jobs):
    """It has the handlers that were there before the worker's."""
    jobs.add_job("ends_a_fork", n=1)
    start(run, "-c", "2")

    until(lambda: run.lines("ended by"), what="the child has ended")

    assert run.lines("ended by") == [str(-signal.SIGTERM)]


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("leaves_a_pool", ["-c", "1"]),
        ("leaves_a_fork", ["-c", "2"]),
        ("leaves_a_fork", ["-c", "2", "--supervise"]),
    ],
)
def test_processes_that_a_task_leaves_behind_do_not_keep_the_worker(run, jobs, task, options):
    """Their copies of the worker's sockets are closed: whoever waits for the other end must not wait for them."""
    jobs.add_job(task, n=1)
    worker = start(run, *options)
    until(lambda: run.lines("done"), what="it is done")

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(15) == 0, run.log(worker)
    (child,) = run.lines("children")
    # Python ends the processes of a pool with its own; a fork of the task's own is the task's business.
    assert is_running(child) is (task == "leaves_a_fork")
    assert left(jobs) == (0, 0)


def test_nor_a_worker_that_is_idle(run, jobs):
    """--idle-seconds ends it."""
    jobs.add_job("leaves_a_fork", n=1)

    worker = start(run, "-c", "2", "--idle-seconds", "0")

    assert worker.wait(20) == 0, run.log(worker)
    assert run.lines("done") == ["1"]


def test_nor_process_queue(run, jobs):
    """A program of one's own goes on after it."""
    jobs.add_job("leaves_a_fork", n=1)

    program = run.python("app.py")

    assert program.wait(20) == 0, run.log(program)
    assert run.lines("returned") == ["1"]


def test_nor_the_restart_after_a_limit(run, jobs):
    """The supervisor replaces a worker that has reached --max-tasks."""
    supervisor = start(run, "-c", "2", "--supervise", "--max-tasks", "1")
    for n in range(2):
        jobs.add_job("leaves_a_fork", n=n)
        until(lambda n=n: len(run.lines("done")) == n + 1, what=f"job {n} is done")
        until(lambda n=n: len(run.lines("loaded")) == n + 2, what="a fresh worker")

    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0, run.log(supervisor)


def test_nor_workers_whose_supervisor_is_killed(run, jobs):
    """They notice it, and end with all that multiprocessing began for them."""
    supervisor = start(run, "-c", "2", "-p", "2")
    until(lambda: len(run.lines("loaded")) == 2, what="two workers")
    jobs.add_jobs(("leaves_a_pool", {"n": n}) for n in range(4))
    until(lambda: len(run.lines("done")) == 4, what="four pools are there")

    supervisor.kill()

    until(lambda: not any(map(is_running, run.lines("loaded"))), what="the workers are gone", seconds=15)
    assert not any(map(is_running, run.lines("children")))


@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_a_fork_that_leaves_its_task_does_not_become_a_worker(run, jobs, concurrency):
    """It ends; the job is the parent's to settle, and the lease the parent's to prolong."""
    jobs.add_jobs(("escapes", {"n": n, "how": how}) for n, how in enumerate(CODES))
    worker = start(run, "-c", concurrency)

    until(lambda: len(run.lines("done")) == 4 and left(jobs) == (0, 0), what="the parent has settled all")

    assert sorted(run.lines("left with")) == sorted(CODES.values())
    assert set(run.lines("lease in the fork")) == {"None"}
    assert len(run.lines("loaded")) == 1
    assert worker.poll() is None, run.log(worker)


def test_nor_one_that_leaves_an_async_task(run, jobs):
    """The event loop is the parent's."""
    jobs.add_job("escapes_async", n=1)
    worker = start(run, "-c", "2")

    until(lambda: run.lines("done") and left(jobs) == (0, 0), what="the parent has settled the job")

    assert run.lines("left with") == ["0"]
    assert worker.poll() is None, run.log(worker)


def test_a_fork_does_not_keep_the_health_port(run, jobs):
    """The next worker of the container can have it."""
    port = free_ports()
    jobs.add_job("leaves_a_fork", n=1)
    worker = start(run, "-c", "2", "--health-port", str(port))
    until(lambda: run.lines("done"), what="it is done")
    worker.kill()
    worker.wait()

    with socket.socket() as next_one:
        next_one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        next_one.bind(("", port))
        next_one.listen()
