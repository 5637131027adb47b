"""``sqs-tasks dev`` as a process: reload, mistakes in the source, Lambda with faults, and how it stops."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from sqs_tasks.local.server import LocalSQSServer
from tests.support.dev_process import PATIENCE, clean_environment, dev
from tests.support.worker_processes import client

#: Its task waits until the test, at the other end of the socket, lets it go.
APP = """
import os, socket

from sqs_tasks import SQSEnv

env = SQSEnv()
calls = env.queue("calls", visibility_timeout_seconds=40)


@calls.processor("call")
def call() -> None:
    with socket.create_connection(("127.0.0.1", PORT)) as line:
        line.recv(16)


@calls.processor("greet")
def greet(name: str) -> None:
    print(f"hello {name}")


@calls.processor("look")
def look(name: str) -> None:
    secret = name.upper()
    breakpoint()
    print("after the breakpoint")


@calls.processor("die")
def die() -> None:
    os._exit(3)
"""


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


@pytest.fixture
def app(tmp_path, listener):
    path = tmp_path / "app.py"
    path.write_text(APP.replace("PORT", str(listener.getsockname()[1])))
    return path


def send(session, exports, task, *arguments):
    subprocess.run(
        [sys.executable, "-m", "sqs_tasks", "send", "app:env", "calls", task, *arguments],
        cwd=session.directory,
        env={**clean_environment(), **exports},
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )


def started(session):
    exports = session.wait_for("dev_started")["environment"]
    session.wait_for("dev_loaded")
    return exports


def test_running_job_finishes_before_the_restart(app, tmp_path, listener):
    """Saved in the middle of a job: the job succeeds on its first attempt, and then the new code runs."""
    with dev(tmp_path, "app:env", "--grace-seconds", "30") as session:
        exports = started(session)
        send(session, exports, "call")
        line, _ = listener.accept()
        with line:
            app.write_text(app.read_text().replace("hello", "welcome"))
            session.wait_for("dev_changed")
            session.wait_for("worker_stopping")
        assert session.wait_for("job_succeeded")["attempt"] == 1
        session.wait_for("dev_loaded")

        send(session, exports, "greet", "name=you")

        session.wait_for("job_succeeded")
        assert session.stop() == (0, "")


def test_mistake_in_the_source_is_shown_and_the_next_save_runs(app, tmp_path):
    """A syntax error is shown without the lines of the importer; the corrected file is loaded at once."""
    with dev(tmp_path, "app:env") as session:
        exports = started(session)
        good = app.read_text()

        app.write_text(good + "def broken(:\n")
        refused = session.wait_for("dev_not_loaded")
        session.wait_for("dev_waiting")
        app.write_text(good)
        session.wait_for("dev_loaded")

        assert "SyntaxError" in refused["exception"]
        assert "importlib" not in refused["exception"]
        send(session, exports, "greet", "name=you")
        session.wait_for("job_succeeded")


def test_worker_that_a_task_killed_is_started_again(app, tmp_path):
    """A task that ends its process costs a restart of the worker, not the session."""
    with dev(tmp_path, "app:env") as session:
        exports = started(session)

        send(session, exports, "die")

        assert session.wait_for("dev_died")["exit_code"] == 3
        session.wait_for("dev_loaded")


@pytest.mark.parametrize("runtime", ["worker", "lambda"])
def test_ctrl_c_does_not_wait_for_a_job(app, tmp_path, listener, runtime):
    """With a job that would take for ever: exit code 0, nothing on standard error, and the job's process is gone."""
    with dev(tmp_path, "app:env", "--as", runtime, "--grace-seconds", "300") as session:
        send(session, started(session), "call")
        line, _ = listener.accept()
        with line:
            line.settimeout(PATIENCE)
            before = time.monotonic()

            assert session.stop(signal.SIGINT) == (0, "")

            assert time.monotonic() - before < 10
            assert line.recv(1) == b""


def test_as_lambda_jobs_survive_the_faults(app, tmp_path):
    """This seed throttles the first attempt, and each record comes twice; every job succeeds all the same."""
    faults = ("--fault", "throttle=0.5,duplicate=1", "--seed", "75")
    with dev(tmp_path, "app:env", "--as", "lambda", *faults) as session:
        exports = started(session)
        for name in ("one", "two"):
            send(session, exports, "greet", f"name={name}")

        session.wait_for("event_source_throttled")
        done = set()
        while len(done) < 2:
            done.add(session.wait_for("job_succeeded")["message_id"])

        assert session.stop(signal.SIGTERM) == (0, "")


def test_functions_of_one_seed_have_request_ids_of_their_own(tmp_path):
    """Or the log of one queue's function could not be told from the other's."""
    (tmp_path / "app.py").write_text(
        "from sqs_tasks import SQSEnv\n"
        "env = SQSEnv()\n"
        "for name in ('calls', 'letters'):\n"
        "    env.queue(name).processor('greet')(lambda: None)\n"
    )
    with dev(tmp_path, "app:env", "--as", "lambda", "--seed", "x") as session:
        exports = started(session)
        for name in ("calls", "letters"):
            subprocess.run(
                [sys.executable, "-m", "sqs_tasks", "send", "app:env", name, "greet"],
                cwd=tmp_path,
                env={**clean_environment(), **exports},
                check=True,
                capture_output=True,
                timeout=PATIENCE,
            )
        reports = [session.wait_for("event_source_report") for _ in range(2)]

    assert len({told["request_id"] for told in reports}) == 2


def test_as_lambda_fifo_jobs_lose_no_attempts_to_a_failure_before_them(tmp_path):
    """As in the stack, which works FIFO queues one by one; in a batch they would come back with the one that failed."""
    (tmp_path / "app.py").write_text(
        "from sqs_tasks import ConstantBackoff, SQSEnv\n"
        "env = SQSEnv()\n"
        "calls = env.queue('calls.fifo', backoff_policy=ConstantBackoff(1))\n"
        "@calls.processor('book', group_by='customer', max_attempts=2)\n"
        "def book(customer: str, n: int) -> None:\n"
        "    if n == 0:\n"
        "        raise ValueError('poison')\n"
    )
    with dev(tmp_path, "app:env", "--as", "lambda") as session:
        exports = started(session)
        subprocess.run(
            [sys.executable, "-m", "sqs_tasks", "send", "app:env", "calls.fifo", "book", "-"],
            cwd=tmp_path,
            env={**clean_environment(), **exports},
            check=True,
            input="\n".join(f'{{"customer": "acme", "n": {n}}}' for n in range(6)),
            text=True,
            capture_output=True,
            timeout=PATIENCE,
        )

        attempts = [session.wait_for("job_succeeded")["attempt"] for _ in range(5)]

    assert attempts == [1] * 5


def test_as_lambda_queues_of_containers_are_worked_by_a_worker(tmp_path):
    """As in the stack: what runs on Fargate has no function, and may take longer than one that is not on instances."""
    (tmp_path / "app.py").write_text(
        "import os\n"
        "from sqs_tasks import SQSEnv\n"
        "env = SQSEnv()\n"
        "def where() -> None:\n"
        "    print('function' if 'AWS_LAMBDA_FUNCTION_NAME' in os.environ else 'container')\n"
        "env.queue('calls').processor('where', timeout=10)(where)\n"
        "env.queue('films', runs_on='fargate').processor('where', timeout=3600)(where)\n"
        "def managed() -> None:\n"
        "    print('in ' + os.environ['AWS_LAMBDA_FUNCTION_NAME'])\n"
        "env.queue('songs').processor('where', timeout=3600)(managed)\n"
    )
    with dev(tmp_path, "app:env", "--as", "lambda", "--managed-instances", "songs") as session:
        exports = started(session)
        for queue in ("calls", "films", "songs"):
            subprocess.run(
                [sys.executable, "-m", "sqs_tasks", "send", "app:env", queue, "where"],
                cwd=tmp_path,
                env={**clean_environment(), **exports},
                check=True,
                capture_output=True,
                timeout=PATIENCE,
            )
        session.wait_for_output("function")
        session.wait_for_output("container")
        session.wait_for_output("in songs")
        assert session.stop() == (0, "")


def test_as_lambda_a_job_that_a_restart_cuts_off_is_back_at_once(app, tmp_path, listener):
    """Its queue's visibility timeout, six times the function's, is for what happens on AWS; a save does not."""
    app.write_text(app.read_text().replace("visibility_timeout_seconds=40", ""))
    with dev(tmp_path, "app:env", "--as", "lambda", "--grace-seconds", "0") as session:
        send(session, started(session), "call")
        line, _ = listener.accept()
        with line:
            app.write_text(app.read_text() + "# saved\n")
            again, _ = listener.accept()
            again.close()
        assert session.wait_for("job_succeeded")["attempt"] == 2


def test_given_endpoint_is_used(app, tmp_path):
    """Its queues are made there, and stay there."""
    with LocalSQSServer() as server, dev(tmp_path, "app:env", "--endpoint-url", server.endpoint_url) as session:
        assert started(session)["AWS_ENDPOINT_URL_SQS"] == server.endpoint_url
        session.stop()
        sqs = client(server.endpoint_url)
        names = {url.rpartition("/")[2] for url in sqs.list_queues()["QueueUrls"]}
        sqs.close()

    assert names == {"calls", "calls_dead"}


def run(directory, *words):
    return subprocess.run(
        [sys.executable, "-m", "sqs_tasks", "dev", *words],
        cwd=directory,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_faults_without_lambda_are_wrong_usage(tmp_path):
    """``--fault`` needs ``--as lambda``, and the error says so."""
    ran = run(tmp_path, "app:env", "--fault", "crash=0.1")

    assert ran.returncode == 2
    assert "--as lambda" in ran.stderr


def test_port_that_is_taken_is_one_line(tmp_path, listener):
    """A port in use is one line that says what to do."""
    ran = run(tmp_path, "app:env", "--port", str(listener.getsockname()[1]))

    assert ran.returncode == 1
    assert "try --port 0" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no process groups here")
@pytest.mark.parametrize("runtime", ["worker", "lambda"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_nothing_outlives_a_session_whose_terminal_closes_or_that_is_killed(app, tmp_path, listener, runtime, number):
    """What was left over would take the jobs of the next session and run them in old code."""
    with dev(tmp_path, "app:env", "--as", runtime, "--grace-seconds", "300") as session:
        send(session, started(session), "call")
        line, _ = listener.accept()
        with line:
            line.settimeout(PATIENCE)

            session.process.send_signal(number)

            assert line.recv(1) == b""  # the process that ran the job is gone


def test_running_jobs_and_the_lines_of_the_application_are_shown(tmp_path):
    """A job that has started is reported before its end, and INFO of the application is not left out."""
    (tmp_path / "app.py").write_text(
        "import logging\n"
        "from sqs_tasks import SQSEnv\n"
        "env = SQSEnv()\n"
        "@env.queue('calls').processor('work')\n"
        "def work() -> None:\n"
        "    logging.getLogger('shop').info('half way')\n"
    )
    with dev(tmp_path, "app:env") as session:
        send(session, started(session), "work")

        assert session.wait_for("job_started")["job_name"] == "work"
        assert session.wait_for(None, lambda told: told["logger"] == "shop")["message"] == "half way"
        session.wait_for("job_succeeded")


@pytest.mark.parametrize("runtime", ["worker", "lambda"])
def test_application_that_sets_up_logging_does_not_silence_the_session(tmp_path, runtime):
    """``disable_existing_loggers`` is on unless told otherwise, and the library is there before."""
    (tmp_path / "app.py").write_text(
        "import logging.config\n"
        "from sqs_tasks import SQSEnv\n"
        "console = {'class': 'logging.StreamHandler'}\n"
        "root = {'level': 'WARNING', 'handlers': ['console']}\n"
        "logging.config.dictConfig({'version': 1, 'handlers': {'console': console}, 'root': root})\n"
        "env = SQSEnv()\n"
        "@env.queue('calls').processor('fail', max_attempts=1)\n"
        "def fail() -> None:\n"
        "    raise ValueError('boom')\n"
    )
    with dev(tmp_path, "app:env", "--as", runtime) as session:
        send(session, started(session), "fail")

        session.wait_for("job_started")
        assert "boom" in session.wait_for("job_rejected")["message"]


class TypedSession:
    """A session on a terminal of its own, read and typed at by the test."""

    def __init__(self, directory, *words):
        self.ours, theirs = os.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sqs_tasks", "dev", "app:env", "--port", "0", *words],
            cwd=directory,
            env={**clean_environment(), "TERM": "xterm", "COLUMNS": "200", "LINES": "40"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.directory = directory

    def wait_for(self, text):
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.ours], [], [], 1)[0]:
                self.seen += os.read(self.ours, 4096).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self.ours, text.encode())

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals here")
@pytest.mark.parametrize("runtime", ["worker", "lambda"])
def test_breakpoint_in_a_job_debugs_it_at_the_terminal(app, tmp_path, runtime):
    """The view keeps still meanwhile, and goes on when the job does."""
    session = TypedSession(tmp_path, "--as", runtime)
    try:
        line = session.wait_for("AWS_SECRET_ACCESS_KEY=local").rpartition("export ")[2]
        exports = dict(word.split("=", 1) for word in f"{line}AWS_SECRET_ACCESS_KEY=local".split())
        session.wait_for("calls")
        send(session, exports, "look", "name=otto")
        session.wait_for("(Pdb) ")

        send(session, exports, "greet", "name=you")
        session.type("p secret\n")
        meanwhile = session.wait_for("'OTTO'") + session.wait_for("(Pdb) ")
        session.type("c\n")

        session.wait_for("after the breakpoint")
        session.wait_for("succeeded")
        assert "in flight" not in meanwhile
        assert "hello" not in meanwhile
    finally:
        session.close()


def test_breakpoint_in_a_pipe_is_passed_over(app, tmp_path):
    """It must not fail the job, which nobody can debug there."""
    with dev(tmp_path, "app:env") as session:
        send(session, started(session), "look", "name=otto")

        assert "passed over" in session.wait_for("dev_breakpoint_passed_over")["message"]
        session.wait_for("job_succeeded")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals here")
def test_on_a_terminal_it_draws_and_ctrl_c_stops_it(app, tmp_path):
    """The view appears, and Ctrl-C as typed ends it."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sqs_tasks", "dev", "app:env", "--port", "0"],
        cwd=tmp_path,
        env={**clean_environment(), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    try:
        while b"running" not in seen or b"calls" not in seen:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        try:
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:  # Linux's way to say that nobody writes any more
            pass
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)

    assert b"export AWS_ENDPOINT_URL_SQS=http://127.0.0.1:" in seen
    assert b"in flight" in seen
    last = seen.rpartition(b"Ctrl-C stops it")[2]
    assert b"stopped; the messages of the embedded SQS are gone" in last
    assert b"running" not in last
    assert b"Traceback" not in seen


@pytest.mark.parametrize("runtime", ["worker", "lambda"])
@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("app:env", "nosuchqueue"), 2, "nosuchqueue"),
        (("nosuch.tasks:env",), 1, "there is no module 'nosuch'"),
        (("app:nope",), 1, "app has no 'nope'"),
    ],
)
def test_arguments_that_name_nothing_end_it_as_they_end_the_worker(app, tmp_path, runtime, words, exit_code, said):
    """No save of a file mends a typo on the command line."""
    ran = run(tmp_path, *words, "--as", runtime, "--port", "0")
    as_worker = subprocess.run(
        [sys.executable, "-m", "sqs_tasks", "worker", *words],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )

    assert (ran.returncode, as_worker.returncode) == (exit_code, exit_code)
    assert said in ran.stderr
    assert ran.stderr.splitlines()[-1] == as_worker.stderr.splitlines()[-1]
    assert "save" not in ran.stdout


@pytest.mark.parametrize(
    "mistake",
    ["def broken(:\n", "import nosuchmodule\n", 'env.queue("other", visibility_timeout_seconds=99999)\n'],
)
def test_mistake_in_the_source_at_the_first_start_waits_for_the_save(app, tmp_path, mistake):
    """And so does everything after a good start, also what ended it at the first."""
    good = app.read_text()
    app.write_text(good + mistake)
    with dev(tmp_path, "app:env") as session:
        session.wait_for("dev_waiting")

        app.write_text(good)

        session.wait_for("dev_loaded")
        app.write_text(good.replace("env = ", "nope = ").replace("env.", "nope."))
        session.wait_for("dev_waiting")
        assert session.stop() == (0, "")
