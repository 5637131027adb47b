"""SIGTERM at every step of a worker's life: nothing is lost, nothing stays hidden, and it ends in time."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from tests.support.fault_proxy import FaultProxy
from tests.support.polling import until
from tests.support.worker_processes import client, processes

#: A lease of a minute: whatever is visible soon after the end has been given back, and has not come by itself.
APP = """
import asyncio
import atexit
import os
import time

from sqs_tasks import SQSEnv

env = SQSEnv()
jobs = env.queue("jobs", visibility_timeout_seconds=int(os.environ.get("LEASE", "60")))
orders = env.queue("orders.fifo", visibility_timeout_seconds=60)


def note(name, value):
    descriptor = os.open(name, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, f"{value}\\n".encode())
    os.close(descriptor)


def wait_at_the_gate():
    while not os.path.exists("gate is open"):
        time.sleep(0.01)


@jobs.processor("quick")
def quick(n: int) -> None:
    note("done", n)


@jobs.processor("gated")
def gated(n: int) -> None:
    note("started", n)
    wait_at_the_gate()
    note("done", n)


@jobs.processor("sleeper")
async def sleeper(n: int) -> None:
    note("started", n)
    await asyncio.sleep(60)


@orders.processor("step")
def step(n: int) -> None:
    note("started", n)
    if n == 0 and "HOLD" in os.environ:
        wait_at_the_gate()
    note("done", n)


@atexit.register
def at_exit():
    if "WATCH_EXIT" in os.environ:
        note("in flight at exit", jobs.statistics().in_flight)
        if os.environ["WATCH_EXIT"] == "gate":
            note("exiting", 1)
            wait_at_the_gate()
"""


class Stage:
    """A worker behind a proxy, its queues, and a gate at which its tasks wait."""

    def __init__(self, server, proxy, run):
        self.proxy = proxy
        self.run = run
        self.sqs = client(server.endpoint_url)
        self.env = SQSEnv(sqs_client=self.sqs)
        self.jobs, self.orders = self.env.queue("jobs"), self.env.queue("orders.fifo")
        self.env.create_queues()
        run.write("app.py", APP)
        self.worker = None

    def start(self, *options, queue="jobs", **variables):
        self.worker = self.run.python(
            *("-m", "sqs_tasks", "worker", "app:env", queue, "--grace-seconds", "10", "--wait-seconds", "1", *options),
            variables=variables,
        )
        return self.worker

    def add(self, task, *numbers):
        self.jobs.add_jobs((task, {"n": n}) for n in numbers)

    def stop_when(self, action, seconds=0.3):
        """SIGTERM in the moment a request is on its way, which then takes a while; set when that has happened."""
        happened = threading.Event()

        def plan(asked):
            if asked != action or happened.is_set():
                return None
            happened.set()
            self.worker.send_signal(signal.SIGTERM)
            return seconds

        self.proxy.plan = plan
        return happened

    def open_gate(self):
        """Let all through who stand there, and all who come."""
        (self.run.directory / "gate is open").touch()

    def started(self, count=1):
        until(lambda: len(self.run.lines("started")) >= count, what=f"{count} jobs have started", every=0.02)

    def ended(self, codes=(0,)):
        began = time.monotonic()
        code = self.worker.wait(30)
        assert code in codes, self.run.log(self.worker)
        assert time.monotonic() - began < 8, "it took until the end of the grace period or longer"

    def left(self, queue=None):
        """What is in a queue: visible, in flight."""
        told = (queue or self.jobs).statistics()
        return told.available, told.in_flight

    def done(self):
        return sorted(map(int, self.run.lines("done")))


@pytest.fixture
def stage(tmp_path):
    with (
        LocalSQSServer() as server,
        FaultProxy(server.endpoint_url) as proxy,
        processes(tmp_path, proxy.endpoint_url) as run,
    ):
        stage = Stage(server, proxy, run)
        yield stage
        stage.sqs.close()


def test_while_a_receive_is_on_its_way(stage):
    """What it brings is given back at once."""
    stage.add("quick", 1, 2, 3)
    happened = stage.stop_when("ReceiveMessage")

    stage.start()

    assert happened.wait(20)
    stage.ended()
    assert (stage.left(), stage.done()) == ((3, 0), [])


@pytest.mark.parametrize("concurrency", ["1", "4"])
def test_while_a_task_runs(stage, concurrency):
    """It is waited for, and settled."""
    stage.add("gated", 1)
    stage.start("-c", concurrency)
    stage.started()

    stage.worker.send_signal(signal.SIGTERM)
    stage.open_gate()

    stage.ended()
    assert (stage.left(), stage.done()) == ((0, 0), [1])


def test_while_done_jobs_are_being_settled(stage):
    """The request is finished."""
    stage.add("quick", *range(10))
    happened = stage.stop_when("DeleteMessageBatch")

    stage.start("-c", "10")

    assert happened.wait(20)
    stage.ended()
    assert stage.left()[1] == 0
    assert len(stage.done()) + stage.left()[0] == 10


@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_while_messages_wait_that_have_not_started(stage, concurrency):
    """They go back at once, while the running one is still waited for."""
    stage.add("gated", 1)
    stage.start("-c", concurrency, "--prefetch", "9")
    stage.started()
    if concurrency == "2":
        stage.add("gated", 2)
        stage.started(2)
        stage.add("quick", 3, 4, 5)
        until(lambda: stage.left() == (0, 5), what="three more have been received", every=0.02)

    stage.worker.send_signal(signal.SIGTERM)
    if concurrency == "2":
        until(lambda: stage.left() == (3, 2), what="what has not started is visible", seconds=5, every=0.02)
    stage.open_gate()

    stage.ended()
    assert (stage.left(), stage.done()) == (((0, 0), [1]) if concurrency == "1" else ((3, 0), [1, 2]))


def test_while_a_heartbeat_is_on_its_way(stage):
    """The beat is answered, the task ends, and its message is deleted and not hidden again."""
    stage.add("gated", 1)
    happened = stage.stop_when("ChangeMessageVisibilityBatch")
    stage.start(LEASE="2")
    stage.started()

    assert happened.wait(20)
    stage.open_gate()

    stage.ended()
    assert (stage.left(), stage.done(), stage.run.lines("started")) == ((0, 0), [1], ["1"])


def test_while_the_process_exits(stage):
    """All is settled by then."""
    stage.add("quick", 1)
    stage.start("--max-tasks", "1", WATCH_EXIT="gate")
    until(lambda: stage.run.lines("exiting"), what="the process exits", every=0.02)

    stage.worker.send_signal(signal.SIGTERM)

    stage.ended(codes=(0, -signal.SIGTERM))
    assert (stage.left(), stage.done()) == ((0, 0), [1])


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("gated", ["-c", "1"]),  # in the main thread
        ("gated", ["-c", "4"]),
        ("sleeper", ["-c", "4"]),
        ("gated", ["-c", "4", "--supervise"]),
    ],
)
def test_a_job_that_outlives_the_grace_period_is_visible_as_soon_as_its_process_is_gone(stage, task, options):
    """Others need not wait for its lease, which would be a minute here."""
    stage.add(task, 1)
    stage.start("--grace-seconds", "1", *options)
    stage.started()

    stage.worker.send_signal(signal.SIGTERM)

    stage.ended()
    assert (stage.left(), stage.done()) == ((1, 0), [])


@pytest.mark.parametrize("options", [["-c", "1"], ["-c", "4"], ["-c", "4", "--supervise"]])
def test_a_signal_that_comes_twice_is_one_wish(stage, options):
    """A wrapper passes it on that the platform has sent to the whole group (taskcluster#8291): the job may finish."""
    stage.add("gated", 1)
    stage.start(*options)
    stage.started()

    stage.worker.send_signal(signal.SIGTERM)
    until(lambda: "stopping" in stage.run.log(stage.worker), what="the signal has been heard", every=0.01)
    stage.worker.send_signal(signal.SIGTERM)
    stage.open_gate()

    stage.ended()
    assert (stage.left(), stage.done()) == ((0, 0), [1])


def test_nor_does_it_change_the_exit_code_of_an_idle_worker(stage):
    """Which has nothing to wait for, and may be about to end when the signal comes again."""
    stage.start("--wait-seconds", "0")
    until(lambda: "processing queue" in stage.run.log(stage.worker), what="it polls")

    for _ in range(50):
        stage.worker.send_signal(signal.SIGTERM)
        time.sleep(0.01)

    stage.ended()


def test_it_is_given_back_after_the_application_has_ended(stage):
    """As late as can be: until then its thread still runs the job."""
    stage.add("gated", 1)
    stage.start("--grace-seconds", "1", WATCH_EXIT="yes")
    stage.started()

    stage.worker.send_signal(signal.SIGTERM)

    stage.ended()
    assert stage.run.lines("in flight at exit") == ["1"]
    assert stage.left() == (1, 0)


def test_a_fifo_group_goes_on_in_order_after_it(stage):
    """The next worker runs the same message again, and then what follows."""
    for n in range(3):
        stage.orders.add_job("step", n=n, _group_id="g")
    stage.start("--grace-seconds", "1", queue="orders.fifo", HOLD="1")
    stage.started()
    stage.worker.send_signal(signal.SIGTERM)
    stage.ended()

    stage.start("--idle-seconds", "0", queue="orders.fifo")

    stage.ended()
    assert stage.run.lines("started") == ["0", "0", "1", "2"]
    assert (stage.left(stage.orders), stage.run.lines("done")) == ((0, 0), ["0", "1", "2"])


@pytest.mark.parametrize("messages", [0, 1])
def test_an_idle_worker_is_ready_at_once_and_stops_soon(stage, messages):
    """With the long poll of twenty seconds that it has unless told otherwise; a message of that moment stays visible."""
    polls = []
    stage.proxy.plan = lambda asked: polls.append(time.monotonic()) if asked == "ReceiveMessage" else None
    stage.start("--wait-seconds", "20")
    until(lambda: len(polls) > 1, what="the first poll is over", every=0.01)
    assert polls[1] - polls[0] < 0.5, "the first poll has waited"

    stage.worker.send_signal(signal.SIGTERM)
    began = time.monotonic()
    stage.add("quick", *range(messages))
    stage.ended()

    assert time.monotonic() - began < 3
    assert len(stage.done()) + stage.left()[0] == messages
    assert stage.left()[1] == 0
