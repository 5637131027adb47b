"""``sqs-tasks worker --processes``: workers that die are started again, and what they held is done all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sqs_tasks import SQSEnv
from tests.support.polling import until
from tests.support.ports import free_ports
from tests.support.worker_processes import children_of, client, environment, is_running, processes, signal_until_gone

APP = """
import ctypes
import os
import threading

from sqs_tasks import ConstantBackoff, SQSEnv
from sqs_tasks.worker.lease import current_lease

env = SQSEnv(backoff_policy=ConstantBackoff(0))
jobs = env.queue("jobs", visibility_timeout_seconds=2, max_receive_count=20)


def note(name, *values):
    line = " ".join(map(str, values)) + "\\n"
    descriptor = os.open(name, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def first_time(n):
    return current_lease().message.receive_count == 1


@jobs.processor("work")
def work(n: int) -> None:
    note("done", n, os.getpid())


@jobs.processor("slow")
def slow(n: int, seconds: float) -> None:
    note("started", n, os.getpid())
    threading.Event().wait(seconds)
    note("done", n, os.getpid())


@jobs.processor("crash")
def crash(n: int, how: str) -> None:
    if first_time(n):
        note("crashed", how)
        if how == "segfault":
            ctypes.string_at(0)
        if how == "exit":
            os._exit(3)
        os.kill(os.getpid(), 9)  # what the kernel does when memory is over
    note("done", n, os.getpid())


@jobs.processor("orphan")
def orphan(n: int) -> None:
    if os.fork() == 0:
        if os.fork() == 0:
            threading.Event().wait(0.2)
        os._exit(0)
    os.wait()
    note("done", n, os.getpid())


note("loaded", os.getpid())
"""


@pytest.fixture
def run(server, tmp_path):
    with processes(tmp_path, server.endpoint_url) as run:
        run.write("app.py", APP)
        yield run
        run.kill_listed("loaded")


@pytest.fixture
def jobs(server):
    env = SQSEnv(sqs_client=client(server.endpoint_url))
    queue = env.queue("jobs", max_receive_count=20)
    env.create_queues()
    yield queue
    env.client().close()


def start(run, *options):
    return run.python("-m", "sqs_tasks", "worker", "app:env", "--wait-seconds", "1", "-c", "2", *options)


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return None, ""


@pytest.mark.parametrize("how", ["segfault", "exit", "killed"])
def test_a_broken_task_ends_its_process_and_nothing_else(run, jobs, how):
    """The other worker goes on, a new one is started, the job is done at its second attempt (faults Q3, P4)."""
    supervisor = start(run, "--processes", "2")
    until(lambda: len(run.lines("loaded")) == 2, what="two workers")

    jobs.add_job("crash", n=0, how=how)
    for n in range(1, 11):
        jobs.add_job("work", n=n)

    until(lambda: {line.split()[0] for line in run.lines("done")} == {str(n) for n in range(11)}, what="all are done")
    until(lambda: len(run.lines("loaded")) == 3, what="a new worker")
    assert "died" in run.log(supervisor)
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0, run.log(supervisor)
    assert not any(is_running(pid) for pid in run.lines("loaded"))


def test_sigterm_reaches_every_worker_and_running_jobs_finish(run, jobs):
    """One signal to the supervisor; each worker drains."""
    for n in range(4):
        jobs.add_job("slow", n=n, seconds=1)
    supervisor = start(run, "--processes", "2")
    until(lambda: len(run.lines("started")) == 4, what="all are running")

    supervisor.send_signal(signal.SIGTERM)

    assert supervisor.wait(20) == 0
    assert len(run.lines("done")) == 4
    assert len({line.split()[1] for line in run.lines("done")}) == 2


def test_a_worker_that_somebody_else_stops_is_replaced(run, jobs):
    """It finishes what it runs, and its place is not left empty."""
    supervisor = start(run, "--processes", "2")
    jobs.add_job("slow", n=1, seconds=0.5)
    until(lambda: run.lines("started"), what="a job runs")
    worker = int(run.lines("started")[0].split()[1])

    os.kill(worker, signal.SIGTERM)

    until(lambda: len(run.lines("loaded")) == 3, what="a new worker")
    assert run.lines("done") == [f"1 {worker}"]
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0, run.log(supervisor)


def test_a_second_signal_ends_all_at_once(run, jobs):
    """Whatever runs."""
    jobs.add_job("slow", n=0, seconds=60)
    supervisor = start(run, "--processes", "2", "--grace-seconds", "60")
    until(lambda: run.lines("started"), what="it runs")
    supervisor.send_signal(signal.SIGTERM)
    until(lambda: "stopping (SIGTERM)" in run.log(supervisor), what="the worker has heard")

    assert signal_until_gone(supervisor, signal.SIGTERM) != 0
    assert not any(is_running(pid) for pid in run.lines("loaded"))


def test_workers_stop_when_their_supervisor_is_killed(run, jobs):
    """Nobody is left behind to work for nobody (PyQS#58 asked the parent's pid, which is wrong in a container)."""
    supervisor = start(run, "--processes", "2")
    until(lambda: len(run.lines("loaded")) == 2, what="two workers")

    supervisor.kill()

    until(lambda: not any(is_running(pid) for pid in run.lines("loaded")), what="the workers are gone")


def test_a_used_up_worker_is_replaced_without_losing_a_job(run, jobs):
    """--max-tasks: each process does a few, all jobs are done once."""
    jobs.add_jobs([("work", {"n": n}) for n in range(40)])
    supervisor = start(run, "--supervise", "--max-tasks", "10")

    until(lambda: len(run.lines("done")) >= 40, what="all are done")

    assert sorted(int(line.split()[0]) for line in run.lines("done")) == list(range(40))
    assert len({line.split()[1] for line in run.lines("done")}) >= 3
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0


def test_an_application_that_cannot_be_loaded_ends_the_supervisor(run, monkeypatch):
    """The platform should see it; not at the first failure, which may pass."""
    run.write("app.py", "raise RuntimeError('broken')")

    supervisor = start(run, "--processes", "10")

    assert supervisor.wait(60) == 1
    assert "giving up" in run.log(supervisor)


def test_workers_that_have_nothing_left_to_do_end_the_supervisor(run, jobs):
    """--idle-seconds ends the whole, with 0."""
    jobs.add_job("work", n=1)

    supervisor = start(run, "--processes", "2", "--idle-seconds", "1")

    assert supervisor.wait(30) == 0
    assert len(run.lines("done")) == 1


def test_as_pid_1_it_reaps_what_tasks_leave_behind(run, jobs):
    """In a PID namespace of its own: no zombies, and SIGTERM is heard although the kernel gives PID 1 no defaults."""
    if os.geteuid() != 0 or os.system("unshare --pid --fork true 2>/dev/null") != 0:
        pytest.skip("cannot make a PID namespace here")
    with (run.directory / "pid1.log").open("w") as log:
        outer = subprocess.Popen(
            [
                *("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"),
                *(sys.executable, "-m", "sqs_tasks", "worker", "app:env", "--supervise", "--wait-seconds", "1"),
            ],
            cwd=run.directory,
            env=environment(run.endpoint_url),
            stdout=log,
            stderr=log,
        )
    run.started.append(outer)
    jobs.add_job("orphan", n=1)
    until(lambda: run.lines("done"), what="the orphan's parent is done")
    supervisor = children_of(outer.pid)[0]

    def state(pid):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    def zombies():
        return [pid for pid in children_of(supervisor) if state(pid) == "Z"]

    until(lambda: not zombies(), what="no zombies")
    os.kill(supervisor, signal.SIGTERM)
    assert outer.wait(20) == 0, (run.directory / "pid1.log").read_text()


def test_health_and_metrics_of_all_workers_on_one_port(run, jobs):
    """Live, ready, and the sums of what they did."""
    port = free_ports(3)
    supervisor = start(run, "--processes", "2", "--health-port", str(port))
    until(lambda: get(port, "/ready")[0] == 200, what="ready")
    jobs.add_jobs([("work", {"n": n}) for n in range(20)])

    def done():
        return 'sqs_tasks_jobs_total{queue="jobs",task="work",outcome="succeeded"} 20' in get(port, "/metrics")[1]

    until(done, what="twenty jobs counted")
    assert get(port, "/live") == (200, json.dumps({"status": "ok"}))
    assert get(port, "/nothing")[0] == 404
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0


def test_a_worker_whose_sqs_is_away_is_live_but_not_ready(run, jobs, server):
    """Restarting it would not help; sending it traffic neither."""
    port = free_ports(1)
    worker = start(run, "--health-port", str(port))
    until(lambda: get(port, "/ready")[0] == 200, what="ready")

    worker.send_signal(signal.SIGTERM)
    until(lambda: get(port, "/ready")[0] in (503, None), what="not ready while stopping")

    assert worker.wait(20) == 0


class Agent:
    """The ECS agent: notes each state it is asked for."""

    def __init__(self):
        self.states = []
        states = self.states

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                states.append((self.path, body))
                answer = b'{"protection": {}}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_port}/api/x"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def agent():
    agent = Agent()
    yield agent
    agent.close()


@pytest.mark.parametrize("options", [[], ["--processes", "2"]], ids=["one process", "two"])
def test_ecs_protects_the_task_while_it_is_busy(run, jobs, agent, options):
    """Told on busy and on idle, not for every job (E4)."""
    jobs.add_job("slow", n=0, seconds=1)
    worker = run.python(
        *("-m", "sqs_tasks", "worker", "app:env", "--wait-seconds", "1", *options),
        variables={"ECS_AGENT_URI": agent.uri},
    )
    until(lambda: agent.states, what="protected")
    path, state = agent.states[0]

    assert path == "/api/x/task-protection/v1/state"
    assert state["ProtectionEnabled"] is True
    assert state["ExpiresInMinutes"] > 0
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert [state["ProtectionEnabled"] for _, state in agent.states] == [True, False]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--weight", "jobs"], "must be like emails=3"),
        (["--weight", "jbos=2"], "is none of the queues to work"),
        (["--weight", "jobs=0"], "must be a number above 0"),
    ],
)
def test_options_that_cannot_work_are_usage_errors(run, jobs, options, told):
    """Exit code 2, and what is wrong."""
    worker = start(run, *options)

    assert worker.wait(20) == 2
    assert told in run.log(worker)


def test_options_come_from_the_environment(run, jobs):
    """As in a Dockerfile; and a process that has grown too large is replaced."""
    jobs.add_job("work", n=1)
    variables = {
        "SQS_TASKS_APP": "app:env",
        "SQS_TASKS_SUPERVISE": "1",
        "SQS_TASKS_MAX_RSS": "1",
        "SQS_TASKS_WEIGHT": "jobs=2",
        "SQS_TASKS_PREFETCH": "5",
        "SQS_TASKS_WAIT_SECONDS": "1",
    }
    supervisor = run.python("-m", "sqs_tasks", "worker", variables=variables)

    until(lambda: "is replaced by a fresh one" in run.log(supervisor), what="a process above 1 MiB is replaced")

    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0


@pytest.mark.parametrize(("worked", "deaths"), [(True, 25), (False, 10)], ids=["after work", "before any"])
def test_only_starts_without_work_make_a_supervisor_give_up(tmp_path, worked, deaths):
    """A job that kills its worker again and again is no application that cannot be loaded: the others still have jobs.

    A worker writes to its supervisor when SQS has answered it, and dies; after 25 deaths it ends by itself.
    """
    worker = f"""
import os
with open({str(tmp_path / "starts")!r}, "ab+") as starts:
    starts.write(b"x")
    if starts.tell() > 25:
        os._exit(0)
if {worked}:
    os.write(int(os.environ["SQS_TASKS_SUPERVISOR_FD"]), b"w")
os.kill(os.getpid(), 9)
"""
    program = f"""
import logging, sys
from sqs_tasks.worker import supervisor
logging.basicConfig(level="INFO")
supervisor.MIN_PAUSE = supervisor.MAX_PAUSE = supervisor.MAX_PAUSE_AFTER_WORK = 0.001
sys.exit(supervisor.Supervisor([sys.executable, "-S", "-c", {worker!r}], 1).run())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert len((tmp_path / "starts").read_bytes()) == deaths, ended.stderr
    assert ("giving up" in ended.stderr) is not worked
    assert ended.returncode == 128 + 9
